"""What a dead worker's jobs left running: found by the marks in their environment, and killed."""

import contextlib
import os
import signal
import time

from torc_tools.records import Record
from torc_tools.shell import layout, procs

_PATIENCE_S = 5.0  # a process killed by SIGKILL goes at once, unless it hangs in the kernel


def kill(workflow: Record, lives: list[tuple[int, int, int]]) -> int:
    """Kill every process of this machine that belongs to one of `lives` (job, run, attempt); give how many they were.

    They are known by the marks that the worker puts into each job's environment. Returns when they are gone, or
    after a few seconds: a process in an uninterruptible state dies when its system call ends.
    """
    marks = {f"TORC_JOB_MARK={layout.job_mark(workflow['token'], *life)}".encode() for life in lives}
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
