"""SQL of the reports: of each job the latest result that counts, with what it had been given and what it used."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import queries

_COLUMNS = """t.workflow_id, t.job_id, j.name AS job_name, t.run_id, t.attempt_id, t.status, t.return_code,
    t.exec_time_s, t.peak_memory_bytes, t.peak_cpu_percent, t.memory_bytes, t.runtime_s,
    -- a job that asks for nothing has no limit of CPUs either
    CASE WHEN j.resource_requirements_id IS NOT NULL THEN t.num_cpus END AS num_cpus"""
_LATEST = """t.workflow_id = :workflow AND {among} AND (:run IS NULL OR t.run_id = :run)
    AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = t.job_id
        AND (x.run_id = t.run_id AND x.attempt_id > t.attempt_id OR x.run_id > t.run_id AND :run IS NULL))"""
_OVER = """(t.peak_memory_bytes > t.memory_bytes OR t.peak_cpu_percent > 100 * t.num_cpus
    OR t.exec_time_s > t.runtime_s)"""
_REQUIREMENTS = """SELECT r.resource_requirements_id, r.name, r.num_cpus, r.memory_bytes, r.runtime_s, j.jobs
FROM (SELECT resource_requirements_id, count(*) AS jobs FROM job WHERE workflow_id = ? GROUP BY 1) j
    LEFT JOIN resource_requirements r USING (resource_requirements_id)
ORDER BY j.resource_requirements_id IS NULL, j.resource_requirements_id"""
_USED = """SELECT j.resource_requirements_id, t.status, t.job_id, j.name, t.peak_memory_bytes, t.peak_cpu_percent,
    t.avg_cpu_percent, t.exec_time_s, t.memory_bytes, t.num_cpus
FROM result t JOIN job j USING (job_id) WHERE {where}
ORDER BY j.resource_requirements_id IS NULL, j.resource_requirements_id, t.job_id"""


class Chosen:
    """Which results a report is about: the latest completed ones, of one run or of all, perhaps failed ones, too."""

    def __init__(self, db: sqlite3.Connection, workflow_id: int, run_id: int | None, *, failed: bool) -> None:
        """Choose; nothing is read yet."""
        self.db = db
        wanted = {states.COMPLETED} | (states.RECOVERABLE if failed else frozenset())
        self._where = _LATEST.format(among=queries.among("t.status", sorted(wanted)))
        self._parameters = {"workflow": workflow_id, "run": run_id}

    def total(self) -> int:
        """Give how many results there are."""
        query = f"SELECT count(*) FROM result t WHERE {self._where}"
        (count,) = self.db.execute(query, self._parameters).fetchone()
        return int(count)

    def results(self, *, everything: bool) -> Iterator[Record]:
        """Give the results as records: completed, failed, terminated, each in order of job.

        Without `everything` only those that failed or used more of something than they had been given. `facts` are
        read for those that failed, and empty for others.
        """
        wanted = "1" if everything else f"(t.status <> {states.COMPLETED} OR {_OVER})"
        facts = f"CASE WHEN t.status <> {states.COMPLETED} THEN t.facts ELSE '{{}}' END AS facts"
        query = f"""SELECT {_COLUMNS}, {facts} FROM result t JOIN job j USING (job_id)
            WHERE {wanted} AND {self._where} ORDER BY t.status, t.job_id, t.run_id"""
        return map(_record, self.db.execute(query, self._parameters))

    def requirements(self) -> list[sqlite3.Row]:
        """Give id, name, num_cpus, memory_bytes, runtime_s of each requirement that has jobs, and how many `jobs`.

        Last come the jobs that ask for nothing, if there are any: all else of their row is None.
        """
        return self.db.execute(_REQUIREMENTS, (self._parameters["workflow"],)).fetchall()

    def used(self) -> Iterator[tuple[Any, ...]]:
        """Give requirement, status, job, name, peak memory, peak and mean CPU, time, and limits of memory and CPUs.

        In the order of `requirements`, then of jobs.
        """
        return map(tuple, self.db.execute(_USED.format(where=self._where), self._parameters))


def _record(row: sqlite3.Row) -> Record:
    return {**dict(row), "status": states.NAMES[row["status"]], "facts": orjson.loads(row["facts"])}
