"""Samples read: from our databases, torc's own, foreign and broken ones, and from records."""

import contextlib
import math
import os
import sqlite3
from pathlib import Path

import pytest

from torc_tools.exits import Failure
from torc_tools.flows import plotting
from torc_tools.series import Request
from torc_tools.shell import samples

HOSTILE = "a'b\"c\n\x1b[31m<script>alert(1)</script>"
OWN = """
CREATE TABLE job_resource_samples (id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, timestamp REAL NOT NULL,
    cpu_percent REAL, memory_bytes INTEGER, num_processes INTEGER, attempt_id INTEGER NOT NULL DEFAULT 1,
    gpu_percent REAL, gpu_memory_bytes INTEGER);
CREATE TABLE job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT);
CREATE TABLE job_attempts (job_id, attempt_id, memory_bytes, num_cpus, runtime_s, started_at,
    PRIMARY KEY (job_id, attempt_id));
"""
TORC_021 = """
CREATE TABLE job_resource_samples (job_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, cpu_percent REAL NOT NULL,
    memory_bytes INTEGER NOT NULL, num_processes INTEGER NOT NULL, PRIMARY KEY (job_id, timestamp));
CREATE INDEX idx_job_resource_samples_job_id ON job_resource_samples (job_id);
CREATE TABLE job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT NOT NULL);
"""
TORC_10 = f"""{TORC_021}
CREATE TABLE system_resource_samples (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL,
    cpu_percent REAL NOT NULL, memory_bytes INTEGER NOT NULL, total_memory_bytes INTEGER NOT NULL);
CREATE TABLE system_resource_summary (id INTEGER PRIMARY KEY CHECK (id = 1), sample_count INTEGER NOT NULL,
    peak_cpu_percent REAL NOT NULL, avg_cpu_percent REAL NOT NULL, peak_memory_bytes INTEGER NOT NULL,
    avg_memory_bytes INTEGER NOT NULL);
"""


def made(path: Path, text: str) -> str:
    """Make a database; give its path."""
    db = sqlite3.connect(path)
    db.executescript(text)
    db.close()
    return str(path)


def test_attempts_are_kept_apart_and_in_order(work_dir: Path) -> None:
    path = made(
        work_dir / "resource_metrics_n-1.example_42_3_777.db",
        f"""{OWN}
        INSERT INTO job_resource_samples VALUES (1, 7, 101.5, NULL, 1000, 1, 1, NULL, NULL);
        INSERT INTO job_resource_samples VALUES (2, 8, 101.5, 3.5, 5, 1, 1, 12.5, 99);
        INSERT INTO job_resource_samples VALUES (3, 7, 201.5, 99.5, 3000, 3, 2, NULL, NULL);
        INSERT INTO job_resource_samples VALUES (4, 7, 102.5, 50, 2000, 2, 1, NULL, NULL);
        INSERT INTO job_attempts VALUES (7, 2, 4096, 2, 60.5, 200.25);
        """,
    )
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO job_metadata VALUES (7, ?)", (HOSTILE,))
    db.close()
    first, second, other = samples.read(path)
    assert (first.job_id, first.job_name, first.attempt_id, first.hostname) == (7, HOSTILE, 1, "n-1.example")
    assert (list(first.times), list(first.memory), list(first.processes)) == ([101.5, 102.5], [1000, 2000], [1, 2])
    assert math.isnan(first.cpu[0])
    assert (first.cpu[1], first.request, first.gpu) == (50, None, None)
    assert (second.attempt_id, second.request) == (2, Request(4096, 2, 60.5, 200.25))
    assert (other.job_id, other.job_name, list(other.gpu or ()), list(other.gpu_memory or ())) == (
        8,
        "job_8",
        [12.5],
        [99],
    )
    assert [series.job_id for series in samples.read(path, [8, 9])] == [8]
    assert list(samples.read(path, [])) == []
    assert samples.node(path) is None


def test_the_databases_of_torc_0_21(work_dir: Path) -> None:
    path = made(
        work_dir / "resource_metrics_wf1_hnode_r1.db",
        f"""{TORC_021}
        INSERT INTO job_resource_samples VALUES (2, 1700000002, 50.0, 10, 1), (1, 1700000001, 0.0, 20, 2),
            (1, 1700000000, 25.0, 30, 3);
        INSERT INTO job_metadata VALUES (1, 'one');
        """,
    )
    one, two = samples.read(path)
    assert (one.job_name, one.attempt_id, one.hostname, one.request) == ("one", 1, "", None)
    assert (list(one.times), list(one.cpu), list(one.memory)) == ([1700000000, 1700000001], [25, 0], [30, 20])
    assert (two.job_name, list(two.processes)) == ("job_2", [1])


def test_the_databases_of_torc_1_0(work_dir: Path) -> None:
    path = made(
        work_dir / "x.db",
        f"""{TORC_10}
        INSERT INTO system_resource_samples VALUES (1, 100, 10.0, 1024, 4096), (2, 101, 20.0, 2048, 4096);
        INSERT INTO system_resource_summary VALUES (1, 2, 20.0, 15.0, 2048, 1536);
        """,
    )
    assert list(samples.read(path)) == []
    node = samples.node(path)
    assert node is not None
    assert (list(node.times), list(node.cpu), list(node.memory)) == ([100, 101], [10, 20], [1024, 2048])
    assert (list(node.total_memory), node.summary) == ([4096, 4096], (2, 20.0, 15.0, 2048, 1536))
    assert math.isnan(node.load[0])
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM system_resource_samples")
    db.close()
    alone = samples.node(path)
    assert alone is not None
    assert (len(alone.times), alone.summary) == (0, node.summary)


def test_a_table_without_row_numbers(work_dir: Path) -> None:
    text = f"{TORC_021.replace('PRIMARY KEY (job_id, timestamp))', 'PRIMARY KEY (job_id, timestamp)) WITHOUT ROWID')}"
    path = made(work_dir / "x.db", f"{text} INSERT INTO job_resource_samples VALUES (1, 5, 1.0, 2, 3);")
    assert [list(series.times) for series in samples.read(path)] == [[5]]


def test_more_rows_than_a_page(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_PAGE", 7)
    path = made(work_dir / "x.db", OWN)
    with sqlite3.connect(path) as db:
        rows = [(job, at, at * 2) for at in range(33) for job in (1, 2, 3)]
        db.executemany("INSERT INTO job_resource_samples (job_id, timestamp, memory_bytes) VALUES (?, ?, ?)", rows)
    db.close()
    assert [list(series.memory) for series in samples.read(path)] == [[at * 2 for at in range(33)]] * 3


def test_it_is_read_while_it_is_written_and_nothing_is_made(work_dir: Path) -> None:
    path = made(
        work_dir / "x?mode=rwc&a=%41#é.db", f"{OWN} INSERT INTO job_resource_samples VALUES (1,1,1,1,1,1,1,1,1)"
    )
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO job_resource_samples VALUES (2, 1, 2, 1, 1, 1, 1, 1, 1)")
    beside = sorted(os.listdir())
    reading = samples.read(path)
    (seen,) = reading
    assert list(seen.times) == [1]
    assert sorted(os.listdir()) == beside
    writer.execute("COMMIT")
    assert [list(series.times) for series in samples.read(path)] == [[1, 2]]
    writer.close()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_a_killed_writer_left(work_dir: Path, mode: str) -> None:
    path = made(work_dir / "x.db", f"PRAGMA journal_mode = {mode}; {OWN}")
    pid = os.fork()
    if not pid:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA cache_size = 2")
        db.execute("INSERT INTO job_metadata VALUES (1, 'kept')")
        db.execute("INSERT INTO job_resource_samples VALUES (NULL, 1, 2, 1, 1, 1, 1, 1, 1)")
        db.execute("BEGIN IMMEDIATE")
        rows = [(1, at) for at in range(5000)]
        db.executemany("INSERT INTO job_resource_samples (job_id, timestamp) VALUES (?, ?)", rows)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    before = sorted((name, os.stat(name).st_mtime_ns) for name in os.listdir())
    assert len(before) == (2 if mode == "delete" else 3)
    (seen,) = samples.read(path)
    assert (seen.job_name, list(seen.times)) == ("kept", [2])
    (work_dir / "x.db-shm").unlink(missing_ok=True)  # as where the files were copied from another machine
    (seen,) = samples.read(path)
    assert (seen.job_name, list(seen.times)) == ("kept", [2])
    assert sorted((name, os.stat(name).st_mtime_ns) for name in os.listdir()) == [
        entry for entry in before if entry[0] != "x.db-shm"
    ]


def test_write_ahead_mode_makes_no_files(work_dir: Path) -> None:
    text = f"PRAGMA journal_mode = wal; {OWN} INSERT INTO job_resource_samples VALUES (1, 1, 2, 1, 1, 1, 1, 1, 1)"
    path = made(work_dir / "x.db", text)
    assert [list(series.times) for series in samples.read(path)] == [[2]]
    assert os.listdir() == ["x.db"]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, 66, "cannot open 'x.db': No such file or directory"),
        (b"", 65, "not a database of samples: 'x.db' has no table job_resource_samples"),
        (b"rubbish" * 1000, 65, "cannot read 'x.db': file is not a database"),
    ],
)
def test_what_is_no_database(work_dir: Path, content: bytes | None, status: int, words: str) -> None:
    if content is not None:
        (work_dir / "x.db").write_bytes(content)
    for ask in (lambda: list(samples.read("x.db")), lambda: samples.node("x.db")):
        with pytest.raises(Failure) as failure:
            ask()
        assert (failure.value.status, failure.value.lines) == (status, (words,))
    assert os.listdir() == ([] if content is None else ["x.db"])


def test_a_folder_and_a_locked_file(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure) as failure:
        samples.node(str(work_dir))
    assert failure.value.status == 66
    path = made(work_dir / "x.db", OWN)
    monkeypatch.setattr("torc_tools.shell.sqlitefile._BUSY_S", 0)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Failure) as failure:
        samples.node(path)
    db.close()
    assert failure.value.status == 75


@pytest.mark.parametrize("values", ["1, 'x', 1", "'x', 1, 1", "1, 1, 'much'", "1, 1, x'00'"])
def test_values_that_are_none(work_dir: Path, values: str) -> None:
    path = made(work_dir / "x.db", "CREATE TABLE job_resource_samples (job_id, timestamp, memory_bytes)")
    with sqlite3.connect(path) as db:
        db.execute(f"INSERT INTO job_resource_samples VALUES ({values})")
    db.close()
    with pytest.raises(Failure) as failure:
        list(samples.read(path))
    assert failure.value.status == 65
    assert len(failure.value.lines) == 1


def test_a_file_cut_short(work_dir: Path) -> None:
    path = made(work_dir / "x.db", OWN)
    with sqlite3.connect(path) as db:
        rows = [(1, at) for at in range(5000)]
        db.executemany("INSERT INTO job_resource_samples (job_id, timestamp) VALUES (?, ?)", rows)
    db.close()
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(Failure) as failure:
        list(samples.read(path))
    assert failure.value.status == 65


def sample(**fields: object) -> dict[str, object]:
    return {"type": "sample", "at": 1.5, "cpu_percent": None, "memory_bytes": 5, "num_processes": 1, **fields}


def test_series_from_records() -> None:
    records = [
        {"type": "begin"},
        sample(pid=4711, at=2),
        sample(pid=4711, at=1, cpu_percent=7.5, hostname="n1"),
        sample(pid=4711, at=3, memory_bytes=None),
        sample(job_id=3, job_name=HOSTILE, attempt_id=2, pid=4711, gpu_percent=1),
        sample(cgroup="/a"),
        sample(node="n1", num_cpus=4, cpu_percent=200, total_memory_bytes=10, load_1m=0.5),
        {"type": "usage", "command": []},
    ]
    one, away, job, cgroup = samples.from_records(records)
    assert (one.job_id, one.job_name, one.attempt_id, list(one.times)) == (4711, "pid 4711", 1, [2, 3])
    assert math.isnan(one.memory[1])
    assert (away.hostname, list(away.cpu)) == ("n1", [7.5])
    assert (job.job_id, job.job_name, job.attempt_id, list(job.gpu or ())) == (3, HOSTILE, 2, [1])
    assert (cgroup.job_id, cgroup.job_name) == (1, "/a")
    (node,) = samples.nodes_from_records(records)
    assert (node.hostname, list(node.cpu), list(node.total_memory), list(node.load)) == ("n1", [50], [10], [0.5])


@pytest.mark.parametrize("fields", [{}, {"pid": "x"}, {"pid": 1, "at": "now"}, {"pid": 1, "memory_bytes": "5"}])
def test_records_that_are_no_samples(fields: dict[str, object]) -> None:
    with pytest.raises(Failure) as failure:
        list(samples.from_records([sample(**fields)]))
    assert failure.value.status == 65


def test_a_request_that_cannot_be_is_not_known(work_dir: Path) -> None:
    with contextlib.closing(sqlite3.connect("x.db")) as db:
        db.executescript(
            "CREATE TABLE job_resource_samples (job_id, timestamp, cpu_percent, memory_bytes, num_processes);"
            "INSERT INTO job_resource_samples VALUES (1, 1, 2, 3, 4);"
            "CREATE TABLE job_attempts (job_id, attempt_id, memory_bytes, num_cpus, runtime_s, started_at);"
            "INSERT INTO job_attempts VALUES (1, 1, '8g', 9223372036854775807, 9e999, 5.5);"
        )
    (found,) = samples.read("x.db")
    assert found.request == (None, None, None, 5.5)


def test_records_come_through_a_pipe_whole(work_dir: Path) -> None:
    sample = b'{"type":"sample","pid":7,"cpu_percent":1.0,"memory_bytes":5,"num_processes":1,"at":%d}\n'
    into, out = os.pipe()
    os.write(out, b"".join(sample % at for at in range(1, 201)))
    os.close(out)
    try:
        found = plotting.collect([f"/dev/fd/{into}"], None)
    finally:
        os.close(into)
    (track,) = found.members
    assert track.samples == 200
