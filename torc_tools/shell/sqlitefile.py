"""A SQLite file opened for reading alone: nothing is made, and no lock is held between two queries.

What a writer left behind in a transaction is taken back in a copy. Its error messages name the file.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from torc_tools import exits
from torc_tools.exits import Failure

_BUSY_S = 10.0  # a writer's transaction takes milliseconds
_WAL = b"\2\2"  # what stands at byte 18 of a file in that journal mode


def uri(path: str, settings: str) -> str:
    """Give the URI of a file, `settings` like 'mode=ro' behind it; a name may hold any character."""
    plain = b"/._-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    quoted = "".join(chr(b) if b in plain else f"%{b:02x}" for b in os.fsencode(os.path.abspath(path)))
    return f"file:{quoted}?{settings}"


@contextlib.contextmanager
def reader(path: str) -> Iterator[sqlite3.Connection]:
    """Open `path` for reading alone. Raises Failure(66) where it cannot be read, and as `checked` does."""
    try:
        with open(path, "rb") as file:
            wal = file.read(20)[18:] == _WAL
    except OSError as error:
        raise Failure(exits.NO_INPUT, f"cannot open '{path}': {error.strerror}") from None
    with checked(path), contextlib.ExitStack() as stack:
        db = _wal(path, stack) if wal else _opened(path, "mode=ro", stack)
        try:
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            db = _copy(path, stack)  # its writer was killed in a transaction
        yield db


@contextlib.contextmanager
def checked(path: str) -> Iterator[None]:
    """Make SQLite's errors ours: Failure(75) for a locked file, 74 for one that cannot be read, else 65."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Failure(exits.TEMPORARY, f"'{path}' is locked by another command: try again") from None
        status = exits.IO if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) else exits.DATA
        raise Failure(status, f"cannot read '{path}': {error}") from None


def _wal(path: str, stack: contextlib.ExitStack) -> sqlite3.Connection:
    """Open a file in write-ahead mode, which a reader could otherwise only do by making two more files."""
    if not os.path.exists(f"{path}-wal"):
        return _opened(path, "mode=ro&immutable=1", stack)
    if os.path.exists(f"{path}-shm"):
        return _opened(path, "mode=ro", stack)
    return _copy(path, stack)


def _opened(path: str, settings: str, stack: contextlib.ExitStack) -> sqlite3.Connection:
    db = sqlite3.connect(uri(path, settings), uri=True, isolation_level=None, timeout=_BUSY_S)
    stack.callback(db.close)
    db.text_factory = lambda text: text.decode(errors="replace")
    return db


def _copy(path: str, stack: contextlib.ExitStack) -> sqlite3.Connection:
    """Give a copy, with what a killed writer left beside the file taken in or taken back."""
    import shutil
    import tempfile

    scratch = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "copy.db")
    for suffix in ("-journal", "-wal", ""):
        if os.path.exists(path + suffix):
            shutil.copyfile(path + suffix, scratch + suffix)
    return _opened(scratch, "mode=rw", stack)
