"""A cluster as planning sees it: its partitions, and which of them suits a need best. Nothing here asks anything."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torc_tools.core.packing import Need

SMALL_CPUS, SMALL_BYTES = 26, 60_000 << 20  # what may share a node goes to a partition whose nodes are shared
YEAR_S = 365 * 86400  # of a partition without a limit
_ENDLESS = 1 << 62


class Partition(NamedTuple):
    """A partition: what one of its nodes has, how long a job may run there, how many nodes it may have.

    `requires_explicit_request`: the site sends no job there on its own. `always_named`: the partition is written in
    each submission (a cluster that was looked at; who knows how it routes). None: not known, or no limit.
    """

    name: str
    cpus_per_node: int
    memory_bytes: int
    max_walltime_s: int
    gpus_per_node: int = 0
    gpu_type: str | None = None
    gpu_memory_bytes: int | None = None
    local_disk_bytes: int | None = None
    shared: bool = False
    requires_explicit_request: bool = False
    always_named: bool = False
    default_qos: str | None = None
    min_nodes: int | None = None
    max_nodes: int | None = None
    max_nodes_per_user: int | None = None
    is_default: bool = False
    is_up: bool = True
    features: tuple[str, ...] = ()
    total_nodes: int | None = None
    idle_nodes: int | None = None
    description: str | None = None

    @property
    def must_be_named(self) -> bool:
        """Say whether a submission has to name it."""
        return self.requires_explicit_request or self.always_named


class Profile(NamedTuple):
    """A cluster. `source` is builtin, custom or slurm; it is where one of detect_* says so (all None: never)."""

    name: str
    display_name: str
    partitions: tuple[Partition, ...]
    source: str = "builtin"
    description: str | None = None
    default_account: str | None = None
    charge_factor_cpu: float = 1.0
    charge_factor_gpu: float = 1.0
    detect_env_var: str | None = None  # NAME=value
    detect_hostname: str | None = None  # a regular expression


def named(profile: Profile, name: str) -> Partition | None:
    """Give a partition by its name."""
    return next((each for each in profile.partitions if each.name == name), None)


class Measure(NamedTuple):
    """One thing that a partition has up to a limit, and how much of it a job of so many nodes wants."""

    has: Callable[[Partition], int]
    wants: Callable[[Need, int], int]


CPUS, MEMORY, GPUS, WALLTIME, NODES = range(5)
MEASURES = (  # in this order
    Measure(lambda partition: partition.cpus_per_node, lambda need, _: need.num_cpus),
    Measure(lambda partition: partition.memory_bytes, lambda need, _: need.memory_bytes),
    Measure(lambda partition: partition.gpus_per_node, lambda need, _: need.num_gpus),
    Measure(lambda partition: partition.max_walltime_s, lambda need, _: need.runtime_s),
    Measure(lambda partition: partition.max_nodes or _ENDLESS, lambda _, nodes: nodes),
)


def lacking(partition: Partition, need: Need, nodes: int = 1) -> list[int]:
    """Give those of MEASURES, by number, in which a partition is too small for a job of `nodes` nodes."""
    return [number for number, each in enumerate(MEASURES) if each.wants(need, nodes) > each.has(partition)]


def fits(partition: Partition, need: Need, nodes: int = 1) -> bool:
    """Say whether a job of `nodes` nodes can run there, each node giving what `need` says."""
    return partition.is_up and (partition.min_nodes or 0) <= nodes and not lacking(partition, need, nodes)


def matching(profile: Profile, need: Need, nodes: int = 1) -> list[Partition]:
    """Give the partitions where a need fits, in the profile's order."""
    return [each for each in profile.partitions if fits(each, need, nodes)]


def best(profile: Profile, need: Need, nodes: int = 1) -> Partition | None:
    """Give the partition that suits best, as torc chooses: the smallest memory inside the first class that has one.

    Debug partitions only where nothing else fits. The classes: with GPUs, those with GPUs that the site routes to,
    then others with GPUs; small jobs, shared ones without GPUs; else those without GPUs; then any that the site
    routes to; then any. Of equals, the first in the profile. None: it fits nowhere.
    """
    found = matching(profile, need, nodes)
    found = [each for each in found if "debug" not in each.name] or found
    for candidates in _classes(found, need):
        if candidates:
            return min(candidates, key=lambda each: each.memory_bytes)
    return None


def _classes(found: Sequence[Partition], need: Need) -> Iterable[list[Partition]]:
    routed = [each for each in found if not each.requires_explicit_request]
    if need.num_gpus:
        yield [each for each in routed if each.gpus_per_node]
        yield [each for each in found if each.gpus_per_node]
        return
    plain = [each for each in routed if not each.gpus_per_node]
    if need.num_cpus <= SMALL_CPUS and need.memory_bytes <= SMALL_BYTES:
        yield [each for each in plain if each.shared]
    yield plain
    yield routed
    yield list(found)
