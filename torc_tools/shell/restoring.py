"""SQL of torc-undo: how the subjects of changes are now, and setting them back. Inside the caller's transaction."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from torc_tools import states
from torc_tools.shell import requirementrows

State = dict[str, Any]
_JOB = (
    "name", "command", "priority", "status", "run_id", "attempt_id", "worker", "resource_requirements_id",
)  # fmt: skip
_COLUMNS = {
    "job": _JOB,
    "resource_requirements": requirementrows.COLUMNS,
    "workflow": ("name", "run_id", "is_canceled"),
}


def present(db: sqlite3.Connection, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], State]:
    """Give the state of subjects (subject, id) as the journal would write it; those that are gone are left out."""
    ids: dict[str, set[int]] = {}
    for subject, subject_id in keys:
        ids.setdefault(subject, set()).add(subject_id)
    return {
        (subject, row[0]): _told(subject, row)
        for subject, wanted in ids.items()
        if subject in _COLUMNS
        for row in db.execute(
            f"SELECT t.{subject}_id, {', '.join(f't.{name}' for name in _COLUMNS[subject])}"
            f" FROM json_each(?) e CROSS JOIN {subject} t ON t.{subject}_id = e.value",
            (orjson.dumps(sorted(wanted)).decode(),),
        )
    }


def _told(subject: str, row: sqlite3.Row) -> State:
    state = dict(zip(_COLUMNS[subject], tuple(row)[1:], strict=True))
    if subject == "job":
        state["status"] = states.NAMES[state["status"]]
    if subject == "workflow":
        state["is_canceled"] = bool(state["is_canceled"])
    return state


def restore(db: sqlite3.Connection, subject: str, subject_id: int, values: Mapping[str, Any]) -> None:
    """Set columns of a subject, written as in the journal."""
    columns = dict(values)
    if subject == "job" and "status" in columns:
        columns["status"] = states.NUMBERS[columns["status"]]
    settings = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE {subject} SET {settings} WHERE {subject}_id = ?", (*columns.values(), subject_id))


def drop_requirements(db: sqlite3.Connection, ids: Iterable[int]) -> list[int]:
    """Delete requirements that no job uses; give those that are used, which stay."""
    used = []
    for each in ids:
        if db.execute("SELECT 1 FROM job WHERE resource_requirements_id = ? LIMIT 1", (each,)).fetchone():
            used.append(each)
        else:
            db.execute("DELETE FROM resource_requirements WHERE resource_requirements_id = ?", (each,))
    return used
