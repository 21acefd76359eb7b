"""SQL about Slurm allocations: their intent, their submission, what Slurm says of them, their end.

planned (an intent: nothing was sent) > submitting (sbatch was started, its answer is not known) > queued > active >
complete, lost or canceled. Every change of status is journaled by the caller's command.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from torc_tools import states
from torc_tools.records import Record
from torc_tools.shell import journal, queries

LIVE, OVER = states.LIVE, states.OVER
_ASKED = ("group", "job_count", "nodes", "num_cpus", "memory_bytes", "num_gpus", "walltime_s", "account", "partition")
_COLUMNS = ("status", "slurm_job_id", "slurm_state", "slurm_reason", "submitted_at", "started_at", "ends_at")


def of_workflow(db: sqlite3.Connection, workflow_id: int, statuses: Iterable[str] | None = None) -> list[Record]:
    """Give the Slurm allocations of a workflow as rows, `config` decoded, oldest first; `statuses` None: all."""
    wanted = None if statuses is None else set(statuses)
    query = "SELECT * FROM allocation WHERE workflow_id = ? AND kind = 'slurm' ORDER BY allocation_id"
    rows = [{**dict(row), "config": orjson.loads(row["config"])} for row in db.execute(query, (workflow_id,))]
    return [row for row in rows if wanted is None or row["status"] in wanted]


def listed(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give every allocation of a workflow, of any kind and over or not, as `allocation` records, oldest first."""
    query = "SELECT * FROM allocation WHERE workflow_id = ? ORDER BY allocation_id"
    return [_listed(dict(row)) for row in db.execute(query, (workflow_id,))]


def _listed(row: Record) -> Record:
    config = orjson.loads(row["config"])
    asked = {key: config.get(key) for key in _ASKED}
    ids = {key: row[key] for key in ("workflow_id", "allocation_id", "kind", "status", "slurm_job_id")}
    told = {key: row[key] for key in ("slurm_state", "slurm_reason", "hostname", "pid", "run_id")}
    times = {key: row[key] for key in ("created_at", "submitted_at", "started_at", "ends_at", "ended_at")}
    return {"type": "allocation", **ids, **told, **times, **asked}


def live(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the allocations that Slurm has or may have."""
    return of_workflow(db, workflow_id, LIVE)


def working(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the live allocations that may still run jobs: those that their workers have left are not among them.

    Slurm needs a moment to end an allocation after its last worker has; nothing more comes of it. One that Slurm has
    started anew since (requeued) works, whatever its former life said. One of an earlier run does nothing, either.
    """
    ended, run_id = left(db, workflow_id), _run_of(db, workflow_id)
    rows = (row for row in live(db, workflow_id) if not is_stale(row, run_id))
    return [row for row in rows if not is_left(row, ended.get(row["allocation_id"]))]


def attended(db: sqlite3.Connection, workflow_id: int) -> bool:
    """Say whether, by what the workers wrote alone, one of the live allocations may still run jobs.

    It may be asked between two looks at Slurm, when an allocation that is over may still be called queued here: where
    no job is left that could move, there is nothing to attend to.
    """
    if not _moves(db, workflow_id):
        return False
    ended, run_id = left(db, workflow_id), _run_of(db, workflow_id)
    return any(row["allocation_id"] not in ended for row in live(db, workflow_id) if not is_stale(row, run_id))


def is_stale(row: Mapping[str, Any], run_id: int) -> bool:
    """Say whether an allocation was submitted for a run before `run_id`: its workers start nothing and leave."""
    return row["run_id"] is not None and row["run_id"] < run_id


def _moves(db: sqlite3.Connection, workflow_id: int) -> bool:
    moving = queries.among("status", states.WAITING - {states.BLOCKED} | states.ACTIVE)
    query = f"SELECT 1 FROM job WHERE workflow_id = ? AND {moving} LIMIT 1"
    return db.execute(query, (workflow_id,)).fetchone() is not None


def _run_of(db: sqlite3.Connection, workflow_id: int) -> int:
    row = db.execute("SELECT run_id FROM workflow WHERE workflow_id = ?", (workflow_id,)).fetchone()
    return int(row[0]) if row else 0


def left(db: sqlite3.Connection, workflow_id: int) -> dict[int, float]:
    """Give when the last worker of each allocation ended, of those that all their workers have left."""
    query = (
        "SELECT allocation_id, max(ended_at) FROM worker WHERE workflow_id = ? AND allocation_id IS NOT NULL"
        " GROUP BY allocation_id HAVING count(*) = count(ended_at)"
    )
    return {row[0]: row[1] for row in db.execute(query, (workflow_id,))}


def is_left(row: Mapping[str, Any], ended_at: float | None) -> bool:
    """Say whether the workers of an active allocation have left it, the last one at `ended_at` (None: not all)."""
    return row["status"] == "active" and ended_at is not None and ended_at >= (row["started_at"] or 0.0)


def plan(db: sqlite3.Connection, workflow_id: int, command: str, wanted: Record) -> int:
    """Note the intent of an allocation, inside the caller's transaction; give its id.

    `wanted` is the `allocation` record that asks for it; its `token` is kept unique, its `plan` may be None.
    """
    cursor = db.execute(
        "INSERT INTO allocation (workflow_id, kind, status, token, plan, created_at, config)"
        " VALUES (?, 'slurm', 'planned', ?, ?, ?, ?)",
        (workflow_id, wanted["token"], wanted.get("plan"), time.time(), orjson.dumps(wanted).decode()),
    )
    allocation_id = int(cursor.lastrowid or 0)
    why: dict[str, Any] = {"reason": "planned"}
    change = journal.Change("allocation", allocation_id, why, None, {"kind": "slurm", "status": "planned"})
    journal.record(db, workflow_id, command, [change])
    return allocation_id


def change(db: sqlite3.Connection, row: Mapping[str, Any], command: str, why: Record, **after: Any) -> None:
    """Change an allocation and journal it, inside the caller's transaction. `row` is how it was before.

    `after` may hold status, slurm_job_id, slurm_state, slurm_reason, submitted_at, started_at, ends_at; what stays as
    it is is neither written nor journaled. An allocation that is over gets its ended_at.
    """
    wrong = set(after) - set(_COLUMNS)
    assert not wrong, wrong  # noqa: S101  a mistake of ours
    new = {key: value for key, value in after.items() if row[key] != value}
    if not new:
        return
    columns = dict(new)
    if new.get("status") in OVER:
        columns["ended_at"] = time.time()
    settings = ", ".join(f"{key} = ?" for key in columns)
    db.execute(f"UPDATE allocation SET {settings} WHERE allocation_id = ?", (*columns.values(), row["allocation_id"]))
    if "status" in new or "slurm_job_id" in new:
        kept = {key: row[key] for key in new}
        journal.record(
            db, row["workflow_id"], command, [journal.Change("allocation", row["allocation_id"], why, kept, new)]
        )


def last_id(db: sqlite3.Connection, workflow_id: int) -> int:
    """Give the id of the newest allocation of a workflow, of any kind; 0 where there is none."""
    query = "SELECT coalesce(max(allocation_id), 0) FROM allocation WHERE workflow_id = ?"
    return int(db.execute(query, (workflow_id,)).fetchone()[0])


def met_slurm(db: sqlite3.Connection, workflow_id: int) -> bool:
    """Say whether Slurm may know anything of a workflow: it has an allocation there, or a worker was in a job of it."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM allocation WHERE workflow_id = ? AND kind = 'slurm')"
        " OR EXISTS (SELECT 1 FROM worker WHERE workflow_id = ? AND slurm_job_id IS NOT NULL)"
    )
    return bool(db.execute(query, (workflow_id, workflow_id)).fetchone()[0])


def engine(db: sqlite3.Connection, workflow_id: int) -> str:
    """Say what runs a workflow: 'slurm' or 'local'.

    That is what was wished for last where nothing has come of it yet, else what its last allocation is; before the
    first, what its schedulers say.
    """
    last = last_id(db, workflow_id)
    query = "SELECT json_extract(config, '$.slurm_after') FROM workflow WHERE workflow_id = ?"
    row = db.execute(query, (workflow_id,)).fetchone()
    if row is not None and row[0] is not None and row[0] >= last:
        return "slurm"
    if last:
        query = "SELECT kind FROM allocation WHERE allocation_id = ?"
        return "slurm" if db.execute(query, (last,)).fetchone()[0] == "slurm" else "local"
    query = "SELECT 1 FROM slurm_scheduler WHERE workflow_id = ? LIMIT 1"
    return "local" if db.execute(query, (workflow_id,)).fetchone() is None else "slurm"


def wish_for_slurm(db: sqlite3.Connection, workflow_id: int, command: str) -> None:
    """Note that a workflow is to run on Slurm, before anything is planned: if that fails, it is not run here instead.

    Inside the caller's transaction.
    """
    if engine(db, workflow_id) == "slurm":
        return
    last = last_id(db, workflow_id)
    query = "UPDATE workflow SET config = json_set(config, '$.slurm_after', ?) WHERE workflow_id = ?"
    db.execute(query, (last, workflow_id))
    why: Record = {"reason": "to be run on Slurm"}
    after = {"slurm_after": last}
    journal.record(
        db, workflow_id, command, [journal.Change("workflow", workflow_id, why, {"slurm_after": None}, after)]
    )
