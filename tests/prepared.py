"""A small store as it looks after a first run: one job done, one out of memory, one too long, one bug, dependents.

And what tests do with any store from outside: SQL on it, its contents as text.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import orjson

from torc_tools import states
from torc_tools.shell import store

GIB = 2**30
JOBS = (  # job_id, name, command, status, resource_requirements_id
    (1, "prepare", "true", states.COMPLETED, 1),
    (2, "train", "true", states.FAILED, 2),
    (3, "sweep", "true", states.TERMINATED, 1),
    (4, "bug", "false", states.FAILED, 1),
    (5, "report", "true", states.CANCELED, 1),
    (6, "after_bug", "true", states.CANCELED, None),
)
EDGES = ((2, 1), (5, 2), (5, 3), (6, 4))  # job, parent
RESULTS = (  # job_id, status, return_code, exec_time_s, peak_memory_bytes, memory_bytes, runtime_s, facts
    (1, states.COMPLETED, 0, 1.5, GIB // 4, GIB, 60, {}),
    (2, states.FAILED, 137, 20.0, 2 * GIB, 2 * GIB, 600, {"reason": "memory_limit", "signal": 9}),
    (3, states.TERMINATED, 152, 60.2, GIB // 2, GIB, 60, {"reason": "runtime_limit", "signal": 9}),
    (4, states.FAILED, 1, 0.3, GIB // 16, GIB, 60, {"log_tail": "ValueError: bad input\n"}),
)
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  names the workflow; not a secret


def in_memory() -> sqlite3.Connection:
    """Give a store in memory with workflow 1, which has no job."""
    db = store._prepared(sqlite3.connect(":memory:", isolation_level=None))
    store.migrations.migrate(db, ":memory:")
    db.execute(
        "INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
        " VALUES ('t', 'w', 1.0, '/', '/', '{}')"
    )
    return db


def prepare(folder: Path, name: str = "torc.db") -> Path:
    """Make the store `name` in `folder` with workflow 1, whose run 1 is over; give its path."""
    path = folder / name
    db = store.create(str(path))
    with store.transaction(db):
        fill(db, folder)
    db.close()
    return path


def fill(db: sqlite3.Connection, folder: Path) -> None:
    """Insert the workflow, its requirements, jobs, edges and results."""
    db.execute(
        "INSERT INTO workflow (token, name, user, created_at, output_dir, submission_dir, config)"
        " VALUES (?, 'small', 'ann', 1700000000.0, ?, ?, '{}')",
        (TOKEN, str(folder / "torc_output"), str(folder)),
    )
    db.executemany(
        "INSERT INTO resource_requirements (workflow_id, name, num_cpus, memory_bytes, runtime_s)"
        " VALUES (1, ?, 1, ?, ?)",
        [("small", GIB, 60), ("big", 2 * GIB, 600)],
    )
    db.executemany(
        "INSERT INTO job (job_id, workflow_id, name, command, status, resource_requirements_id)"
        " VALUES (?, 1, ?, ?, ?, ?)",
        JOBS,
    )
    db.executemany("INSERT INTO job_depends_on VALUES (?, ?)", EDGES)
    db.executemany(
        "INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, started_at, ended_at,"
        " exec_time_s, peak_memory_bytes, memory_bytes, runtime_s, num_cpus, worker, facts)"
        " VALUES (1, ?, 1, 1, ?, ?, 1700000000.0, 1700000100.0, ?, ?, ?, ?, 1, 'w', ?)",
        [(*row[:-1], orjson.dumps(row[-1]).decode()) for row in RESULTS],
    )


def execute(path: Path | str, *statements: str) -> list[tuple[Any, ...]]:
    """Run SQL on a store, in one transaction; give the rows of all statements."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return [row for statement in statements for row in db.execute(statement)]


def dump(path: Path | str) -> list[str]:
    """Give everything that a store holds, as SQL."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


SPEC = """\
name: small
jobs:
  - {name: make, command: "printf 'one two' > words"}
  - {name: count, command: "wc -w < words > number", depends_on: [make]}
"""
