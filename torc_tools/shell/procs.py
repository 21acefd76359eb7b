"""Processes as /proc shows them: children, memory, CPU. Where there is no /proc, psutil answers.

Memory is statm's (stat's own figure lags on many CPUs); a process that is gone counts as 0 or nothing.
"""

import os
import resource

_PROC = os.path.exists("/proc/self/statm")
_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> bool:
    """Make this process the parent of its descendants' orphans, so that none gets away; False where that is unknown."""
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0)  # PR_SET_CHILD_SUBREAPER
    except (AttributeError, OSError):
        return False


def children(pid: int) -> list[int]:
    """Give the children of a process, those that its threads started included."""
    if not _PROC:
        return _others_children(pid)
    if not _KERNEL_LISTS_CHILDREN:
        return [child for child, parent in parents().items() if parent == pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def descendants(pids: list[int]) -> list[int]:
    """Give `pids` and all that descends from them."""
    found = list(dict.fromkeys(pids))
    known = set(found)
    if _PROC and not _KERNEL_LISTS_CHILDREN:
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
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat_fields(int(name))):
            table[int(name)] = int(fields[1])
    return table


def stat_fields(pid: int) -> list[bytes]:
    """Give the fields of /proc/PID/stat from the third (state) on; empty where the process is gone."""
    text = _read(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split() if text else []


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process, pages shared with others in full."""
    if not _PROC:
        return _others_memory(pid)
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def proportional_bytes(pid: int) -> int | None:
    """Give the resident memory of a process, each shared page divided among its users; None where that is hidden."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) << 10
    return None


def high_water_bytes(pid: int) -> int:
    """Give the most resident memory a process ever had since it was exec'd; 0 where that is not known."""
    text = _read(f"/proc/{pid}/status")
    at = text.find(b"\nVmHWM:")
    return int(text[at + 7 : text.index(b"kB", at)]) << 10 if at >= 0 else 0


def cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process and of its children that it has waited for."""
    if not _PROC:
        return _others_cpu(pid)
    fields = stat_fields(pid)
    return sum(map(int, fields[11:15])) / _TICK if fields else 0.0


def environment(pid: int) -> list[bytes]:
    """Give the settings (NAME=value) a process was started with; nothing to speak of where it is gone or not ours."""
    return _read(f"/proc/{pid}/environ").split(b"\0")


def arguments(pid: int) -> list[bytes]:
    """Give the arguments a process was started with; none where it is gone."""
    return _read(f"/proc/{pid}/cmdline").split(b"\0")


def own_peak_bytes() -> int:
    """Give the most memory this program had: the kernel counts it as the least any child of ours ever had.

    The kernel's own sum for us (ru_maxrss) also holds what started us, which may be far more; no child gets that.
    """
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        text = os.read(fd, 65536)
        while len(text) % 65536 == 0 and (more := os.read(fd, 65536)):
            text += more
    except OSError:
        return b""
    finally:
        os.close(fd)
    return text


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
