"""What a reset comes to: the jobs named and all that depend on them start over; no other job changes."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torc_tools import states
from torc_tools.core import transitions
from torc_tools.records import Record, may, need_ids

_NAMING = frozenset({"applied", "job", "result", "diagnosis"})


class Name(NamedTuple):
    """A job as a record names it; None where the record does not say."""

    job_id: int
    workflow_id: int | None = None
    run_id: int | None = None
    attempt_id: int | None = None
    is_preview: bool = False  # it comes from a dry run of torc-apply


class Life(NamedTuple):
    """What the store holds about a job."""

    workflow_id: int
    job_name: str
    status: int
    run_id: int
    attempt_id: int
    worker: str | None
    cancels: bool


def check(record: Record) -> None:
    """Check a record that names jobs; leave every other alone. Raises Failure(65) naming the field."""
    if is_naming(record):
        names(record)


def is_naming(record: Record) -> bool:
    """Say whether a record names jobs to reset: an adjustment does not, nor does one that called a failure final."""
    return record["type"] in _NAMING and not (record["type"] == "applied" and record.get("action") == "fail")


def names(record: Record) -> list[Name]:
    """Give the jobs that a record names, by job_ids or job_id. Raises Failure(65) where it has neither."""
    ids = need_ids(record if "job_ids" in record else {**record, "job_ids": [record.get("job_id")]}, "job_ids")
    workflow_id, run_id, attempt_id = (may(record, key, int) for key in ("workflow_id", "run_id", "attempt_id"))
    preview = record["type"] == "applied" and bool(may(record, "dry_run", bool))
    return [Name(job_id, workflow_id, run_id, attempt_id, preview) for job_id in ids]


def refusal(name: Name, life: Life | None) -> str | None:
    """Say why a named job is not reset; None where it is."""
    if life is None:
        return "no such job"
    if name.workflow_id not in (None, life.workflow_id):
        return f"not of workflow {name.workflow_id}"
    if name.is_preview:
        return "its adjustment was tried only (dry run), not applied"
    for word, want, have in (("run", name.run_id, life.run_id), ("attempt", name.attempt_id, life.attempt_id)):
        if want not in (None, have):
            return f"the record is of {word} {want}, the store has {have}"
    return "disabled" if life.status == states.DISABLED else None


def settled(affected: Mapping[int, Life], parents: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    """Give the new status of every job that is reset: ready, blocked, or canceled below a parent that stays bad.

    `parents` has (job, parent, status of the parent) for every edge into the jobs that are reset; a parent that is
    itself reset counts as blocked.
    """
    waiting: dict[int, list[int]] = {job_id: [] for job_id in affected}
    status: dict[int, int] = {}
    for job_id, parent, state in parents:
        if job_id in waiting:
            waiting[job_id].append(parent)
            status[parent] = states.BLOCKED if parent in waiting else state
    cancels = {job_id for job_id in waiting if affected[job_id].cancels}
    found = dict.fromkeys(waiting, states.BLOCKED)
    found.update(transitions.Unblocker(waiting, status, cancels).settle())
    return found
