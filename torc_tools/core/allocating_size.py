"""How many allocations a group needs, how long, and what a node of each has to hold: its records."""

from collections.abc import Iterator
from typing import Any

from torc_tools import units
from torc_tools.core import allocating_facts, allocating_shape
from torc_tools.core.allocating_facts import Facts, Options, Size
from torc_tools.core.allocating_groups import Group
from torc_tools.core.allocating_shape import DAY_S, Shape
from torc_tools.core.sbatch import walltime as walltime_text
from torc_tools.records import Record

WORKER_BYTES = 256 << 20  # what the worker itself may take, where the node has it


def records(group: Group, facts: Facts, options: Options, account: str | None) -> list[Record]:
    """Give the `allocation` records of a group that has a shape: one for each allocation, without token and plan."""
    shape = group.shape
    assert shape is not None  # noqa: S101  a mistake of ours
    walltime = walltime_s(group, options, shape)
    number = group.action.num_allocations if group.action else _number(group, shape, walltime)
    shape, number = _single(shape, number, _nodes(group)) if options.single and not group.user else (shape, number)
    jobs = group.jobs()
    made = {
        **_head(group, facts),
        **_amounts(group, shape, number, walltime, facts),
        "account": (options.account or (group.user.account if group.user else None)) or account,
        "walltime_s": walltime,
        "walltime": walltime_text(walltime),
        **_wishes(group, shape, facts),
    }
    return [
        {**made, "number": each, "num_allocations": number, "job_ids": jobs if each == 1 else []}
        for each in range(1, number + 1)
    ]


def unplannable(group: Group, facts: Facts) -> Record:
    """Give the record of a group that fits nowhere."""
    assert group.misfit is not None  # noqa: S101  a mistake of ours
    said = {"reason": group.misfit.reason, "would_fit": group.misfit.would_fit}
    return {**_head(group, facts), "status": "unplannable", **said, "job_ids": group.jobs()}


def walltime_s(group: Group, options: Options, shape: Shape) -> int:
    """Give the walltime to ask for: what is written, or the runtime of the levels times the factor, and head room."""
    if shape.fixed_s is not None:
        return shape.fixed_s
    runtime = allocating_shape.largest(_sizes(group)).runtime_s
    if options.strategy == "max-partition-time":
        return shape.limit_s
    if runtime is None:
        return min(shape.limit_s, DAY_S)
    wanted = units.scale(runtime * max(1, len(group.levels())), options.multiplier) + shape.head_s
    least = runtime + shape.head_s  # a factor below 1 must not take away what one job needs
    return min(shape.limit_s, allocating_shape.whole_minutes(max(wanted, least)))


def slots(size: Size, walltime: int, shape: Shape) -> int:
    """Give how many jobs of a size fit one after the other."""
    return 1 if size.runtime_s is None else max(1, (walltime - shape.head_s) // size.runtime_s)


def _sizes(group: Group) -> list[Size]:
    return group.sizes() or [Size()]


def _nodes(group: Group) -> int:
    return max(size.num_nodes for size in _sizes(group))


def _number(group: Group, shape: Shape, walltime: int) -> int:
    """Give the least number of allocations that hold every level of the group, one level after the other."""
    levels = max(1, len(group.levels()))
    needed: dict[int, dict[int, int]] = {}  # level to capacity to jobs
    for (level, size), ids in group.buckets.items():
        capacity = shape.places(size) * max(1, slots(size, walltime, shape) // levels)
        at = needed.setdefault(level, {})
        at[capacity] = at.get(capacity, 0) + len(ids)
    return max(1, *(_share(each) for each in needed.values()))


def _share(jobs: dict[int, int]) -> int:
    """Give how many allocations some jobs fill: capacity to number of jobs."""
    if len(jobs) == 1:
        ((capacity, count),) = jobs.items()
        return units.ceil_div(count, capacity)
    exact = 10**9  # parts of an allocation, rounded up: different sizes need not fill each other's gaps
    return units.ceil_div(sum(units.ceil_div(count * exact, capacity) for capacity, count in jobs.items()), exact)


def _single(shape: Shape, number: int, nodes: int) -> tuple[Shape, int]:
    """Turn many allocations into one of many nodes, or into as few as the partition's limit on nodes allows."""
    limits = (shape.partition.max_nodes, shape.partition.max_nodes_per_user)
    most = min([each for each in limits if each], default=number * shape.nodes)
    parts = units.ceil_div(number * shape.nodes, max(nodes, most // shape.nodes * shape.nodes))
    return shape._replace(nodes=units.ceil_div(number, parts) * shape.nodes), parts


def _amounts(group: Group, shape: Shape, number: int, walltime: int, facts: Facts) -> dict[str, Any]:
    """Give what a node of an allocation has to hold, and how many jobs that makes."""
    per_node, cpus, memory, gpus, each = 0, 0, 0, 0, 0
    for level in group.levels() or [1]:
        found = [(size, len(ids)) for (at, size), ids in group.buckets.items() if at == level]
        if not found:  # the user's action asks for it: as much as one job of its scheduler needs
            found = [(size, number) for size in {job.size for job in facts.jobs if shape.per_node(job.size)}][:1]
        sides = [(size, _beside(size, count, shape, number)) for size, count in found]
        per_node = max(per_node, sum(count for _, count in sides))
        cpus = max(cpus, sum(size.num_cpus * count for size, count in sides))
        memory = max(memory, sum(shape.memory_of(size) * count for size, count in sides))
        gpus = max(gpus, sum(size.num_gpus * count for size, count in sides))
    times = min((slots(size, walltime, shape) for size in _sizes(group)), default=1)
    together = per_node * (shape.nodes // _nodes(group))
    if len(group.sizes()) == 1:
        each = (together if shape.most is None else min(together, shape.most)) * times
    if not group.action:
        each = max(each, units.ceil_div(len(group.jobs()), number))
    given = group.user is not None and group.user.memory_bytes is not None
    tasks = (group.user.ntasks_per_node if group.user else None) or 1
    return {
        "job_count": len(group.jobs()),
        "jobs_per_node": per_node,
        "slots": times,
        "jobs_per_allocation": max(1, each),
        "nodes": shape.nodes,
        "num_cpus": min(shape.num_cpus, max(cpus, tasks)),
        "memory_bytes": shape.memory_bytes if given else min(shape.memory_bytes, memory + WORKER_BYTES),
        "num_gpus": min(shape.num_gpus, gpus),
    }


def _beside(size: Size, count: int, shape: Shape, number: int) -> int:
    """Give how many jobs of a size run side by side on a node: no more than there are."""
    wide = shape.nodes // size.num_nodes
    sides = min(shape.per_node(size), units.ceil_div(units.ceil_div(count, number), max(1, wide)))
    return sides if shape.most is None else min(sides, shape.most)


def _head(group: Group, facts: Facts) -> dict[str, Any]:
    """Give what every record of a group says."""
    return {
        "type": "allocation",
        "workflow_id": facts.workflow["workflow_id"],
        "kind": "slurm",
        "status": "planned",
        "allocation_id": None,
        "group": group.name,
        "job_count": len(group.jobs()),
        "deferred": group.is_deferred,
        "slurm_scheduler_id": group.user.slurm_scheduler_id if group.user else None,
    }


def _wishes(group: Group, shape: Shape, facts: Facts) -> dict[str, Any]:
    """Give what the user and the partition want of sbatch besides amounts."""
    user, action = group.user, group.action
    defaults = allocating_facts.sbatch_defaults(facts)
    defaults.pop("account", None)
    wanted = {key: defaults.pop(key, None) for key in ("qos", "reservation", "constraint")}
    if user is not None:
        wanted["qos"] = user.qos or wanted["qos"]
    mode = allocating_facts.execution(facts).get("mode")
    spread = bool(action and action.one_worker_per_node)
    if mode == "direct" and shape.nodes > 1 and _nodes(group) == 1:
        spread = True  # a worker that starts jobs itself reaches no other node
    return {
        "partition": shape.partition.name if shape.named else None,
        "best_partition": shape.partition.name,
        "qos": wanted["qos"] or shape.partition.default_qos,
        "reservation": wanted["reservation"],
        "constraint": wanted["constraint"],
        "gres": None,
        "extra": user.extra if user else None,
        "tmp": user.tmp if user else None,
        "sbatch": defaults,
        "singleton": bool(user and user.singleton),
        "start_one_worker_per_node": spread,
        "max_parallel_jobs": shape.most or (action.max_parallel_jobs if action else None),
        "action_id": action.action_id if action else None,
        "mode": "direct" if spread or mode == "direct" else "slurm",
        "run_id": facts.workflow["run_id"],
    }


def with_gres(made: list[Record], group: Group) -> Iterator[Record]:
    """Give records with the gres that the user wrote, else what the GPUs of the jobs on a node come to."""
    own = group.user.gres if group.user else None
    for record in made:
        yield {**record, "gres": own or (f"gpu:{record['num_gpus']}" if record["num_gpus"] else None)}
