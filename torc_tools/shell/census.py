"""Which process belongs to which tree, kept up to date by looking at the processes born since the last look alone.

The kernel numbers processes upwards and tells the last number: those in between are looked at, and nothing else. A
full pass over /proc is made only now and then, and where more were born than that would cost.
"""

import os
import resource
import time
from typing import NamedTuple, Protocol

from torc_tools.shell import procs
from torc_tools.shell.processes import Process

FULL_S = 60.0  # between two full passes
_FEW = 256  # so many numbers cost less than a full pass on any machine
_IN_FLIGHT = 16  # of the last numbers, those that nobody has yet may be of processes that are just being made
_INIT = 1
_CORE_SHARE = 0.01  # of one core, for reading which memory is shared; that is dear, and the process waits meanwhile
_BURST_S = 0.1


class Followed(Protocol):
    """What is known here of a tree. `processes` are those found to belong to it; they are put in here."""

    processes: dict[int, Process]

    def ended(self, pid: int, cpu_s: float) -> None:
        """Note that a process of the tree has ended."""


class _Born(NamedTuple):
    pid: int
    parent: int
    session: int


class Census:
    """The processes of several trees."""

    def __init__(self) -> None:
        """Begin with no tree."""
        self._owner: dict[int, Followed] = {}
        self._roots: dict[int, Followed] = {}
        self._marks: dict[bytes, Followed] = {}
        self.heir: Followed | None = None  # the tree that all belong to whose parent we have become
        self._adopters = {_INIT, os.getpid()}
        self._last: int | None = None  # the number up to which all processes are known
        self._in_flight: list[int] = []
        self._few, self._full_at = _FEW, 0.0
        self._room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2  # the other half is for others
        self._counted = procs.counts_births()
        self._credit, self._credit_at = _BURST_S, time.monotonic()

    def join(self, tree: Followed, pid: int, mark: bytes = b"") -> None:
        """Follow a tree that begins with `pid`; what loses its parent is known by its session, or by `mark`."""
        if not procs.PROC:
            return
        if not self._owner:
            young = procs.is_young(pid)
            self._last, self._full_at = (pid, time.monotonic()) if young else (None, 0.0)
        self._roots[pid] = tree
        if mark:
            self._marks[mark] = tree
        self.own(pid, tree)

    def leave(self, tree: Followed) -> None:
        """Follow a tree no more."""
        for pid in list(tree.processes):
            self.drop(pid, tree)
        self._roots = {pid: other for pid, other in self._roots.items() if other is not tree}
        self._marks = {mark: other for mark, other in self._marks.items() if other is not tree}

    def own(self, pid: int, tree: Followed) -> None:
        """Count a process to a tree."""
        if pid not in self._owner:
            self._owner[pid] = tree
            tree.processes[pid] = Process(pid, keep=len(self._owner) <= self._room)

    def drop(self, pid: int, tree: Followed) -> None:
        """Forget a process that is gone, or is of no interest any more."""
        process = tree.processes.pop(pid, None)
        if process is not None:
            process.close()
            del self._owner[pid]

    def tree_of(self, pid: int) -> Followed | None:
        """Give the tree of a process, which may be a zombie: it is known, or in the session of a first process."""
        if not self._roots:
            return None
        fields = procs.stat_fields(pid)
        return self._owner.get(pid) or (self._roots.get(int(fields[3])) if fields else None)

    def look(self) -> None:
        """Find the processes that were born to the trees since the last look."""
        if not self._owner:
            return
        pids, full = self._candidates()
        born, nobody = [], []
        for pid in pids:
            if pid in self._owner:
                continue
            if fields := procs.stat_fields(pid):
                born.append(_Born(pid, int(fields[1]), int(fields[3])))
            else:
                nobody.append(pid)
        self._in_flight = [] if full else [pid for pid in nobody[-_IN_FLIGHT:] if pid not in self._in_flight]
        if born:
            self._assign(born, listed=full)

    def afford(self, cost_s: float = 0.0) -> bool:
        """Say whether shared memory may be looked at now; `cost_s` is what the last look took."""
        now = time.monotonic()
        self._credit = min(_BURST_S, self._credit + (now - self._credit_at) * _CORE_SHARE) - cost_s
        self._credit_at = now
        return self._credit > 0

    def _candidates(self) -> tuple[list[int], bool]:
        """Give the numbers to look at, and whether they are all processes there are."""
        before, self._last = self._last, procs.last_pid()
        now = time.monotonic()
        since = -1 if before is None or not self._counted else self._last - before
        if 0 <= since <= self._few and now - self._full_at < FULL_S:
            return [*self._in_flight, *range(self._last - since + 1, self._last + 1)], False
        everyone = procs.pids()
        self._few, self._full_at = max(_FEW, 2 * len(everyone)), now
        return everyone, True

    def _assign(self, born: list[_Born], *, listed: bool) -> None:
        """Give each of the newly found to the tree of its parent; `listed`: none of them is but a thread."""
        below: dict[int, list[_Born]] = {}
        for found in born:
            below.setdefault(found.parent, []).append(found)
        parents = [parent for parent in below if parent in self._owner]
        for adopter in self._adopters & below.keys():
            for found in below.pop(adopter):
                tree = self._adopted(found)
                if tree is not None and (listed or not procs.is_thread(found.pid)):
                    self.own(found.pid, tree)
                    parents.append(found.pid)
        for parent in parents:  # grows while it is walked
            tree = self._owner[parent]
            for found in below.pop(parent, ()):
                if listed or not procs.is_thread(found.pid):
                    self.own(found.pid, tree)
                    parents.append(found.pid)

    def _adopted(self, found: _Born) -> Followed | None:
        """Give the tree of a process that has lost its parent."""
        tree = self._roots.get(found.session)
        if tree is None and self._marks:
            marks = (self._marks.get(setting) for setting in procs.environment(found.pid))
            tree = next(filter(None, marks), None)
        return self.heir if tree is None and found.parent == os.getpid() else tree
