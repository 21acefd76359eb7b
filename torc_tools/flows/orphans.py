"""Jobs that lost their worker: what they left running is killed, then they are failed (-128) or made ready again.

A worker counts as gone when it said so or when its process (pid and start time) is dead on this machine; then its
event file is final, and no heartbeat needs to be waited for. What cannot be known (another machine) stays as it is.
"""

import os
import sqlite3
from typing import Any

from torc_tools import states
from torc_tools.core.ledger import MEASURED
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import folding, journal, layout, leftovers, queries, store, workers


def reconcile(
    db: sqlite3.Connection, workflow_id: int, command: str, *, requeue: bool, dry_run: bool = False
) -> Record:
    """Find the jobs whose worker is gone and settle them, in one transaction; give a summary of what was done.

    With `requeue` they go back to ready as the next attempt (a run that is resumed), else they are failed with
    return code -128, for torc-diagnose to see; in a canceled workflow they are canceled. With dry_run `db` is a copy
    in memory. Who is dead, and which claims there are, is found out before the last news is folded in: a worker may
    begin, and write its last line and end, at any moment, and a line that is there must count.
    """
    workflow = queries.workflow(db, workflow_id)
    with store.transaction(db):
        gone, killed = workers.gone(db, workflow_id), workers.killed(db, workflow_id)
        claims = workers.claims(workflow)
        fold.take_in(db, workflow)
        lost = [job for job in workers.active_jobs(db, workflow_id) if job["worker"] in gone]
        if not dry_run:
            leftovers.kill(workflow, map(life, lost), killed)
        _settle(db, workflow, command, lost, requeue=requeue)
        ended = workers.bury(db, workflow_id, killed)
        journal.record(db, workflow_id, command, map(_buried, ended))
        _free_claims(db, workflow, claims, dry_run=dry_run)
    return _summary(workflow_id, lost, ended, requeue=requeue)


def _settle(db: sqlite3.Connection, workflow: Record, command: str, lost: list[sqlite3.Row], *, requeue: bool) -> None:
    if not lost:
        return
    workflow_id = workflow["workflow_id"]
    after = states.CANCELED if workflow["is_canceled"] else states.READY if requeue else states.FAILED
    save_lost(db, workflow_id, lost, states.FAILED, "lost")
    moves = {job["job_id"]: (after, job["attempt_id"] + (after == states.READY), None) for job in lost}
    folding.save_moves(db, moves)
    changes = [_change(job, moves[job["job_id"]]) for job in lost]
    changes += [_followed(job_id, status) for job_id, status in fold.settle(db, workflow_id)]
    journal.record(db, workflow_id, command, changes)


def save_lost(db: sqlite3.Connection, workflow_id: int, lost: list[sqlite3.Row], status: int, reason: str) -> None:
    """Give the attempts whose end nobody saw a result that says so: return code -128, nothing measured."""
    unknown = (states.LOST_CODE, *[None] * len(MEASURED))
    rows = [(*life(job), status, *unknown, job["worker"], {"reason": reason}) for job in lost]
    folding.save_results(db, workflow_id, rows)


def life(job: sqlite3.Row) -> tuple[int, int, int]:
    """Give the ids of the attempt that a job is in: job, run, attempt."""
    return job["job_id"], job["run_id"], job["attempt_id"]


def _change(job: sqlite3.Row, after: tuple[int, int, str | None]) -> journal.Change:
    why: dict[str, Any] = {"cause": "orphan", "worker": job["worker"]}
    before = {key: job[key] for key in ("run_id", "attempt_id", "worker")}
    status, attempt_id, worker = after
    now = {**before, "attempt_id": attempt_id, "worker": worker, "status": states.NAMES[status]}
    return journal.Change("job", job["job_id"], why, {**before, "status": states.NAMES[job["status"]]}, now)


def _followed(job_id: int, status: int) -> journal.Change:
    """Note the move of a blocked job whose last parent was lost."""
    after = {"status": states.NAMES[status]}
    return journal.Change("job", job_id, {"cause": "parents"}, {"status": states.NAMES[states.BLOCKED]}, after)


def _buried(allocation_id: int) -> journal.Change:
    why = {"cause": "orphan"}
    return journal.Change("allocation", allocation_id, why, {"status": "active"}, {"status": "lost"})


def _free_claims(db: sqlite3.Connection, workflow: Record, claims: list[str], *, dry_run: bool) -> None:
    """Take away claims that nobody will make good; what a worker started before it could say so is killed first."""
    if not claims:
        return
    lives = folding.lives(db, workflow["workflow_id"])
    stale = workers.stale_claims(workflow, claims, lives, all_gone=workers.silent(db, workflow["workflow_id"]))
    if not dry_run:
        names = set(map(os.path.basename, stale))
        unsaid = [(job, run, attempt) for job, (status, run, attempt) in lives.items() if status in states.WAITING]
        leftovers.kill(workflow, [life for life in unsaid if layout.claim_name(*life) in names])
        workers.remove(stale)


def _summary(workflow_id: int, lost: list[sqlite3.Row], ended: list[int], *, requeue: bool) -> Record:
    """Make the summary record of torc-sync; the first four keys are torc's own."""
    return {
        "type": "summary",
        "workflow_id": workflow_id,
        "slurm_jobs_failed": 0,
        "pending_allocations_cleaned": 0,
        "running_jobs_failed": 0 if requeue else len(lost),
        "failed_job_details": [
            {"job_id": job["job_id"], "job_name": job["name"], "reason": "its worker is gone", "slurm_job_id": None}
            for job in lost
        ],
        "allocations_ended": ended,
    }
