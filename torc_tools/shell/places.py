"""Where the jobs of a workflow can run now: its allocations and live workers, with what they hold; this machine."""

import os
import sqlite3
import time

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import allocations as slurm
from torc_tools.shell import eventlog, liveness
from torc_tools.shell import machine as here

_OPEN = ("planned", *states.LIVE)
_SIZES = ("num_cpus", "memory_bytes", "num_gpus")


def allocations(db: sqlite3.Connection, workflow: Record) -> list[Record]:
    """Give what may run the workflow's jobs: allocations that have not ended, and live workers that have none.

    They are `allocation` records: kind status is_alive (null: nobody here can know) allocation_id slurm_job_id
    hostname pid, what it holds
    (num_cpus memory_bytes num_gpus, null while unknown), heartbeat_at, left_s (null: no end known), hostnames, and as
    torc-sync last saw them slurm_state and slurm_reason. What workers wrote since counts: one that lives makes a queued
    allocation active, and one that all have left is not alive.
    """
    query = "SELECT * FROM worker WHERE workflow_id = ? AND ended_at IS NULL ORDER BY started_at"
    workers = [dict(row) for row in db.execute(query, (workflow["workflow_id"],))]
    query = "SELECT * FROM allocation WHERE workflow_id = ? AND status IN (?, ?, ?, ?) ORDER BY allocation_id"
    rows = db.execute(query, (workflow["workflow_id"], *_OPEN))
    found, left = [], slurm.left(db, workflow["workflow_id"])
    for row in map(dict, rows):
        mine = [each for each in workers if each["allocation_id"] == row["allocation_id"]]
        told = _as_told(row, mine, left.get(row["allocation_id"]))
        told["is_left"] = told["is_left"] or slurm.is_stale(row, workflow["run_id"])
        found.append(_allocation(workflow, told, mine))
    known = {each["allocation_id"] for each in found}
    loose = [_loose(workflow, each) for each in workers if each["allocation_id"] not in known]
    return found + [each for each in loose if each["is_alive"]]


def machine() -> Record:
    """Give what this machine holds for jobs, as a place: CPUs this process may use, memory, GPUs."""
    gpus = len(here.gpus(os.environ))
    return {"num_cpus": here.num_cpus(), "memory_bytes": here.memory_bytes(), "num_gpus": gpus, "left_s": None}


def _as_told(row: Record, workers: list[Record], left_at: float | None) -> Record:
    """Give the row of an allocation as its workers tell of it, where Slurm was not asked since they came or left.

    One that was put back into the queue waits, though: what its former life said does not count for long.
    """
    is_waiting = row["kind"] == "slurm" and row["status"] in ("submitting", "queued")
    came = bool(workers) and bool(_alive(row, workers[-1]))
    if is_waiting and (came or (left_at is not None and row["slurm_state"] is None)):
        row = {**row, "status": "active", "slurm_state": None, "slurm_reason": None}
    return {**row, "is_left": row["kind"] == "slurm" and slurm.is_left(row, left_at)}


def _allocation(workflow: Record, row: Record, workers: list[Record]) -> Record:
    """Make the entry of an allocation, `workers` being those in it that have not ended, the last one last."""
    config, worker = orjson.loads(row["config"]), workers[-1] if workers else None
    if row["ends_at"] is not None:
        config = {**config, "ends_at": row["ends_at"]}
    return {
        "type": "allocation",
        "workflow_id": row["workflow_id"],
        "allocation_id": row["allocation_id"],
        "kind": row["kind"],
        "status": row["status"],
        "is_alive": False if row["is_left"] else _alive(row, worker) if row["status"] == "active" else None,
        "slurm_job_id": row["slurm_job_id"],
        "slurm_state": row["slurm_state"],
        "slurm_reason": row["slurm_reason"],
        "hostnames": sorted({each["hostname"] for each in workers if each["hostname"]}),
        **_holds(workflow, worker, config),
        "hostname": row["hostname"] or (worker or {}).get("hostname"),
        "pid": row["pid"] or (worker or {}).get("pid"),
    }


def _loose(workflow: Record, worker: Record) -> Record:
    """Make the entry of a worker that no allocation of the store stands for: torc-work called by hand."""
    return {
        "type": "allocation",
        "workflow_id": worker["workflow_id"],
        "allocation_id": None,
        "kind": "worker",
        "status": "active",
        "is_alive": _alive(worker, worker),
        "slurm_job_id": worker["slurm_job_id"],
        "slurm_state": None,
        "slurm_reason": None,
        "hostnames": [worker["hostname"]] if worker["hostname"] else [],
        **_holds(workflow, worker, {}),
        "hostname": worker["hostname"],
        "pid": worker["pid"],
    }


def _alive(row: Record, worker: Record | None) -> bool | None:
    """Say whether the process lives: known on this machine; elsewhere a fresh heartbeat says yes, silence nothing."""
    known = liveness.alive(row["hostname"], row["pid"], row["pid_start"])
    if known is None and worker is not None and worker["heartbeat_at"]:
        return True if time.time() - worker["heartbeat_at"] < liveness.silent_s() else None
    return known


def _holds(workflow: Record, worker: Record | None, config: Record) -> Record:
    """Give what a worker said it holds, in the first line of its event file, and how long it still has."""
    said = eventlog.first(workflow, worker["name"]) if worker else {}
    ends = said.get("ends_at") or config.get("ends_at")  # a worker starts nothing that does not fit before its own
    left = ends - time.time() if isinstance(ends, int | float) else None
    heartbeat = worker["heartbeat_at"] if worker else None
    return {**{key: said.get(key) for key in _SIZES}, "heartbeat_at": heartbeat, "left_s": left}
