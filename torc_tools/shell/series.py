"""Samples of jobs over time: one SQLite file a machine and run, written in one transaction every few seconds.

The file lies with the output, not in the store; losing it loses no result.
"""

import contextlib
import os
import sqlite3
import time

_TABLES = """
CREATE TABLE IF NOT EXISTS job_resource_samples (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    cpu_percent REAL,
    memory_bytes INTEGER,
    num_processes INTEGER
);
CREATE INDEX IF NOT EXISTS job_resource_samples_of ON job_resource_samples (job_id, timestamp);
CREATE TABLE IF NOT EXISTS job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT);
"""
_BUSY_S = 0.5  # another worker of this machine writes for milliseconds

Row = tuple[int, float, float | None, int, int]  # job_id, timestamp, cpu_percent, memory_bytes, num_processes


def path(output_dir: str, workflow_id: int, run_id: int) -> str:
    """Give the path of the samples of this machine in a run."""
    name = f"resource_metrics_{os.uname().nodename}_{workflow_id}_{run_id}.db"
    return os.path.join(output_dir, "resource_utilization", name)


class Series:
    """Collects samples; `flush` writes them. `trouble` says why the last flush failed."""

    def __init__(self, path: str) -> None:
        """Take the path; the file is made with the first sample."""
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._rows: list[Row] = []
        self._names: dict[int, str] = {}
        self.trouble: str | None = None

    def add(self, job_id: int, job_name: str, cpu_percent: float | None, memory_bytes: int, num_processes: int) -> None:
        """Note a sample, taken now."""
        self._names[job_id] = job_name
        self._rows.append((job_id, time.time(), cpu_percent, memory_bytes, num_processes))

    def flush(self) -> None:
        """Write what was noted; what cannot be written now is kept for the next time."""
        if not self._rows:
            return
        try:
            db = self._opened()
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany("INSERT OR REPLACE INTO job_metadata VALUES (?, ?)", self._names.items())
                columns = "(job_id, timestamp, cpu_percent, memory_bytes, num_processes)"
                db.executemany(f"INSERT INTO job_resource_samples {columns} VALUES (?, ?, ?, ?, ?)", self._rows)
                db.execute("COMMIT")
            except sqlite3.Error:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self.trouble = str(error)
            return
        self.trouble = None
        self._rows.clear()
        self._names.clear()

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            db = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_S)
            db.executescript(_TABLES)
            db.execute("PRAGMA synchronous = NORMAL")
            self._db = db
        return self._db

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        if self._db is not None:
            self._db.close()
