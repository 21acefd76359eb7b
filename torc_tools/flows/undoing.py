"""Taking back a recovery that has not run: one transaction, guarded by the state that each change left, journaled.

The run of the workflow is not taken back but goes on by one: what still waits in Slurm's queue with the jobs of the
run that is undone is then of an earlier one, and leaves.
"""

import contextlib
import sqlite3

from torc_tools import exits
from torc_tools.core import undoing
from torc_tools.core.undoing import COMMAND, Reversal, State
from torc_tools.exits import Failure
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import allocations, holders, journal, queries, restoring, stopping, store, stream
from torc_tools.shell.journal import Change

_ORDER = ("job", "resource_requirements", "workflow")


def undo(db: sqlite3.Connection, workflow_id: int, change_id: int | None, *, dry_run: bool) -> list[Record]:
    """Take back the last recovery, or all changes from that of `change_id` on; give an `undone` record a subject.

    `db` has the news folded in (with dry_run: it is a copy in memory). Raises Failure(65) where something has changed
    since, Failure(66) for a change that is not there, Failure(69) where Slurm does not say whether it runs the jobs,
    and Failure(75) where somebody may: then nothing is changed.
    """
    on_slurm = _settle(db, workflow_id, dry_run=dry_run)
    with store.transaction(db):
        fold.take_in(db, queries.workflow(db, workflow_id))
        _refuse_held(db, workflow_id)
        done = _taken_back(db, workflow_id, change_id)
    if done and not dry_run:
        with contextlib.suppress(OSError):
            stopping.announce_run(queries.workflow(db, workflow_id))
        _clear_queue(db, workflow_id, on_slurm=on_slurm)
    return [{**record, "dry_run": dry_run} for record in done]


def _settle(db: sqlite3.Connection, workflow_id: int, *, dry_run: bool) -> bool:
    """Ask Slurm where it has allocations that may run the jobs; say whether it has. Raises Failure(69)."""
    if not allocations.working(db, workflow_id):
        return False
    from torc_tools.flows import slurm_sync

    summary = slurm_sync.reconcile(db, workflow_id, COMMAND, dry_run=dry_run)
    if summary["slurm"]["squeue"] != "ok":
        raise Failure(exits.UNAVAILABLE, "Slurm does not say whether it runs the jobs: nothing was taken back")
    return True


def _clear_queue(db: sqlite3.Connection, workflow_id: int, *, on_slurm: bool) -> None:
    """Cancel what waits in Slurm's queue for the run that is no more; where that fails it leaves by itself."""
    if not on_slurm:
        return
    from torc_tools.flows import slurm_sync

    with contextlib.suppress(Failure):
        slurm_sync.reconcile(db, workflow_id, COMMAND)
    for row in allocations.of_workflow(db, workflow_id, ("queued",)):
        stream.say(f"{COMMAND}: {holders.name(row)} is left: when it begins it starts nothing")


def _refuse_held(db: sqlite3.Connection, workflow_id: int) -> None:
    """Refuse where a worker may run the jobs. What is only queued may not: it finds a later run."""
    active = [row for row in holders.all_of(db, workflow_id) if row["status"] not in ("planned", "queued")]
    for row in active[:1]:
        again = f"(torc-cancel {workflow_id} ends it)"
        raise Failure(exits.TEMPORARY, f"{holders.name(row)} may run the jobs: nothing was taken back {again}")


def _taken_back(db: sqlite3.Connection, workflow_id: int, change_id: int | None) -> list[Record]:
    made = list(journal.read(db, workflow_id))
    rows = undoing.chosen(made, change_id)
    present = restoring.present(db, ((row["subject"], row["subject_id"]) for row in rows))
    reversal = Reversal(present, undoing.runs_left(made))
    for row in rows:
        reversal.take(row)
    found = reversal.differences()
    changes, done = [], []
    for (subject, subject_id), (before, after) in found.items():
        undone = sorted(reversal.changes[subject, subject_id])
        then = _written(db, subject, subject_id, before, after)
        changes.append(Change(subject, subject_id, {"undo": undone}, before, then))
        ids = {"type": "undone", "workflow_id": workflow_id, "change_ids": undone}
        told = {"subject": subject, "subject_id": subject_id, "before": before, "after": then}
        name = {**present[subject, subject_id], **after}["name"] if subject == "job" else None
        done.append({**ids, **told, "job_name": name})
    for used in restoring.drop_requirements(db, reversal.gone):
        raise Failure(exits.DATA, f"other jobs use requirements {used} since: nothing was taken back")
    journal.record(db, workflow_id, COMMAND, changes)
    return sorted(done, key=lambda each: (_ORDER.index(each["subject"]), each["subject_id"]))


def _written(db: sqlite3.Connection, subject: str, subject_id: int, before: State, after: State) -> State | None:
    """Set a subject back, and give what it is then; None: it goes, once nobody uses it."""
    if not after:
        return None
    if subject == "workflow" and "run_id" in after:
        after = {**after, "run_id": before["run_id"] + 1}
    restoring.restore(db, subject, subject_id, after)
    return after
