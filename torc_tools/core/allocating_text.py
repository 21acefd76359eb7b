"""What people read of a plan: notes, columns of a table, which of two ways is sooner."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torc_tools import units
from torc_tools.core import ways
from torc_tools.records import Record

if TYPE_CHECKING:
    from torc_tools.core.allocating import Planned

TIE_S = 60  # starts that are no further apart are the same to a person
NOWHERE = " fits nowhere: "  # in the line that says so of a group


def notes(planned: "Planned", workflow_id: int) -> Iterator[str]:
    """Say what the records do not: why there are none, what they leave out."""
    if planned.is_canceled:
        yield f"workflow {workflow_id} is canceled: {ways.uncancel(workflow_id)} starts it again"
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
        return {"jobs": record["job_count"], "allocations": 0, "partition": "nowhere"}
    comparison = record.get("comparison") or {}
    return {
        "jobs": record["job_count"],
        "allocations": record["num_allocations"],
        "memory": units.human_bytes(record["memory_bytes"]),
        "partition": record["partition"] or f"({record['best_partition']})",
        "waits_for": ", ".join(record["after_groups"]) or None,
        "suggested": (comparison.get("suggested") or "").replace("_", " ") or None,
    }


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"


def comparison(small: Record, large: Record) -> Record:
    """Judge two ways, each with num_allocations, nodes, starts_at, wait_s, error: which of them starts `sooner`.

    Where they start within a minute of each other neither does. Of such the small ones are `suggested`: they need not
    all start at once, so that jobs can begin while others wait.
    """
    if small["num_allocations"] == 1:
        return {"many_small": small, "one_large": large, "sooner": None, "suggested": None, "text": _way(small)}
    sooner = _sooner(small["starts_at"], large["starts_at"])
    suggested, words = sooner, f", sooner: {sooner.replace('_', ' ')}" if sooner else ""
    if not sooner and small["starts_at"] is not None:
        suggested = "many_small"
        words = ", both start at the same time; suggested: many small, whose jobs need not wait for all nodes"
    text = f"{_way(small)}; {_way(large)}{words}"
    return {"many_small": small, "one_large": large, "sooner": sooner, "suggested": suggested, "text": text}


def _sooner(small: float | None, large: float | None) -> str | None:
    """Say which of two starts is sooner, None for neither; one that is refused has none."""
    if large is None:
        return None if small is None else "many_small"
    if small is None:
        return "one_large"
    return None if abs(small - large) < TIE_S else "many_small" if small < large else "one_large"


def _way(way: Record) -> str:
    what = f"{way['num_allocations']} x {way['nodes']} node{'s' * (way['nodes'] != 1)}"
    if way["starts_at"] is None:
        return f"{what}: {way['error']}"
    return f"{what}: {'the first ' * (way['num_allocations'] > 1)}in {units.human_seconds(way['wait_s'])}"
