"""Which ready job starts next: by priority, then the larger one, then the lower id.

What does not fit is passed over among its equals; jobs of lower priority wait for it, or they would starve it.

Jobs of one priority and one size share a bucket. A tree over the buckets knows the least that any below it needs, so
finding the first that fits looks at a handful of buckets, however many jobs wait.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

_ENDLESS = 1 << 62  # is free where a resource does not count
_ALL = [_ENDLESS] * 3
_NEVER = (2 * _ENDLESS,) * 3  # what an empty bucket needs
_Key = tuple[int, ...]  # of a bucket: all negative: priority, nodes, GPUs, memory, CPUs


class Need(NamedTuple):
    """What one job takes. Memory in bytes, runtime in seconds; 0 where the job names no limit. Several nodes: whole."""

    num_cpus: int
    memory_bytes: int
    num_gpus: int
    runtime_s: int
    num_nodes: int = 1


class Capacity(NamedTuple):
    """What there is to give; None where it does not count. `slots` is how many jobs may run at once."""

    num_cpus: int | None
    memory_bytes: int | None
    num_gpus: int | None
    slots: int | None


class Packer:
    """Holds the ready jobs and what is free. `take` reserves, `release` gives back.

    `place` says on which nodes a taken job is, by their numbers.
    """

    def __init__(self, capacity: Capacity, nodes: Sequence[Capacity] = ()) -> None:
        """Start with everything free and no job. `nodes`: what each of several has; slots count for all together."""
        self.nodes = list(nodes) or [capacity]
        self.place: dict[int, list[int]] = {}
        self._free = [[_ENDLESS if part is None else part for part in node[:3]] for node in self.nodes]
        self._empty = [list(free) for free in self._free]
        self._slots = _ENDLESS if capacity.slots is None else capacity.slots
        self._buckets: dict[_Key, list[tuple[int, int]]] = {}
        self._wide: dict[_Key, list[tuple[int, int]]] = {}  # of jobs that need several nodes: few sizes, in no tree
        self._taken: dict[int, Need] = {}
        self._tree = _Tree([])
        self._stale = False

    def misfit(self, need: Need) -> str | None:
        """Say why `need` could never be met here; None where it can."""
        lacks = [lack for lack in map(_lack, self.nodes, [need] * len(self.nodes)) if lack is not None]
        if need.num_nodes > 1 and need.num_nodes > len(self.nodes):
            return f"needs {need.num_nodes} nodes, this worker has {len(self.nodes)}"
        return lacks[0] if len(self.nodes) - len(lacks) < need.num_nodes else None

    def add(self, job_id: int, priority: int, need: Need) -> None:
        """Put a job, which must not be a misfit, among the ready ones."""
        key = (-priority, -max(1, need.num_nodes), -need.num_gpus, -need.memory_bytes, -need.num_cpus)
        if need.num_nodes > 1:
            heapq.heappush(self._wide.setdefault(key, []), (-need.runtime_s, job_id))
            return
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = []
            self._stale = True
        heapq.heappush(bucket, (-need.runtime_s, job_id))
        if len(bucket) == 1 and not self._stale:
            self._tree.set(key, _needs(key))

    def take(self, seconds_left: float | None = None) -> tuple[int, bool] | None:
        """Take the first job that fits out of the ready ones and reserve what it needs; None where none fits.

        Give (job, True). A job whose runtime is longer than `seconds_left` comes as (job, False): it is out of the
        ready ones, and nothing is reserved.
        """
        if not self._slots:
            return None
        head, found = self._head(), self._fitting()
        if found is None or head is None or found[0][0] != head[0]:
            return None
        key, places = found
        negative_runtime, job_id = self._pop(key)
        if seconds_left is not None and -negative_runtime > seconds_left:
            return job_id, False
        cpus, memory, gpus = _needs(key)
        self._reserve(job_id, Need(cpus, memory, gpus, -negative_runtime, -key[1]), places)
        return job_id, True

    def release(self, job_id: int) -> None:
        """Give back what a taken job had; a second call does nothing."""
        need = self._taken.pop(job_id, None)
        if need is None:
            return
        self._slots += 1
        for node in self.place.pop(job_id):
            for index, part in enumerate(self._share(need, node)):
                self._free[node][index] += part

    def drop(self, waits: Callable[[int], bool]) -> None:
        """Take the first ready job out, and the next, until one `waits`: they would hold up those of lower priority."""
        while (head := self._head()) is not None and not waits(self._bucket(head)[0][1]):
            self._pop(head)

    def __len__(self) -> int:
        """Give how many ready jobs wait."""
        return sum(map(len, self._buckets.values())) + sum(map(len, self._wide.values()))

    def _bucket(self, key: _Key) -> list[tuple[int, int]]:
        return self._buckets[key] if key[1] >= -1 else self._wide[key]

    def _head(self) -> _Key | None:
        """Give the bucket of the first ready job, fit or not."""
        if self._stale:
            self._grow()
        first = self._tree.first(_ALL)
        return min([*([first] if first else []), *self._wide]) if self._wide else first

    def _fitting(self) -> tuple[_Key, list[int]] | None:
        """Give the first bucket of which a job fits now, and on which nodes: the fullest that has room."""
        if len(self._free) == 1:
            key = self._tree.first(self._free[0])
            return None if key is None else (key, [0])
        found: list[tuple[_Key, list[int]]] = []
        for node in sorted(range(len(self._free)), key=self._free.__getitem__):
            key = self._tree.first(self._free[node])
            if key is not None:
                found.append((key, [node]))
        idle = [node for node, free in enumerate(self._free) if free == self._empty[node]]
        for key in self._wide:
            need = Need(*_needs(key), 0)
            enough = [node for node in idle if _lack(self.nodes[node], need) is None]
            if len(enough) >= -key[1]:
                found.append((key, enough[: -key[1]]))
        return min(found, key=lambda each: each[0], default=None)

    def _pop(self, key: _Key) -> tuple[int, int]:
        """Take the first job out of a bucket: (minus its runtime, its id)."""
        bucket = self._bucket(key)
        first = heapq.heappop(bucket)
        if not bucket and key in self._wide:
            del self._wide[key]
        elif not bucket:
            self._tree.set(key, _NEVER)
        return first

    def _reserve(self, job_id: int, need: Need, places: list[int]) -> None:
        self._taken[job_id], self.place[job_id] = need, places
        self._slots -= 1
        for node in places:
            for index, part in enumerate(self._share(need, node)):
                self._free[node][index] -= part

    def _share(self, need: Need, node: int) -> Sequence[int]:
        """Give what a job has of one of its nodes: of several it has each whole."""
        return self._empty[node] if need.num_nodes > 1 else need[:3]

    def _grow(self) -> None:
        """Make the tree anew for the sizes there are now; an emptied bucket keeps its place until then."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket}
        self._tree, self._stale = _Tree(sorted(self._buckets)), False


def _lack(node: Capacity, need: Need) -> str | None:
    """Say what a node has too little of for a job; None where it could hold it."""
    for have, want, what in zip(node, need[:3], ("CPUs", "bytes of memory", "GPUs"), strict=False):
        if have is not None and want > have:
            return f"needs {want} {what}, this worker has {have}"
    return None


def _needs(key: _Key) -> tuple[int, int, int]:
    """Give (CPUs, memory, GPUs) of a bucket."""
    return -key[4], -key[3], -key[2]


class _Tree:
    """A tree of the least needs over buckets in starting order: finds the first that fits what is free."""

    def __init__(self, keys: list[tuple[int, ...]]) -> None:
        self._keys = keys
        self._places = {key: place for place, key in enumerate(keys)}
        self._size = 1 << max(0, len(keys) - 1).bit_length()
        self._least = [_NEVER] * (2 * self._size)
        for place, key in enumerate(keys):
            self._least[self._size + place] = _needs(key)
        for node in range(self._size - 1, 0, -1):
            self._least[node] = self._join(node)

    def set(self, key: tuple[int, ...], needs: tuple[int, int, int]) -> None:
        node = self._size + self._places[key]
        self._least[node] = needs
        while node > 1:
            node //= 2
            self._least[node] = self._join(node)

    def first(self, free: list[int]) -> tuple[int, ...] | None:
        todo = [1]
        while todo:
            node = todo.pop()
            cpus, memory, gpus = self._least[node]
            if cpus > free[0] or memory > free[1] or gpus > free[2]:
                continue
            if node >= self._size:
                return self._keys[node - self._size]
            todo += (2 * node + 1, 2 * node)
        return None

    def _join(self, node: int) -> tuple[int, int, int]:
        left, right = self._least[2 * node], self._least[2 * node + 1]
        return min(left[0], right[0]), min(left[1], right[1]), min(left[2], right[2])
