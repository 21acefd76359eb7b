"""The SQL of torc-apply: requirement rows read, changed where they stand, or copied for the jobs that grow.

Nothing here decides; every writer runs inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import orjson


def lives(db: sqlite3.Connection, job_ids: Iterable[int]) -> Iterable[sqlite3.Row]:
    """Give job_id, workflow_id, job_name, run_id, attempt_id, row, memory, runtime, cpus, status of jobs."""
    return db.execute(
        "SELECT j.job_id, j.workflow_id, j.name AS job_name, j.run_id, j.attempt_id, j.resource_requirements_id AS row,"
        " r.memory_bytes AS memory, r.runtime_s AS runtime, r.num_cpus AS cpus,"
        " j.status FROM json_each(?) e CROSS JOIN job j ON j.job_id = e.value"
        " LEFT JOIN resource_requirements r ON r.resource_requirements_id = j.resource_requirements_id",
        (orjson.dumps(list(job_ids)).decode(),),
    )


def users(db: sqlite3.Connection, workflow_ids: Iterable[int]) -> dict[int, int]:
    """Give how many jobs use each requirement row of some workflows."""
    found: dict[int, int] = {}
    for workflow_id in set(workflow_ids):
        rows = db.execute(
            "SELECT resource_requirements_id, count(*) FROM job WHERE workflow_id = ? GROUP BY 1", (workflow_id,)
        )
        found.update((row[0], row[1]) for row in rows if row[0] is not None)
    return found


def names(db: sqlite3.Connection, workflow_id: int) -> dict[int, str]:
    """Give the names of a workflow's requirement rows by id."""
    query = "SELECT resource_requirements_id, name FROM resource_requirements WHERE workflow_id = ?"
    return dict(db.execute(query, (workflow_id,)).fetchall())


def change(db: sqlite3.Connection, row: int, memory: int | None, runtime: int | None, cpus: int) -> None:
    """Set the limits of a row where it stands."""
    db.execute(
        "UPDATE resource_requirements SET memory_bytes = ?, runtime_s = ?, num_cpus = ?"
        " WHERE resource_requirements_id = ?",
        (memory, runtime, cpus, row),
    )


def copy(
    db: sqlite3.Connection,
    workflow_id: int,
    row: int | None,
    name: str,
    limits: tuple[int | None, int | None, int | None],
) -> int:
    """Make a copy of a row (None: of a row with nothing but one CPU) with other limits; give its id.

    `limits` are memory, runtime and CPUs; None for the CPUs: those of the row.
    """
    columns = "workflow_id, name, num_cpus, num_gpus, num_nodes, memory_bytes, runtime_s"
    memory, runtime, cpus = limits
    if row is None:
        query = f"INSERT INTO resource_requirements ({columns}) VALUES (?, ?, ?, 0, 1, ?, ?)"
        made = db.execute(query, (workflow_id, name, cpus or 1, memory, runtime))
    else:
        query = (
            f"INSERT INTO resource_requirements ({columns})"
            " SELECT workflow_id, ?, coalesce(?, num_cpus), num_gpus, num_nodes, ?, ?"
            " FROM resource_requirements WHERE resource_requirements_id = ?"
        )
        made = db.execute(query, (name, cpus, memory, runtime, row))
    return int(made.lastrowid or 0)


def point(db: sqlite3.Connection, job_ids: Sequence[int], row: int) -> None:
    """Make jobs use a row."""
    db.executemany("UPDATE job SET resource_requirements_id = ? WHERE job_id = ?", [(row, each) for each in job_ids])
