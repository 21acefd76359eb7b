"""Taking workflows out of the store: their rows; the journal keeps that they were there, their files stay."""

import sqlite3
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import holders, jobedit, journal, queries, store
from torc_tools.shell.journal import Change

_COMMAND = "torc-workflows"


def delete(db: sqlite3.Connection, workflow_ids: Sequence[int], force: bool) -> list[Record]:
    """Delete workflows in one transaction, all or none; give their records as they were.

    Raises Failure(66) where there is none, and Failure(75) where somebody may still run jobs of it, unless `force`.
    """
    with store.transaction(db):
        return [_deleted(db, workflow_id, force) for workflow_id in workflow_ids]


def _deleted(db: sqlite3.Connection, workflow_id: int, force: bool) -> Record:
    gone = queries.workflow(db, workflow_id)
    for holder in () if force else holders.all_of(db, workflow_id)[:1]:
        why = f"{holders.name(holder)} may still run jobs of workflow {workflow_id}"
        raise Failure(exits.TEMPORARY, f"{why}: nothing was deleted (torc-cancel {workflow_id} ends it)")
    kept = {"name": gone["name"], "token": gone["token"], "output_dir": gone["output_dir"]}
    jobedit.delete_workflow(db, workflow_id)
    journal.record(db, workflow_id, _COMMAND, [Change("workflow", workflow_id, {"reason": "deleted"}, kept, None)])
    return gone
