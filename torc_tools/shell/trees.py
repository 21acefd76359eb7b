"""The process tree of one job: what it uses, and its end, daemons that left it included.

Descendants are walked from the root. A process whose parent died becomes ours (procs.adopt_orphans); it belongs to
the job whose mark its environment holds, or to the one in which it was seen before.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import NamedTuple

from torc_tools.shell import procs


class Sample(NamedTuple):
    """What a tree uses at one moment; CPU seconds since its start."""

    cpu_s: float
    memory_bytes: int
    num_processes: int


class Tree:
    """One job's processes. `orphans` are pids that were adopted and are the job's."""

    def __init__(self, root: int) -> None:
        """Take the pid of the job's first process, the leader of its session."""
        self.root = root
        self.orphans: set[int] = set()
        self.seen: set[int] = {root}
        self.lost_cpu_s = 0.0  # of adopted processes that ended
        self._high: dict[int, int] = {}
        self._proportional = (0, 0)  # sum of resident memory when shared pages were last looked at, and what was found

    def members(self) -> list[int]:
        """Give the pids of all processes of the tree."""
        found = procs.descendants([self.root, *self.orphans])
        self.seen.update(found)
        return found

    def resident_bytes(self) -> int:
        """Give the memory of the tree, shared pages counted once for each process: never too little."""
        return sum(map(procs.resident_bytes, self.members()))

    def proportional_bytes(self) -> int:
        """Give the memory of the tree with shared pages counted once; what is hidden counts as resident."""
        return sum(_proportional(pid) for pid in self.members())

    def sample(self, peak_bytes: int) -> Sample:
        """Give what the tree uses now. Shared pages are looked at (which is dear) only for more than `peak_bytes`.

        A process that had more memory for a moment since the last sample counts with that.
        """
        members = self.members()
        resident = [procs.resident_bytes(pid) for pid in members]
        memory = sum(resident)
        alive = sum(1 for size in resident if size)
        rises = sum(max(0, high - size) for size, high in zip(resident, self._rises(members), strict=True) if size)
        if alive > 1 and memory + rises > peak_bytes:
            memory = sum(_proportional(pid) for pid in members)
        cpu = self.lost_cpu_s + sum(map(procs.cpu_seconds, members))
        return Sample(cpu, memory + rises, alive)

    def signal(self, number: int) -> None:
        """Send a signal to the job's process group, and to its processes that left the group."""
        send(self.root, number, group=True)
        for pid in self.members():
            if not _in_group(pid, self.root):
                send(pid, number)

    def signal_root(self, number: int) -> None:
        """Send a signal to the first process alone."""
        send(self.root, number)

    def _rises(self, members: list[int]) -> Iterable[int]:
        """Give for each member its high-water mark if that rose since the last sample, else 0."""
        before, self._high = self._high, {}
        for pid in members:
            high = procs.high_water_bytes(pid)
            self._high[pid] = high
            yield high if high > before.get(pid, 0) else 0


class Orphanage:
    """The adopted processes: children of ours that we did not start, each assigned to a job once."""

    def __init__(self, prefix: bytes) -> None:
        """Take what the marks of all our jobs begin with."""
        self._prefix = prefix
        self._owner: dict[int, Tree | None] = {}

    def look(self, started: Iterable[int], trees: dict[bytes, Tree]) -> list[int]:
        """Assign the new ones to `trees` (by mark); give those whose job, as their mark says, is over."""
        known = set(started)
        over = []
        for pid in procs.children(os.getpid()):
            if pid not in known and self._owner.get(pid) is None:
                self._owner[pid], late = self._find(pid, trees)
                if late:
                    over.append(pid)
        return over

    def ended(self, pid: int, cpu_s: float) -> None:
        """Note that an adopted process has ended and used that much CPU time."""
        tree = self._owner.pop(pid, None)
        if tree is not None:
            tree.orphans.discard(pid)
            tree.lost_cpu_s += cpu_s

    def leave(self, tree: Tree) -> list[int]:
        """Give the adopted processes of a tree, which has ended; they are nobody's from now on."""
        left = [pid for pid, owner in self._owner.items() if owner is tree]
        for pid in left:
            self._owner[pid] = None
        return left

    def _find(self, pid: int, trees: dict[bytes, Tree]) -> tuple[Tree | None, bool]:
        """Give the tree an adopted process belongs to, and whether it belongs to one that is over."""
        for setting in procs.environment(pid):
            if setting.startswith(self._prefix):
                tree = trees.get(setting)
                break
        else:
            tree = next((tree for tree in trees.values() if pid in tree.seen), None)
            if tree is None:
                return None, False
        if tree is not None:
            tree.orphans.add(pid)
        return tree, tree is None


def adopted() -> list[int]:
    """Give the children of this process, adopted ones included."""
    return procs.children(os.getpid())


def kill(pids: Iterable[int]) -> None:
    """Kill processes and all that descends from them."""
    for pid in procs.descendants(list(pids)):
        send(pid, signal.SIGKILL)


def kill_group(pid: int) -> None:
    """Kill what is left in the process group of a job whose first process has ended but is not yet reaped."""
    send(pid, signal.SIGKILL, group=True)


def _proportional(pid: int) -> int:
    size = procs.proportional_bytes(pid)
    return procs.resident_bytes(pid) if size is None else size


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except OSError:
        return True


def send(pid: int, number: int, *, group: bool = False) -> None:
    """Send a signal to a process, or to its group; one that is gone or not ours is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
