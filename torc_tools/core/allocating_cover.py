"""What live allocations, queued or running, will take of the pending jobs: that much is not planned again."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torc_tools import states
from torc_tools.core.allocating_facts import Facts, Size, headroom_s
from torc_tools.core.allocating_groups import Group
from torc_tools.records import Record


class Live:
    """A live allocation, and how much of it is still to be had."""

    def __init__(self, row: Record, ids: frozenset[int], facts: Facts) -> None:
        """Take a row of the table `allocation` and the jobs of its group."""
        self.config: dict[str, Any] = row["config"]
        self.ids = ids
        self.is_queued = row["status"] != "active"
        self.is_deferred = bool(self.config.get("deferred"))
        self.after = frozenset(self.config.get("after_groups") or ())
        self.rest = Fraction(1)
        self._head = headroom_s(facts)
        self._left = _left_s(row, facts.now)
        for size, allocation_id in facts.active.values():
            if allocation_id == row["allocation_id"]:
                self.rest -= self._share(size)

    @property
    def group(self) -> str:
        """Its group's name."""
        return str(self.config.get("group"))

    def takes(self, size: Size, scheduler: int | None) -> bool:
        """Say whether a job of a size, which names a scheduler or none, can run in it."""
        return scheduler in (None, self.config.get("slurm_scheduler_id")) and self._capacity(size) > 0 and self.rest > 0

    def give(self, size: Size, wanted: int, *, own: bool) -> int:
        """Take up to `wanted` jobs of a size; give how many. `own` jobs are those that it was planned for."""
        planned = self.config.get("jobs_per_allocation")
        capacity = planned if own and self.is_queued and planned else self._capacity(size)
        count = min(wanted, int(self.rest * capacity))
        self.rest -= Fraction(count, capacity)
        return count

    def _capacity(self, size: Size) -> int:
        """Give how many jobs of a size could run in it one beside and after the other, were it empty."""
        return self._places(size) * self._slots(size)

    def _places(self, size: Size) -> int:
        sizes = ((size.num_cpus, "num_cpus"), (size.memory_bytes or 0, "memory_bytes"), (size.num_gpus, "num_gpus"))
        given = [(wants, self.config.get(key)) for wants, key in sizes]
        sides = [has // wants for wants, has in given if wants and has is not None]
        places = int((self.config.get("nodes") or 1) // size.num_nodes * min(sides, default=1))
        most = self.config.get("max_parallel_jobs")
        return places if most is None else min(places, most)

    def _slots(self, size: Size) -> int:
        if size.runtime_s is None:
            return 1
        return max(0, int(self._left - self._head) // size.runtime_s)

    def _share(self, size: Size) -> Fraction:
        """Give how much of it a running job of a size keeps from others."""
        return Fraction(1, max(1, self._places(size) * max(1, self._slots(size))))


def _left_s(row: Record, now: float) -> float:
    walltime = row["config"].get("walltime_s") or 0
    if row["status"] != "active":
        return float(walltime)
    ends_at, started_at = row.get("ends_at"), row.get("started_at")
    if ends_at is None:
        ends_at = walltime + (now if started_at is None else started_at)
    return max(0.0, float(ends_at) - now)


class Coverage:
    """All live allocations of a workflow."""

    def __init__(self, facts: Facts) -> None:
        """Read the rows. The jobs of a group stand in its first record, whose allocation may be over."""
        ids: dict[tuple[Any, Any], frozenset[int]] = {}
        for row in facts.allocations:
            if row["config"].get("job_ids"):
                ids[_group_key(row)] = frozenset(row["config"]["job_ids"])
        rows = [row for row in facts.allocations if row["status"] in states.LIVE]
        self.live = [Live(row, ids.get(_group_key(row), frozenset()), facts) for row in rows]
        self._beside = facts.beside
        self._by_id = {row["allocation_id"]: each for row, each in zip(rows, self.live, strict=True)}
        self._active = facts.active
        self._names = {each.group for each in self.live}
        self._mates: dict[tuple[Any, Any], list[Live]] = {}  # those of one group of one plan
        self._planned_for: dict[int, list[tuple[Any, Any]]] = {}  # job to the groups that were planned for it
        for row, each in zip(rows, self.live, strict=True):
            self._mates.setdefault(_group_key(row), []).append(each)
        for key in self._mates:
            for job in ids.get(key, ()):
                self._planned_for.setdefault(job, []).append(key)

    def _own(self, jobs: Iterable[int]) -> list[list[Live]]:
        """Give the live allocations that were planned for some of the jobs, those of a group together, oldest first."""
        keys = {key for job in jobs for key in self._planned_for.get(job, ())}
        return [mates for key, mates in self._mates.items() if key in keys]

    def names(self) -> set[str]:
        """Give the names of the groups that have live allocations."""
        return self._names

    def holders(self, jobs: Iterable[int]) -> set[str]:
        """Give the names of the live groups that were planned for some jobs, or in which they run."""
        wanted = set(jobs)
        found = {mates[0].group for mates in self._own(wanted)}
        running = (self._by_id.get(self._active[job][1] or 0) for job in wanted if job in self._active)
        return found | {each.group for each in running if each is not None}

    def cover(self, group: Group, scheduler_of: Mapping[int, int | None], *, after_new: bool) -> None:
        """Take out of a group the jobs that live allocations will run.

        `after_new`: its jobs wait for some that are planned now, so that an allocation which no longer waits for
        others is too early for them.
        """
        for live in [] if self._beside else self.live:
            if group.user is not None and self._is_all_of(live, group):
                group.buckets = {key: ids for key, ids in group.buckets.items() if not live.takes(key[1], _user(group))}
        for own in (True,) if self._beside else (True, False):
            for lives in self._own(group.jobs()) if own else [self.live]:
                in_time = [live for live in lives if self._is_in_time(live, group, own=own, after_new=after_new)]
                if in_time and group.buckets:
                    _take(in_time, group, scheduler_of, own=own)

    def _is_all_of(self, live: Live, group: Group) -> bool:
        """Say whether the user's action made an allocation of the group's scheduler: its number is the user's."""
        return live.config.get("action_id") is not None and live.config.get("slurm_scheduler_id") == _user(group)

    def _is_in_time(self, live: Live, group: Group, *, own: bool, after_new: bool) -> bool:
        if not live.rest or (self._beside and not live.is_queued):
            return False
        if group.is_deferred:
            return live.is_deferred and (not after_new or not live.after.isdisjoint(self._names))
        return own or not live.is_queued or live.after.isdisjoint(self._names)


def _user(group: Group) -> int | None:
    return group.user.slurm_scheduler_id if group.user else None


def _group_key(row: Record) -> tuple[Any, Any]:
    return row.get("plan") or row["config"].get("plan"), row["config"].get("group")


def _take(lives: Sequence[Live], group: Group, scheduler_of: Mapping[int, int | None], *, own: bool) -> None:
    """Let allocations take what they can of each bucket of a group; `own`: they were planned for the same jobs."""
    for key in list(group.buckets):
        taken: set[int] = set()
        for scheduler, may in _by_scheduler(group.buckets[key], scheduler_of, lives[0].ids if own else None).items():
            count = 0
            for live in lives:
                if count < len(may) and live.takes(key[1], scheduler):
                    count += live.give(key[1], len(may) - count, own=own)
            taken.update(may[:count])
        if taken:
            group.buckets[key] = [job for job in group.buckets[key] if job not in taken]
            if not group.buckets[key]:
                del group.buckets[key]


def _by_scheduler(
    jobs: Iterable[int], scheduler_of: Mapping[int, int | None], among: frozenset[int] | None
) -> dict[int | None, list[int]]:
    """Sort jobs (those `among` some) by the scheduler that they name."""
    found: dict[int | None, list[int]] = {}
    for job in jobs:
        if among is None or job in among:
            found.setdefault(scheduler_of.get(job), []).append(job)
    return found
