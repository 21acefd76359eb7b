"""Canceling on Slurm: what is planned is dropped, what is queued is taken back, what runs is ended by its workers.

Only PENDING jobs are canceled at first: one that has just started finds the cancel file, and its worker ends it in good
order. What is still there after the grace is canceled as it is. Each allocation is noted as canceled by us.
"""

import sqlite3
import time
from collections.abc import Callable

from torc_tools import exits
from torc_tools.core import reconciling
from torc_tools.exits import Failure
from torc_tools.flows import fold, sending, slurm_asking, slurm_sync
from torc_tools.records import Record
from torc_tools.shell import allocations, slurm, store, submissions

_COMMAND = "torc-cancel"
_LOOK_S = 0.5
_LAST_S = 5.0  # how long Slurm has to end what is canceled
_WHY = {"reason": "torc-cancel"}


def stop(db: sqlite3.Connection, workflow: Record, grace_s: float) -> None:
    """End the allocations of a workflow whose cancel file is written. Raises Failure(69) where Slurm is silent."""
    workflow_id = workflow["workflow_id"]
    deadline = time.monotonic() + grace_s
    unknown = _settle_submitting(db, workflow, deadline)
    rows = allocations.live(db, workflow_id)
    ids = [row["slurm_job_id"] for row in rows if row["slurm_job_id"]]
    if ids:
        slurm.scancel(_note_over(db, workflow), pending_only=True)
        _until(lambda: not _note_over(db, workflow) or not _working(db, workflow), deadline)
        left = _note_over(db, workflow)
        if left:
            slurm.scancel(left)
            _until(lambda: not _note_over(db, workflow), time.monotonic() + _LAST_S)
        _note(db, workflow_id, dict.fromkeys(ids))
        slurm_sync.reconcile(db, workflow_id, _COMMAND)
    if unknown:
        text = f"whether Slurm has allocation {unknown[0]} is not known before its torc-submit has ended"
        raise Failure(exits.TEMPORARY, text)


def _settle_submitting(db: sqlite3.Connection, workflow: Record, deadline: float) -> list[int]:
    """Find out whether Slurm has what was being submitted; give what a living submitter has in hand too long."""
    _until(lambda: not any(map(submissions.held_by_other, _submitting(db, workflow))), deadline)
    held = []
    for row in _submitting(db, workflow):
        if submissions.held_by_other(row):
            held.append(row["allocation_id"])
            continue
        sending.end_sbatch(workflow, row)
        found = sending.look(workflow, row)
        after = {"status": "canceled"} if found is None else {"status": "queued", "slurm_job_id": found}
        with store.transaction(db):
            submissions.settle(db, submissions.get(db, row["allocation_id"]), _COMMAND, "torc-cancel", **after)
    return held


def _submitting(db: sqlite3.Connection, workflow: Record) -> list[Record]:
    return submissions.submitting(db, workflow["workflow_id"])


def _until(happened: Callable[[], bool], deadline: float) -> None:
    while not happened() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _working(db: sqlite3.Connection, workflow: Record) -> bool:
    """Say whether a worker of an allocation has not left, by what they wrote."""
    fold.fold(db, workflow["workflow_id"])
    return bool(allocations.working(db, workflow["workflow_id"]))


def _note_over(db: sqlite3.Connection, workflow: Record) -> list[str]:
    """Note which allocations Slurm has ended; give the Slurm jobs that it has not, and that still are ours."""
    workflow_id = workflow["workflow_id"]
    rows = [row for row in allocations.live(db, workflow_id) if row["slurm_job_id"]]
    ids = [row["slurm_job_id"] for row in rows]
    if not ids:
        return []
    found = reconciling.queue(slurm.squeue(ids), slurm_asking.marks(workflow, rows)) or {}
    over = {job_id: found.get(job_id) for job_id in ids if job_id not in found or found[job_id].kind == "over"}
    _note(db, workflow_id, {job_id: row and row.state for job_id, row in over.items()})
    return [job_id for job_id in ids if job_id not in over]


def _note(db: sqlite3.Connection, workflow_id: int, states: dict[str, str | None]) -> None:
    """Note allocations as canceled by us, with Slurm's last word on them (None: it said none)."""
    if not states:
        return
    with store.transaction(db):
        for row in allocations.live(db, workflow_id):
            if row["slurm_job_id"] in states:
                state = states[row["slurm_job_id"]] or row["slurm_state"]
                after = {"status": "canceled", "slurm_state": state, "slurm_reason": "torc-cancel"}
                allocations.change(db, row, _COMMAND, _WHY, **after)
