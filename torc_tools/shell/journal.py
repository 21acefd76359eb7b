"""The journal: one row for every change that a command makes, chained by hashes. torc-undo and reports read it."""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record

_HASHED = ("workflow_id", "at", "who", "command", "subject", "subject_id", "why", "before", "after")


class Change(NamedTuple):
    """One change: what was changed (subject: job, resource_requirements, allocation, workflow), why, before, after."""

    subject: str
    subject_id: int
    why: Any
    before: Any
    after: Any


def record(db: sqlite3.Connection, workflow_id: int, command: str, changes: Iterable[Change]) -> int:
    """Append `changes` made by `command`, inside the caller's transaction; give how many they were.

    Each row's hash covers the row and the hash before it: a row that is edited or taken out later shows.
    """
    noted = list(changes)
    if not noted:
        return 0
    last = db.execute("SELECT hash FROM change ORDER BY change_id DESC LIMIT 1").fetchone()
    previous = last[0] if last else ""
    now, by = time.time(), who()
    rows = []
    for change in noted:
        texts = [orjson.dumps(part, option=orjson.OPT_SORT_KEYS).decode() for part in change[2:]]
        row = (workflow_id, now, by, command, change.subject, change.subject_id, *texts)
        previous = _hash(previous, row)
        rows.append((*row, previous))
    db.executemany(
        "INSERT INTO change (workflow_id, at, who, command, subject, subject_id, why, before, after, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return len(rows)


def read(db: sqlite3.Connection, workflow_id: int) -> Iterator[Record]:
    """Give the changes of a workflow as `change` records, oldest first. Raises Failure(65) where one is no more."""
    query = f"SELECT change_id, {', '.join(_HASHED)} FROM change WHERE workflow_id = ? ORDER BY change_id"
    for row in db.execute(query, (workflow_id,)):
        ids = {"type": "change", "workflow_id": row["workflow_id"], "change_id": row["change_id"]}
        told = {key: row[key] for key in ("at", "who", "command", "subject", "subject_id")}
        yield {**ids, **told, **_told(row)}


def _told(row: sqlite3.Row) -> Record:
    """Read the three texts of a row."""
    try:
        found = {key: orjson.loads(row[key]) for key in ("why", "before", "after")}
    except ValueError:
        found = {}
    if not isinstance(found.get("why"), dict) or not all(isinstance(each, dict | None) for each in found.values()):
        raise Failure(exits.DATA, f"change {row['change_id']} of the journal was edited by hand, and cannot be read")
    return found


def broken(db: sqlite3.Connection) -> int | None:
    """Give the first change whose hash does not fit it and the one before it: the journal was edited; None: none."""
    previous = ""
    for row in db.execute(f"SELECT {', '.join(_HASHED)}, hash, change_id FROM change ORDER BY change_id"):
        *hashed, kept, change_id = row
        if _hash(previous, hashed) != kept:
            return int(change_id)
        previous = kept
    return None


def _hash(previous: str, row: Iterable[Any]) -> str:
    import hashlib

    return hashlib.sha256(orjson.dumps([previous, *row])).hexdigest()


def who() -> str:
    """Give the user's name; USER may be unset (cron), and the uid may have no name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
