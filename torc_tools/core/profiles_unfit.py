"""Why a need fits no partition of a cluster, and what the partitions would take instead."""

from collections.abc import Callable, Iterator

from torc_tools import units
from torc_tools.core import profiles
from torc_tools.core.packing import Need
from torc_tools.core.profiles import Partition, Profile

MOST = 5  # partitions named in one line


def lines(profile: Profile, need: Need, nodes: int = 1) -> list[str]:
    """Give one line that says what fits nowhere, then what the partitions that lack least would take."""
    wanted = [f"{need.num_cpus} CPUs", units.human_bytes(need.memory_bytes)]
    wanted += [f"{need.num_gpus} GPUs"] if need.num_gpus else []
    wanted += [units.format_duration(need.runtime_s)] + ([f"{nodes} nodes"] if nodes > 1 else [])
    lacking = [(each, list(lacks(each, need, nodes))) for each in profile.partitions]
    least = min((len(words) for _, words in lacking), default=0)
    nearest: dict[str, list[str]] = {}
    for each, words in lacking:
        if len(words) == least:
            nearest.setdefault(", ".join(words), []).append(each.name)
    told = [f"  {words} in {_names(names)}" for words, names in nearest.items()]
    return [f"no partition of {profile.display_name} fits {', '.join(wanted)}", *told]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def lacks(partition: Partition, need: Need, nodes: int = 1) -> Iterator[str]:
    """Say each thing in which a partition does not suit a need: what is wanted, and what it has."""
    if not partition.is_up:
        yield "nothing, for it is not up,"
    yield from (_most(partition, number) for number in profiles.lacking(partition, need, nodes))
    if nodes < (partition.min_nodes or 0):
        yield f"from {partition.min_nodes} nodes on"


def _most(partition: Partition, number: int) -> str:
    """Say what a partition has of one measure."""
    if number == profiles.GPUS and not partition.gpus_per_node:
        return "no GPUs"
    return f"up to {_WORDS[number](profiles.MEASURES[number].has(partition))}"


_WORDS: tuple[Callable[[int], str], ...] = (  # of the measures, in their order
    lambda count: f"{count} CPUs",
    units.human_bytes,
    lambda count: f"{count} GPUs",
    units.format_duration,
    lambda count: f"{count} node{'s' * (count != 1)}",
)
