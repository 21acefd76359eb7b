"""What torc-sample does: a command measured from its start to its end, or something that already runs."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Self

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.flows.sampling_meter import Meter, TreeMeter, identity, readable, sample
from torc_tools.records import Record
from torc_tools.shell import launch, procs, trees
from torc_tools.shell.loop import Loop

_EARLY_S = (0.05, 0.1, 0.25, 0.5)  # ages at which a young command is sampled, where the interval is longer
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # srun makes a SIGKILL of SIGTERM


class Measured:
    """One command, run and measured. `take` is given a `sample` record at every interval, if there is one."""

    def __init__(
        self, argv: Sequence[str], interval_s: float, take: Callable[[Record], None] | None = None, *, pss: bool = False
    ) -> None:
        """Take the command, how often it is looked at, and whether always at which pages are shared."""
        self._argv, self._interval, self._take, self._pss = argv, interval_s, take, pss
        self._loop = Loop(_PASSED_ON)
        self._loop.stranger = self._orphan_ended
        self._ended: Record | None = None
        self._most = 0  # memory in a sample

    def run(self) -> Record:
        """Run the command with our standard streams; give the `usage` record. Raises Failure(126, 127)."""
        procs.adopt_orphans()
        self._started_at, self._began = time.time(), time.monotonic()
        try:
            self._pid = launch.program(self._argv)
        except (OSError, ValueError) as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Failure(status, f"cannot run '{self._argv[0]}': {why}") from None
        self._tree = trees.Tree.of_ours(self._pid)
        self._about = {"pid": self._pid, **identity(os.environ)}
        self._meter = TreeMeter(self._tree, self._began, self._about, pss=self._pss)
        self._loop.child(self._pid, self._over)
        self._loop.later(min(self._interval, _EARLY_S[0]), self._look)
        while self._ended is None:
            self._loop.turn()
            self._pass_signals_on()
        return self._ended

    def _pass_signals_on(self) -> None:
        for number in self._loop.signals:
            if number not in (signal.SIGINT, signal.SIGQUIT) or not _in_foreground():
                self._tree.signal_root(number)
        self._loop.signals.clear()

    def _look(self) -> None:
        if self._ended is not None:
            return
        self._sample()
        age = time.monotonic() - self._began
        early = next((look for look in _EARLY_S if look > age), self._interval + age)
        self._loop.later(max(0.01, min(self._interval, early - age)), self._look)

    def _sample(self) -> None:
        record = self._meter.look()
        if record is not None:
            self._give(record)

    def _give(self, record: Record) -> None:
        self._most = max(self._most, record["memory_bytes"])
        if self._take is not None:
            try:
                self._take(record)
            except OSError:
                self._take = None  # the command is not to be left alone; the last record meets the same trouble

    def _orphan_ended(self, pid: int, rusage: Any) -> None:
        self._tree.ended(pid, rusage.ru_utime + rusage.ru_stime)

    def _over(self, exit_code: int, rusage: Any) -> None:
        """Take in the end of the command; what it leaves behind is looked at a last time."""
        exec_time = time.monotonic() - self._began
        self._sample()
        seen = self._meter.usage_so_far
        cpu = rusage.ru_utime + rusage.ru_stime + self._tree.lost_cpu_s
        largest, own = rusage.ru_maxrss * 1024, procs.own_peak_bytes()
        whole = self._meter.whole(cpu, exec_time, largest, own)
        if whole["peak_memory_bytes"] is None:
            whole["peak_below_bytes"] = max(largest, own)
        elif whole["peak_memory_bytes"] > self._most:  # it came after the last sample
            self._give(sample(self._about, None, whole["peak_memory_bytes"], 1, {}))
        self._ended = {
            "type": "usage",
            "command": [readable(word) for word in self._argv],
            **self._about,
            "return_code": exits.as_shell(exit_code),
            "started_at": self._started_at,
            "exec_time_s": round(exec_time, 6),
            "cpu_time_s": round(cpu, 6),
            "peak_num_processes": seen.peak_num_processes,
            **whole,
            **self._meter.gpu.fields(),
        }


def watch(
    meter: Meter, interval_s: float, count: int | None, take: Callable[[Record], None], heard: list[int]
) -> Iterator[Record]:
    """Give a `sample` record now and at every interval, until what is looked at has gone, or `count`; then the `usage`.

    SIGINT, SIGTERM and SIGUSR1 end it in good order, and are noted in `heard`. Each sample is given to `take`, too.
    """
    with _Waiting(meter.pid, heard) as waiting:
        due, made = time.monotonic(), 0
        while (record := meter.look()) is not None:
            take(record)
            yield record
            made += 1
            due = max(due + interval_s, time.monotonic())
            if made == count or waiting.over(due - time.monotonic()):
                break
    yield meter.usage()


class _Waiting:
    """Waits for a time, and no longer than a process lives or a signal to end comes."""

    def __init__(self, pid: int | None, heard: list[int]) -> None:
        self._pid, self._signals = pid, heard

    def __enter__(self) -> Self:
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fds = [self._wake]
        self._before = {number: signal.signal(number, self._heard) for number in _ENDING}
        if self._pid is not None and hasattr(os, "pidfd_open"):
            try:
                self._fds.append(os.pidfd_open(self._pid))
            except OSError:
                os.write(self._waker, b"\0")  # gone meanwhile
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for fd in (*self._fds, self._waker):
            os.close(fd)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def over(self, seconds: float) -> bool:
        """Wait; say whether that is the end."""
        return bool(select.select(self._fds, [], [], max(0.0, seconds))[0])


def _in_foreground() -> bool:
    """Say whether our terminal sends its signals to the command, too: it is in our process group."""
    try:
        fd = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)
