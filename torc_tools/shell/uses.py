"""The SQL of torc-correct: what every job asks for, and what its latest attempt had been given and used."""

import sqlite3
from collections.abc import Iterator

from torc_tools import states

_USES = f"""SELECT j.job_id, j.name AS job_name, j.run_id, j.attempt_id, j.resource_requirements_id AS row,
    r.memory_bytes AS memory, r.runtime_s AS runtime, r.num_cpus AS cpus, r.num_nodes AS nodes,
    t.memory_bytes AS had_memory, t.runtime_s AS had_runtime, t.num_cpus AS had_cpus, t.status, t.return_code,
    t.exec_time_s AS exec_s, t.peak_memory_bytes AS peak_memory, t.peak_cpu_percent AS peak_cpu,
    t.status = {states.COMPLETED} AND json_extract(t.facts, '$.warned_at') IS NOT NULL AS was_warned
FROM job j JOIN resource_requirements r USING (resource_requirements_id)
LEFT JOIN result t ON t.result_id = (SELECT x.result_id FROM result x WHERE x.job_id = j.job_id
    ORDER BY x.run_id DESC, x.attempt_id DESC LIMIT 1)
WHERE j.workflow_id = ? ORDER BY j.job_id"""
_COPIES = """SELECT subject_id, json_extract(after, '$.copy_of') FROM change
WHERE workflow_id = ? AND subject = 'resource_requirements' AND before = 'null'"""


def latest(db: sqlite3.Connection, workflow_id: int) -> Iterator[sqlite3.Row]:
    """Give, for each job that has a requirement, in order of id: the job, what it asks for, its latest attempt.

    job_id, job_name, run_id, attempt_id, row, memory, runtime, cpus, nodes; then of the attempt, all None where the job
    has not run: had_memory, had_runtime, had_cpus, status (a number), return_code, exec_s, peak_memory, peak_cpu,
    was_warned (of its end, though it ended well).
    """
    return iter(db.execute(_USES, (workflow_id,)))


def job_ids(db: sqlite3.Connection, workflow_id: int) -> set[int]:
    """Give the ids of all jobs of a workflow."""
    return {row[0] for row in db.execute("SELECT job_id FROM job WHERE workflow_id = ?", (workflow_id,))}


def copies(db: sqlite3.Connection, workflow_id: int) -> dict[int, int | None]:
    """Give the requirement rows that were copied from others, with the row they were copied from (None: from none)."""
    return {row[0]: row[1] for row in db.execute(_COPIES, (workflow_id,))}
