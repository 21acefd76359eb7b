"""Whether a process of this machine still lives: a pid alone may have been given to another process since."""

import os

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import procs

_SILENT_S = 90.0


def silent_s() -> float:
    """Give after how long without a sign of life a worker that nobody here can see does not count as alive.

    It is TORC_SILENT_S, else 90 seconds. Raises Failure(2) where that is no number.
    """
    text = os.environ.get("TORC_SILENT_S")
    try:
        return float(text) if text else _SILENT_S
    except ValueError:
        raise Failure(exits.USAGE, f"TORC_SILENT_S is not a number of seconds: '{text}'") from None


def start_ticks(pid: int) -> int | None:
    """Give when process `pid` started, in clock ticks since boot; None: it is gone, or a zombie."""
    fields = procs.stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def alive(hostname: str | None, pid: int | None, pid_start: int | None) -> bool | None:
    """Say whether that process lives: None where nobody here can know (another machine, or no pid was noted)."""
    if hostname != os.uname().nodename or pid is None:
        return None
    ticks = start_ticks(pid)
    return ticks is not None and (pid_start is None or ticks == pid_start)


def me() -> tuple[str, int, int]:
    """Give (hostname, pid, pid_start) of this process."""
    pid = os.getpid()
    return os.uname().nodename, pid, start_ticks(pid) or 0


def end_of(pid: int) -> int | None:
    """Give a descriptor that becomes readable when process `pid` ends, ours or not; None where there is no such thing.

    Linux before 5.3 and other systems have none, and a process that is gone has none: then look from time to time.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
