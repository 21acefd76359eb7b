"""What Slurm knows of a workflow: asked with one squeue and one sacct, judged, written in the caller's transaction.

Slurm is asked before the last news are folded in: what it calls gone had written all its lines by then.
"""

import functools
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torc_tools import states
from torc_tools.core import accounts, reconciling, sbatch
from torc_tools.core.reconciling import Answers, Verdict, Worker
from torc_tools.flows import sending
from torc_tools.records import Record
from torc_tools.shell import accounting, allocations, jobedit, liveness, slurm, store, stream, submissions, workers


class Asked(NamedTuple):
    """What Slurm was asked and what it answered. `words`: for squeue and sacct 'ok', 'unavailable' or 'not_asked'."""

    answers: Answers
    queued_ids: frozenset[str]
    accounted_ids: frozenset[str]
    words: Record
    found: Mapping[int, str]  # allocation to Slurm job: submitted by a process that died before it could note it
    is_disabled: bool = False  # this Slurm keeps no accounting
    dry_run: bool = False  # nothing but the copy of the store in memory may be changed


class Fate(NamedTuple):
    """What became of a worker that is gone: whether its allocation starts anew, and the facts for a job it had."""

    again: bool
    facts: Record


class News(NamedTuple):
    """What judging brought: workers that are gone, allocations that changed, and those that Slurm holds."""

    fates: dict[str, Fate]
    changed: list[Record]
    ended: list[int]
    cleaned: int  # queued allocations that are no more
    held: list[Record]


NOT_ASKED = Asked(Answers(None, None), frozenset(), frozenset(), {"squeue": "not_asked", "sacct": "not_asked"}, {})


def ask(db: sqlite3.Connection, workflow: Record, *, dry_run: bool) -> Asked:
    """Ask Slurm for all that the store does not know for good; what gives no answer is told in one line each."""
    workflow_id = workflow["workflow_id"]
    rows = allocations.live(db, workflow_id)
    unended = _workers(db, workflow)
    ids = {row["slurm_job_id"] for row in rows if row["slurm_job_id"]} | {each.slurm_job_id for each in unended}
    words = dict(NOT_ASKED.words)
    found = {} if dry_run else _find(db, workflow, words)
    ids |= set(found.values())
    queue = reconciling.queue(_answer("squeue", slurm.squeue, sorted(ids, key=_age), words)[0]) if ids else None
    wanted = _unsettled(ids, queue, unended) | {each["slurm_job_id"] for each in accounting.pending(db, workflow_id)}
    text, trouble = _answer("sacct", slurm.sacct, sorted(wanted, key=_age), words) if wanted else (None, "")
    past = reconciling.lives(text)
    return Asked(
        Answers(queue, past), frozenset(ids), frozenset(wanted), words, found, "storage is disabled" in trouble, dry_run
    )


def _workers(db: sqlite3.Connection, workflow: Record) -> list[Worker]:
    return [
        Worker(*(row[key] for key in Worker._fields))  # type: ignore[arg-type]
        for row in workers.in_slurm(db, workflow)
    ]


def _find(db: sqlite3.Connection, workflow: Record, words: Record) -> dict[int, str]:
    """Look for the allocations whose submitter died before it had an answer, by their tokens."""
    found = {}
    for row in submissions.submitting(db, workflow["workflow_id"]):
        if not submissions.held_by_other(row):
            name = sbatch.job_name(row["config"], row["allocation_id"], workflow["token"])
            job_id, _ = _answer("squeue", functools.partial(sending.lookup, workflow, row), name, words)
            if job_id is not None:
                found[row["allocation_id"]] = job_id
    return found


def _age(job_id: str) -> tuple[int, str]:
    return len(job_id), job_id


def _answer(name: str, question: Any, about: Any, words: Record) -> tuple[str | None, str]:
    """Ask one question; give the text, or None and why there is none, which is told."""
    try:
        text = question(about)
    except slurm.Unavailable as failure:
        words[name] = "unavailable"
        stream.say(f"warning: {failure.message}; nothing is concluded from it")
        return None, failure.message
    words[name] = "ok"
    return text, ""


def _unsettled(ids: set[str], queue: Mapping[str, Any] | None, unended: Iterable[Worker]) -> set[str]:
    """Give the ids that squeue's word is not enough for: over, unknown to it, or with a worker of a former life."""
    if queue is None:
        return set(ids)
    oldest = time.time() - liveness.silent_s()
    quiet = {each.slurm_job_id for each in unended if (each.heartbeat_at or 0) < oldest}
    return {
        job_id for job_id in ids if job_id in quiet or job_id not in queue or reconciling.is_over(queue[job_id].state)
    }


def judge(db: sqlite3.Connection, workflow: Record, command: str, asked: Asked) -> News:
    """Write what Slurm says into the allocations, and find the workers that are gone; in the caller's transaction."""
    now, limit = time.time(), liveness.silent_s()
    workflow_id = workflow["workflow_id"]
    unended = [each for each in _workers(db, workflow) if each.slurm_job_id in asked.queued_ids]
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
            verdict = _heard(reconciling.judge(row, asked.answers, now, limit), row, unended, now - limit)
            verdicts[row["slurm_job_id"]] = verdict
            cleaned += _apply(db, row, command, verdict, news)
    for job_id in {each.slurm_job_id for each in unended} - verdicts.keys():  # torc-work by hand, in a salloc
        row = {"slurm_job_id": job_id, "submitted_at": 0.0, "created_at": 0.0}
        verdicts[job_id] = reconciling.judge(row, asked.answers, now, limit)
    gone = reconciling.gone(unended, verdicts, asked.answers, now, limit)
    had = Counter(job["worker"] for job in workers.active_jobs(db, workflow_id))
    for worker in unended:
        if worker.name in gone:
            past = (asked.answers.lives or {}).get(worker.slurm_job_id, [])
            life, verdict = reconciling.life_of(worker, past), verdicts[worker.slurm_job_id]
            facts = accounts.lost(worker.slurm_job_id, life, verdict, alone=had[worker.name] == 1, uid=os.getuid())
            news.fates[worker.name] = Fate(gone[worker.name], facts)
    return news._replace(cleaned=cleaned)


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
    """Cancel the queued allocations of a workflow that has nothing left to run, and hear what became of them.

    Give those that are canceled; in a dry run those that would be. One that has just begun is spared.
    """
    workflow_id = workflow["workflow_id"]
    rows = allocations.of_workflow(db, workflow_id, ("queued",))
    ids = [row["slurm_job_id"] for row in rows if row["slurm_job_id"] in asked.queued_ids]
    if not ids or asked.answers.queue is None or jobedit.in_states(db, workflow_id, states.WAITING | states.ACTIVE):
        return []
    if asked.dry_run:
        return [_entry(row, reconciling.NOTHING) for row in rows if row["slurm_job_id"] in ids]
    try:
        slurm.scancel(ids, pending_only=True)
        answers = Answers(reconciling.queue(slurm.squeue(ids)), None)
    except slurm.Unavailable as failure:
        stream.say(f"warning: {failure.message}; queued allocations with nothing to run are left")
        return []
    news = News({}, [], [], 0, [])
    with store.transaction(db):
        for row in allocations.of_workflow(db, workflow_id, ("queued",)):
            if row["slurm_job_id"] in ids:
                verdict = reconciling.judge(row, answers, time.time(), liveness.silent_s())
                _apply(db, row, command, verdict._replace(reason="canceled by torc-sync: nothing left to run"), news)
    return [each for each in news.changed if each["status"] == "canceled"]
