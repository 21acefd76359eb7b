"""The process tree of one job: what it uses, and its end, daemons that left it included.

What it uses is read from the processes that a census knows; for a signal, descendants are walked from the root. A
process whose parent died becomes ours (procs.adopt_orphans); it belongs to the job whose session it is in, whose mark
its environment holds, or in which it was seen before.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

from torc_tools.shell import procs
from torc_tools.shell.census import Census, Followed
from torc_tools.shell.processes import Process

_TRIES = 4  # to read the memory of all processes while none comes or goes


class Sample(NamedTuple):
    """What a tree uses at one moment; CPU seconds since its start."""

    cpu_s: float
    memory_bytes: int
    num_processes: int


class Tree:
    """One job's processes. `orphans` are pids that were adopted and are the job's."""

    def __init__(self, root: int, census: Census | None = None, mark: bytes = b"") -> None:
        """Take the pid of the job's first process, the leader of its session.

        With a `census`, which is shared with other trees, the caller lets it look before samples are taken.
        """
        self.root = root
        self.orphans: set[int] = set()
        self.seen: set[int] = {root}
        self.processes: dict[int, Process] = {}
        self.lost_cpu_s = 0.0  # of processes that ended and that nobody in the tree has waited for
        self.cpu_s = 0.0  # what follows is of the last look
        self.resident = 0  # pages that several processes share are counted for each
        self.rise = 0  # by so much single processes had more at a moment since the look before
        self.alive = 0
        self._census = census or Census()
        self._alone = census is None
        self._joined = False
        self._truth: tuple[float, float] | None = None  # what is not shared, as part of `resident`; what each shares
        self._largest = 0  # resident memory of one process
        self._changed = True  # since that was found
        if census is not None:
            self._join(mark)

    @classmethod
    def of_ours(cls, root: int) -> "Tree":
        """Make the tree of the only process we have started: whatever becomes our child belongs to it."""
        tree = cls(root)
        tree._join()
        tree._census.heir = tree
        return tree

    def members(self) -> list[int]:
        """Give the pids of all processes of the tree."""
        found = procs.descendants([self.root, *self.orphans])
        self.seen.update(found)
        return found

    def sample(self, peak_bytes: int) -> Sample:
        """Give what the tree uses now. Shared pages are looked at (which is dear) only for more than `peak_bytes`.

        A process that had more memory for a moment since the last look counts with that.
        """
        self.look()
        return Sample(self.cpu_s, self.memory(peak_bytes), self.alive)

    def look(self) -> None:
        """Bring `cpu_s`, `resident`, `rise` and `alive` up to date."""
        if not procs.PROC:
            self._look_elsewhere()
            return
        if self._alone:
            if not self._joined:
                self._join()
            self._census.look()
        processes = self.processes.values()
        gone = []
        for process in processes:
            changed = process.look()
            if changed is None:
                gone.append(process)
            elif changed:
                self._changed = True
        if gone:
            self._changed = True
            self._take_leave({process.pid: process for process in gone})
        sizes = [process.resident for process in processes]
        self.cpu_s = self.lost_cpu_s + sum([process.cpu_ticks for process in processes]) / procs.TICK
        self.resident, self.alive = sum(sizes) - self._borrowed(), len(sizes) - sizes.count(0)
        self._largest = max(sizes, default=0)
        self.rise = sum([process.rise for process in processes])

    def _borrowed(self) -> int:
        """Give the memory that was counted once more for a process that runs in its parent's, as vfork has it."""
        found = 0
        for process in self.processes.values():
            if process.is_new:
                process.is_new = process.parent in self.processes and procs.same_memory(process.pid, process.parent)
                if process.is_new:
                    found, process.rise = found + process.resident, 0
        return found

    def memory(self, peak_bytes: int = 0, *, rise: bool = True) -> int:
        """Give the memory seen at the last look, shared pages counted once.

        They are looked at only where they decide whether this is more than `peak_bytes`, and only so often that it
        takes the processes and us little time; in between, as much is taken to be shared as was found, as a part or by
        each process, whichever is more: a guess is not to make a peak.
        """
        extra = self.rise if rise else 0
        if self.alive < 2:
            return self.resident + extra
        if self._changed and self.resident + extra > peak_bytes and (self._truth is None or self._census.afford()):
            started = time.thread_time()
            self._compare()
            self._census.afford(time.thread_time() - started)
            extra = self.rise if rise else 0
        if self._truth is None or self.alive < 2:
            return self.resident + extra
        share, each = self._truth
        return round(min(self.resident * share, max(self._largest, self.resident - each * (self.alive - 1)))) + extra

    def _compare(self) -> None:
        """Find how much of the memory is shared: as a part of all, and as bytes of each process but one."""
        found, rise = self.proportional_bytes(), self.rise
        self._changed = False
        if self.processes:
            self.look()  # processes may have come or gone meanwhile
            self.rise = max(rise, self.rise)
        if self.resident and self.alive > 1:
            shared = max(0, self.resident - found)
            self._truth = 1 - shared / self.resident, shared / (self.alive - 1)

    def resident_bytes(self) -> int:
        """Give the memory of the tree, shared pages counted once for each process: never too little."""
        return sum(map(procs.resident_bytes, self.members()))

    def proportional_bytes(self) -> int:
        """Give the memory of the tree with shared pages counted once; what is hidden counts as resident.

        A process read before a fork counts what its child shares with it, and one read after an end what the other had
        shared: where processes came or went meanwhile all are read again, and where that goes on the least counts.
        """
        found = []
        pids = self._living()
        for _ in range(_TRIES):
            found.append(sum(map(_proportional, pids)))
            before, pids = pids, self._living()
            if pids == before:
                return found[-1]
        return min(found)

    def _living(self) -> set[int]:
        """Give the pids of the processes that have memory of their own now."""
        if self.processes:
            self._census.look()
        pids = [pid for pid in (self.processes or self.members()) if procs.resident_bytes(pid)]
        return {pid for pid in pids if not ((new := self.processes.get(pid)) and new.is_new and _borrows(pid, pids))}

    def ended(self, pid: int, cpu_s: float) -> None:
        """Note that a process of the tree, adopted by us, has ended and that we have waited for it."""
        self.orphans.discard(pid)
        self.lost_cpu_s += cpu_s
        self._census.drop(pid, self)

    def left_cpu_s(self) -> float:
        """Give the CPU time that is not in what the first process, which has been waited for, used with its own."""
        self._census.drop(self.root, self)
        before = self.cpu_s
        if self.processes:
            self.look()
            left, self.cpu_s = self.cpu_s, max(self.cpu_s, before)
            return left
        return self.lost_cpu_s

    def close(self) -> None:
        """Look no more."""
        self._census.leave(self)

    def signal(self, number: int) -> None:
        """Send a signal to the job's process group, and to its processes that left the group."""
        send(self.root, number, group=True)
        for pid in self.members():
            if not _in_group(pid, self.root):
                send(pid, number)

    def signal_root(self, number: int) -> None:
        """Send a signal to the first process alone."""
        send(self.root, number)

    def _join(self, mark: bytes = b"") -> None:
        self._joined = True
        self._census.join(self, self.root, mark)

    def _take_leave(self, gone: dict[int, Process]) -> None:
        """Let processes go; what they used counts as lost unless the one that waited for them now has it."""
        owed: dict[int, int] = {}
        for pid, process in gone.items():
            self._census.drop(pid, self)
            heir = process.parent
            while heir in gone:
                heir = gone[heir].parent
            owed[heir] = owed.get(heir, 0) + process.cpu_ticks
        for pid, ticks in owed.items():
            heir_process = self.processes.get(pid)
            if heir_process is not None:
                self.lost_cpu_s += max(0, ticks - heir_process.inherited()) / procs.TICK
            elif pid == 1:
                self.lost_cpu_s += ticks / procs.TICK

    def _look_elsewhere(self) -> None:
        members = self.members()
        sizes = list(map(procs.resident_bytes, members))
        self.resident, self.alive, self._largest = sum(sizes), sum(map(bool, sizes)), max(sizes, default=0)
        self.cpu_s = self.lost_cpu_s + sum(map(procs.cpu_seconds, members))


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

    def ended(self, pid: int, cpu_s: float, known: Followed | None) -> None:
        """Note that an adopted process has ended and used that much CPU time; it may be `known` whose it was."""
        tree = self._owner.pop(pid, None) or known
        if tree is not None:
            tree.ended(pid, cpu_s)

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
            tree = next((tree for tree in trees.values() if pid in tree.seen or pid in tree.processes), None)
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


def _borrows(pid: int, others: list[int]) -> bool:
    """Say whether a process runs in the memory of its parent, as one does between vfork and exec."""
    fields = procs.stat_fields(pid)
    parent = int(fields[1]) if fields else 0
    return parent in others and procs.same_memory(pid, parent)


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
