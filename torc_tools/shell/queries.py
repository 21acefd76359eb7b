"""What is read from the store, as records. Every reader of jobs, results and workflows goes through here."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from torc_tools import exits, states
from torc_tools.exits import Failure
from torc_tools.records import Record

_JOB = """
SELECT j.job_id, j.workflow_id, j.name AS job_name, j.status, j.command, j.invocation_script, j.run_id, j.attempt_id,
    j.priority, j.cancel_on_blocking_job_failure, j.resource_requirements_id, r.name AS resource_requirements,
    r.num_cpus, r.num_gpus, r.num_nodes, r.memory_bytes, r.runtime_s, j.failure_handler_id, j.slurm_scheduler_id,
    j.worker, j.config
FROM job j LEFT JOIN resource_requirements r USING (resource_requirements_id)
"""
_RESULT = """
SELECT t.result_id, t.workflow_id, t.job_id, j.name AS job_name, t.run_id, t.attempt_id, t.status, t.return_code,
    t.started_at, t.ended_at, t.exec_time_s, t.peak_memory_bytes, t.avg_memory_bytes,
    t.peak_cpu_percent, t.avg_cpu_percent, t.memory_bytes, t.runtime_s, t.num_cpus, t.worker, t.facts
FROM result t JOIN job j USING (job_id)
"""


def workflow(db: sqlite3.Connection, workflow_id: int) -> Record:
    """Give the `workflow` record of an id, its config decoded. Raises Failure(66) where there is no such workflow."""
    row = db.execute("SELECT * FROM workflow WHERE workflow_id = ?", (workflow_id,)).fetchone()
    if row is None:
        raise Failure(exits.NO_INPUT, f"no such workflow: '{workflow_id}'")
    return _workflow(row)


def workflows(db: sqlite3.Connection) -> Iterator[Record]:
    """Give all `workflow` records, oldest first."""
    return map(_workflow, db.execute("SELECT * FROM workflow ORDER BY workflow_id"))


def jobs(db: sqlite3.Connection, condition: str = "1", parameters: tuple[Any, ...] = ()) -> Iterator[Record]:
    """Give `job` records in order of id; `condition` is SQL over job `j` and its requirements `r`.

    memory_bytes and runtime_s are null where the job has no limit; num_cpus is then 1.
    """
    return map(_job, db.execute(f"{_JOB} WHERE {condition} ORDER BY j.job_id", parameters))


def results(db: sqlite3.Connection, condition: str = "1", parameters: tuple[Any, ...] = ()) -> Iterator[Record]:
    """Give `result` records in order of job, run, attempt; `condition` is SQL over result `t` and job `j`."""
    order = "ORDER BY t.job_id, t.run_id, t.attempt_id"
    return map(_result, db.execute(f"{_RESULT} WHERE {condition} {order}", parameters))


def among(column: str, values: Iterable[int]) -> str:
    """Write a condition that is true where `column` is one of some integers."""
    return f"{column} IN ({', '.join(str(int(value)) for value in values)})"


def upstream(job_id: int) -> str:
    """Write a condition for `jobs`: those that a job waits for, directly or through others."""
    return (
        "j.job_id IN (WITH RECURSIVE up (id) AS (SELECT depends_on_job_id FROM job_depends_on"
        f" WHERE job_id = {job_id} UNION SELECT d.depends_on_job_id FROM job_depends_on d"
        " JOIN up ON d.job_id = up.id) SELECT id FROM up)"
    )


def downstream(job_id: int) -> str:
    """Write a condition for `jobs`: those that wait for a job, directly or through others."""
    return (
        "j.job_id IN (WITH RECURSIVE down (id) AS (SELECT job_id FROM job_depends_on"
        f" WHERE depends_on_job_id = {job_id} UNION SELECT d.job_id FROM job_depends_on d"
        " JOIN down ON d.depends_on_job_id = down.id) SELECT id FROM down)"
    )


def counts(db: sqlite3.Connection, workflow_id: int) -> dict[str, int]:
    """Give how many jobs of a workflow are in each state, all states named."""
    rows = db.execute("SELECT status, count(*) FROM job WHERE workflow_id = ? GROUP BY status", (workflow_id,))
    found = {row[0]: row[1] for row in rows}
    return {name: found.get(number, 0) for number, name in enumerate(states.NAMES)}


def edges(db: sqlite3.Connection, workflow_id: int) -> Iterator[tuple[int, int]]:
    """Give (job, parent) for every dependency of a workflow."""
    query = (
        "SELECT d.job_id, d.depends_on_job_id FROM job j JOIN job_depends_on d USING (job_id) WHERE j.workflow_id = ?"
    )
    return ((row[0], row[1]) for row in db.execute(query, (workflow_id,)))


def names_and_states(db: sqlite3.Connection, workflow_id: int) -> tuple[dict[int, str], dict[int, str]]:
    """Give the name and the state's name of every job of a workflow, by id."""
    rows = db.execute("SELECT job_id, name, status FROM job WHERE workflow_id = ?", (workflow_id,)).fetchall()
    return {row[0]: row[1] for row in rows}, {row[0]: states.NAMES[row[2]] for row in rows}


def return_codes(db: sqlite3.Connection, workflow_id: int | None) -> dict[int, int]:
    """Give the return code of each job's latest attempt that has ended, by id."""
    query = "SELECT job_id, return_code FROM result WHERE workflow_id = ? ORDER BY run_id, attempt_id"
    return {row[0]: row[1] for row in db.execute(query, (workflow_id,))}


def last_event_at(db: sqlite3.Connection, workflow_id: int) -> float | None:
    """Give when a worker of the workflow was last heard of, in Unix seconds; None before the first."""
    query = "SELECT max(max(coalesce(heartbeat_at, 0), coalesce(ended_at, 0))) FROM worker WHERE workflow_id = ?"
    latest = db.execute(query, (workflow_id,)).fetchone()[0]
    ended = db.execute("SELECT max(ended_at) FROM result WHERE workflow_id = ?", (workflow_id,)).fetchone()[0]
    return max(latest or 0, ended or 0) or None


_UNSTARTED = f"""j.workflow_id = ? AND {among("j.status", states.WAITING)} AND u.is_output = 0
    AND NOT EXISTS (SELECT 1 FROM {{table}} o WHERE o.{{key}} = u.{{key}} AND o.is_output = 1)"""


def outside_inputs(db: sqlite3.Connection, workflow_id: int) -> Iterator[tuple[int, str]]:
    """Give (job, path) of the input files that no job writes, for jobs that have not started."""
    where = _UNSTARTED.format(table="job_file", key="file_id")
    query = (
        f"SELECT j.job_id, f.path FROM job j JOIN job_file u USING (job_id) JOIN file f USING (file_id) WHERE {where}"
    )
    return ((row[0], row[1]) for row in db.execute(query, (workflow_id,)))


def ungiven_user_data(db: sqlite3.Connection, workflow_id: int) -> Iterator[tuple[int, str]]:
    """Give (job, name) of the user data that jobs which have not started need, nobody makes and holds nothing."""
    where = _UNSTARTED.format(table="job_user_data", key="user_data_id")
    query = (
        "SELECT j.job_id, d.name FROM job j JOIN job_user_data u USING (job_id) JOIN user_data d USING (user_data_id)"
        f" WHERE {where} AND d.data IS NULL"
    )
    return ((row[0], row[1]) for row in db.execute(query, (workflow_id,)))


def _workflow(row: sqlite3.Row) -> Record:
    record = {"type": "workflow", **dict(row)}
    record["is_canceled"] = bool(record["is_canceled"])
    record["config"] = orjson.loads(record["config"])
    return record


def _job(row: sqlite3.Row) -> Record:
    record = {"type": "job", **dict(row)}
    record["status"] = states.NAMES[record["status"]]
    record["cancel_on_blocking_job_failure"] = bool(record["cancel_on_blocking_job_failure"])
    record["config"] = orjson.loads(record["config"] or "{}")
    for key, least in (("num_cpus", 1), ("num_gpus", 0), ("num_nodes", 1)):
        if record[key] is None:
            record[key] = least
    return record


def _result(row: sqlite3.Row) -> Record:
    record = {"type": "result", **dict(row)}
    record["status"] = states.NAMES[record["status"]]
    for kind in ("peak", "avg"):
        size = record[f"{kind}_memory_bytes"]
        record[f"{kind}_memory_gb"] = None if size is None else round(size / 2**30, 6)
    record["facts"] = orjson.loads(record["facts"])
    return record
