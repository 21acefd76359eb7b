"""The manifest: the job lines that a worker reads instead of the store, with what it needs to unblock them itself."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from torc_tools import records, states
from torc_tools.records import Record
from torc_tools.shell import folding, layout, queries, spawning

_NOT_STARTED = f"j.workflow_id = ? AND {queries.among('j.status', states.WAITING)}"


def write(db: sqlite3.Connection, workflow: Record, allocation_id: int, store: str) -> str:
    """Write the manifest of an allocation (whole, or not at all) and give its path.

    It holds the jobs that are ready or blocked, in order of id; parents that are done are left out, the others
    stand in `waits_for`.
    """
    path = layout.manifest_path(workflow, allocation_id)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lines = records.framed("torc-run", workflow["workflow_id"], _lines(db, workflow, allocation_id, store))
    with _one_view(db), open(f"{path}.part", "wb") as file:
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    os.replace(f"{path}.part", path)
    return path


@contextlib.contextmanager
def _one_view(db: sqlite3.Connection) -> Iterator[None]:
    """Let all that is read in the block be of one moment: a reset between two queries would free jobs of parents."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _lines(db: sqlite3.Connection, workflow: Record, allocation_id: int, store: str) -> Iterator[Record]:
    workflow_id = workflow["workflow_id"]
    query = "SELECT name || '.jsonl', offset FROM worker WHERE workflow_id = ?"
    offsets = {row[0]: row[1] for row in db.execute(query, (workflow_id,))}
    yield {
        **workflow,
        "store": os.path.abspath(store),
        "allocation_id": allocation_id,
        "event_offsets": offsets,
        "spawns_known": spawning.last_id(db, workflow_id),
        "failure_handlers": _handlers(db, workflow_id),
        "actions": _actions(db, workflow),
    }
    yield from _jobs(db, workflow_id, _NOT_STARTED)


def jobs(db: sqlite3.Connection, workflow_id: int, ids: Sequence[int]) -> Iterator[Record]:
    """Give the lines of jobs whose ids follow one another, as a manifest of now would hold them."""
    if ids:
        yield from _jobs(db, workflow_id, f"j.workflow_id = ? AND j.job_id BETWEEN {ids[0]:d} AND {ids[-1]:d}")


def _jobs(db: sqlite3.Connection, workflow_id: int, which: str) -> Iterator[Record]:
    parents, status, _ = folding.waiting(db, workflow_id)
    outputs = _outputs(db, workflow_id)
    for job in queries.jobs(db, which, (workflow_id,)):
        above = parents.get(job["job_id"], ())
        job["waits_for"] = [parent for parent in above if status[parent] not in states.DONE]
        job["parent_failed"] = any(status[parent] in states.BAD for parent in above)
        job["output_files"] = outputs.get(job["job_id"], [])
        yield job


def _outputs(db: sqlite3.Connection, workflow_id: int) -> dict[int, list[str]]:
    """Give the paths that each job says it writes."""
    outputs: dict[int, list[str]] = {}
    query = (
        "SELECT o.job_id, f.path FROM file f JOIN job_file o USING (file_id) WHERE f.workflow_id = ? AND o.is_output"
    )
    for job, path in db.execute(query, (workflow_id,)):
        outputs.setdefault(job, []).append(path)
    return outputs


def _handlers(db: sqlite3.Connection, workflow_id: int) -> dict[str, Any]:
    rows = db.execute("SELECT * FROM failure_handler WHERE workflow_id = ?", (workflow_id,))
    return {str(row["failure_handler_id"]): {"name": row["name"], "rules": orjson.loads(row["rules"])} for row in rows}


def _actions(db: sqlite3.Connection, workflow: Record) -> list[Record]:
    """Give the actions that may fire: those not executed yet, and those that a new run arms again.

    After a reset an action of jobs fires again when one of its jobs was reset; the start of the workflow is not
    repeated, its end is, and workers' own actions belong to each worker.
    """
    armed = []
    for row in db.execute("SELECT * FROM action WHERE workflow_id = ?", (workflow["workflow_id"],)).fetchall():
        action = {"action_id": row["action_id"], **orjson.loads(row["config"])}
        if row["executed_run_id"] is None or _again(db, action, row["executed_run_id"], workflow["run_id"]):
            armed.append(action)
    return armed


def _again(db: sqlite3.Connection, action: Record, executed: int, run_id: int) -> bool:
    if action["trigger_type"] in ("on_jobs_ready", "on_jobs_complete"):
        query = f"SELECT max(run_id) FROM job WHERE {queries.among('job_id', action.get('job_ids') or ())}"
        return (db.execute(query).fetchone()[0] or 0) > executed
    return action["trigger_type"] != "on_workflow_start" and (run_id > executed or "worker" in action["trigger_type"])
