"""Jobs that lost their worker: what they left running is killed, then they are failed (-128) or made ready again.

A worker counts as gone when it said so or when its process (pid and start time) is dead on this machine; then its
event file is final, and no heartbeat needs to be waited for. Of a worker in a Slurm job Slurm's word is taken
(flows.slurm_sync). What cannot be known (another machine, a Slurm that does not answer) stays as it is.
"""

import os
import sqlite3
from typing import Any, NamedTuple, Protocol

from torc_tools import states
from torc_tools.core.ledger import MEASURED
from torc_tools.flows import fold, spawning
from torc_tools.records import Record
from torc_tools.shell import folding, journal, layout, leftovers, queries, spawnfile, stopping, store, workers

_OF_DONE = ("slurm_job_id", "allocation_state", "accounting")  # facts that hold for a job that ended well, too


class Fate(NamedTuple):
    """What became of a worker that is gone: whether its allocation starts anew, facts for a job it had, words.

    `done` are those of its jobs that ended well without its having said so.
    """

    again: bool
    facts: Record
    why: str
    done: frozenset[int] = frozenset()


class News(NamedTuple):
    """What Slurm's answers bring: workers that are gone, allocations that changed, those that it holds."""

    fates: dict[str, Fate]
    changed: list[Record]
    ended: list[int]
    cleaned: int  # queued allocations that are no more
    held: list[Record]


class Accounted(NamedTuple):
    """How many attempts still wait for accounting, and those whose result was corrected."""

    pending: int
    corrected: list[Record]


class Slurm(Protocol):
    """What Slurm answered before, and what follows from that: flows.slurm_sync."""

    words: Record
    dry_run: bool

    def judge(self, db: sqlite3.Connection, workflow: Record, command: str) -> News:
        """Write what Slurm says into the allocations, and find the workers that are gone; in the transaction."""

    def account(self, db: sqlite3.Connection, workflow: Record, command: str) -> Accounted:
        """Add what accounting says to the results; in the transaction."""

    def cancel_idle(self, db: sqlite3.Connection, workflow: Record, command: str) -> list[Record]:
        """Cancel queued allocations that have nothing left to run, after the transaction; give them."""


class Nobody:
    """Slurm was not asked."""

    def __init__(self, *, dry_run: bool = False) -> None:
        """Say whether nothing but the copy of the store in memory may be changed."""
        self.words: Record = {"squeue": "not_asked", "sacct": "not_asked"}
        self.dry_run = dry_run

    def judge(self, _db: sqlite3.Connection, _workflow: Record, _command: str) -> News:
        """Find nobody gone."""
        return News({}, [], [], 0, [])

    def account(self, _db: sqlite3.Connection, _workflow: Record, _command: str) -> Accounted:
        """Add nothing."""
        return Accounted(0, [])

    def cancel_idle(self, _db: sqlite3.Connection, _workflow: Record, _command: str) -> list[Record]:
        """Cancel none."""
        return []


def reconcile(
    db: sqlite3.Connection,
    workflow_id: int,
    command: str,
    *,
    requeue: bool,
    slurm: Slurm | None = None,
) -> Record:
    """Find the jobs whose worker is gone and settle them, in one transaction; give a summary of what was done.

    With `requeue` they go back to ready as the next attempt (a run that is resumed), else they are failed with
    return code -128, for torc-diagnose to see; in a canceled workflow they are canceled. In a dry run `db` is a copy
    in memory. Who is dead, and which claims there are, is found out before the last news is folded in: a worker may
    begin, and write its last line and end, at any moment, and a line that is there must count. `slurm` is what Slurm
    answered before.
    """
    workflow, asked = queries.workflow(db, workflow_id), slurm or Nobody()
    with store.transaction(db):
        gone, killed = workers.gone(db, workflow_id), workers.killed(db, workflow_id)
        claims = workers.claims(workflow)
        fold.take_in(db, workflow)
        news = asked.judge(db, workflow, command)
        killed = [*killed, *news.fates]
        gone |= news.fates.keys()
        lost = [Lost(job, news.fates.get(job["worker"])) for job in workers.active_jobs(db, workflow_id)]
        lost = [each for each in lost if each.job["worker"] in gone]
        lost = _judged(db, workflow, lost)
        if not asked.dry_run:
            leftovers.kill(workflow, (life(each.job) for each in lost), killed)
        _settle(db, workflow, command, lost, requeue=requeue)
        accounted = asked.account(db, workflow, command)
        ended = workers.bury(db, workflow_id, killed)
        journal.record(db, workflow_id, command, map(_buried, ended))
        _free_claims(db, workflow, claims, dry_run=asked.dry_run)
    if not asked.dry_run:
        became = ((life(each.job), states.NAMES[each.status(workflow, requeue)]) for each in lost)
        stopping.tell_lost(workflow, became)
        spawning.tell(db, workflow)
    accounted = accounted._replace(corrected=[*(_found(each) for each in lost if each.is_done), *accounted.corrected])
    canceled = asked.cancel_idle(db, workflow, command)
    return _summary(workflow, lost, requeue) | _slurm_summary(asked.words, news, accounted, ended, canceled)


class Lost(NamedTuple):
    """A job whose worker is gone, and what Slurm says became of that; None: it was no worker in a Slurm job.

    `refused` tells why a job that ended well has failed: what it spawned is not accepted.
    """

    job: sqlite3.Row
    fate: Fate | None
    refused: Record | None = None

    def facts(self) -> Record:
        """Give what the result of the attempt is to say."""
        facts = self.fate.facts if self.fate else {"reason": "lost"}
        of_done = {key: facts[key] for key in facts if key in _OF_DONE}
        if self.refused is not None:
            return {**of_done, **self.refused}
        return of_done if self.is_done else facts

    @property
    def is_done(self) -> bool:
        """Say whether accounting has its good end."""
        return self.refused is None and self.fate is not None and self.job["job_id"] in self.fate.done

    def status(self, workflow: Record, requeue: bool) -> int:
        """Give what the job becomes: it runs again where the run is resumed, or Slurm starts its allocation anew."""
        if self.is_done:
            return states.COMPLETED
        if self.refused is not None:
            return states.FAILED
        if workflow["is_canceled"]:
            return states.CANCELED
        return states.READY if requeue or (self.fate and self.fate.again) else states.FAILED


def _judged(db: sqlite3.Connection, workflow: Record, lost: list[Lost]) -> list[Lost]:
    """Take in what the jobs spawned that ended well without their worker's word."""
    if not any(each.is_done for each in lost):
        return lost
    spawns = spawning.Spawns(db, workflow, folding.lives(db, workflow["workflow_id"]))
    return [_judged_one(spawns, workflow, each) if each.is_done else each for each in lost]


def _judged_one(spawns: spawning.Spawns, workflow: Record, lost: Lost) -> Lost:
    ids = zip(("job_id", "run_id", "attempt_id"), life(lost.job), strict=True)
    marked = spawnfile.mark(workflow, life(lost.job))
    event = spawns.heard({**dict(ids), "status": "completed", **marked})
    if event["status"] == "completed":
        return lost
    return lost._replace(refused={key: event[key] for key in ("reason", "log_tail")})


def _settle(db: sqlite3.Connection, workflow: Record, command: str, lost: list[Lost], *, requeue: bool) -> None:
    if not lost:
        return
    workflow_id = workflow["workflow_id"]
    folding.save_results(db, workflow_id, [_ended(each) for each in lost])
    moves = {}
    for each in lost:
        after, attempt_id = each.status(workflow, requeue), each.job["attempt_id"]
        moves[each.job["job_id"]] = (after, attempt_id + (after == states.READY), None)
    folding.save_moves(db, moves)
    changes = [_change(each, moves[each.job["job_id"]]) for each in lost]
    changes += [_followed(job_id, status) for job_id, status in fold.settle(db, workflow_id)]
    journal.record(db, workflow_id, command, changes)


def _ended(lost: Lost) -> tuple[Any, ...]:
    if lost.is_done:
        return _result(lost.job, states.COMPLETED, lost.facts(), 0)
    if lost.refused is not None:
        return _result(lost.job, states.FAILED, lost.facts(), 1)
    return _result(lost.job, states.FAILED, lost.facts())


def save_lost(db: sqlite3.Connection, workflow_id: int, lost: list[sqlite3.Row], status: int, reason: str) -> None:
    """Give the attempts whose end nobody saw a result that says so: return code -128, nothing measured."""
    folding.save_results(db, workflow_id, [_result(job, status, {"reason": reason}) for job in lost])


def _result(job: sqlite3.Row, status: int, facts: Record, code: int = states.LOST_CODE) -> tuple[Any, ...]:
    """Make the result of a lost attempt: what it had been given is known, and nothing else."""
    given = {key: job[key] for key in ("memory_bytes", "runtime_s", "num_cpus")}
    return (*life(job), status, code, *map(given.get, MEASURED), job["worker"], facts)


def life(job: sqlite3.Row) -> tuple[int, int, int]:
    """Give the ids of the attempt that a job is in: job, run, attempt."""
    return job["job_id"], job["run_id"], job["attempt_id"]


def _change(lost: Lost, after: tuple[int, int, str | None]) -> journal.Change:
    job, facts = lost.job, lost.facts()
    why: dict[str, Any] = {"cause": "accounting" if lost.is_done else "orphan", "worker": job["worker"]}
    why |= {key: facts[key] for key in ("slurm_job_id", "allocation_state") if key in facts}
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
    workflow_id = workflow["workflow_id"]
    gone, silent = workers.gone(db, workflow_id), workers.silent(db, workflow_id)
    stale = workers.stale_claims(workflow, claims, lives, gone, all_gone=silent)
    if not dry_run:
        names = set(map(os.path.basename, stale))
        unsaid = [(job, run, attempt) for job, (status, run, attempt) in lives.items() if status in states.WAITING]
        leftovers.kill(workflow, [life for life in unsaid if layout.claim_name(*life) in names])
        workers.remove(stale)


def _summary(workflow: Record, lost: list[Lost], requeue: bool) -> Record:
    """Make the summary record of torc-sync; the first four keys are torc's own."""
    left = [each for each in lost if not each.is_done]
    failed = [each for each in left if each.status(workflow, requeue) != states.READY]
    return {
        "type": "summary",
        "workflow_id": workflow["workflow_id"],
        "slurm_jobs_failed": sum(each.fate is not None for each in failed),
        "pending_allocations_cleaned": 0,
        "running_jobs_failed": 0 if requeue else sum(each.fate is None for each in failed),
        "failed_job_details": [_detail(each) for each in left if requeue or each in failed],
        "jobs_requeued": [_detail(each) for each in left if not requeue and each not in failed],
    }


def _detail(lost: Lost) -> Record:
    reason = lost.fate.why if lost.fate else "its worker is gone"
    ids = {"job_id": lost.job["job_id"], "job_name": lost.job["name"]}
    return {**ids, "reason": reason, "slurm_job_id": lost.facts().get("slurm_job_id")}


def _found(lost: Lost) -> Record:
    ids = {"job_id": lost.job["job_id"], "job_name": lost.job["name"]}
    ids |= {"run_id": lost.job["run_id"], "attempt_id": lost.job["attempt_id"]}
    return {**ids, "return_code": 0, "reason": "its step ended well; its worker died before it could say so"}


def _slurm_summary(words: Record, news: News, accounted: Accounted, ended: list[int], canceled: list[Record]) -> Record:
    """Make the part of the summary that speaks of allocations and of Slurm."""
    over = {*ended, *news.ended, *(each["allocation_id"] for each in canceled)}
    return {
        "pending_allocations_cleaned": news.cleaned + len(canceled),
        "allocations_ended": sorted(over),
        "slurm": words,
        "allocations": news.changed,
        "allocations_held": news.held,
        "allocations_canceled": canceled,
        "accounting_pending": accounted.pending,
        "corrected": accounted.corrected,
    }
