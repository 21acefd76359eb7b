"""SQL about what Slurm's accounting says of attempts: which wait for it, what it said, the rows of slurm_stats."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from torc_tools.records import Record

COLUMNS = (
    "slurm_job_id",
    "slurm_step_id",
    "slurm_state",
    "exit_code",
    "elapsed_s",
    "max_rss_bytes",
    "max_vm_size_bytes",
    "max_disk_read_bytes",
    "max_disk_write_bytes",
    "ave_cpu_seconds",
    "total_cpu_seconds",
    "node_list",
)
_KEY = ("workflow_id", "job_id", "run_id", "attempt_id")
_RESULT = ("status", "return_code", "peak_memory_bytes", "avg_cpu_percent", "exec_time_s", "started_at", "ended_at")
_PENDING = """
SELECT t.result_id, t.workflow_id, t.job_id, t.run_id, t.attempt_id, t.status, t.return_code,
    coalesce(t.ended_at, w.ended_at) AS ended_at, -- nobody saw the end of one that was lost with its worker
    t.exec_time_s, t.peak_memory_bytes, t.worker, t.facts, w.slurm_job_id, j.name AS job_name
FROM result t JOIN job j USING (job_id) JOIN worker w ON w.workflow_id = t.workflow_id AND w.name = t.worker
WHERE t.workflow_id = ? AND w.slurm_job_id IS NOT NULL
    AND coalesce(json_extract(t.facts, '$.accounting'), 'pending') = 'pending'
"""
_IDS = "SELECT workflow_id, job_id, run_id, attempt_id FROM"
_STATS = f"""
SELECT a.*, {", ".join(f"s.{name}" for name in COLUMNS)}, j.name AS job_name, t.exec_time_s
FROM ({_IDS} result UNION {_IDS} slurm_stats) a JOIN job j USING (job_id)
    LEFT JOIN slurm_stats s ON s.job_id = a.job_id AND s.run_id = a.run_id AND s.attempt_id = a.attempt_id
    LEFT JOIN result t ON t.job_id = a.job_id AND t.run_id = a.run_id AND t.attempt_id = a.attempt_id
"""


def pending(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the attempts that ended in a Slurm job and whose accounting is not final, their facts decoded."""
    rows = map(dict, db.execute(_PENDING, (workflow_id,)))
    return [{**row, "facts": orjson.loads(row["facts"])} for row in rows]


def save(db: sqlite3.Connection, attempt: Record, facts: Record, columns: Record) -> None:
    """Set columns of the result of `attempt` (as `pending` gives it) and add to its facts; inside a transaction."""
    wrong = set(columns) - set(_RESULT)
    assert not wrong, wrong  # noqa: S101  a mistake of ours
    new = {**columns, "facts": orjson.dumps({**attempt["facts"], **facts}).decode()}
    settings = ", ".join(f"{key} = ?" for key in new)
    db.execute(f"UPDATE result SET {settings} WHERE result_id = ?", (*new.values(), attempt["result_id"]))


def save_stats(db: sqlite3.Connection, rows: Iterable[Record]) -> None:
    """Store rows of slurm_stats, each with the ids of its attempt and any of COLUMNS; an older row gives way."""
    names = (*_KEY, *COLUMNS)
    query = f"INSERT OR REPLACE INTO slurm_stats ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    db.executemany(query, ([row.get(name) for name in names] for row in rows))


def stats(db: sqlite3.Connection, condition: str, parameters: tuple[Any, ...]) -> Iterator[Record]:
    """Give a `slurm_stats` record of each attempt that ended, in order of job, run, attempt: nulls without accounting.

    `condition` is SQL over the ids of the attempt `a`.
    """
    query = f"{_STATS} WHERE {condition} ORDER BY a.job_id, a.run_id, a.attempt_id"
    return ({"type": "slurm_stats", **_stats_record(dict(row))} for row in db.execute(query, parameters))


def _stats_record(row: Record) -> Record:
    keys = ("workflow_id", "job_id", "job_name", "run_id", "attempt_id", *COLUMNS, "exec_time_s")
    cpu, ran = row["ave_cpu_seconds"], row["exec_time_s"]
    percent = round(100 * cpu / ran, 1) if cpu is not None and ran else None
    return {**{key: row[key] for key in keys}, "cpu_percent": percent}
