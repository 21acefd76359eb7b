"""SQL of planning: the jobs that wait or run with what they need, read lean, for there may be many."""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

import orjson

from torc_tools import states
from torc_tools.shell import queries, spawning

_SIZE = "coalesce(r.num_cpus, 1), r.memory_bytes, coalesce(r.num_gpus, 0), coalesce(r.num_nodes, 1), r.runtime_s"
_FROM = "FROM job j LEFT JOIN resource_requirements r USING (resource_requirements_id)"

Row = tuple[Any, ...]


def jobs(db: sqlite3.Connection, workflow_id: int, more: Collection[int] = ()) -> Iterator[Row]:
    """Give (job id, requirement's name, scheduler, CPUs, memory, GPUs, nodes, runtime) of the jobs that have not begun.

    `more` are ids of jobs that count as if they had not; those that a worker has never do.
    """
    waiting, begun = (queries.among("j.status", each) for each in (sorted(states.WAITING), sorted(states.ACTIVE)))
    extra = f"OR ({queries.among('j.job_id', sorted(more))} AND NOT {begun})" if more else ""
    query = (
        f"SELECT j.job_id, r.name, j.slurm_scheduler_id, {_SIZE} {_FROM}"
        f" WHERE j.workflow_id = ? AND ({waiting} {extra}) ORDER BY j.job_id"
    )
    return db.execute(query, (workflow_id,))


def active(db: sqlite3.Connection, workflow_id: int) -> Iterator[Row]:
    """Give (job id, allocation of its worker or None, CPUs, memory, GPUs, nodes, runtime) of jobs that a worker has."""
    query = (
        f"SELECT j.job_id, w.allocation_id, {_SIZE} {_FROM}"
        " LEFT JOIN worker w ON w.workflow_id = j.workflow_id AND w.name = j.worker"
        f" WHERE j.workflow_id = ? AND {queries.among('j.status', sorted(states.ACTIVE))}"
    )
    return db.execute(query, (workflow_id,))


def ids(db: sqlite3.Connection, workflow_id: int, statuses: Collection[int]) -> set[int]:
    """Give the ids of a workflow's jobs in some states."""
    query = f"SELECT job_id FROM job j WHERE workflow_id = ? AND {queries.among('status', sorted(statuses))}"
    return {row[0] for row in db.execute(query, (workflow_id,))}


def retries(db: sqlite3.Connection, workflow_id: int) -> set[int]:
    """Give the ids of the ready jobs that no plan has seen: retries of this run, and spawned ones."""
    query = f"SELECT j.job_id FROM job j WHERE j.workflow_id = ? AND j.status = ? AND {spawning.UNPLANNED}"
    return {row[0] for row in db.execute(query, (workflow_id, states.READY))}


def missing(db: sqlite3.Connection, workflow_id: int, wanted: Collection[int]) -> list[int]:
    """Give those of some job ids that a workflow does not have, sorted."""
    query = f"SELECT job_id FROM job WHERE workflow_id = ? AND {queries.among('job_id', sorted(wanted))}"
    return sorted(set(wanted) - {row[0] for row in db.execute(query, (workflow_id,))})


def schedulers(db: sqlite3.Connection, workflow_id: int) -> list[tuple[int, dict[str, Any]]]:
    """Give (id, config) of the workflow's own schedulers, in order."""
    query = "SELECT slurm_scheduler_id, config FROM slurm_scheduler WHERE workflow_id = ? ORDER BY 1"
    return [(row[0], orjson.loads(row[1])) for row in db.execute(query, (workflow_id,))]


def actions(db: sqlite3.Connection, workflow_id: int) -> list[tuple[int, dict[str, Any]]]:
    """Give (id, config) of the workflow's actions, in order."""
    query = "SELECT action_id, config FROM action WHERE workflow_id = ? ORDER BY 1"
    return [(row[0], orjson.loads(row[1])) for row in db.execute(query, (workflow_id,))]
