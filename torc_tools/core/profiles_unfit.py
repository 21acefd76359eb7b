"""Why a need fits no partition of a cluster, and what the partitions would take instead."""

from collections.abc import Iterator

from torc_tools import units
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
    if need.num_cpus > partition.cpus_per_node:
        yield f"up to {partition.cpus_per_node} CPUs"
    if need.memory_bytes > partition.memory_bytes:
        yield f"up to {units.human_bytes(partition.memory_bytes)}"
    if need.num_gpus > partition.gpus_per_node:
        yield f"up to {partition.gpus_per_node} GPUs" if partition.gpus_per_node else "no GPUs"
    if need.runtime_s > partition.max_walltime_s:
        yield f"up to {units.format_duration(partition.max_walltime_s)}"
    if nodes < (partition.min_nodes or 0):
        yield f"from {partition.min_nodes} nodes on"
    if partition.max_nodes is not None and nodes > partition.max_nodes:
        yield f"up to {partition.max_nodes} node{'s' * (partition.max_nodes != 1)}"
