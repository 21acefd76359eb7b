"""SQL of torc-requirements: rows of resource_requirements as records, made and changed."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record

COLUMNS = ("name", "num_cpus", "num_gpus", "num_nodes", "memory_bytes", "runtime_s")
_LIST = """
SELECT r.*, (SELECT count(*) FROM job j WHERE j.workflow_id = r.workflow_id
    AND j.resource_requirements_id = r.resource_requirements_id) AS job_count
FROM resource_requirements r
"""


def of_workflow(db: sqlite3.Connection, workflow_id: int) -> Iterator[Record]:
    """Give the `requirement` records of a workflow, in order of id, each with how many jobs use it."""
    rows = db.execute(f"{_LIST} WHERE r.workflow_id = ? ORDER BY r.resource_requirements_id", (workflow_id,))
    return map(_record, rows)


def one(db: sqlite3.Connection, requirements_id: int) -> Record:
    """Give one `requirement` record. Raises Failure(66) where there is none."""
    row = db.execute(f"{_LIST} WHERE r.resource_requirements_id = ?", (requirements_id,)).fetchone()
    if row is None:
        raise Failure(exits.NO_INPUT, f"no such resource requirements: '{requirements_id}'")
    return _record(row)


def insert(db: sqlite3.Connection, workflow_id: int, values: Mapping[str, Any]) -> int:
    """Make a row of these COLUMNS, inside the caller's transaction; give its id."""
    query = f"INSERT INTO resource_requirements (workflow_id, {', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return int(db.execute(query, (workflow_id, *(values[key] for key in COLUMNS))).lastrowid or 0)


def update(db: sqlite3.Connection, requirements_id: int, values: Mapping[str, Any]) -> None:
    """Set the COLUMNS of a row, inside the caller's transaction."""
    settings = ", ".join(f"{key} = ?" for key in COLUMNS)
    db.execute(
        f"UPDATE resource_requirements SET {settings} WHERE resource_requirements_id = ?",
        (*(values[key] for key in COLUMNS), requirements_id),
    )


def _record(row: sqlite3.Row) -> Record:
    kept = ("resource_requirements_id", "workflow_id", *COLUMNS, "job_count")
    return {"type": "requirement", **{key: row[key] for key in kept}}
