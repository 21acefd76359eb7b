"""Plans for tests: facts made of a few words, and what a plan came to, group by group."""

from collections.abc import Iterable, Sequence
from typing import Any

from torc_tools import units
from torc_tools.core import allocating, allocating_facts
from torc_tools.core.allocating import Planned
from torc_tools.core.allocating_facts import Facts, Job, Options, Size
from torc_tools.core.profiles import Profile
from torc_tools.core.profiles_builtin import KESTREL
from torc_tools.records import Record

HEAD_S = 150  # 60 to start, 30 of lead, 60 of head room


def size(cpus: int = 4, memory: str | None = "4g", runtime: str | None = "PT1H", gpus: int = 0, nodes: int = 1) -> Size:
    """Make a size from what a spec says."""
    return Size(
        cpus,
        None if memory is None else units.parse_memory(memory),
        gpus,
        nodes,
        None if runtime is None else units.parse_duration(runtime),
    )


def jobs(*counts: tuple[int, Size], scheduler: int | None = None) -> list[Job]:
    """Make jobs, numbered from 1; the requirement of the n-th size is named r<n>."""
    found: list[Job] = []
    for number, (count, each) in enumerate(counts, 1):
        start = len(found) + 1
        found += [Job(job_id, each, f"r{number}", scheduler) for job_id in range(start, start + count)]
    return found


def facts(
    found: Sequence[Job],
    parents: dict[int, list[int]] | None = None,
    schedulers: dict[int, dict[str, Any]] | None = None,
    actions: Iterable[dict[str, Any]] = (),
    config: dict[str, Any] | None = None,
    **more: Any,
) -> Facts:
    """Make facts of a workflow that nothing has run of; `schedulers` and `actions` as the store has them."""
    made = (allocating_facts.action(number, each) for number, each in enumerate(actions, 1))
    usual: dict[str, Any] = {
        "active": {},
        "stuck": frozenset(),
        "allocations": [],
        "fresh": True,
        "now": 1000.0,
        "default_account": "proj",
    }
    return Facts(
        workflow={"workflow_id": 1, "run_id": 1, "config": config or {}},
        jobs=found,
        parents=parents or {},
        schedulers={each: allocating_facts.scheduler(each, one) for each, one in (schedulers or {}).items()},
        actions=[each for each in made if each is not None],
        **{**usual, **more},
    )


def plan(given: Facts | Sequence[Job], profile: Profile = KESTREL, **options: Any) -> Planned:
    """Plan for facts, or for jobs without parents."""
    return allocating.plan(given if isinstance(given, Facts) else facts(given), Options(**options), profile)


def firsts(planned: Planned) -> dict[str, Record]:
    """Give the first record of each group by the group's name."""
    return {each["group"]: each for each in planned.records if each["status"] == "unplannable" or each["number"] == 1}


def counts(planned: Planned) -> dict[str, int]:
    """Give the number of allocations of each group by name; 0 for one that fits nowhere."""
    return {name: each.get("num_allocations", 0) for name, each in firsts(planned).items()}


def queued(planned: Planned, first: int = 1, status: str = "queued", **columns: Any) -> list[Record]:
    """Give the rows that the store has after a plan was submitted, its allocations numbered from `first`."""
    taken = [each for each in planned.records if each["status"] == "planned"]
    usual = {"kind": "slurm", "status": status, "plan": f"plan{first}", "started_at": None, "ends_at": None}
    return [{"allocation_id": number, **usual, "config": each, **columns} for number, each in enumerate(taken, first)]
