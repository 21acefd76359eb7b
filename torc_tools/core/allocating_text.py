"""What people read of a plan: notes, columns of a table, which of two ways is sooner."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torc_tools import units
from torc_tools.records import Record

if TYPE_CHECKING:
    from torc_tools.core.allocating import Planned

NOWHERE = " fits nowhere: "  # in the line that says so of a group


def notes(planned: "Planned", workflow_id: int) -> Iterator[str]:
    """Say what the records do not: why there are none, what they leave out."""
    if planned.is_canceled:
        yield f"workflow {workflow_id} is canceled: torc-reset -w {workflow_id} --status canceled starts it again"
    elif not planned.pending:
        yield f"no pending jobs in workflow {workflow_id}: nothing to plan"
    if planned.stuck:
        yield f"{_jobs(planned.stuck)} below one that is disabled, pending_failed or fits nowhere: not planned"
    if planned.covered:
        yield f"{_jobs(planned.covered)} covered by allocations that are queued or run: not planned again"
    for record in planned.records:
        if record["status"] == "unplannable":
            yield nowhere(record)


def nowhere(record: Record) -> str:
    """Say that a group fits nowhere, why, and what would fit; a record made by hand may leave things out."""
    jobs = f" ({_jobs(record['job_count'])})" if isinstance(record.get("job_count"), int) else ""
    return f"group '{record.get('group')}'{jobs}{NOWHERE}{misfit(record)}"


def misfit(record: Record) -> str:
    """Say of a group that fits nowhere why, and what would fit where the record knows it."""
    fits = record.get("would_fit")
    return f"{record.get('reason')}; would fit: {fits}" if fits else str(record.get("reason"))


def is_hopeless(planned: "Planned") -> bool:
    """Say whether there are pending jobs that nothing runs, and no allocation could be planned."""
    unplannable = [record["status"] == "unplannable" for record in planned.records]
    return bool(unplannable) and all(unplannable) and not planned.covered


def columns(record: Record) -> dict[str, Any]:
    """Give a record's amounts as a person writes them."""
    if record["status"] == "unplannable":
        return {"jobs": record["job_count"], "allocations": 0, "waits_for": record["reason"]}
    comparison = record.get("comparison") or {}
    return {
        "jobs": record["job_count"],
        "allocations": record["num_allocations"],
        "memory": units.human_bytes(record["memory_bytes"]),
        "partition": record["partition"] or f"({record['best_partition']})",
        "waits_for": ", ".join(record["after_groups"]) or None,
        "sooner": comparison.get("text"),
    }


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"


def comparison(small: Record, large: Record) -> Record:
    """Judge two ways, each with num_allocations, nodes, starts_at, wait_s, error: which of them starts sooner.

    Of equals the small ones: they need not all start at once.
    """
    starts = (small["starts_at"], large["starts_at"])
    sooner = None
    if small["num_allocations"] > 1 and starts != (None, None):
        sooner = "one_large" if starts[0] is None or (starts[1] is not None and starts[1] < starts[0]) else "many_small"
    words = {"one_large": ", sooner: one large", "many_small": ", sooner: many small", None: ""}[sooner]
    both = _way(small) if small["num_allocations"] == 1 else f"{_way(small)}; {_way(large)}"
    return {"many_small": small, "one_large": large, "sooner": sooner, "text": both + words}


def _way(way: Record) -> str:
    what = f"{way['num_allocations']} x {way['nodes']} node{'s' * (way['nodes'] != 1)}"
    if way["starts_at"] is None:
        return f"{what}: {way['error']}"
    return f"{what}: {'the first ' * (way['num_allocations'] > 1)}in {units.human_seconds(way['wait_s'])}"
