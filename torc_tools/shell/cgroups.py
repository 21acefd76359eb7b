"""A control group as a thing to measure: memory without what is cached of files, CPU time, processes; v1 and v2."""

import os
import stat

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell.procs import read
from torc_tools.shell.trees import Sample

_NANO, _MICRO = 1e9, 1e6
_MEMORY = ("memory.stat", "memory.usage_in_bytes", "memory.current")
_PEAKS = ("memory.peak", "memory.max_usage_in_bytes")


class Cgroup:
    """One control group with all below it; what it does not know is 0 in its samples."""

    def __init__(self, path: str, mounts: str = "/proc/mounts") -> None:
        """Take its folder, or its name as /proc/PID/cgroup has it.

        Where each controller has a tree of its own (v1) the folder in any of them will do. Raises Failure(66).
        """
        self.name, self._folders = _places(path, mounts)
        self._memory = next((folder for folder in self._folders if _has(folder, _MEMORY)), None)
        self._cpu = next((folder for folder in self._folders if cpu_seconds(folder) is not None), None)
        if self._memory is None and self._cpu is None:
            raise Failure(exits.NO_INPUT, f"not a control group with memory or CPU: '{path}'")
        self.knows_cpu, self.knows_memory = self._cpu is not None, self._memory is not None
        self._home = self._memory or self._cpu or ""
        self.peak_bytes: int | None = None  # the kernel's, without the files cached when it was read

    def sample(self) -> Sample | None:
        """Give what it uses now, CPU time since it was made; None where it is gone."""
        pids = self._pids()
        if pids is None:
            return None
        return Sample((self._cpu and cpu_seconds(self._cpu)) or 0.0, self._memory_bytes(), pids)

    def _pids(self) -> int | None:
        count = 0
        for folder, _, files in os.walk(self._home):
            if "cgroup.procs" in files:
                count += len(read(f"{folder}/cgroup.procs").split())
        return count if os.path.isdir(self._home) else None

    def _memory_bytes(self) -> int:
        if self._memory is None:
            return 0
        now, peak = memory_bytes(self._memory)
        if now is None:
            now = number(f"{self._memory}/memory.usage_in_bytes") or 0
        if peak is not None:
            self.peak_bytes = max(self.peak_bytes or 0, now, peak)
        return now


def memory_bytes(folder: str) -> tuple[int | None, int | None]:
    """Give the memory that is not a file's cache, and the kernel's peak without what is cached now; None: not told."""
    found = _table(read(f"{folder}/memory.stat"))
    shared = found.get(b"total_shmem", found.get(b"shmem", 0))
    cached = max(0, found.get(b"total_cache", found.get(b"file", 0)) - shared)
    own = found.get(b"total_rss", found.get(b"anon"))
    peaks = (number(f"{folder}/{name}") for name in _PEAKS)
    peak = max((peak for peak in peaks if peak is not None), default=None)
    return None if own is None else own + shared, None if peak is None else peak - cached


def cpu_seconds(folder: str) -> float | None:
    """Give the CPU time; None where the folder does not say, as that of v1's `cpu` without cpuacct."""
    nanoseconds = number(f"{folder}/cpuacct.usage")
    if nanoseconds is not None:
        return nanoseconds / _NANO
    microseconds = _table(read(f"{folder}/cpu.stat")).get(b"usage_usec")
    return None if microseconds is None else microseconds / _MICRO


def _places(path: str, mounts: str) -> tuple[str, list[str]]:
    """Give the name of a control group below the mounts, and its folder in each of them."""
    roots = _roots(mounts)
    folder = os.path.realpath(path)
    if _has(folder, ("cgroup.procs",)):
        root = next((root for root in roots if folder == root or folder.startswith(f"{root}/")), None)
        if root is None:
            return folder, [folder]  # mounted where we do not see it
        name = folder[len(root) :] or "/"
    else:
        name = "/" + os.path.normpath(f"/{path}").lstrip("/")
    if not os.path.isabs(path):
        raise Failure(exits.NO_INPUT, f"no such control group: '{path}'")
    found = [folder for root in roots if _is_folder(folder := os.path.join(root, name[1:]).rstrip("/"))]
    if not found:
        raise Failure(exits.NO_INPUT, f"no such control group: '{path}'")
    return name, found


def _roots(mounts: str) -> list[str]:
    """Give where control groups are mounted; in /proc/mounts blanks stand as octal numbers."""
    lines = (line.split() for line in read(mounts).splitlines())
    found = [line[1] for line in lines if len(line) > 2 and line[2] in (b"cgroup", b"cgroup2")]
    return [os.fsdecode(root.decode("unicode_escape").encode("latin-1")) for root in found]


def _has(folder: str, names: tuple[str, ...]) -> bool:
    return any(os.path.exists(f"{folder}/{name}") for name in names)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def number(path: str) -> int | None:
    """Give the number that a file of the kernel holds; None where it holds none, or is not there."""
    text = read(path).strip()
    return int(text) if text.isdigit() else None


def _table(text: bytes) -> dict[bytes, int]:
    """Read lines of a name and a number."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
