"""What planning allocations starts from: the pending jobs, what the user wrote about Slurm, what is queued already."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools import units
from torc_tools.core import margins, slurmvalues
from torc_tools.records import Record

STRATEGIES = ("max-job-runtime", "max-partition-time")
GROUPINGS = ("requirements", "partition")
Limits = tuple[int | None, int | None]  # memory and runtime that a job would get; None: as it is
_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE | re.ASCII)


class Size(NamedTuple):
    """What one job needs on each of its nodes; None: no limit is known."""

    num_cpus: int = 1
    memory_bytes: int | None = None
    num_gpus: int = 0
    num_nodes: int = 1
    runtime_s: int | None = None


class Job(NamedTuple):
    """A pending job: its requirement by content and by name, the scheduler that it names (or None)."""

    job_id: int
    size: Size
    requirements: str | None
    slurm_scheduler_id: int | None


class Scheduler(NamedTuple):
    """An entry of `slurm_schedulers`. memory_bytes None: not given; 0: the whole node, as Slurm reads `mem: 0`."""

    slurm_scheduler_id: int
    name: str
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    walltime_s: int | None = None
    memory_bytes: int | None = None
    gres: str | None = None
    nodes: int = 1
    ntasks_per_node: int | None = None
    tmp: str | None = None
    extra: str | None = None
    singleton: bool = False


class Action(NamedTuple):
    """An action that schedules nodes with an entry of `slurm_schedulers`."""

    action_id: int
    trigger: str
    slurm_scheduler_id: int
    job_ids: frozenset[int]
    num_allocations: int
    one_worker_per_node: bool
    max_parallel_jobs: int | None


class Options(NamedTuple):
    """What the caller asks for; None: as the workflow and the profile say."""

    group_by: str = GROUPINGS[0]
    single: bool = False
    strategy: str = STRATEGIES[0]
    multiplier: int = 1500  # thousandths
    walltime_s: int | None = None
    partition: str | None = None
    account: str | None = None
    max_parallel_jobs: int | None = None  # in each allocation
    retries: bool = False  # only jobs that wait to be run again; what runs has no room for them


class Tried(NamedTuple):
    """What dry runs of other commands have tried, and what counts as done for the plan.

    jobs: those that count as pending. over: allocations that count as ended.
    """

    jobs: Mapping[int, Limits] = {}
    over: frozenset[int] = frozenset()


class Facts(NamedTuple):
    """What the store says.

    jobs: the pending ones, by id. parents: of each of them. active: jobs that a worker has: id to (size, allocation).
    stuck: jobs that will not end by themselves (disabled, pending_failed). allocations: every Slurm allocation's row,
    `config` decoded. fresh: nothing of the workflow has run yet, so what its actions say counts. now: Unix seconds.
    default_account: of earlier allocations, or of the user in Slurm. beside: what is planned is to run beside the
    allocations that run, which have no room; one that is queued takes what it was planned for.
    """

    workflow: Record
    jobs: Sequence[Job]
    parents: Mapping[int, Sequence[int]]
    active: Mapping[int, tuple[Size, int | None]]
    stuck: frozenset[int]
    schedulers: Mapping[int, Scheduler]
    actions: Sequence[Action]
    allocations: Sequence[Record]
    fresh: bool
    now: float
    default_account: str | None = None
    beside: bool = False


def scheduler(slurm_scheduler_id: int, config: Mapping[str, Any]) -> Scheduler:
    """Read an entry of `slurm_schedulers` as the store has it."""
    texts = {key: _text(config.get(key)) for key in ("account", "partition", "qos", "gres", "tmp", "extra")}
    return Scheduler(
        slurm_scheduler_id,
        str(config.get("name") or slurm_scheduler_id),
        **texts,
        walltime_s=slurmvalues.limit(str(config["walltime"])) if config.get("walltime") is not None else None,
        memory_bytes=slurm_memory(config["mem"]) if config.get("mem") is not None else None,
        nodes=int(config.get("nodes") or 1),
        ntasks_per_node=config.get("ntasks_per_node"),
        singleton=bool(config.get("serialize_allocations")),
    )


def action(action_id: int, config: Mapping[str, Any]) -> Action | None:
    """Read an action as the store has it; None where it schedules no Slurm nodes."""
    if config.get("action_type") != "schedule_nodes" or config.get("slurm_scheduler_id") is None:
        return None
    return Action(
        action_id,
        str(config.get("trigger_type")),
        int(config["slurm_scheduler_id"]),
        frozenset(config.get("job_ids") or ()),
        int(config.get("num_allocations") or 1),
        bool(config.get("start_one_worker_per_node")),
        config.get("max_parallel_jobs"),
    )


def execution(facts: Facts) -> dict[str, Any]:
    """Give the workflow's execution_config."""
    return dict((facts.workflow.get("config") or {}).get("execution_config") or {})


def headroom_s(facts: Facts) -> int:
    """Give how much of an allocation no job can use."""
    return margins.unusable_s(execution(facts))


def sbatch_defaults(facts: Facts) -> dict[str, Any]:
    """Give the workflow's slurm_defaults as long options of sbatch."""
    given = (facts.workflow.get("config") or {}).get("slurm_defaults") or {}
    return {str(key).replace("_", "-").lstrip("-"): value for key, value in given.items()}


def slurm_memory(given: str | int) -> int:
    """Read a size as sbatch does: a bare number is megabytes. What is none is read as this program reads sizes."""
    match = _SIZE.fullmatch(str(given).strip())
    if match is None:
        return units.parse_memory(given)
    return int(match[1]) << {"k": 10, "m": 20, "": 20, "g": 30, "t": 40}[match[2].lower()]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
