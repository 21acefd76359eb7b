"""Canceling: what has not started is canceled in the store; what runs is ended by its worker, whose events are folded.

The store is changed first, so that nothing starts it again; then the workers are asked, waited for, and told by
SIGTERM; what they wrote is folded, so results and peaks are kept; what nobody has any more is canceled at the end.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence

from torc_tools import exits, states
from torc_tools.exits import Failure
from torc_tools.flows import fold, orphans
from torc_tools.records import Record
from torc_tools.shell import allocations, folding, jobedit, journal, leftovers, queries, stopping, store, workers
from torc_tools.shell.journal import Change

LAST_S = 5.0  # how long a worker has after SIGTERM
_COMMAND = "torc-cancel"
_WHY = {"reason": "canceled"}
_LOOK_S = 0.2


def cancel(db: sqlite3.Connection, workflow_id: int, grace_s: float, *, dry_run: bool) -> None:
    """Cancel a workflow; `db` has the news folded in (with dry_run: it is a copy in memory, and nothing is stopped)."""
    workflow = queries.workflow(db, workflow_id)
    with store.transaction(db):
        changes = _cancel_waiting(db, jobedit.in_states(db, workflow_id, states.WAITING))
        if jobedit.mark_canceled(db, workflow_id):
            changes.append(Change("workflow", workflow_id, _WHY, {"is_canceled": False}, {"is_canceled": True}))
        journal.record(db, workflow_id, _COMMAND, changes)
        _drop(db, workflow_id, dry_run=dry_run)
    trouble = None if dry_run else _stop(db, workflow, grace_s)
    with store.transaction(db):
        changes = _cancel_waiting(db, jobedit.in_states(db, workflow_id, states.WAITING))
        changes += _cancel_orphans(db, workflow, dry_run=dry_run)
        changes += _end_allocations(db, workflow_id, dry_run=dry_run)
        journal.record(db, workflow_id, _COMMAND, changes)
    if trouble:
        raise trouble


def cancel_jobs(
    db: sqlite3.Connection, workflow_id: int, job_ids: Sequence[int], grace_s: float, *, dry_run: bool
) -> None:
    """Cancel some jobs of a workflow; those that depend on them move by the transition rule.

    Raises Failure(66) for a job that the workflow does not have. Jobs that have ended stay as they are.
    """
    workflow = queries.workflow(db, workflow_id)
    with store.transaction(db):
        lives = folding.lives(db, workflow_id)
        _refuse_strangers(workflow_id, job_ids, lives)
        open_jobs = {job: lives[job] for job in job_ids if lives[job][0] in states.WAITING | states.ACTIVE}
        waiting = {job: life[0] for job, life in open_jobs.items() if life[0] in states.WAITING}
        changes = _cancel_waiting(db, waiting)
        changes += _cancel_orphans(db, workflow, among=open_jobs, dry_run=dry_run)
        changes += _settled(db, workflow_id)
        journal.record(db, workflow_id, _COMMAND, changes)
    if not dry_run and open_jobs and (stopping.processes(db, workflow_id) or allocations.live(db, workflow_id)):
        stopping.request_jobs(workflow, [(job, *life[1:]) for job, life in open_jobs.items()])
        _wait_for_jobs(db, workflow_id, set(open_jobs), grace_s)


def still_active(db: sqlite3.Connection, workflow_id: int, job_ids: Iterable[int] | None = None) -> list[int]:
    """Give the jobs (among `job_ids`, if given) that a worker still has."""
    active = jobedit.in_states(db, workflow_id, states.ACTIVE)
    return sorted(active if job_ids is None else active.keys() & set(job_ids))


def _refuse_strangers(workflow_id: int, job_ids: Sequence[int], lives: Mapping[int, object]) -> None:
    for job_id in job_ids:
        if job_id not in lives:
            raise Failure(exits.NO_INPUT, f"workflow {workflow_id} has no job '{job_id}'")


def _cancel_waiting(db: sqlite3.Connection, waiting: Mapping[int, int]) -> list[Change]:
    """Cancel jobs that have not started."""
    jobedit.update(db, "status", states.CANCELED, list(waiting))
    return [_change(job_id, status, states.CANCELED) for job_id, status in waiting.items()]


def _settled(db: sqlite3.Connection, workflow_id: int) -> list[Change]:
    moves = fold.settle(db, workflow_id)
    return [_change(job_id, states.BLOCKED, status) for job_id, status in moves]


def _change(job_id: int, before: int, after: int) -> Change:
    return Change("job", job_id, _WHY, {"status": states.NAMES[before]}, {"status": states.NAMES[after]})


def _cancel_orphans(
    db: sqlite3.Connection, workflow: Record, *, among: Iterable[int] | None = None, dry_run: bool
) -> list[Change]:
    """Cancel the active jobs that no living worker has (in a dry run all), with a result; kill what is left of them."""
    workflow_id = workflow["workflow_id"]
    gone = workers.gone(db, workflow_id)
    nobody = not stopping.processes(db, workflow_id)
    wanted = None if among is None else set(among)
    lost = [
        job
        for job in workers.active_jobs(db, workflow_id)
        if (wanted is None or job["job_id"] in wanted) and (dry_run or nobody or job["worker"] in gone)
    ]
    if not dry_run:
        leftovers.kill(workflow, map(orphans.life, lost), workers.killed(db, workflow_id))
    orphans.save_lost(db, workflow_id, lost, states.CANCELED, "canceled")
    folding.save_moves(db, {job["job_id"]: (states.CANCELED, job["attempt_id"], None) for job in lost})
    return [_taken(job) for job in lost]


def _taken(job: sqlite3.Row) -> Change:
    """Note that a job is canceled that a worker had."""
    before = {"status": states.NAMES[job["status"]], "worker": job["worker"]}
    return Change("job", job["job_id"], _WHY, before, {"status": states.NAMES[states.CANCELED], "worker": None})


def _end_allocations(db: sqlite3.Connection, workflow_id: int, *, dry_run: bool) -> list[Change]:
    """End the allocations of this machine whose process is gone, and those that are only planned."""
    live = set() if dry_run else {each["allocation_id"] for each in workers.live(db, workflow_id)}
    query = (
        "SELECT allocation_id, status FROM allocation WHERE workflow_id = ?"
        " AND (status = 'planned' OR (kind = 'local' AND status = 'active'))"
    )
    rows = [row for row in db.execute(query, (workflow_id,)).fetchall() if row["allocation_id"] not in live]
    db.executemany(
        "UPDATE allocation SET status = 'canceled', ended_at = ? WHERE allocation_id = ?",
        [(time.time(), row["allocation_id"]) for row in rows],
    )
    after = {"status": "canceled"}
    return [Change("allocation", row["allocation_id"], _WHY, {"status": row["status"]}, after) for row in rows]


def _drop(db: sqlite3.Connection, workflow_id: int, *, dry_run: bool) -> None:
    """Cancel the allocations of Slurm that are only planned; in a dry run also those that it has."""
    for row in allocations.of_workflow(db, workflow_id, ("planned", *(allocations.LIVE if dry_run else ()))):
        allocations.change(db, row, _COMMAND, _WHY, status="canceled")


def _stop(db: sqlite3.Connection, workflow: Record, grace_s: float) -> Failure | None:
    """End workers and allocations of Slurm; give what went wrong there, the rest being done all the same."""
    stopping.request(workflow)
    try:
        if allocations.live(db, workflow["workflow_id"]):
            from torc_tools.flows import slurm_cancel  # what speaks to Slurm, which most have no need of

            slurm_cancel.stop(db, workflow, grace_s)
    except Failure as failure:
        then = "does" if failure.status == exits.UNAVAILABLE else "has"
        again = f"'torc-cancel {workflow['workflow_id']}' again when it {then}"
        return Failure(failure.status, f"{failure.message}: {again}")
    finally:
        _stop_workers(db, workflow, grace_s)
    return None


def _stop_workers(db: sqlite3.Connection, workflow: Record, grace_s: float) -> None:
    """Ask every worker to leave, wait, send SIGTERM to those here that have not left, fold what they wrote."""
    workflow_id = workflow["workflow_id"]
    asked = stopping.processes(db, workflow_id)
    stopping.request(workflow)
    late = stopping.wait(asked, grace_s)
    if late:
        stopping.terminate(late)
        stopping.wait(late, LAST_S)
    fold.fold(db, workflow_id)
    left = grace_s if len(stopping.processes(db, workflow_id)) > len(stopping.here(asked)) else 0.0
    _wait_for_jobs(db, workflow_id, None, left)


def _wait_for_jobs(db: sqlite3.Connection, workflow_id: int, job_ids: set[int] | None, seconds: float) -> None:
    """Fold until no worker has the jobs (None: any job), `seconds` at most."""
    deadline = time.monotonic() + seconds
    while still_active(db, workflow_id, job_ids) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        fold.fold(db, workflow_id)
