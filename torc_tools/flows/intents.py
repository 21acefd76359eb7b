"""What a plan wants, stored before anything is sent: each allocation once, whatever is read again."""

import sqlite3
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.core import sbatch, ways
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import allocations, layout, queries, store, submissions

COMMAND = "torc-submit"
_OLDER = {"reason": "another plan took its place before it was submitted"}


def note(db: sqlite3.Connection, wanted: Sequence[Record]) -> dict[str, int]:
    """Store the intents of checked `allocation` records in one transaction; give the allocation of each token.

    Tokens that are known already bring nothing new. What older plans never sent is canceled. Raises Failure(65) for
    two plans of one workflow and for a workflow that is canceled, Failure(75) where another plan came between.
    """
    found: dict[str, int] = {}
    with store.transaction(db):
        for workflow_id in dict.fromkeys(record["workflow_id"] for record in wanted):
            workflow = queries.workflow(db, workflow_id)
            for path in (workflow["output_dir"], workflow["submission_dir"]):
                sbatch.check_path(path)
            own = [record for record in wanted if record["workflow_id"] == workflow_id]
            found.update(_note(db, workflow, own))
    return found


def _note(db: sqlite3.Connection, workflow: Record, wanted: list[Record]) -> dict[str, int]:
    workflow_id = workflow["workflow_id"]
    plans = {record.get("plan") for record in wanted}
    if len(plans) > 1:
        raise Failure(exits.DATA, f"two plans of workflow {workflow_id} in one input: submit one, then plan anew")
    rows = {row["token"]: row for row in allocations.of_workflow(db, workflow_id)}
    new = [record for record in wanted if record["token"] not in rows]
    if new:
        _refuse(db, workflow, new[0])
        if None not in plans:
            _cancel_unsent(db, [row for row in rows.values() if row["plan"] not in plans])
    found = {record["token"]: rows[record["token"]]["allocation_id"] for record in wanted if record["token"] in rows}
    for record in new:
        if record["token"] not in found:
            found[record["token"]] = allocations.plan(db, workflow_id, COMMAND, record)
    return found


def _refuse(db: sqlite3.Connection, workflow: Record, record: Record) -> None:
    """Refuse a plan that does not fit the workflow any more."""
    workflow_id = workflow["workflow_id"]
    if workflow["is_canceled"]:
        again = f"{ways.uncancel(workflow_id)}, then plan anew"
        raise Failure(exits.DATA, f"workflow {workflow_id} is canceled: {again}")
    rivals = submissions.rivals(db, record) if record.get("planned_after") is not None else []
    if rivals:
        count = f"{len(rivals)} allocation(s) since, the first is {rivals[0]}"
        raise Failure(exits.TEMPORARY, f"another plan brought workflow {workflow_id} {count}: plan anew")


def _cancel_unsent(db: sqlite3.Connection, rows: list[Record]) -> None:
    for row in rows:
        if row["status"] == "planned":
            allocations.change(db, row, COMMAND, _OLDER, status="canceled")


def submission(workflow: Record, row: Record, *, already: bool, dry_run: bool) -> Record:
    """Make the `submission` record of an allocation as the store has it."""
    asked = row["config"]
    return {
        "type": "submission",
        "workflow_id": row["workflow_id"],
        "allocation_id": row["allocation_id"],
        "slurm_job_id": row["slurm_job_id"],
        "status": row["status"],
        "group": asked["group"],
        "number": asked.get("number") or 1,
        "num_allocations": asked.get("num_allocations") or 1,
        "job_count": asked.get("job_count"),
        "job_name": sbatch.job_name(asked, row["allocation_id"], workflow["token"]),
        "script": layout.script_path(workflow, row["allocation_id"]),
        "depends_on": [],
        "after_allocations": [],
        "token": row["token"],
        "already": already,
        "dry_run": dry_run,
    }
