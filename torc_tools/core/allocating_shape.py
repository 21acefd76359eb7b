"""What one allocation can give: the partition it is in, what a node of it holds, how long it may last."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torc_tools import units
from torc_tools.core import profiles
from torc_tools.core.allocating_facts import Facts, Options, Scheduler, Size, headroom_s
from torc_tools.core.packing import Need
from torc_tools.core.profiles import Partition, Profile
from torc_tools.core.sbatch import walltime as walltime_text

DAY_S = 86_400


class Misfit(NamedTuple):
    """Why something fits nowhere, and what would."""

    reason: str
    would_fit: str


class Shape(NamedTuple):
    """One allocation: `nodes` nodes of `partition`, each giving num_cpus, memory_bytes and num_gpus at most.

    limit_s: the longest walltime. fixed_s: the walltime that the user wrote. head_s: what of it no job can use.
    most: jobs that may run at once (None: as many as fit).
    """

    partition: Partition
    named: bool
    nodes: int
    num_cpus: int
    memory_bytes: int
    num_gpus: int
    limit_s: int
    fixed_s: int | None
    head_s: int
    most: int | None = None

    def usable_s(self) -> int:
        """Give how long jobs can run in the longest allocation there may be."""
        return max(0, (self.limit_s if self.fixed_s is None else self.fixed_s) - self.head_s)

    def memory_of(self, size: Size) -> int:
        """Give what a job may take: its limit, or without one a fair share of the node for each CPU."""
        if size.memory_bytes is not None:
            return size.memory_bytes
        return self.memory_bytes * size.num_cpus // max(1, self.num_cpus)

    def per_node(self, size: Size) -> int:
        """Give how many jobs of a size run side by side on a node."""
        most = [self.num_cpus // size.num_cpus]
        if self.memory_of(size):
            most.append(self.memory_bytes // self.memory_of(size))
        if size.num_gpus:
            most.append(self.num_gpus // size.num_gpus)
        return max(0, min(most))

    def places(self, size: Size, nodes: int | None = None) -> int:
        """Give how many jobs of a size run side by side in the allocation, or in one of so many `nodes`."""
        places = (nodes or self.nodes) // size.num_nodes * self.per_node(size)
        return places if self.most is None else min(places, self.most)


def largest(sizes: Iterable[Size]) -> Size:
    """Give the size in which every one of `sizes` fits."""
    known = list(sizes)
    memories = [size.memory_bytes for size in known if size.memory_bytes is not None]
    runtimes = [size.runtime_s for size in known if size.runtime_s is not None]
    return Size(
        max(size.num_cpus for size in known),
        max(memories, default=None),
        max(size.num_gpus for size in known),
        max(size.num_nodes for size in known),
        max(runtimes, default=None),
    )


def find(
    sizes: Sequence[Size], facts: Facts, options: Options, profile: Profile, user: Scheduler | None = None
) -> Shape | Misfit:
    """Choose what allocations of some sizes look like: as options and the user's scheduler say, else the best."""
    size = largest(sizes)
    head = headroom_s(facts)
    fixed = options.walltime_s or (user.walltime_s if user else None)
    if found := _contradiction(size, user, fixed, head):
        return found
    asked = Asked(max(user.nodes if user else 1, size.num_nodes), fixed, head, user)
    need = Need(size.num_cpus, size.memory_bytes or 0, size.num_gpus, fixed or ((size.runtime_s or 0) + head))
    name = options.partition or (user.partition if user else None)
    return _best(profile, need, size, asked) if name is None else _named(profile, name, need, size, asked)


def _contradiction(size: Size, user: Scheduler | None, fixed: int | None, head: int) -> Misfit | None:
    """Say where the jobs do not fit into what the user wrote, whatever the cluster."""
    if user is not None and size.num_nodes > user.nodes:
        reason = f"a job needs {size.num_nodes} nodes, scheduler '{user.name}' asks for {user.nodes}"
        return Misfit(reason, f"'nodes: {size.num_nodes}' in scheduler '{user.name}'")
    if user is not None and user.memory_bytes and (size.memory_bytes or 0) > user.memory_bytes:
        wanted, given = units.human_bytes(size.memory_bytes or 0), units.human_bytes(user.memory_bytes)
        reason = f"a job needs {wanted} of memory, scheduler '{user.name}' asks for {given}"
        return Misfit(reason, f"'mem: {units.format_memory(size.memory_bytes or 0)}' in scheduler '{user.name}'")
    if user is not None and user.gres is not None and size.num_gpus > gpus_of(user.gres):
        reason = f"a job needs {size.num_gpus} GPUs, scheduler '{user.name}' asks for '{user.gres}'"
        return Misfit(reason, f"'gres: gpu:{size.num_gpus}' in scheduler '{user.name}'")
    if fixed is not None and (size.runtime_s or 0) + head > fixed:
        return _too_short(size, fixed, head)
    return None


class Asked(NamedTuple):
    """What an allocation is asked for with besides what jobs need: fixed_s is the walltime that the user wrote."""

    nodes: int
    fixed_s: int | None
    head_s: int
    user: Scheduler | None

    def share_s(self) -> int:
        """Give the seconds that planning itself adds to a runtime."""
        return 0 if self.fixed_s else self.head_s


def _best(profile: Profile, need: Need, size: Size, asked: Asked) -> Shape | Misfit:
    found = profiles.best(profile, need, asked.nodes)
    if found is not None:
        return _shape(found, size, asked)
    open_ones = [each for each in profile.partitions if each.is_up and (each.min_nodes or 0) <= asked.nodes]
    return _nowhere(open_ones, need, asked, f"no partition of {profile.display_name} gives")


def _named(profile: Profile, name: str, need: Need, size: Size, asked: Asked) -> Shape | Misfit:
    found = profiles.named(profile, name)
    if found is None:
        have = ", ".join(each.name for each in profile.partitions)
        return Misfit(f"{profile.display_name} has no partition '{name}'", f"one of: {have}")
    if profiles.lacking(found, need, asked.nodes):
        return _nowhere([found], need, asked, f"partition '{name}' does not give")
    return _shape(found, size, asked)._replace(named=True)


def _shape(partition: Partition, size: Size, asked: Asked) -> Shape:
    """Make the shape of an allocation in a partition."""
    user = asked.user
    nodes = max(asked.nodes, partition.min_nodes or 0)
    memory, gpus = partition.memory_bytes, partition.gpus_per_node
    if user is not None and user.memory_bytes:
        memory = min(memory, user.memory_bytes)
    if user is not None and user.gres is not None:
        gpus = gpus_of(user.gres)
    return Shape(
        partition,
        partition.must_be_named,
        units.ceil_div(nodes, size.num_nodes) * size.num_nodes,
        partition.cpus_per_node,
        memory,
        gpus,
        partition.max_walltime_s,
        asked.fixed_s,
        asked.head_s,
    )


def gpus_of(gres: str) -> int:
    """Give the GPUs of a node that a gres names: 'gpu:2', 'gpu:a100:2', 'nvme:1,gpu'."""
    count = 0
    for part in gres.split(","):
        words = part.partition("(")[0].strip().split(":")
        if words[0] == "gpu":
            count += int(words[-1]) if words[-1].isdigit() else 1
    return count


def _too_short(size: Size, fixed: int, head: int) -> Misfit:
    wanted = (size.runtime_s or 0) + head
    reason = (
        f"a job may run {walltime_text(size.runtime_s or 0)}; with {head} s of head room that does not fit"
        f" into a walltime of {walltime_text(fixed)}"
    )
    return Misfit(reason, f"a walltime of {walltime_text(whole_minutes(wanted))}")


def whole_minutes(seconds: int) -> int:
    """Round up to whole minutes: Slurm counts in them."""
    return units.ceil_div(seconds, 60) * 60


_Words = tuple[str, Callable[[int], str]]  # how a measure is called, how much of it is written

_WORDS: tuple[_Words, ...] = (  # of the measures of a partition, in their order
    ("CPUs on a node", str),
    ("memory on a node", units.human_bytes),
    ("GPUs on a node", str),
    ("walltime", walltime_text),
    ("nodes", str),
)


def _nowhere(partitions: Sequence[Partition], need: Need, asked: Asked, where: str) -> Misfit:
    """Say what is wanted that no partition has, and the largest thing that each measure alone would allow."""
    nodes, head = asked.nodes, asked.share_s()
    lacking = [profiles.lacking(each, need, nodes) for each in partitions]
    nearest = min(lacking, key=len, default=[])
    shown = nearest or range(len(_WORDS))
    wanted = ", ".join(_wanted(number, need, nodes, head) for number in shown)
    alone = [(each, short[0]) for each, short in zip(partitions, lacking, strict=True) if len(short) == 1]
    would = []
    for number in sorted({number for _, number in alone}):
        (words, write), has = _WORDS[number], profiles.MEASURES[number].has
        best = max((each for each, short in alone if short == number), key=has)
        if number == profiles.WALLTIME and head:
            words = "runtime"
        most = has(best) - (head if number == profiles.WALLTIME else 0)
        would.append(f"{words} up to {write(most)} ({best.name})")
    return Misfit(f"{where} {wanted}", " or ".join(would) or _everything(partitions))


def _wanted(number: int, need: Need, nodes: int, head: int) -> str:
    words, write = _WORDS[number]
    if number != profiles.WALLTIME:
        wanted = profiles.MEASURES[number].wants(need, nodes)
        return f"{write(wanted)} {'of ' * (number == profiles.MEMORY)}{words}"
    return f"{write(need.runtime_s)} of walltime" + (f" ({head} s of it head room)" if head else "")


def _everything(partitions: Sequence[Partition]) -> str:
    if not partitions:
        return "nothing: no partition is known"
    large = max(partitions, key=lambda each: (each.memory_bytes, each.cpus_per_node))
    sizes = f"{large.cpus_per_node} CPUs, {units.human_bytes(large.memory_bytes)}, {large.gpus_per_node} GPUs"
    return f"at most {sizes} and {walltime_text(large.max_walltime_s)} ({large.name})"
