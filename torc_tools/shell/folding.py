"""The SQL of flows/fold: reads where each job stands, stores what the events of workers make of it.

Always inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from torc_tools import states
from torc_tools.records import Record

_LATER = """status, return_code, started_at, ended_at, exec_time_s, peak_memory_bytes, avg_memory_bytes,
    peak_cpu_percent, avg_cpu_percent, memory_bytes, runtime_s, num_cpus, worker, facts"""
_RESULT = f"""
INSERT INTO result (workflow_id, job_id, run_id, attempt_id, {_LATER})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id, run_id, attempt_id) DO UPDATE
SET ({_LATER}) = ({", ".join("excluded." + name.strip() for name in _LATER.split(","))})
WHERE result.return_code = {states.LOST_CODE}
"""  # the truth, late, wins over what stood for a job lost with its worker
_WORKER = ("allocation_id", "slurm_job_id", "hostname", "pid", "pid_start", "started_at", "heartbeat_at", "ended_at")


def lives(db: sqlite3.Connection, workflow_id: int) -> dict[int, tuple[int, int, int]]:
    """Give (status, run_id, attempt_id) of every job of a workflow by id."""
    rows = db.execute("SELECT job_id, status, run_id, attempt_id FROM job WHERE workflow_id = ?", (workflow_id,))
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def save_results(db: sqlite3.Connection, workflow_id: int, rows: Iterable[tuple[Any, ...]]) -> None:
    """Store result rows (the ledger's form: facts last, as an object); the first one of an attempt stays."""
    db.executemany(_RESULT, ((workflow_id, *row[:-1], orjson.dumps(row[-1]).decode()) for row in rows))


def save_moves(db: sqlite3.Connection, moves: Mapping[int, tuple[int, int, str | None]]) -> None:
    """Store (status, attempt_id, worker) by job id."""
    db.executemany(
        "UPDATE job SET status = ?, attempt_id = ?, worker = ? WHERE job_id = ?",
        ((*move, job) for job, move in moves.items()),
    )


def save_workers(
    db: sqlite3.Connection, workflow_id: int, workers: Mapping[str, Record], offsets: Mapping[str, int]
) -> None:
    """Store how far each event file is folded, and what is new about its worker."""
    for name, offset in offsets.items():
        db.execute("INSERT OR IGNORE INTO worker (workflow_id, name) VALUES (?, ?)", (workflow_id, name))
        row = {"offset": offset, **{key: value for key, value in workers.get(name, {}).items() if key in _WORKER}}
        settings = ", ".join(f"{key} = ?" for key in row)
        db.execute(
            f"UPDATE worker SET {settings} WHERE workflow_id = ? AND name = ?", (*row.values(), workflow_id, name)
        )


def save_actions(db: sqlite3.Connection, workflow_id: int, executed: Iterable[tuple[int, int]]) -> None:
    """Store the run in which an action was last executed: (run_id, action_id)."""
    db.executemany(
        "UPDATE action SET executed_run_id = ? WHERE action_id = ? AND workflow_id = ?",
        ((run, action, workflow_id) for run, action in executed),
    )


def waiting(db: sqlite3.Connection, workflow_id: int) -> tuple[dict[int, list[int]], dict[int, int], set[int]]:
    """Give the blocked jobs with their parents, the status of all jobs, and the blocked ones that cancel on failure."""
    status: dict[int, int] = {}
    parents: dict[int, list[int]] = {}
    cancels: set[int] = set()
    for row in db.execute(
        "SELECT job_id, status, cancel_on_blocking_job_failure FROM job WHERE workflow_id = ?", (workflow_id,)
    ):
        status[row[0]] = row[1]
        if row[1] == states.BLOCKED:
            parents[row[0]] = []
            if row[2]:
                cancels.add(row[0])
    for job, parent in db.execute(
        "SELECT d.job_id, d.depends_on_job_id FROM job j JOIN job_depends_on d USING (job_id)"
        " WHERE j.workflow_id = ? AND j.status = ?",
        (workflow_id, states.BLOCKED),
    ):
        parents[job].append(parent)
    return parents, status, cancels


def save_status(db: sqlite3.Connection, moves: Iterable[tuple[int, int]]) -> None:
    """Store the moves of the transition rule: (job_id, new status)."""
    db.executemany("UPDATE job SET status = ? WHERE job_id = ?", ((status, job) for job, status in moves))
