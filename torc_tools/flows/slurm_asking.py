"""Asking Slurm for all that the store does not know for good: one squeue, one sacct; what gives no answer is told."""

import functools
import sqlite3
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torc_tools.core import reconciling, sbatch
from torc_tools.core.reconciling import Answers, Life, Marks, Worker
from torc_tools.flows import sending
from torc_tools.records import Record
from torc_tools.shell import accounting, allocations, liveness, slurm, stream, submissions, workers

_PAUSES_S = (0.5, 1.0, 1.5, 2.0)  # a record takes some five seconds to get to accounting


class Asked(NamedTuple):
    """What Slurm was asked and what it answered. `words`: for squeue and sacct 'ok', 'unavailable' or 'not_asked'."""

    answers: Answers
    queued_ids: frozenset[str]
    accounted_ids: frozenset[str]
    words: Record
    found: Mapping[int, str]  # allocation to Slurm job: submitted by a process that died before it could note it
    is_disabled: bool = False  # this Slurm keeps no accounting
    dry_run: bool = False  # nothing but the copy of the store in memory may be changed


def ask(db: sqlite3.Connection, workflow: Record, *, dry_run: bool) -> Asked:
    """Ask Slurm for all that the store does not know for good; what gives no answer is told in one line each."""
    workflow_id = workflow["workflow_id"]
    rows = allocations.live(db, workflow_id)
    waiting = unended(db, workflow)
    ids = {row["slurm_job_id"] for row in rows if row["slurm_job_id"]} | {each.slurm_job_id for each in waiting}
    words: Record = {"squeue": "not_asked", "sacct": "not_asked"}
    found = {} if dry_run else _find(db, workflow, words)
    ids |= set(found.values())
    known = marks(workflow, allocations.of_workflow(db, workflow_id), found)
    queue = reconciling.queue(_answer("squeue", slurm.squeue, sorted(ids, key=_age), words)[0], known) if ids else None
    wanted = _unsettled(ids, queue, waiting) | {each["slurm_job_id"] for each in accounting.pending(db, workflow_id)}
    text, trouble = _answer("sacct", slurm.sacct, sorted(wanted, key=_age), words) if wanted else (None, "")
    past = reconciling.lives(text, known)
    if queue is not None and past is not None:
        past.update(_caught_up(Answers(queue, past), waiting, words, known))
    return Asked(
        Answers(queue, past), frozenset(ids), frozenset(wanted), words, found, "storage is disabled" in trouble, dry_run
    )


def marks(workflow: Record, rows: Iterable[Record], found: Mapping[int, str] = MappingProxyType({})) -> Marks:
    """Give, by Slurm's ids, how the allocations `rows` are told from other jobs that were given the same id.

    `found`: Slurm jobs by allocation that the rows do not name yet.
    """
    known: dict[str, list[sbatch.Mark]] = {}
    for row in rows:
        job_id = row["slurm_job_id"] or found.get(row["allocation_id"])
        own = sending.mark(workflow, row)
        if job_id and own:
            known.setdefault(job_id, []).append(own)
    return known


def unended(db: sqlite3.Connection, workflow: Record) -> list[Worker]:
    """Give the workers in Slurm jobs that have not said their end."""
    return [Worker(*(row[key] for key in Worker._fields)) for row in workers.in_slurm(db, workflow)]


def _caught_up(answers: Answers, waiting: Iterable[Worker], words: Record, known: Marks) -> Mapping[str, list[Life]]:
    """Ask accounting a few times more for allocations that the controller says are over, with jobs that need a cause.

    It is some seconds late; what it does not have by then is waited for by the next torc-sync.
    """
    found: dict[str, list[Life]] = {}
    queue = answers.queue or {}
    over = [
        each for each in waiting if each.slurm_job_id in queue and reconciling.is_over(queue[each.slurm_job_id].state)
    ]
    for pause_s in _PAUSES_S:
        late = [each for each in over if reconciling.lags(each, Answers(queue, {**(answers.lives or {}), **found}))]
        if not late:
            break
        time.sleep(pause_s)
        text, _ = _answer("sacct", slurm.sacct, sorted({each.slurm_job_id for each in late}, key=_age), words)
        if text is None:
            break
        found |= reconciling.lives(text, known) or {}
    return found


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


def _unsettled(ids: set[str], queue: Mapping[str, Any] | None, waiting: Iterable[Worker]) -> set[str]:
    """Give the ids that squeue's word is not enough for: over, unknown to it, or with a worker of a former life."""
    if queue is None:
        return set(ids)
    oldest = time.time() - liveness.silent_s()
    quiet = {each.slurm_job_id for each in waiting if (each.heartbeat_at or 0) < oldest}
    return {
        job_id for job_id in ids if job_id in quiet or job_id not in queue or reconciling.is_over(queue[job_id].state)
    }
