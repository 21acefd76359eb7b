"""Processes as /proc shows them: children, memory, CPU. Where there is no /proc, psutil answers.

Memory is statm's (stat's own figure lags on many CPUs); a process that is gone counts as 0 or nothing.
"""

import functools
import os
import resource
import time
from typing import Any

PROC = os.path.exists("/proc/self/statm")
_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PIECE = 2048  # the kernel gives a long list in pieces, each at most a line short of a page
_YOUNG_S = 5.0
_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "ppc64le": 354, "s390x": 343}
TICK = os.sysconf("SC_CLK_TCK")  # CPU time is counted in so many parts of a second


def adopt_orphans() -> bool:
    """Make this process the parent of its descendants' orphans, so that none gets away; False where that is unknown."""
    try:
        return bool(_libc().prctl(36, 1, 0, 0, 0) == 0)  # PR_SET_CHILD_SUBREAPER
    except (AttributeError, OSError):
        return False


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def children(pid: int) -> list[int]:
    """Give the children of a process, those that its threads started included."""
    if not PROC:
        return _others_children(pid)
    if not _KERNEL_LISTS_CHILDREN:
        return [child for child, parent in parents().items() if parent == pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        found.extend(map(int, read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def descendants(pids: list[int]) -> list[int]:
    """Give `pids` and all that descends from them."""
    found = list(dict.fromkeys(pids))
    known = set(found)
    if PROC and not _KERNEL_LISTS_CHILDREN:
        table = parents()
        for parent in found:
            found.extend(new for new, of in table.items() if of == parent and new not in known)
            known.update(found)
        return found
    for parent in found:  # grows while it is walked
        for child in children(parent):
            if child not in known:
                known.add(child)
                found.append(child)
    return found


def parents() -> dict[int, int]:
    """Give the parent of every process: one full pass over /proc."""
    return {pid: int(fields[1]) for pid in pids() if (fields := stat_fields(pid))}


def stat_fields(pid: int) -> list[bytes]:
    """Give the fields of /proc/PID/stat from the third (state) on; empty where the process is gone."""
    text = read(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split() if text else []


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process, pages shared with others in full."""
    if not PROC:
        return _others_memory(pid)
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def proportional_bytes(pid: int) -> int | None:
    """Give the resident memory of a process, each shared page divided among its users; None where that is hidden."""
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) << 10
    return None


def same_memory(pid: int, other: int) -> bool:
    """Say whether two processes run in one memory, not in copies of it; False where that is not known."""
    number = _KCMP.get(os.uname().machine)
    return number is not None and _libc().syscall(number, pid, other, 1, 0, 0) == 0  # KCMP_VM


def resident_and_high_bytes(pid: int) -> tuple[int, int]:
    """Give the resident memory of a process and the most it ever had since it was exec'd; zeros where it has none."""
    text = read(f"/proc/{pid}/status")
    high = text.find(b"\nVmHWM:")
    if high < 0:
        return 0, 0
    now = text.index(b"\nVmRSS:", high)
    return int(text[now + 7 : text.index(b"kB", now)]) << 10, int(text[high + 7 : text.index(b"kB", high)]) << 10


def is_thread(pid: int) -> bool:
    """Say whether a number is that of a thread of some process: /proc hides it, but opens it."""
    text = read(f"/proc/{pid}/status")
    at = text.find(b"\nTgid:")
    return at >= 0 and int(text[at + 6 : text.index(b"\n", at + 1)]) != pid


def counts_births() -> bool:
    """Say whether last_pid() is the kernel's own word: containers may put a file of theirs over it."""
    try:
        return os.stat("/proc/loadavg").st_dev == os.stat("/proc").st_dev
    except OSError:
        return False


def last_pid() -> int:
    """Give the number of the process, or thread, that was made last; 0 where that is not known."""
    fields = read("/proc/loadavg").split()
    return int(fields[4]) if len(fields) > 4 else 0


def is_young(pid: int) -> bool:
    """Say whether a process began so short ago that the numbers of processes cannot have gone round since."""
    fields = stat_fields(pid)
    return bool(fields) and time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICK < _YOUNG_S


def stat_fd(pid: int) -> int:
    """Open the stat file of a process; -1 where it is gone or no descriptor is left."""
    try:
        return os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return -1


def pids() -> list[int]:
    """Give the numbers of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process and of its children that it has waited for."""
    if not PROC:
        return _others_cpu(pid)
    fields = stat_fields(pid)
    return sum(map(int, fields[11:15])) / TICK if fields else 0.0


def environment(pid: int) -> list[bytes]:
    """Give the settings (NAME=value) a process was started with; nothing to speak of where it is gone or not ours."""
    return read(f"/proc/{pid}/environ").split(b"\0")


def arguments(pid: int) -> list[bytes]:
    """Give the arguments a process was started with; none where it is gone."""
    return read(f"/proc/{pid}/cmdline").split(b"\0")


def own_peak_bytes() -> int:
    """Give the most memory this program had: the kernel counts it as the least any child of ours ever had.

    The kernel's own sum for us (ru_maxrss) also holds what started us, which may be far more; no child gets that.
    """
    for line in read("/proc/self/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(path: str) -> bytes:
    """Give the whole of a file that the kernel makes; nothing where it is gone or hidden."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        text = part = os.read(fd, 65536)
        while len(part) >= _PIECE and (part := os.read(fd, 65536)):
            text += part
    except OSError:
        return b""
    finally:
        os.close(fd)
    return text


def others_machine() -> tuple[float, float, int, int, int]:
    """Give of this machine, without /proc: busy and all CPU time, bytes used and all bytes, number of processes."""
    import psutil

    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    return sum(times) - times.idle, sum(times), memory.total - memory.available, memory.total, len(psutil.pids())


def _others_children(pid: int) -> list[int]:
    return [child.pid for child in _other(pid, lambda process: process.children()) or []]


def _others_memory(pid: int) -> int:
    return int(_other(pid, lambda process: process.memory_info().rss) or 0)


def _others_cpu(pid: int) -> float:
    return float(_other(pid, lambda process: sum(process.cpu_times()[:4])) or 0.0)


def _other(pid: int, ask):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    import psutil

    try:
        return ask(psutil.Process(pid))
    except psutil.Error:
        return None
