"""The SQL of the page for the morning after: all attempts in short, the journal, what the last watch held."""

import sqlite3
from typing import Any

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import queries


def jobs(db: sqlite3.Connection, workflow_id: int) -> list[tuple[Any, ...]]:
    """Give (id, name, status, requirement row) of every job, in order of id."""
    query = "SELECT job_id, name, status, resource_requirements_id FROM job WHERE workflow_id = ? ORDER BY job_id"
    return [tuple(row) for row in db.execute(query, (workflow_id,))]


def attempts(db: sqlite3.Connection, workflow_id: int) -> list[tuple[Any, ...]]:
    """Give every attempt that has ended, as core/morning's Attempt has it, in order of job, run, attempt."""
    query = (
        "SELECT job_id, run_id, attempt_id, status, return_code, started_at, ended_at, exec_time_s, peak_memory_bytes,"
        " avg_cpu_percent, memory_bytes, runtime_s, num_cpus, worker FROM result WHERE workflow_id = ?"
        " ORDER BY job_id, run_id, attempt_id"
    )
    return [tuple(row) for row in db.execute(query, (workflow_id,))]


def requirements(db: sqlite3.Connection, workflow_id: int) -> dict[int, Record]:
    """Give the requirement rows of a workflow by id."""
    query = "SELECT * FROM resource_requirements WHERE workflow_id = ? ORDER BY resource_requirements_id"
    return {row["resource_requirements_id"]: dict(row) for row in db.execute(query, (workflow_id,))}


def changes(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the journal of a workflow, `why before after` decoded, in its order."""
    query = (
        "SELECT change_id, at, who, command, subject, subject_id, why, before, after FROM change"
        " WHERE workflow_id = ? ORDER BY change_id"
    )
    return [
        {**dict(row), **{key: orjson.loads(row[key]) for key in ("why", "before", "after")}}
        for row in db.execute(query, (workflow_id,))
    ]


def watched(db: sqlite3.Connection, workflow_id: int) -> Record:
    """Give what the last torc-watch kept, {} where there was none.

    `capped` is what it held by limits of its own: reason, override, attempts as [job, run, attempt]; `told` how it
    ended.
    """
    row = db.execute("SELECT state FROM watch WHERE workflow_id = ?", (workflow_id,)).fetchone()
    return dict(orjson.loads(row[0])) if row else {}


def edges(db: sqlite3.Connection, workflow_id: int) -> list[tuple[int, int]]:
    """Give (job, the job that it waits for) where a job was canceled, or is blocked; where none is, nothing."""
    stopped = queries.among("status", (states.CANCELED, states.BLOCKED))
    some = db.execute(f"SELECT 1 FROM job WHERE workflow_id = ? AND {stopped} LIMIT 1", (workflow_id,)).fetchone()
    return list(queries.edges(db, workflow_id)) if some else []
