"""The store: who may open it, what a lock, a newer version and a stranger's file do; the journal's chain."""

import contextlib
import getpass
import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from prepared import prepare

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import journal, migrations, store


def test_a_new_store_is_private(work_dir: Path) -> None:
    old = os.umask(0)
    try:
        store.create("torc.db").close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat("torc.db").st_mode) == 0o600


def test_a_store_has_no_wal(store_file: Path) -> None:
    db = store.open_store(str(store_file))
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1


@pytest.mark.parametrize("opened", [store.open_store, store.open_copy])
def test_no_store_is_66(work_dir: Path, opened: object) -> None:
    with pytest.raises(Failure) as caught:
        opened("torc.db")  # type: ignore[operator]
    assert caught.value.status == exits.NO_INPUT
    assert caught.value.message == "no such store: 'torc.db' (see --store, TORC_STORE)"
    assert not Path("torc.db").exists()


@pytest.mark.parametrize("opened", [store.open_store, store.open_copy])
@pytest.mark.parametrize("content", [b"not a database, but long enough to be one " * 100, b"\0" * 4096])
def test_a_file_that_is_no_store_is_66_and_stays_as_it_is(work_dir: Path, content: bytes, opened: object) -> None:
    Path("torc.db").write_bytes(content)
    with pytest.raises(Failure) as caught:
        opened("torc.db")  # type: ignore[operator]
    assert caught.value.status == exits.NO_INPUT
    assert Path("torc.db").read_bytes() == content


@pytest.mark.parametrize("opened", [store.open_store, store.open_copy])
def test_a_strange_database_is_66_and_stays_as_it_is(work_dir: Path, opened: object) -> None:
    with contextlib.closing(sqlite3.connect("torc.db")) as db:
        db.execute("CREATE TABLE mine (x)")
    before = Path("torc.db").read_bytes()
    with pytest.raises(Failure) as caught:
        opened("torc.db")  # type: ignore[operator]
    assert (caught.value.status, caught.value.message) == (exits.NO_INPUT, "not a store: 'torc.db'")
    assert Path("torc.db").read_bytes() == before


@pytest.mark.parametrize("opened", [store.open_store, store.open_copy])
def test_a_newer_store_is_66(store_file: Path, opened: object) -> None:
    with contextlib.closing(sqlite3.connect(store_file)) as db:
        db.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1}")
    with pytest.raises(Failure) as caught:
        opened(str(store_file))  # type: ignore[operator]
    assert caught.value.status == exits.NO_INPUT
    assert "newer than this program's" in caught.value.message


def test_a_locked_store_says_so(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORC_BUSY_S", "0.05")
    with contextlib.closing(sqlite3.connect(store_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        db = store.open_store(str(store_file))
        with pytest.raises(sqlite3.OperationalError, match="locked"), store.transaction(db):
            pass


def test_a_name_with_every_awkward_character_is_a_name(work_dir: Path) -> None:
    name = "a b?c=d&e#f%g'h\"i\n.db"
    store.create(name).close()
    store.open_copy(name).close()
    assert os.listdir() == [name]


def test_a_copy_may_be_written_and_leaves_the_file_as_it_was(store_file: Path) -> None:
    before = store_file.read_bytes(), os.stat(store_file).st_mtime_ns
    db = store.open_copy(str(store_file))
    with store.transaction(db):
        db.execute("UPDATE job SET status = 2")
    assert (store_file.read_bytes(), os.stat(store_file).st_mtime_ns) == before


def test_a_transaction_is_all_or_nothing(store_file: Path) -> None:
    db = store.open_store(str(store_file))
    with pytest.raises(ZeroDivisionError), store.transaction(db):  # noqa: PT012
        db.execute("UPDATE job SET status = 2")
        raise ZeroDivisionError
    assert db.execute("SELECT count(*) FROM job WHERE status = 2").fetchone()[0] == 0


def test_opening_twice_makes_the_same_store(work_dir: Path) -> None:
    prepare(work_dir)
    before = Path("torc.db").read_bytes()
    store.open_store("torc.db").close()
    store.create("torc.db").close()
    assert Path("torc.db").read_bytes() == before


def chain(db: sqlite3.Connection) -> list[bool]:
    """Say for each row of the journal whether its hash covers the row and the hash before it."""
    verdicts, previous = [], ""
    for row in db.execute("SELECT * FROM change ORDER BY change_id"):
        previous_and_row = [previous, *tuple(row)[1:-1]]
        verdicts.append(row["hash"] == hashlib.sha256(orjson.dumps(previous_and_row)).hexdigest())
        previous = row["hash"]
    return verdicts


def write_journal(db: sqlite3.Connection) -> None:
    for number in range(3):
        with store.transaction(db):
            changes = [journal.Change("job", 1, {"cause": "oom"}, {"b": 1, "a": number}, {"memory_bytes": 2})] * 2
            assert journal.record(db, 1, "torc-apply", changes) == 2


def test_the_journal_is_a_chain_of_hashes(store_file: Path) -> None:
    db = store.open_store(str(store_file))
    write_journal(db)
    assert chain(db) == [True] * 6


@pytest.mark.parametrize(
    "tamper", ["UPDATE change SET after = '{}' WHERE change_id = 3", "DELETE FROM change WHERE change_id = 3"]
)
def test_an_edited_or_missing_row_shows(store_file: Path, tamper: str) -> None:
    db = store.open_store(str(store_file))
    write_journal(db)
    db.execute(tamper)
    assert not all(chain(db))


def test_the_journal_knows_a_user_without_a_name(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    db = store.open_store(str(store_file))
    with store.transaction(db):
        journal.record(db, 1, "torc-apply", [journal.Change("job", 1, None, None, None)])
    assert db.execute("SELECT who FROM change").fetchone()[0] == f"uid {os.getuid()}"


def test_a_store_whose_writer_was_killed_in_a_transaction_is_read_without_touching_it(store_file):
    killed = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('UPDATE job SET command = hex(zeroblob(20000))'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, store_file], check=False).returncode == 9
    assert (store_file.parent / "torc.db-journal").stat().st_size > 512
    before = store_file.read_bytes()
    for opened in (store.open_reader, store.open_copy):
        assert opened(str(store_file)).execute("SELECT max(length(command)) FROM job").fetchone()[0] < 20
    assert store_file.read_bytes() == before
