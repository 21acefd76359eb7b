"""The failed attempts of a workflow, read for diagnosis: only what failed is read, whatever else the store holds."""

import sqlite3
from collections.abc import Iterator, Sequence

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import layout

_COLUMNS = """j.job_id, j.workflow_id, j.name AS job_name, j.status AS job_status, j.run_id AS job_run,
    j.attempt_id AS job_attempt, t.run_id, t.attempt_id, t.status, t.return_code, t.exec_time_s, t.peak_memory_bytes,
    t.memory_bytes, t.runtime_s, t.num_cpus, t.ended_at, t.worker, t.facts, j.resource_requirements_id,
    r.memory_bytes AS now_memory, r.runtime_s AS now_runtime, coalesce(r.num_cpus, 1) AS now_cpus"""
_FAILED = f"({', '.join(map(str, sorted(states.RECOVERABLE)))})"
_IDS = f"SELECT job_id FROM job WHERE workflow_id = ? AND status IN {_FAILED}"
_LATEST = f"""SELECT {_COLUMNS} FROM json_each(?) e CROSS JOIN job j ON j.job_id = e.value
    LEFT JOIN result t ON t.result_id = (SELECT x.result_id FROM result x WHERE x.job_id = j.job_id
        ORDER BY x.run_id DESC, x.attempt_id DESC LIMIT 1)
    LEFT JOIN resource_requirements r ON r.resource_requirements_id = j.resource_requirements_id"""
_EVERY = f"""SELECT {_COLUMNS} FROM job j
    JOIN result t ON t.job_id = j.job_id AND t.status IN {_FAILED}
    LEFT JOIN resource_requirements r ON r.resource_requirements_id = j.resource_requirements_id
    WHERE j.workflow_id = ?"""
_BEFORE = """SELECT coalesce(sum(return_code = ? AND json_extract(facts, '$.reason') IS ?), 0),
    sum((run_id, attempt_id) <= (?, ?)) FROM result WHERE job_id = ?"""


def failed(
    db: sqlite3.Connection, workflow_id: int, job_ids: Sequence[int] | None = None, *, all_runs: bool = False
) -> Iterator[tuple[Record, Record]]:
    """Give (`result` record, what the job asks for now) of each job that has failed, in whatever way, in order of id.

    The result is the job's latest; a job that has none gets one without return code. `all_runs` gives every failed
    attempt of every job instead. The result has `same_failures`: how many results of the job have its code and reason;
    `attempts`: which attempt of the job it was, over all runs; `node`: where its worker ran.
    """
    wanted = None if job_ids is None else set(job_ids)
    if all_runs:
        rows = db.execute(f"{_EVERY} ORDER BY j.job_id, t.run_id, t.attempt_id", (workflow_id,))
        return (_pair(db, row) for row in rows if wanted is None or row["job_id"] in wanted)
    ids = sorted(row[0] for row in db.execute(_IDS, (workflow_id,)) if wanted is None or row[0] in wanted)
    return (_pair(db, row) for row in db.execute(_LATEST, (orjson.dumps(ids).decode(),)))  # in the order of the ids


def latest(db: sqlite3.Connection, job_ids: Sequence[int]) -> Iterator[tuple[Record, Record]]:
    """Give the same of the latest attempt of some jobs, whatever state these are in, in the order of `job_ids`."""
    return (_pair(db, row) for row in db.execute(_LATEST, (orjson.dumps(list(job_ids)).decode(),)))


def _pair(db: sqlite3.Connection, row: sqlite3.Row) -> tuple[Record, Record]:
    none = row["run_id"] is None  # the job was called failed, and no attempt of it is known
    facts = {} if none else orjson.loads(row["facts"])
    same, attempts = (1, 1) if none or _first(row) else _before(db, row, facts)
    result = {
        "type": "result",
        "workflow_id": row["workflow_id"],
        "job_id": row["job_id"],
        "job_name": row["job_name"],
        "run_id": row["job_run"] if none else row["run_id"],
        "attempt_id": row["job_attempt"] if none else row["attempt_id"],
        "status": states.NAMES[row["job_status"] if none else row["status"]],
        "return_code": row["return_code"],
        "exec_time_s": row["exec_time_s"],
        "peak_memory_bytes": row["peak_memory_bytes"],
        "memory_bytes": row["now_memory"] if none else row["memory_bytes"],
        "runtime_s": row["now_runtime"] if none else row["runtime_s"],
        "facts": facts,
        "same_failures": same,
        "attempts": attempts,
        "node": layout.node_of(row["worker"]),
        "ended_at": row["ended_at"],
    }
    now = {
        "resource_requirements_id": row["resource_requirements_id"],
        "memory_bytes": row["now_memory"],
        "runtime_s": row["now_runtime"],
        "num_cpus": row["now_cpus"],
    }
    return result, now


def _first(row: sqlite3.Row) -> bool:
    """Say whether this is the first attempt of the first run, so that no result can come before it."""
    return bool(row["run_id"] == row["attempt_id"] == 1)


def _before(db: sqlite3.Connection, row: sqlite3.Row, facts: Record) -> tuple[int, int]:
    """Count the job's results that ended as this one did, and those up to it."""
    asked = (row["return_code"], facts.get("reason"), row["run_id"], row["attempt_id"], row["job_id"])
    same, attempts = db.execute(_BEFORE, asked).fetchone()
    return int(same), int(attempts)
