"""A cluster's profile from what sinfo and scontrol print about it. Nothing here raises on any text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torc_tools.core import slurmtext
from torc_tools.core import slurmvalues as values
from torc_tools.core.profiles import YEAR_S, Partition, Profile

_MB = 1 << 20
_GRES = re.compile(r"gpu(?::([^:,]*[^:,\d][^:,]*))?(?::no_consume)?(?::(\d{1,6}))?", re.ASCII)


class Kind(NamedTuple):
    """One line of sinfo: nodes of a partition that are alike."""

    partition: str
    cpus: int
    memory_bytes: int
    limit_s: int
    gpus: int
    gpu_type: str | None
    nodes: int
    state: str
    features: tuple[str, ...]


def profile(sinfo: str, partitions: str, config: str = "", nodes: str = "") -> Profile:
    """Make the profile of the cluster that printed these texts, the default partition first, then the shortest.

    A partition gives what each of its nodes has. Memory and CPUs that Slurm keeps for itself do not count.
    """
    name = cluster_name(config) or "slurm"
    limits = {each["PartitionName"]: each for each in blocks(partitions, "PartitionName")}
    kept = _kept(nodes)
    found: dict[str, list[Kind]] = {}
    for kind in kinds(sinfo):
        found.setdefault(kind.partition, []).append(kind)
    made = [_partition(each, found[each], limits.get(each, {}), kept.get(each, (0, None))) for each in found]
    made.sort(key=lambda each: (not each.is_default, each.max_walltime_s, each.name))
    title = f"{name[:1].upper()}{name[1:]} (Slurm)"
    return Profile(name, title, tuple(made), "slurm", "Dynamically detected Slurm cluster", charge_factor_gpu=10.0)


def cluster_name(config: str) -> str | None:
    """Give the ClusterName of `scontrol show config`."""
    found = re.search(r"^\s*ClusterName\s*=\s*(\S+)", config, re.MULTILINE)
    return values.words(found[1]) if found else None


def kinds(sinfo: str) -> list[Kind]:
    """Read sinfo's table; a line without CPUs or memory is passed over."""
    found = []
    for row in slurmtext.table(sinfo, "PARTITION"):
        cpus, memory = _least(row.get("CPUS", "")), _least(row.get("MEMORY", ""))
        if cpus and memory:
            gpus, gpu_type = gpus_of(row.get("GRES", ""))
            limit = values.limit(row.get("TIMELIMIT", ""))
            found.append(
                Kind(
                    row["PARTITION"].removesuffix("*"),
                    cpus,
                    memory * _MB,
                    YEAR_S if limit is None else limit,
                    gpus,
                    gpu_type,
                    values.number(row.get("NODES", "")) or 0,
                    row.get("STATE", "").rstrip("*~#$@^-!%+").lower(),
                    _features(row.get("AVAIL_FEATURES", "")),
                )
            )
    return found


def gpus_of(gres: str) -> tuple[int, str | None]:
    """Count the GPUs of a node: 'gpu:a100:4(S:0-1)' is (4, 'a100'); of several types None is given."""
    count, types = 0, set()
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        match = _GRES.fullmatch(part.strip())
        if match:
            number = int(match[2]) if match[2] else 1
            count += number
            if number:
                types.add(match[1])
    return count, types.pop() if len(types) == 1 else None


def blocks(text: str, first: str) -> list[dict[str, str]]:
    """Read what scontrol prints of each thing as its keys and values: a line each, or several."""
    found: list[dict[str, str]] = []
    for word in text.split():
        key, equals, value = word.partition("=")
        if equals and key == first:
            found.append({})
        if equals and found:
            found[-1].setdefault(key, value)
    return found


def _partition(name: str, alike: Sequence[Kind], limits: Mapping[str, str], kept: tuple[int, int | None]) -> Partition:
    """Make a partition: the least that any of its nodes has, inside the limits of the partition."""
    reserved, usable = kept
    cpus = min(_known(min(each.cpus for each in alike), usable, values.number(limits.get("MaxCPUsPerNode", ""))))
    memory = min(each.memory_bytes for each in alike) - reserved
    gpus, total = min(each.gpus for each in alike), sum(each.nodes for each in alike)
    types = {each.gpu_type for each in alike if each.gpus}
    over = limits.get("OverSubscribe", "").upper()
    shared = over.startswith(("YES", "FORCE")) or "shared" in name.lower()
    asked = limits.get("ReqResv") == "YES" or limits.get("RootOnly") == "YES"
    longest = values.limit(limits.get("MaxTime", ""))
    return Partition(
        name,
        cpus,
        max(1, min(_known(memory, *_memory_limits(limits, cpus)))),
        longest or max(each.limit_s for each in alike),
        gpus_per_node=gpus,
        gpu_type=types.pop() if gpus and len(types) == 1 else None,
        shared=shared,
        requires_explicit_request=asked,
        always_named=True,
        min_nodes=values.number(limits.get("MinNodes", "")) or None,
        max_nodes=min(_known(values.number(limits.get("MaxNodes", "")), total)),
        is_default=limits.get("Default") == "YES",
        is_up=limits.get("State", "UP") == "UP",
        features=tuple(sorted(set.intersection(*(set(each.features) for each in alike)))),
        total_nodes=total,
        idle_nodes=sum(each.nodes for each in alike if each.state == "idle"),
    )


def _memory_limits(limits: Mapping[str, str], cpus: int) -> list[int | None]:
    """Give what a job may have of a node's memory: MaxMemPerNode, and MaxMemPerCPU for all of its CPUs (in MB)."""
    node, cpu = values.number(limits.get("MaxMemPerNode", "")), values.number(limits.get("MaxMemPerCPU", ""))
    return [node * _MB if node else None, cpu * cpus * _MB if cpu else None]


def _kept(nodes: str) -> dict[str, tuple[int, int | None]]:
    """Give for each partition the most memory in bytes that Slurm keeps of a node, and the least CPUs it leaves."""
    found: dict[str, tuple[int, int | None]] = {}
    for node in blocks(nodes, "NodeName"):
        memory = (values.number(node.get("MemSpecLimit", "")) or 0) * _MB
        cpus = values.number(node.get("CPUEfctv", ""))
        for name in node.get("Partitions", "").split(","):
            before = found.get(name, (0, None))
            found[name] = max(before[0], memory), min(_known(cpus, before[1]), default=None)
    return found


def _known(*numbers: int | None) -> Iterable[int]:
    return [each for each in numbers if each is not None]


def _least(text: str) -> int | None:
    return values.number(text.strip().removesuffix("+"))


def _features(text: str) -> tuple[str, ...]:
    return tuple(each for each in (values.words(text) or "").split(",") if each)
