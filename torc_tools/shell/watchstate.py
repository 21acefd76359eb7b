"""What torc-watch remembers of a workflow from one look to the next, and what it looks at. The SQL of both."""

import contextlib
import sqlite3

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import spawning, store


def load(path: str, workflow_id: int) -> Record:
    """Give the state that the last watcher left, {} where there is none."""
    with contextlib.closing(store.open_store(path)) as db:
        row = db.execute("SELECT state FROM watch WHERE workflow_id = ?", (workflow_id,)).fetchone()
    return dict(orjson.loads(row[0])) if row else {}


def save(path: str, workflow_id: int, state: Record) -> None:
    """Keep the state for the next watcher."""
    with contextlib.closing(store.open_store(path)) as db, store.transaction(db):
        db.execute(
            "INSERT OR REPLACE INTO watch (workflow_id, state) VALUES (?, ?)",
            (workflow_id, orjson.dumps(state).decode()),
        )


def retries(db: sqlite3.Connection, workflow_id: int) -> int:
    """Count the ready jobs that no plan has seen: those in no first attempt, and spawned ones."""
    query = f"SELECT count(*) FROM job j WHERE j.workflow_id = ? AND j.status = ? AND {spawning.UNPLANNED}"
    return int(db.execute(query, (workflow_id, states.READY)).fetchone()[0])


def progress(db: sqlite3.Connection, workflow_id: int) -> str:
    """Give a text that changes whenever a job starts, ends, or is reset."""
    query = "SELECT status, count(*), sum(run_id), sum(attempt_id) FROM job WHERE workflow_id = ? GROUP BY status"
    jobs = [list(row) for row in db.execute(query, (workflow_id,))]
    ended = db.execute("SELECT count(*) FROM result WHERE workflow_id = ?", (workflow_id,)).fetchone()[0]
    return orjson.dumps([jobs, ended]).decode()


def retry_ready_at(db: sqlite3.Connection, workflow_id: int) -> float | None:
    """Give when the retry that waits longest became ready, in Unix seconds; None where none waits.

    That is when its attempt before ended; where nobody saw that end, or there is none, when the job was last changed.
    """
    query = (
        "SELECT min(coalesce(t.ended_at, (SELECT max(c.at) FROM change c"
        " WHERE c.workflow_id = j.workflow_id AND c.subject = 'job' AND c.subject_id = j.job_id)))"
        " FROM job j LEFT JOIN result t"
        " ON (t.job_id, t.run_id, t.attempt_id) = (j.job_id, j.run_id, j.attempt_id - 1)"
        f" WHERE j.workflow_id = ? AND j.status = ? AND {spawning.UNPLANNED}"
    )
    at = db.execute(query, (workflow_id, states.READY)).fetchone()[0]
    return None if at is None else float(at)


def last_ended_at(db: sqlite3.Connection, workflow_id: int) -> float | None:
    """Give when a job of a workflow last ended, in Unix seconds."""
    at = db.execute("SELECT max(ended_at) FROM result WHERE workflow_id = ?", (workflow_id,)).fetchone()[0]
    return None if at is None else float(at)


def last_ended(db: sqlite3.Connection, workflow_id: int) -> Record | None:
    """Give the attempt that was told last to have ended: job_id, name, status, return_code, ended_at."""
    query = (
        "SELECT t.job_id, j.name, t.status, t.return_code, t.ended_at FROM result t JOIN job j USING (job_id)"
        " WHERE t.workflow_id = ? ORDER BY t.result_id DESC LIMIT 1"
    )
    row = db.execute(query, (workflow_id,)).fetchone()
    return {**dict(row), "status": states.NAMES[row["status"]]} if row else None


def submissions(db: sqlite3.Connection, workflow_id: int, now: float, quiet_s: float) -> tuple[float | None, int]:
    """Give when the newest allocation was submitted, and how many planned ones nobody has touched for `quiet_s`."""
    query = (
        "SELECT max(submitted_at), total(status = 'planned' AND created_at < ?) FROM allocation"
        " WHERE workflow_id = ? AND kind = 'slurm'"
    )
    submitted_at, unsent = db.execute(query, (now - quiet_s, workflow_id)).fetchone()
    return submitted_at, int(unsent)
