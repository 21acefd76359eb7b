"""A fault on request, for tests: TORC_KILL_AFTER_WRITES=N kills this process (SIGKILL) right after its Nth write."""

import os
import signal
import sqlite3

_left = [int(os.environ.get("TORC_KILL_AFTER_WRITES") or 0)]


def wrote() -> None:
    """Count one write to a file; the Nth is the last thing this process does."""
    if _left[0]:
        _left[0] -= 1
        if not _left[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(db: sqlite3.Connection) -> None:
    """Count the writing statements of a connection, COMMIT included; the kill comes before the Nth takes effect."""
    if _left[0]:
        db.set_trace_callback(
            lambda sql: wrote() if sql.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE", "COMMIT") else None
        )
