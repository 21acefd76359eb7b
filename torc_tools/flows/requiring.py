"""What jobs ask for, made and changed by hand: one transaction, every change journaled."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import journal, queries, requirementrows, store
from torc_tools.shell.journal import Change

COMMAND = "torc-requirements"
_WHY = {"reason": "set by hand"}
_DEFAULT = {"num_cpus": 1, "num_gpus": 0, "num_nodes": 1, "memory_bytes": None, "runtime_s": None}


def create(db: sqlite3.Connection, workflow_id: int, given: Mapping[str, Any]) -> Record:
    """Make requirements of a workflow; what is not given is one CPU on one node, without limits; give the record.

    Raises Failure(65) where the workflow has some of that name.
    """
    with store.transaction(db):
        queries.workflow(db, workflow_id)
        _refuse_name(db, workflow_id, given["name"], None)
        values = {**_DEFAULT, **{key: value for key, value in given.items() if value is not None}}
        made = requirementrows.insert(db, workflow_id, values)
        journal.record(db, workflow_id, COMMAND, [Change("resource_requirements", made, _WHY, None, values)])
    return requirementrows.one(db, made)


def update(db: sqlite3.Connection, requirements_id: int, given: Mapping[str, Any]) -> Record:
    """Change requirements where they stand, for all jobs that use them; give the record as it is now.

    Raises Failure(66) where there are none, and Failure(65) for a name that others have.
    """
    with store.transaction(db):
        now = requirementrows.one(db, requirements_id)
        before = {key: now[key] for key in requirementrows.COLUMNS}
        after = {**before, **{key: value for key, value in given.items() if value is not None}}
        if after["name"] != before["name"]:
            _refuse_name(db, now["workflow_id"], after["name"], requirements_id)
        if after != before:
            requirementrows.update(db, requirements_id, after)
            change = Change("resource_requirements", requirements_id, _WHY, before, after)
            journal.record(db, now["workflow_id"], COMMAND, [change])
    return requirementrows.one(db, requirements_id)


def _refuse_name(db: sqlite3.Connection, workflow_id: int, name: str, own: int | None) -> None:
    for other in requirementrows.of_workflow(db, workflow_id):
        if other["name"] == name and other["resource_requirements_id"] != own:
            taken = other["resource_requirements_id"]
            raise Failure(exits.DATA, f"workflow {workflow_id} has requirements named '{name}': {taken}")
