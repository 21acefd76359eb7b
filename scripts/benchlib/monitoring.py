"""(k) What monitors cost themselves: CPU at 1 s and 0.1 s beside duct, psrecord and psutil, and one look at all.

Everything that is watched, and all around it, is idle: what is measured is the watching. The peers are installed into
a virtual environment of their own, in the user's cache folder.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchlib import monitors
from benchlib.measure import clean_environment
from benchlib.table import Row

OTHERS = 2000
WATCHED = (1, 50, 500)
INTERVALS_S = (1.0, 0.1)
WINDOW_S = 15.0
QUICK_S = 5.0
JOBS = 50  # at most so many trees
SETTLE_S = 3.0  # until a monitor has seen what there is
AIM = "1 % of a core"


def measured(folder: Path, _at_most: int, *, short: bool = False) -> list[Row]:
    """Measure every monitor for every number of processes, and one look of each engine."""
    window = QUICK_S if short else WINDOW_S
    python = monitors.peers()
    rows: list[Row] = []
    with _running(monitors.herd(OTHERS)):
        for interval in INTERVALS_S[: 1 if short else None]:
            for count in (1, 500) if short else WATCHED:
                known = monitors.all_of(folder, python, interval, count, min(JOBS, count))
                rows += _side_by_side(known, interval, count, window)
        rows += _looks(python)
    return rows


def quick(folder: Path, at_most: int) -> list[Row]:
    """Measure fewer cases, for a shorter time."""
    return measured(folder, at_most, short=True)


def _side_by_side(known: Sequence[monitors.Monitor], interval: float, count: int, window: float) -> list[Row]:
    """Measure monitors one after another; say for ours how many times cheaper they are than the best peer."""
    found = [(monitor, _cost(monitor, window)) for monitor in known]
    best = min((cost for monitor, cost in found if not monitor.ours and not monitor.died), default=None)
    rows = []
    for monitor, cost in found:
        work = f"{monitor.name}: {count} of {count + OTHERS} processes, every {interval:g} s"
        peers = f"best peer {best / max(cost, 0.01):.1f}x" if best is not None and monitor.ours else ""
        goal = AIM if monitor.ours and interval >= 1 and count == max(WATCHED) else ""
        torc = "6.8 %" if goal else ""
        note = "it ended!" if monitor.died else ""
        rows.append(Row("monitor", work, cost, "% CPU", 1, monitor.memory, peers=peers, aim=goal, torc=torc, note=note))
    return rows


def _cost(monitor: monitors.Monitor, window: float) -> float:
    """Give the CPU a monitor takes once it has seen what there is, in percent of one core."""
    with contextlib.ExitStack() as stack:
        watched = [stack.enter_context(_running(argv)).pid for argv in monitor.watched]
        process = stack.enter_context(_running([*monitor.argv, *map(str, watched)], monitor.folder, monitor.text))
        time.sleep(SETTLE_S)
        own = monitors.own(process.pid, monitor.program)
        before, began = monitors.cpu_s(own), time.monotonic()
        time.sleep(window)
        cost = (monitors.cpu_s(own) - before) / (time.monotonic() - began) * 100
        monitor.memory, monitor.died = monitors.memory(own), process.poll() is not None
    return cost


@contextlib.contextmanager
def _running(
    argv: Sequence[str], folder: Path | None = None, text: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a session of its own until the end of the block; wait until a herd is there."""
    quiet = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "start_new_session": True}
    env = clean_environment()
    herding = monitors.HERD in argv and folder is None
    out = subprocess.PIPE if herding else subprocess.DEVNULL
    process = subprocess.Popen(argv, cwd=folder, env=env, stdout=out, **quiet)  # type: ignore[call-overload]
    try:
        if text is not None:
            process.stdin.write(text)
            process.stdin.close()
        if herding:
            process.stdout.readline()
        yield process
    finally:
        for pid in monitors.below(process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _looks(python: Path | None) -> list[Row]:
    """Measure one look at 50 trees of 10 processes: ours, and psutil's ways."""
    with contextlib.ExitStack() as stack:
        pids = [str(stack.enter_context(_running(monitors.herd(10))).pid) for _ in range(JOBS)]
        found = {}
        for name, program in monitors.ENGINES.items():
            with_psutil = python if "psutil" in name else Path(sys.executable)
            if with_psutil is not None:
                argv = [str(with_psutil), "-c", program, *pids]
                done = subprocess.run(argv, check=True, capture_output=True, text=True)
                found[name] = statistics.median(map(float, done.stdout.split()))
    ours = next(iter(found.values()))
    return [
        Row("monitor", f"one look at {JOBS} x 10 of {OTHERS + 500} processes: {name}", ms, "ms", 1,
            peers="" if ms == ours else f"{ms / ours:.0f}x ours")
        for name, ms in found.items()
    ]  # fmt: skip
