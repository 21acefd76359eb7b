"""At most one torc-watch or torc-recover on a workflow: a row of the store names it, taken over only from the dead."""

import contextlib
import os
import sqlite3
import time
from typing import Any, Self

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import liveness, store

STALE_S = 900.0  # a holder on another machine that did not renew for so long is dead
BEAT_S = 60.0  # how often a holder renews while it works or waits, at most


class Lost(Failure):
    """The lease that we held is another's."""


class Lease:
    """A lease that is held; `release` it, or use it in a with statement."""

    def __init__(self, path: str, workflow_id: int) -> None:
        """Take `take` instead."""
        self._path = path
        self._workflow_id = workflow_id
        self._me = liveness.me()
        self._renewed = time.monotonic()

    def renew(self, *, after_s: float = 0.0) -> None:
        """Say that we still live, unless we said so less than `after_s` ago. Raises Lost, a Failure(75)."""
        if time.monotonic() - self._renewed < after_s:
            return
        with contextlib.closing(store.open_store(self._path)) as db, store.transaction(db):
            row = _row(db, self._workflow_id)
            if row is None or _identity(row) != self._me:
                who = _holder(self._workflow_id, row) if row else f"workflow {self._workflow_id} was taken from us"
                raise Lost(exits.TEMPORARY, who)
            db.execute("UPDATE lease SET renewed_at = ? WHERE workflow_id = ?", (time.time(), self._workflow_id))
        self._renewed = time.monotonic()

    def release(self) -> None:
        """Give it back; that it cannot be given back is no error, for the next one sees that we are gone."""
        with (
            contextlib.suppress(Failure, sqlite3.Error, OSError),
            contextlib.closing(store.open_store(self._path)) as db,
        ):
            db.execute(
                "DELETE FROM lease WHERE workflow_id = ? AND hostname = ? AND pid = ? AND pid_start = ?",
                (self._workflow_id, *self._me),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take(path: str, workflow_id: int, holder: str, stale_s: float = STALE_S) -> Lease:
    """Take the lease of a workflow for command `holder`.

    Raises Failure(75), naming who has it, unless that process is dead, or is on another machine and has been silent
    for `stale_s` seconds.
    """
    lease = Lease(path, workflow_id)
    with contextlib.closing(store.open_store(path)) as db, store.transaction(db):
        _refuse(db, workflow_id, stale_s)
        now = time.time()
        db.execute(
            "INSERT OR REPLACE INTO lease (workflow_id, holder, hostname, pid, pid_start, taken_at, renewed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (workflow_id, holder, *liveness.me(), now, now),
        )
    return lease


def check(path: str, workflow_id: int, stale_s: float = STALE_S) -> None:
    """Raise the Failure(75) that `take` would; nothing on disk is changed."""
    with contextlib.closing(store.open_reader(path)) as db:
        _refuse(db, workflow_id, stale_s)


def _refuse(db: sqlite3.Connection, workflow_id: int, stale_s: float) -> None:
    row = _row(db, workflow_id)
    if row and not _free(row, stale_s):
        raise Failure(exits.TEMPORARY, _holder(workflow_id, row))


def _row(db: sqlite3.Connection, workflow_id: int) -> Any:
    return db.execute("SELECT * FROM lease WHERE workflow_id = ?", (workflow_id,)).fetchone()


def _identity(row: Any) -> tuple[str, int, int]:
    return row["hostname"], row["pid"], row["pid_start"]


def _free(row: Any, stale_s: float) -> bool:
    if row["pid"] == os.getpid() and row["hostname"] == os.uname().nodename:
        return True
    alive = liveness.alive(*_identity(row))
    return time.time() - row["renewed_at"] > stale_s if alive is None else not alive


def _holder(workflow_id: int, row: Any) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["taken_at"]))
    return f"workflow {workflow_id} is held by {row['holder']} on {row['hostname']} (pid {row['pid']}) since {since}"
