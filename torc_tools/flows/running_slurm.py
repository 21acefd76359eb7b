"""A workflow run on Slurm: planned and submitted in one go, as torc-regenerate | torc-submit would."""

import sqlite3

import orjson

from torc_tools import exits
from torc_tools.core import pace, ways
from torc_tools.exits import Failure
from torc_tools.flows import running, slurm_sync
from torc_tools.shell import allocations, pipeline, queries, store, stream


def run_there(
    db: sqlite3.Connection, path: str, workflow_id: int, plan_options: list[str], *, ignore_missing: bool
) -> int:
    """Plan allocations for what is pending and submit them; end when that is done. Say how many Slurm has.

    What an interrupted submission left is completed first. Raises Failure(66) for missing input, Failure with the
    status of the stage that failed: the workflow stays as it is, and the message says how to go on.
    """
    workflow = queries.workflow(db, workflow_id)
    if not ignore_missing:
        running.refuse_missing(db, workflow)
    if workflow["is_canceled"]:
        raise Failure(exits.EMPTY, f"workflow {workflow_id} is canceled: {ways.uncancel(workflow_id)} starts it again")
    with store.transaction(db):
        allocations.wish_for_slurm(db, workflow_id, "torc-run")
    if allocations.live(db, workflow_id):
        slurm_sync.reconcile(db, workflow_id, "torc-run")
    sent = 0
    if allocations.of_workflow(db, workflow_id, ("submitting",)):
        sent = _submitted(pipeline.run(["torc-submit", "--store", path, "-w", str(workflow_id)]), workflow_id)
    plan = ["torc-regenerate", "--store", path, *plan_options, str(workflow_id)]
    sent += _submitted(pipeline.run(plan, ["torc-submit", "--store", path]), workflow_id)
    _say(sent)
    if not sent:
        _say_failed(db, workflow_id)
    return exits.OK


def _submitted(ran: pipeline.Ran, workflow_id: int) -> int:
    """Count the allocations that Slurm has got. Raises Failure where a stage failed, those before it being said."""
    found = (orjson.loads(line) for line in ran.stdout.splitlines(keepends=True) if line.endswith(b"\n"))
    sent: int = sum(
        each["type"] == "submission" and bool(each["slurm_job_id"]) and not each["already"] for each in found
    )
    if ran.status:
        if sent:
            _say(sent)
        again = f"'torc-submit -w {workflow_id}'" if ran.stage == "torc-submit" else f"'torc-run --slurm {workflow_id}'"
        raise Failure(ran.status, f"{ran.stage} failed: workflow {workflow_id} is stored, {again} goes on with it")
    return sent


def _say_failed(db: sqlite3.Connection, workflow_id: int) -> None:
    """Where nothing was to submit, name what runs failed jobs again."""
    failed = pace.failed(queries.counts(db, workflow_id))
    if not failed or allocations.live(db, workflow_id):
        return
    does = f"'torc-recover {workflow_id}' starts"
    if allocations.engine(db, workflow_id) != "slurm":
        does = f"'torc-recover --no-run {workflow_id}', then this command again, starts"
    stream.say(f"torc-run: {failed} job(s) failed: {does} over what can be recovered")


def _say(sent: int) -> None:
    stream.say(f"Submitted to Slurm with {sent} allocation{'s' * (sent != 1)}")
