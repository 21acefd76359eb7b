"""Databases of samples for tests: jobs whose figures one can work out."""

import contextlib
import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HOSTILE = "a'b\"c\n\x1b[31m<script>alert(1)</script>"
START = 1_790_000_000.0
_TABLES = """
CREATE TABLE job_resource_samples (id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, timestamp REAL NOT NULL,
    cpu_percent REAL, memory_bytes INTEGER, num_processes INTEGER, attempt_id INTEGER NOT NULL DEFAULT 1);
CREATE TABLE job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT);
CREATE TABLE job_attempts (job_id, attempt_id, memory_bytes, num_cpus, runtime_s, started_at,
    PRIMARY KEY (job_id, attempt_id));
CREATE TABLE system_resource_samples (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, cpu_percent REAL NOT NULL,
    memory_bytes INTEGER NOT NULL, total_memory_bytes INTEGER NOT NULL);
"""


class Job(NamedTuple):
    """One attempt: a sample every 5 seconds, memory from `low` up, one peak at two thirds; CPU unknown at first."""

    job_id: int
    name: str
    attempt: int = 1
    memory: int | None = None  # what is asked for
    cpus: int | None = None
    runtime_s: float | None = None
    samples: int = 100
    low: int = 100_000_000
    peak: int = 3_000_000_000


def made(path: Path, jobs: Iterable[Job], *, node: bool = False) -> Path:
    """Make a database; give its path."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(_TABLES)
        for job in jobs:
            _add(db, job)
        if node:
            rows = [(START + 5 * n, 50 + 40 * math.sin(n / 9), (3 + n % 5) * 2**30, 2**34) for n in range(100)]
            columns = "timestamp, cpu_percent, memory_bytes, total_memory_bytes"
            db.executemany(f"INSERT INTO system_resource_samples ({columns}) VALUES (?, ?, ?, ?)", rows)
    return path


def _add(db: sqlite3.Connection, job: Job) -> None:
    began = START + 1000 * job.attempt
    rows = [
        (
            job.job_id,
            began + 1 + 5 * n,
            None if n == 0 else 100 + 50 * math.sin(n / 5),
            job.peak + job.job_id if n == job.samples * 2 // 3 else job.low + n * 1000,
            1 + n % 3,
            job.attempt,
        )
        for n in range(job.samples)
    ]
    columns = "job_id, timestamp, cpu_percent, memory_bytes, num_processes, attempt_id"
    db.executemany(f"INSERT INTO job_resource_samples ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.execute("INSERT OR REPLACE INTO job_metadata VALUES (?, ?)", (job.job_id, job.name))
    if job.memory or job.cpus or job.runtime_s:
        asked = (job.job_id, job.attempt, job.memory, job.cpus, job.runtime_s, began)
        db.execute("INSERT INTO job_attempts VALUES (?, ?, ?, ?, ?, ?)", asked)


def odd(path: Path) -> Path:
    """Make a database with numbers that no job has, and requests that are none."""
    made(path, [Job(1, "odd", memory=2**30, samples=3), Job(2, "one", samples=1), Job(3, "late", samples=2)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE job_resource_samples SET cpu_percent = 1e308 * 10, memory_bytes = -5 WHERE id = 1")
        db.execute("UPDATE job_resource_samples SET cpu_percent = 1e300, memory_bytes = NULL WHERE id = 2")
        db.execute("UPDATE job_resource_samples SET timestamp = timestamp + 1e300 WHERE job_id = 3")
        db.execute(
            "UPDATE job_attempts SET memory_bytes = 'much', num_cpus = x'00', runtime_s = -1, started_at = 'now'"
        )
    return path
