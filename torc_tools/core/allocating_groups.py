"""Which pending jobs share allocations: by requirement or partition, by the user's scheduler, by what they wait for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from torc_tools.core import allocating_own, allocating_shape
from torc_tools.core.allocating_facts import Action, Facts, Job, Options, Scheduler, Size
from torc_tools.core.allocating_shape import Misfit, Shape
from torc_tools.core.profiles import Profile

_LAST = 1 << 62

Bucket = tuple[int, Size]  # level, and what a job of it needs


class Group:
    """Jobs that share allocations; `buckets` holds those that still need one."""

    def __init__(self, base: str, user: Scheduler | None = None, action: Action | None = None) -> None:
        """Start without jobs; `base` is what its name begins with."""
        self.base, self.user, self.action = base, user, action
        self.name = base
        self.is_deferred = False
        self.buckets: dict[Bucket, list[int]] = {}
        self.shape: Shape | None = None
        self.misfit: Misfit | None = None

    def add(self, job: Job, level: int) -> None:
        """Take in a job."""
        self.buckets.setdefault((level, job.size), []).append(job.job_id)

    def jobs(self) -> list[int]:
        """Give the ids of its jobs, sorted."""
        return sorted(job for ids in self.buckets.values() for job in ids)

    def sizes(self) -> list[Size]:
        """Give the different sizes of its jobs."""
        return list(dict.fromkeys(size for _, size in self.buckets))

    def levels(self) -> list[int]:
        """Give the levels of its jobs, sorted."""
        return sorted({level for level, _ in self.buckets})

    def order(self) -> tuple[int, int]:
        """Give its place among the groups: by level, then by its first job; at the end where it has none."""
        places = ((level, min(ids)) for (level, _), ids in self.buckets.items() if ids)
        return min(places, default=(_LAST, self.action.action_id if self.action else 0))


class Planner:
    """Makes the groups of a plan, each with the shape of its allocations or the reason why there is none."""

    def __init__(self, facts: Facts, options: Options, profile: Profile, levels: Mapping[int, int]) -> None:
        """Take what planning starts from; `levels` is of allocating_order."""
        self.facts, self.options, self.profile, self.levels = facts, options, profile, levels
        self._found: dict[tuple[tuple[Size, ...], int | None], Shape | Misfit] = {}

    def groups(self) -> list[Group]:
        """Give the groups in the order in which their jobs can run, without names."""
        made: dict[tuple[object, ...], Group] = {}
        assigned = allocating_own.Assignment(self.facts)
        for job in self.facts.jobs:
            level = self.levels.get(job.job_id)
            if level is None:
                continue
            user, action = assigned.of(job)
            key, base = self._key(job, level, user, action)
            if key not in made:
                made[key] = Group(base, user, action)
            made[key].add(job, level)
        for action, user in assigned.idle():
            made["action", action.action_id] = Group(user.name, user, action)
        found = [part for group in made.values() for part in self._shaped(group)]
        return sorted(found, key=Group.order)

    def _key(
        self, job: Job, level: int, user: Scheduler | None, action: Action | None
    ) -> tuple[tuple[object, ...], str]:
        """Give what a job must share with others to be in one group, and the base of the group's name."""
        if action is not None:
            return ("action", action.action_id), (user.name if user else "")
        if user is not None:
            return ("user", user.slurm_scheduler_id, level > 1), user.name
        if self.options.group_by == "partition":
            found = self._shape((job.size,), None)
            if isinstance(found, Shape):
                return ("partition", found.partition.name, job.size.num_nodes, level > 1), found.partition.name
        return ("size", job.size, level > 1), job.requirements or "default"

    def _shape(self, sizes: Sequence[Size], user: Scheduler | None) -> Shape | Misfit:
        key = (tuple(sizes), user.slurm_scheduler_id if user else None)
        if key not in self._found:
            found = allocating_shape.find(sizes, self.facts, self.options, self.profile, user)
            most = self.options.max_parallel_jobs
            self._found[key] = found._replace(most=most) if isinstance(found, Shape) else found
        return self._found[key]

    def _shaped(self, group: Group) -> Iterator[Group]:
        """Give a group with its shape, in parts where its jobs cannot share one."""
        sizes = group.sizes()
        if not sizes:
            sizes = list(dict.fromkeys(job.size for job in self.facts.jobs if job.job_id in self.levels))
        fits = [size for size in sizes if isinstance(self._shape((size,), group.user), Shape)]
        if fits and isinstance(found := self._shape(fits, group.user), Shape):
            limits = (found.most, group.action.max_parallel_jobs if group.action else None)
            most = min((each for each in limits if each), default=None)
            yield from self._waves(_part(group, fits), found._replace(most=most))
            fits_not = [size for size in group.sizes() if size not in fits]
        else:
            fits_not = group.sizes()
        for size in fits_not:
            yield from self._alone(_part(group, [size]), size)

    def _alone(self, group: Group, size: Size) -> Iterator[Group]:
        found = self._shape((size,), group.user)
        if isinstance(found, Shape):
            yield from self._waves(group, found)
        else:
            group.misfit = found
            group.is_deferred = group.levels() > [1]
            yield group

    def _waves(self, group: Group, shape: Shape) -> Iterator[Group]:
        """Cut a group into as many levels as one allocation has time for, one after the other."""
        group.shape = shape
        if group.action is not None:
            yield group
            return
        runtime = allocating_shape.largest(group.sizes()).runtime_s
        most = max(1, shape.usable_s() // runtime) if runtime else len(group.levels())
        for levels in _runs(group.levels(), most):
            part = Group(group.base, group.user)
            part.buckets = {key: ids for key, ids in group.buckets.items() if key[0] in levels}
            part.shape, part.is_deferred = shape, levels[0] > 1
            yield part


def _part(group: Group, sizes: Iterable[Size]) -> Group:
    """Give the jobs of some sizes as a group of their own."""
    kept = set(sizes)
    part = Group(group.base, group.user, group.action)
    part.buckets = {key: ids for key, ids in group.buckets.items() if key[1] in kept}
    return part


def _runs(levels: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cut sorted levels into runs without a gap, of at most `most` levels."""
    run: list[int] = []
    for level in levels:
        if run and (level > run[-1] + 1 or len(run) == most):
            yield run
            run = []
        run.append(level)
    if run:
        yield run


def name(groups: Iterable[Group], taken: Iterable[str]) -> None:
    """Name groups, each differently and none as those that are `taken`."""
    used = set(taken)
    for group in groups:
        base = group.base + ("_deferred" if group.is_deferred else "")
        group.name, number = base, 2
        while group.name in used:
            group.name, number = f"{base}_{number}", number + 1
        used.add(group.name)
