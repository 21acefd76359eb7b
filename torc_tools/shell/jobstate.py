"""The SQL of torc-reset: the jobs that are named, those below them, and the one write that starts them over."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import orjson

from torc_tools.shell import queries

_DOWN = """WITH RECURSIVE down(job_id) AS (
    SELECT value FROM json_each(?)
    UNION SELECT d.job_id FROM down JOIN job_depends_on d ON d.depends_on_job_id = down.job_id)
    SELECT job_id FROM down ORDER BY job_id"""


def lives(db: sqlite3.Connection, job_ids: Iterable[int]) -> Iterable[sqlite3.Row]:
    """Give job_id, workflow_id, job_name, status, run_id, attempt_id, worker, cancels of those jobs that exist."""
    return db.execute(
        "SELECT j.job_id, j.workflow_id, j.name AS job_name, j.status, j.run_id, j.attempt_id, j.worker,"
        " j.cancel_on_blocking_job_failure AS cancels FROM json_each(?) e CROSS JOIN job j ON j.job_id = e.value"
        " ORDER BY j.job_id",
        (_ids(job_ids),),
    )


def chosen(
    db: sqlite3.Connection, workflow_id: int, statuses: Sequence[int] | None, return_codes: Sequence[int] | None
) -> list[int]:
    """Give the jobs of a workflow that are in one of `statuses` and ended last with one of `return_codes`."""
    query, parameters = "SELECT j.job_id FROM job j WHERE j.workflow_id = ?", [workflow_id]
    if statuses is not None:
        query += f" AND {queries.among('j.status', statuses)}"
    if return_codes is not None:
        latest = (
            "SELECT t.return_code FROM result t WHERE t.job_id = j.job_id ORDER BY t.run_id DESC, t.attempt_id DESC"
        )
        query += f" AND {queries.among(f'({latest} LIMIT 1)', return_codes)}"
    return [row[0] for row in db.execute(query + " ORDER BY j.job_id", parameters)]


def below(db: sqlite3.Connection, job_ids: Iterable[int]) -> list[int]:
    """Give some jobs and all that depend on them, directly or through others, in order of id."""
    return [row[0] for row in db.execute(_DOWN, (_ids(job_ids),))]


def parents(db: sqlite3.Connection, job_ids: Iterable[int]) -> Iterable[tuple[int, int, int]]:
    """Give (job, parent, status of the parent) for every dependency of some jobs."""
    rows = db.execute(
        "SELECT d.job_id, d.depends_on_job_id, p.status FROM json_each(?) e"
        " CROSS JOIN job_depends_on d ON d.job_id = e.value JOIN job p ON p.job_id = d.depends_on_job_id",
        (_ids(job_ids),),
    )
    return (tuple(row) for row in rows)


def run_of(db: sqlite3.Connection, workflow_id: int) -> tuple[int, bool]:
    """Give a workflow's run and whether it is canceled."""
    row = db.execute("SELECT run_id, is_canceled FROM workflow WHERE workflow_id = ?", (workflow_id,)).fetchone()
    return int(row[0]), bool(row[1])


def start_over(db: sqlite3.Connection, workflow_id: int, run_id: int, moves: Mapping[int, int]) -> None:
    """Give jobs a new status in their first attempt of run `run_id`, and begin that run of the workflow."""
    db.executemany(
        "UPDATE job SET status = ?, run_id = ?, attempt_id = 1, worker = NULL WHERE job_id = ?",
        [(status, run_id, job_id) for job_id, status in moves.items()],
    )
    db.execute("UPDATE workflow SET run_id = ?, is_canceled = 0 WHERE workflow_id = ?", (run_id, workflow_id))


def _ids(job_ids: Iterable[int]) -> str:
    return orjson.dumps(list(job_ids)).decode()
