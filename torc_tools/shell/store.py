"""The store: one SQLite file. How it is opened, locked and written; the SQL of each subject stands in its own module.

Rollback journal, not WAL (home directories are NFS or Lustre); short immediate transactions; 75 when locked.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import crash, migrations

BUSY_S = 10.0  # how long another writer is waited for before the command gives up with 75; TORC_BUSY_S says otherwise

opened: list[str] = []  # the stores that this process has opened, for the message of a failure


def create(path: str) -> sqlite3.Connection:
    """Open the store at `path` for writing; make it (mode 0600) where it is missing."""
    if not os.path.exists(path):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise Failure(exits.IO, f"cannot create store '{path}': {error.strerror}") from None
    return open_store(path)


def open_store(path: str) -> sqlite3.Connection:
    """Open an existing store for reading and writing. Raises Failure(66) where there is none or it is not a store."""
    db = _connect(path, "rw")
    if migrations.check(db, path) < len(migrations.STEPS):
        with transaction(db):
            migrations.migrate(db, path)
    crash.watch(db)
    return db


def open_reader(path: str) -> sqlite3.Connection:
    """Open an existing store for reading alone; nothing on disk is touched."""
    try:
        db = _connect(path, "ro")
    except sqlite3.OperationalError as error:
        return _recovered_copy(path, error)
    if migrations.check(db, path) < len(migrations.STEPS):
        db.close()
        return open_copy(path)
    return db


def open_copy(path: str) -> sqlite3.Connection:
    """Give a copy of the store in memory: a dry run may fold and plan there and leaves the file as it was."""
    try:
        source = _connect(path, "ro")
    except sqlite3.OperationalError as error:
        return _recovered_copy(path, error)
    return _copied(source, path)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one immediate transaction: all of it is written, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back by itself
            db.execute("ROLLBACK")
        raise


def _copied(source: sqlite3.Connection, path: str) -> sqlite3.Connection:
    if not migrations.check(source, path):
        raise Failure(exits.NO_INPUT, f"not a store: '{path}'")
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(source):
        source.backup(copy)
    migrations.migrate(copy, path)
    return _prepared(copy)


def _recovered_copy(path: str, error: sqlite3.OperationalError) -> sqlite3.Connection:
    """Give a copy in memory of a store whose last writer was killed in a transaction, which is taken back there.

    Reading such a file in place would write to it. Any other `error` is raised again.
    """
    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY or not os.path.exists(f"{path}-journal"):
        raise error
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        scratch = os.path.join(folder, os.path.basename(path))
        for suffix in ("-journal", ""):
            shutil.copyfile(path + suffix, scratch + suffix)
        return _copied(_connect(scratch, "rw"), path)


def _connect(path: str, mode: str) -> sqlite3.Connection:
    if not os.path.isfile(path):
        raise Failure(exits.NO_INPUT, f"no such store: '{path}' (see --store, TORC_STORE)")
    if not os.access(path, os.R_OK):
        raise Failure(exits.NO_INPUT, f"cannot open store '{path}': Permission denied")
    uri = "file:" + "".join(
        c if c.isalnum() or c in "/._-" else "".join(f"%{b:02x}" for b in os.fsencode(c)) for c in path
    )
    opened.append(path)
    db = sqlite3.connect(f"{uri}?mode={mode}", uri=True, isolation_level=None, timeout=_busy_s())
    try:
        return _prepared(db)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise Failure(exits.NO_INPUT, f"not a store: '{path}'") from None


def _busy_s() -> float:
    text = os.environ.get("TORC_BUSY_S")
    try:
        return float(text) if text else BUSY_S
    except ValueError:
        raise Failure(exits.USAGE, f"TORC_BUSY_S is not a number of seconds: '{text}'") from None


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    db.row_factory = sqlite3.Row
    for pragma in ("foreign_keys = ON", "cache_size = -32000", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return db
