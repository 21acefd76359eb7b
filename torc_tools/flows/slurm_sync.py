"""What Slurm knows of a workflow: asked with one squeue and one sacct, judged, written in the caller's transaction.

Slurm is asked before the last news are folded in: what it calls gone had written all its lines by then.
"""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable

from torc_tools import states
from torc_tools.core import accounts, reconciling
from torc_tools.core.reconciling import Answers, Verdict, Worker
from torc_tools.flows import orphans, sending, slurm_accounts, slurm_asking
from torc_tools.flows.orphans import Accounted, Fate, News
from torc_tools.flows.slurm_asking import Asked
from torc_tools.records import Record
from torc_tools.shell import (
    allocations,
    endnotes,
    jobedit,
    liveness,
    queries,
    slurm,
    store,
    stream,
    submissions,
    workers,
)


class Answered:
    """The side of Slurm in orphans.reconcile: what it answered, and what follows from that."""

    def __init__(self, asked: Asked) -> None:
        """Take Slurm's answers."""
        self._asked = asked
        self.words, self.dry_run = asked.words, asked.dry_run

    def judge(self, db: sqlite3.Connection, workflow: Record, command: str) -> News:
        """Write what Slurm says into the allocations, and find the workers that are gone."""
        return judge(db, workflow, command, self._asked)

    def account(self, db: sqlite3.Connection, workflow: Record, command: str) -> Accounted:
        """Add what accounting says to the results."""
        return slurm_accounts.settle(db, workflow, command, self._asked)

    def cancel_idle(self, db: sqlite3.Connection, workflow: Record, command: str) -> list[Record]:
        """Cancel queued allocations that have nothing left to run; give them."""
        return cancel_idle(db, workflow, command, self._asked)


def reconcile(db: sqlite3.Connection, workflow_id: int, command: str, *, dry_run: bool = False) -> Record:
    """Ask Slurm, and settle what its answers mean for allocations, jobs and results; give the summary.

    Not inside a transaction. In a dry run `db` is a copy in memory, and nothing of Slurm's is changed.
    """
    asked = slurm_asking.ask(db, queries.workflow(db, workflow_id), dry_run=dry_run)
    return orphans.reconcile(db, workflow_id, command, requeue=False, slurm=Answered(asked))


def judge(db: sqlite3.Connection, workflow: Record, command: str, asked: Asked) -> News:
    """Write what Slurm says into the allocations, and find the workers that are gone; in the caller's transaction."""
    now, limit = time.time(), liveness.silent_s()
    workflow_id = workflow["workflow_id"]
    unended = [each for each in slurm_asking.unended(db, workflow) if each.slurm_job_id in asked.queued_ids]
    verdicts: dict[str, Verdict] = {}
    news = News({}, [], [], 0, [])
    cleaned = 0
    for allocation_id, job_id in asked.found.items():
        submissions.tell_workers(workflow, allocation_id, job_id)
        row = submissions.get(db, allocation_id)
        if row["status"] == "submitting":
            submissions.settle(db, row, command, "found by its token", status="queued", slurm_job_id=job_id)
    for row in allocations.of_workflow(db, workflow_id):
        if row["slurm_job_id"] in asked.queued_ids:
            row["mark"] = sending.mark(workflow, row)
            verdict = _heard(reconciling.judge(row, asked.answers, now, limit), row, unended, now - limit)
            verdicts[row["slurm_job_id"]] = verdict
            cleaned += _apply(db, row, command, verdict, news)
    for job_id in {each.slurm_job_id for each in unended} - verdicts.keys():  # torc-work by hand, in a salloc
        row = {"slurm_job_id": job_id, "submitted_at": 0.0, "created_at": 0.0}
        verdicts[job_id] = reconciling.judge(row, asked.answers, now, limit)
    gone = reconciling.gone(unended, verdicts, asked.answers, now, limit)
    active = workers.active_jobs(db, workflow_id)
    had = Counter(job["worker"] for job in active)
    for worker in unended:
        if worker.name in gone:
            past = (asked.answers.lives or {}).get(worker.slurm_job_id, [])
            life, verdict = reconciling.life_of(worker, past), verdicts[worker.slurm_job_id]
            facts = accounts.lost(worker.slurm_job_id, life, verdict, alone=had[worker.name] == 1, uid=os.getuid())
            done = _done(workflow, active, worker, facts)
            news.fates[worker.name] = Fate(gone[worker.name], facts, accounts.why(facts), done)
    return news._replace(cleaned=cleaned)


def _done(workflow: Record, active: Iterable[sqlite3.Row], worker: Worker, facts: Record) -> frozenset[int]:
    """Give those of a worker's jobs that ended well, which it had no time to say: they left a note.

    Of a signal from Slurm only the shell around a job hears, and a worker that was killed by SIGKILL told nobody.
    """
    lives = (orphans.life(job) for job in active if job["worker"] == worker.name)
    where = workflow["output_dir"], workflow["workflow_id"]
    notes = {life[0]: endnotes.read(endnotes.path(*where, life)) for life in lives}
    killed = facts.get("allocation_exit_code") == "0:9"
    return frozenset(job_id for job_id, note in notes.items() if note.code == 0 and (killed or not note.told))


def _heard(verdict: Verdict, row: Record, unended: Iterable[Worker], since: float) -> Verdict:
    """Doubt that an allocation is lost while one of its workers still writes."""
    alive = any((each.heartbeat_at or 0) > since for each in unended if each.slurm_job_id == row["slurm_job_id"])
    return reconciling.NOTHING if verdict.status == "lost" and alive else verdict


def _apply(db: sqlite3.Connection, row: Record, command: str, verdict: Verdict, news: News) -> int:
    """Write a verdict on one allocation; give 1 where that ends a queued one."""
    if row["status"] == "canceled" or (
        row["status"] in allocations.OVER and verdict.status not in ("queued", "active")
    ):
        return 0
    after: Record = (
        {"slurm_state": verdict.state, "slurm_reason": verdict.reason} if verdict.state or verdict.status else {}
    )
    if verdict.status is not None:
        after.update(status=verdict.status, started_at=verdict.started_at or row["started_at"])
        after["ends_at"] = verdict.ends_at if verdict.status == "active" else None
        if verdict.status == "queued":
            after["started_at"] = None
    why = {"slurm_state": verdict.state, "reason": verdict.reason}
    allocations.change(db, row, command, why, **after)
    entry = _entry(row, verdict)
    if verdict.is_held:
        news.held.append(entry)
    if after and (after.get("status", row["status"]), verdict.state) != (row["status"], row["slurm_state"]):
        news.changed.append(entry)
    if verdict.status in allocations.OVER:
        news.ended.append(row["allocation_id"])
        return int(row["status"] in ("queued", "submitting"))
    return 0


def _entry(row: Record, verdict: Verdict) -> Record:
    said = {"slurm_state": verdict.state, "slurm_reason": verdict.reason}
    keys = ("allocation_id", "slurm_job_id")
    return {**{key: row[key] for key in keys}, "status": verdict.status or row["status"], **said}


def cancel_idle(db: sqlite3.Connection, workflow: Record, command: str, asked: Asked) -> list[Record]:
    """Cancel the queued allocations that have nothing left to run, and hear what became of them.

    These are all where the workflow has nothing, else those of an earlier run. Give those that are canceled; in a dry
    run those that would be. One that has just begun is spared.
    """
    workflow_id = workflow["workflow_id"]
    rows = allocations.of_workflow(db, workflow_id, ("queued",))
    if jobedit.in_states(db, workflow_id, states.WAITING | states.ACTIVE):
        run_id = queries.workflow(db, workflow_id)["run_id"]
        rows = [row for row in rows if allocations.is_stale(row, run_id)]
    ids = [row["slurm_job_id"] for row in rows if row["slurm_job_id"] in (asked.answers.queue or ())]
    if not ids:
        return []
    if asked.dry_run:
        return [_entry(row, reconciling.NOTHING) for row in rows if row["slurm_job_id"] in ids]
    try:
        slurm.scancel(ids, pending_only=True)
        answers = Answers(reconciling.queue(slurm.squeue(ids), slurm_asking.marks(workflow, rows)), None)
    except slurm.Unavailable as failure:
        stream.say(f"warning: {failure.message}; queued allocations with nothing to run are left")
        return []
    news = News({}, [], [], 0, [])
    with store.transaction(db):
        for row in allocations.of_workflow(db, workflow_id, ("queued",)):
            if row["slurm_job_id"] in ids:
                verdict = reconciling.judge(row, answers, time.time(), liveness.silent_s())
                if verdict.status == "canceled":
                    verdict = verdict._replace(reason=f"canceled by {command}: nothing left to run")
                _apply(db, row, command, verdict, news)
    return [each for each in news.changed if each["status"] == "canceled"]
