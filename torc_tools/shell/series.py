"""Samples over time, written: one SQLite file a machine, run and allocation, one transaction every few seconds.

The file lies with the output, not in the store; losing it loses no result. torc_tools.shell.samples reads it.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from torc_tools.records import Record
from torc_tools.series import Gpu, NodeSample, NodeSummary

_TABLES = """
CREATE TABLE IF NOT EXISTS job_resource_samples (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    cpu_percent REAL,
    memory_bytes INTEGER,
    num_processes INTEGER,
    attempt_id INTEGER NOT NULL DEFAULT 1,
    gpu_percent REAL,
    gpu_memory_bytes INTEGER
);
CREATE INDEX IF NOT EXISTS job_resource_samples_of ON job_resource_samples (job_id, timestamp);
CREATE TABLE IF NOT EXISTS job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT);
CREATE TABLE IF NOT EXISTS job_attempts (
    job_id INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    memory_bytes INTEGER,
    num_cpus INTEGER,
    runtime_s REAL,
    started_at REAL,
    PRIMARY KEY (job_id, attempt_id)
);
CREATE TABLE IF NOT EXISTS system_resource_samples (
    id INTEGER PRIMARY KEY,
    timestamp REAL NOT NULL,
    cpu_percent REAL,
    memory_bytes INTEGER,
    total_memory_bytes INTEGER,
    load_1m REAL,
    num_processes INTEGER,
    gpu_percent REAL,
    gpu_memory_bytes INTEGER
);
CREATE TABLE IF NOT EXISTS system_resource_summary (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sample_count INTEGER NOT NULL,
    peak_cpu_percent REAL NOT NULL,
    avg_cpu_percent REAL NOT NULL,
    peak_memory_bytes INTEGER NOT NULL,
    avg_memory_bytes INTEGER NOT NULL
);
"""
_SUMMARY = ("sample_count", "peak_cpu_percent", "avg_cpu_percent", "peak_memory_bytes", "avg_memory_bytes")
_MOST = 2**63  # what SQLite's integers hold
_BUSY_S = 0.5  # a reader, or another worker of this machine, holds the file for milliseconds
_PATIENCE = 3  # flushes in a row that find the file locked, before that is trouble
_MOST_ROWS = 200_000  # kept where nothing can be written: some 40 MB

_JOB_ROW = """INSERT INTO job_resource_samples
    (job_id, attempt_id, timestamp, cpu_percent, memory_bytes, num_processes, gpu_percent, gpu_memory_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_NODE_ROW = """INSERT INTO system_resource_samples
    (timestamp, cpu_percent, memory_bytes, total_memory_bytes, load_1m, num_processes, gpu_percent, gpu_memory_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def path(output_dir: str, workflow_id: int, run_id: int, environ: Mapping[str, str]) -> str:
    """Give the path of the samples of this machine in a run; each allocation of Slurm has its own."""
    slurm = environ.get("SLURM_JOB_ID", "")
    allocation = f"_{slurm}" if slurm.isascii() and slurm.isdigit() else ""
    name = f"resource_metrics_{os.uname().nodename}_{workflow_id}_{run_id}{allocation}.db"
    return os.path.join(output_dir, "resource_utilization", name)


class SeriesFile:
    """The file of a machine's samples: collects them; `flush` writes them. `trouble` says why the last flush failed.

    Two workers of one machine may share a file. One thread at a time calls `flush` and `close`; another may collect.
    """

    def __init__(self, path: str) -> None:
        """Take the path; the file is made with the first sample."""
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the open file
        self._rows: list[tuple[Any, ...]] = []
        self._node_rows: list[NodeSample] = []
        self._attempts: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._names: dict[int, str] = {}
        self._new: set[tuple[int, int]] = set()  # attempts that are not in the file yet
        self._summary = _Summary()
        self._locked = 0
        self.trouble: str | None = None

    def begin(self, job: Record, attempt_id: int, started_at: float | None) -> None:
        """Note an attempt and what was asked for it: memory_bytes, num_cpus, runtime_s of the `job` record."""
        key = (job["job_id"], attempt_id)
        self._names[key[0]] = job["job_name"]
        self._attempts[key] = (job.get("memory_bytes"), job.get("num_cpus"), job.get("runtime_s"), started_at)
        self._new.add(key)

    def add(
        self,
        attempt: tuple[int, int],
        cpu_percent: float | None,
        memory_bytes: int | None,
        num_processes: int,
        gpu: Gpu = (None, None),
    ) -> None:
        """Note a sample of an attempt (job_id, attempt_id), taken now."""
        self._rows.append((*attempt, time.time(), cpu_percent, memory_bytes, num_processes, *gpu))

    def node(self, sample: NodeSample, *, keep: bool = True) -> None:
        """Note a sample of the machine; `keep` it, or only take it into the summary."""
        self._summary.take(sample)
        if keep:
            self._node_rows.append(sample)

    def next_job_id(self) -> int:
        """Give an id that no job in the file has, above all that it has. Raises sqlite3.Error, OSError."""
        ask = "SELECT max(job_id) FROM job_metadata WHERE typeof(job_id) = 'integer'"
        last = max(0, self._opened().execute(ask).fetchone()[0] or 0)
        if last >= _MOST - 1:
            raise sqlite3.DataError("no number is left for a job")
        return last + 1

    def flush(self) -> None:
        """Write what was noted; what cannot be written now is kept for the next time."""
        rows, self._rows = self._rows, []
        node_rows, self._node_rows = self._node_rows, []
        if not (rows or node_rows or self._summary.new):
            return
        try:
            self._write(rows, node_rows)
        except (sqlite3.Error, OSError) as error:
            self._rows = (rows + self._rows)[-_MOST_ROWS:]
            self._node_rows = (node_rows + self._node_rows)[-_MOST_ROWS:]
            self._locked = self._locked + 1 if _busy(error) else _PATIENCE
            self.trouble = str(error) if self._locked >= _PATIENCE else None
            return
        self._locked, self.trouble = 0, None

    def _write(self, rows: list[tuple[Any, ...]], node_rows: list[NodeSample]) -> None:
        db = self._opened()
        new = list(self._new)
        db.execute("BEGIN IMMEDIATE")
        try:
            named = [(job_id, self._names[job_id]) for job_id in {key[0] for key in new}]
            db.executemany("INSERT OR REPLACE INTO job_metadata VALUES (?, ?)", named)
            asked = [(*key, *self._attempts[key]) for key in new]
            db.executemany("INSERT OR REPLACE INTO job_attempts VALUES (?, ?, ?, ?, ?, ?)", asked)
            db.executemany(_JOB_ROW, rows)
            db.executemany(_NODE_ROW, node_rows)
            self._summary.write(db)
            db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._new.difference_update(new)
        self._summary.new = False

    def _opened(self) -> sqlite3.Connection:
        """Give the open file; make it again where a job has removed it. Raises sqlite3.Error, OSError."""
        if self._db is not None and _identity(self._path) == self._file:
            return self._db
        self._shut()
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        db = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
        try:
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")  # a reader sees all tables or none
            self._summary.read(db)
        except sqlite3.Error:
            db.close()
            raise
        self._db, self._file = db, _identity(self._path)
        self._new.update(self._attempts)
        return db

    def _shut(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        while self._locked and not self.trouble:
            self.flush()
        self._shut()


class _Summary:
    """Peaks and means of the machine over all samples, those of an earlier worker in the file included."""

    def __init__(self) -> None:
        self.new = False
        self._earlier: NodeSummary | None = None
        self._cpu: list[float] = [0, 0.0, 0.0]  # how many, sum, most
        self._memory: list[float] = [0, 0.0, 0.0]

    def take(self, sample: NodeSample) -> None:
        """Take a sample in."""
        for sums, value in ((self._cpu, sample.cpu_percent), (self._memory, sample.memory_bytes)):
            if value is not None:
                sums[:] = [sums[0] + 1, sums[1] + value, max(sums[2], value)]
        self.new = True

    def read(self, db: sqlite3.Connection) -> None:
        """Take in what a file says that was just opened."""
        row = db.execute(f"SELECT {', '.join(_SUMMARY)} FROM system_resource_summary").fetchone()
        sound = row and all(isinstance(value, int | float) and abs(value) < _MOST / 2 for value in row)
        self._earlier = NodeSummary(*row) if sound else None  # it is a job that can write there, too

    def write(self, db: sqlite3.Connection) -> None:
        """Write it, where there is something new and something known."""
        if not self.new or not (self._earlier or (self._cpu[0] and self._memory[0])):
            return  # the columns, which are torc's, have no way to say that nothing is known
        was = self._earlier or NodeSummary(0, 0.0, 0.0, 0, 0)
        count = self._memory[0]
        cpu = (was.avg_cpu * was.samples + self._cpu[1]) / max(1, was.samples + self._cpu[0])
        memory = (was.avg_memory * was.samples + self._memory[1]) / max(1, was.samples + count)
        row = (was.samples + count, max(was.peak_cpu, self._cpu[2]), cpu, max(was.peak_memory, self._memory[2]), memory)
        whole = (1, int(row[0]), row[1], round(row[2], 3), int(row[3]), round(row[4]))
        db.execute("INSERT OR REPLACE INTO system_resource_summary VALUES (?, ?, ?, ?, ?, ?)", whole)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
