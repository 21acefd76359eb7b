"""Whether a process of this machine still lives: a pid alone may have been given to another process since."""

import os


def start_ticks(pid: int) -> int | None:
    """Give when process `pid` started, in clock ticks since boot (field 22 of /proc/PID/stat); None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


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
