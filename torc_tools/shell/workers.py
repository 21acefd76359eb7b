"""SQL about workers, allocations and claims: who has which jobs, who is gone."""

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Container, Iterable
from typing import Any

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import eventlog, layout, liveness, queries

_CLAIM = re.compile(r"\d+\.r\d+\.a\d+|action\d+\.r\d+")  # what else lies in the folder is not ours to take away


_IN_SLURM = """EXISTS (SELECT 1 FROM allocation a WHERE a.workflow_id = w.workflow_id AND a.kind = 'slurm'
    AND (a.allocation_id = w.allocation_id OR a.slurm_job_id = w.slurm_job_id))"""
_WORKERS = f"SELECT w.*, {_IN_SLURM} AS is_in_slurm FROM worker w WHERE w.workflow_id = ?"


def gone(db: sqlite3.Connection, workflow_id: int) -> set[str]:
    """Give the names of the workers that have ended or whose process is known to be dead.

    What became of a worker in a Slurm allocation only Slurm knows: its steps may live on without it.
    """
    rows = db.execute(_WORKERS, (workflow_id,))
    return {row["name"] for row in rows if row["ended_at"] or (not row["is_in_slurm"] and _dead(row))}


def any_of(db: sqlite3.Connection, workflow_id: int) -> bool:
    """Say whether a worker was ever heard of in a workflow."""
    query = "SELECT EXISTS (SELECT 1 FROM worker WHERE workflow_id = ?)"
    return bool(db.execute(query, (workflow_id,)).fetchone()[0])


def killed(db: sqlite3.Connection, workflow_id: int) -> list[str]:
    """Give the names of the workers of this machine that died without a word, and are not buried yet."""
    rows = db.execute(f"{_WORKERS} AND w.ended_at IS NULL", (workflow_id,))
    return [row["name"] for row in rows if not row["is_in_slurm"] and _dead(row)]


def in_slurm(db: sqlite3.Connection, workflow: Record) -> list[Record]:
    """Give the workers in Slurm jobs that have not said their end, whoever started them, as rows.

    is_dead: their process is known to be gone on this machine; restart_count: the life of their Slurm job.
    """
    query = "SELECT * FROM worker WHERE workflow_id = ? AND ended_at IS NULL AND slurm_job_id IS NOT NULL"
    found = []
    for row in db.execute(query, (workflow["workflow_id"],)).fetchall():
        count = eventlog.first(workflow, row["name"]).get("restart_count")
        is_count = isinstance(count, int)
        found.append({**dict(row), "is_dead": _dead(row), "restart_count": count if is_count else None})
    return found


def live(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the allocations of a workflow that are active and not known to be dead, as rows."""
    rows = db.execute("SELECT * FROM allocation WHERE workflow_id = ? AND status = 'active'", (workflow_id,))
    return [dict(row) for row in rows if not _dead(row)]


def active_jobs(db: sqlite3.Connection, workflow_id: int) -> list[sqlite3.Row]:
    """Give the pending and running jobs: job_id, name, run_id, attempt_id, status, worker, and what they were given."""
    query = (
        "SELECT j.job_id, j.name, j.run_id, j.attempt_id, j.status, j.worker, r.memory_bytes, r.runtime_s, r.num_cpus"
        " FROM job j LEFT JOIN resource_requirements r USING (resource_requirements_id) WHERE j.workflow_id = ?"
    )
    return db.execute(f"{query} AND {queries.among('j.status', states.ACTIVE)}", (workflow_id,)).fetchall()


def silent(db: sqlite3.Connection, workflow_id: int) -> bool:
    """Say whether nobody works on a workflow: every worker and allocation of it has ended or is known to be dead."""
    names = {row[0] for row in db.execute("SELECT name FROM worker WHERE workflow_id = ?", (workflow_id,))}
    return not live(db, workflow_id) and names == gone(db, workflow_id)


def start(db: sqlite3.Connection, workflow_id: int, config: Record) -> int:
    """Note a local allocation, held by this process until `hand_over`; give its id. Inside a transaction."""
    cursor = db.execute(
        "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at, config)"
        " VALUES (?, 'local', 'active', ?, ?, ?, ?, ?)",
        (workflow_id, *liveness.me(), time.time(), orjson.dumps(config).decode()),
    )
    return int(cursor.lastrowid or 0)


def hand_over(db: sqlite3.Connection, allocation_id: int, pid: int) -> None:
    """Note that worker process `pid` of this machine now is the allocation."""
    db.execute(
        "UPDATE allocation SET pid = ?, pid_start = ? WHERE allocation_id = ?",
        (pid, liveness.start_ticks(pid), allocation_id),
    )


def end(db: sqlite3.Connection, allocation_id: int, status: str) -> bool:
    """Note that an allocation has ended: complete, lost or canceled; say whether it was active before."""
    query = "UPDATE allocation SET status = ?, ended_at = ? WHERE allocation_id = ? AND status = 'active'"
    return db.execute(query, (status, time.time(), allocation_id)).rowcount > 0


def bury(db: sqlite3.Connection, workflow_id: int, killed: Iterable[str]) -> list[int]:
    """End the workers `killed`, and the local allocations that are dead; give the ids of the allocations.

    A local allocation is dead with its process, or with its last worker where that was in a Slurm job (a salloc).

    A worker that dies later is left for the next time: what it left running has not been looked for yet.
    """
    query = "UPDATE worker SET ended_at = ? WHERE workflow_id = ? AND name = ? AND ended_at IS NULL"
    db.executemany(query, [(time.time(), workflow_id, name) for name in killed])
    query = "SELECT * FROM allocation WHERE workflow_id = ? AND kind = 'local' AND status = 'active'"
    rows = db.execute(query, (workflow_id,)).fetchall()
    dead = [row["allocation_id"] for row in rows if _dead(row) or _left(db, row)]
    for allocation_id in dead:
        end(db, allocation_id, "lost")
    return dead


def claims(workflow: Record) -> list[str]:
    """Give the file names of the claims on jobs and actions of a workflow."""
    folder = layout.claims_dir(workflow)
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if _CLAIM.fullmatch(entry.name) and entry.is_file()]
    except FileNotFoundError:
        return []


def stale_claims(
    workflow: Record,
    names: Iterable[str],
    lives: dict[int, tuple[int, int, int]],
    gone: Container[str],
    *,
    all_gone: bool,
) -> list[str]:
    """Give the paths of those of the claims `names` that nobody will make good.

    A claim of a dead worker (one of `gone`, or a process that is no more) on the present attempt of a job that never
    started would keep the job from running for ever. Where no worker lives at all (`all_gone`), every claim has done
    its work. Call it inside a transaction: workers only create claims, and only the holder of the store's lock takes
    them away.
    """
    folder = layout.claims_dir(workflow)
    present = {layout.claim_name(job, life[1], life[2]): life[0] for job, life in lives.items()}
    return [
        os.path.join(folder, name)
        for name in names
        if all_gone or (present.get(name) in states.WAITING and _claimant_dead(os.path.join(folder, name), gone))
    ]


def remove(paths: list[str]) -> None:
    """Remove files, those already gone included."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _left(db: sqlite3.Connection, row: sqlite3.Row) -> bool:
    """Say whether the workers of an allocation were in Slurm jobs and have all ended."""
    query = "SELECT ended_at FROM worker WHERE workflow_id = ? AND allocation_id = ? AND slurm_job_id IS NOT NULL"
    ends = [end[0] for end in db.execute(query, (row["workflow_id"], row["allocation_id"]))]
    return bool(ends) and None not in ends


def _claimant_dead(path: str, gone: Container[str]) -> bool:
    """Say whether who made a claim is dead: it is one of `gone`, or no longer a process of this machine."""
    try:
        with open(path, "rb") as file:
            claim: Any = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError):
        return False
    if not isinstance(claim, dict):
        return False
    return claim.get("worker") in gone or (not claim.get("slurm_job_id") and _dead(claim))


def _dead(row: Any) -> bool:
    return liveness.alive(row["hostname"], row["pid"], row["pid_start"]) is False
