"""The SQL of torc-jobs set and torc-cancel, on jobs and requirement rows. Inside the caller's transaction."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torc_tools.shell import queries, requirements

SIZES = ("memory_bytes", "runtime_s", "num_cpus", "num_gpus", "num_nodes")


def sizes(db: sqlite3.Connection, row: int | None) -> dict[str, Any]:
    """Give what a requirement row asks for, by column; for None what a job without one gets."""
    if row is None:
        return {"memory_bytes": None, "runtime_s": None, "num_cpus": 1, "num_gpus": 0, "num_nodes": 1}
    query = f"SELECT {', '.join(SIZES)} FROM resource_requirements WHERE resource_requirements_id = ?"
    return dict(db.execute(query, (row,)).fetchone())


def resize(db: sqlite3.Connection, row: int, values: Mapping[str, Any]) -> None:
    """Set all sizes of a row where it stands."""
    settings = ", ".join(f"{key} = ?" for key in SIZES)
    db.execute(
        f"UPDATE resource_requirements SET {settings} WHERE resource_requirements_id = ?",
        (*(values[key] for key in SIZES), row),
    )


def copy(db: sqlite3.Connection, workflow_id: int, row: int | None, name: str, values: Mapping[str, Any]) -> int:
    """Make a copy of a row (None: a new row) with other sizes; give its id."""
    made = requirements.copy(db, workflow_id, row, name, (values["memory_bytes"], values["runtime_s"], None))
    resize(db, made, values)
    return made


def update(db: sqlite3.Connection, column: str, value: Any, job_ids: Sequence[int]) -> None:
    """Set a column of jobs: command, priority or status."""
    db.executemany(f"UPDATE job SET {column} = ? WHERE job_id = ?", [(value, job_id) for job_id in job_ids])


def in_states(db: sqlite3.Connection, workflow_id: int, numbers: Iterable[int]) -> dict[int, int]:
    """Give the status of a workflow's jobs that are in one of these states, by id."""
    query = f"SELECT job_id, status FROM job WHERE workflow_id = ? AND {queries.among('status', numbers)}"
    return {row[0]: row[1] for row in db.execute(f"{query} ORDER BY job_id", (workflow_id,))}


def delete_workflow(db: sqlite3.Connection, workflow_id: int) -> None:
    """Delete a workflow and all that is part of it; the journal stays."""
    db.execute("DELETE FROM job WHERE workflow_id = ?", (workflow_id,))  # before what it refers to
    db.execute("DELETE FROM workflow WHERE workflow_id = ?", (workflow_id,))


def mark_canceled(db: sqlite3.Connection, workflow_id: int) -> bool:
    """Mark a workflow as canceled; say whether it was not before."""
    query = "UPDATE workflow SET is_canceled = 1 WHERE workflow_id = ? AND is_canceled = 0"
    return db.execute(query, (workflow_id,)).rowcount > 0
