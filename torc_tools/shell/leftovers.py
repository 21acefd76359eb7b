"""What a dead worker left running, jobs and scripts: found by the marks in their environment, and killed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from torc_tools.records import Record
from torc_tools.shell import layout, procs

_PATIENCE_S = 5.0  # a process killed by SIGKILL goes at once, unless it hangs in the kernel


def kill(workflow: Record, lives: Iterable[tuple[int, int, int]], workers: Iterable[str] = ()) -> int:
    """Kill every process of this machine that belongs to one of `lives` (job, run, attempt) or that `workers` started.

    They are known by the marks that a worker puts into the environment of jobs and scripts. Give how many they were
    when they are gone, or after a few seconds: a process in an uninterruptible state dies when its system call ends.
    """
    marks = {f"TORC_JOB_MARK={layout.job_mark(workflow['token'], *life)}".encode() for life in lives}
    marks |= {os.fsencode(f"TORC_WORKER_MARK={workflow['token']}.{name}") for name in workers}
    if not marks:
        return 0
    killed = 0
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _marked(marks)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.01)
    return killed


def _marked(marks: set[bytes]) -> list[int]:
    """Give the pids of living processes of ours whose environment holds one of `marks`."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if not marks.isdisjoint(procs.environment(pid))]
