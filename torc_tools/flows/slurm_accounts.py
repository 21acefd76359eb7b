"""Results as accounting knows them: statistics of steps, true peaks, what Slurm killed behind a script that went on."""

import os
import sqlite3
import time

from torc_tools import states
from torc_tools.core import accounts
from torc_tools.core.accounts import Account
from torc_tools.core.outcome import Codes
from torc_tools.flows import fold
from torc_tools.flows.orphans import Accounted
from torc_tools.flows.slurm_asking import Asked
from torc_tools.records import Record
from torc_tools.shell import accounting, eventlog, folding, journal


def settle(db: sqlite3.Connection, workflow: Record, command: str, asked: Asked) -> Accounted:
    """Add what accounting says to the results, in the caller's transaction.

    A job that ended well in a step that Slurm killed for memory has failed, unless it has run again since.
    """
    corrected, stats, waiting = [], [], 0
    now, uid, code = time.time(), os.getuid(), _oom_code(workflow)
    restarts = _Restarts(workflow)
    for attempt in accounting.pending(db, workflow["workflow_id"]):
        attempt["restart_count"] = restarts[attempt["worker"]]
        found = _account(attempt, asked, now, uid)
        if found is None:
            waiting += 1
            if attempt["facts"].get("accounting") is None:
                accounting.save(db, attempt, {"accounting": "pending"}, {})
            continue
        if found.is_oom and attempt["status"] == states.COMPLETED:
            found = accounts.out_of_memory(found, code)
            corrected.append(attempt)
        accounting.save(db, attempt, found.facts, found.columns)
        stats += [found.stats] if found.stats else []
    accounting.save_stats(db, stats)
    _fail(db, workflow["workflow_id"], command, corrected)
    return Accounted(waiting, [_corrected(attempt, code) for attempt in corrected])


class _Restarts(dict[str, int | None]):
    """Of which life of its Slurm job each worker is, from the first line of its events; read once."""

    def __init__(self, workflow: Record) -> None:
        self._workflow = workflow

    def __missing__(self, worker: str) -> int | None:
        count = eventlog.first(self._workflow, worker).get("restart_count")
        self[worker] = count if isinstance(count, int) else None
        return self[worker]


def _account(attempt: Record, asked: Asked, now: float, uid: int) -> Account | None:
    if asked.is_disabled:
        return accounts.account(attempt, (), float("inf"), uid)
    lives = asked.answers.lives
    if lives is None or attempt["slurm_job_id"] not in asked.accounted_ids:
        return None
    return accounts.account(attempt, lives.get(attempt["slurm_job_id"], ()), now, uid)


def _oom_code(workflow: Record) -> int:
    wanted = (workflow["config"].get("execution_config") or {}).get("oom_exit_code")
    return wanted if isinstance(wanted, int) else Codes().oom


def _fail(db: sqlite3.Connection, workflow_id: int, command: str, corrected: list[Record]) -> None:
    """Fail the jobs that are still completed in the attempt that was corrected, and settle those that wait for them."""
    lives = folding.lives(db, workflow_id) if corrected else {}
    still = [
        each["job_id"]
        for each in corrected
        if lives.get(each["job_id"]) == (states.COMPLETED, each["run_id"], each["attempt_id"])
    ]
    if still:
        folding.save_status(db, [(job_id, states.FAILED) for job_id in still])
        moved = fold.settle(db, workflow_id)
        why = {"cause": "oom", "slurm_state": "OUT_OF_MEMORY"}
        changes = [_change(job_id, why, states.COMPLETED, states.FAILED) for job_id in still]
        changes += [_change(job_id, {"cause": "parents"}, states.BLOCKED, status) for job_id, status in moved]
        journal.record(db, workflow_id, command, changes)


def _change(job_id: int, why: Record, before: int, after: int) -> journal.Change:
    return journal.Change("job", job_id, why, {"status": states.NAMES[before]}, {"status": states.NAMES[after]})


def _corrected(attempt: Record, code: int) -> Record:
    keys = ("job_id", "job_name", "run_id", "attempt_id")
    return {**{key: attempt[key] for key in keys}, "return_code": code, "reason": "Slurm killed its step for memory"}
