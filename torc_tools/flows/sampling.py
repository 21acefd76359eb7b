"""What torc-sample does: a command measured from its start to its end, or a process that already runs."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import orjson

from torc_tools import exits
from torc_tools.core.usage import Usage
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import launch, liveness, procs, trees
from torc_tools.shell.loop import Loop

_EARLY_S = (0.05, 0.1, 0.25, 0.5)  # ages at which a young command is sampled, where the interval is longer
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Measured:
    """One command, run and measured. `write` is given a `sample` record at every interval, if there is one."""

    def __init__(self, argv: Sequence[str], interval_s: float, write: Callable[[Record], None] | None = None) -> None:
        """Take the command and how often it is looked at."""
        self._argv, self._interval, self._write = argv, interval_s, write
        self._loop = Loop(_PASSED_ON)
        self._loop.stranger = self._orphan_ended
        self._ended: Record | None = None

    def run(self) -> Record:
        """Run the command with our standard streams; give the `usage` record. Raises Failure(126, 127)."""
        procs.adopt_orphans()
        self._started_at, self._began = time.time(), time.monotonic()
        self._usage = Usage(self._began)
        try:
            self._pid = launch.program(self._argv)
        except OSError as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            raise Failure(status, f"cannot run '{self._argv[0]}': {error.strerror}") from None
        self._tree = trees.Tree.of_ours(self._pid)
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
        now = time.monotonic()
        taken = self._tree.sample(self._usage.peak_memory_bytes or 0)
        self._usage.sample(now, *taken)
        age = now - self._began
        if self._write is not None and taken.num_processes:
            try:
                self._write(_sample(self._pid, self._usage.last_cpu_percent, taken))
            except OSError:
                self._write = None  # the command is not to be left alone; whoever writes the last record meets it again
        early = next((look for look in _EARLY_S if look > age), self._interval + age)
        self._loop.later(max(0.01, min(self._interval, early - age)), self._look)

    def _orphan_ended(self, pid: int, rusage: Any) -> None:
        self._tree.ended(pid, rusage.ru_utime + rusage.ru_stime)

    def _over(self, exit_code: int, rusage: Any) -> None:
        exec_time = time.monotonic() - self._began
        cpu = rusage.ru_utime + rusage.ru_stime + self._tree.lost_cpu_s
        self._ended = {
            "type": "usage",
            "command": list(self._argv),
            "return_code": 128 - exit_code if exit_code < 0 else exit_code,
            "started_at": self._started_at,
            "exec_time_s": round(exec_time, 6),
            "cpu_time_s": round(cpu, 6),
            "peak_num_processes": self._usage.peak_num_processes,
            **self._usage.whole(cpu, exec_time, rusage.ru_maxrss * 1024, procs.own_peak_bytes()),
        }


def text(record: Record) -> str:
    """Give a record as one line of JSON."""
    return orjson.dumps(record).decode()


@contextlib.contextmanager
def output(path: str) -> Iterator[Callable[[Record], None]]:
    """Give a function that writes a record to a new file, at once. Raises Failure(74) where it cannot be made."""
    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115  closed below
    except OSError as error:
        raise Failure(exits.IO, f"cannot open '{path}': {error.strerror}") from None
    with file:
        yield lambda record: _put(file, record)


def _put(file: IO[bytes], record: Record) -> None:
    file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def watch(pid: int, interval_s: float, count: int | None) -> Iterator[Record]:
    """Give a `sample` record of a process and its descendants now and at every interval, until it ends or `count`.

    Raises Failure(66) where there is no such process.
    """
    start = liveness.start_ticks(pid)
    if start is None:
        raise Failure(exits.NO_INPUT, f"no such process: '{pid}'")
    tree = trees.Tree(pid)
    usage: Usage | None = None
    due = time.monotonic()
    made = 0
    while liveness.start_ticks(pid) == start:
        taken = tree.sample(usage.peak_memory_bytes or 0 if usage else 0)
        if taken.num_processes:
            usage = _taken_in(usage, taken)
            yield _sample(pid, usage.last_cpu_percent, taken)
            made += 1
        due += interval_s
        if made == count or _gone_within(pid, due - time.monotonic()):
            return


def _taken_in(usage: Usage | None, taken: trees.Sample) -> Usage:
    """Note a sample; the first only begins the comparison of CPU time."""
    now = time.monotonic()
    if usage is None:
        usage = Usage(now, taken.cpu_s)
    usage.sample(now, *taken)
    return usage


def _gone_within(pid: int, seconds: float) -> bool:
    """Wait; say whether the process ended meanwhile."""
    if not hasattr(os, "pidfd_open"):
        time.sleep(max(0.0, seconds))
        return False
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([fd], [], [], max(0.0, seconds))[0])
    finally:
        os.close(fd)


def _sample(pid: int, cpu: float | None, taken: trees.Sample) -> Record:
    return {
        "type": "sample",
        "at": time.time(),
        "pid": pid,
        "cpu_percent": cpu,
        "memory_bytes": taken.memory_bytes,
        "num_processes": taken.num_processes,
    }


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
