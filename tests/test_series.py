"""Series written: while they are read, through kills, full disks, removed files and hostile names; and by torc-work."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Torc, command, said
from test_samples import HOSTILE
from test_work import job, text, workflow
from waiting import until

from torc_tools.exits import Failure
from torc_tools.series import NodeSample, Request
from torc_tools.shell import samples
from torc_tools.shell.series import SeriesFile, path

SUMMARY = "sample_count, peak_cpu_percent, avg_cpu_percent, peak_memory_bytes, avg_memory_bytes"
MONITOR = {"granularity": "time_series", "sample_interval_seconds": 0.1}


def about(job_id: int, **fields: object) -> dict[str, object]:
    return {"job_id": job_id, "job_name": f"job_{job_id}", **fields}


@pytest.fixture
def series(work_dir: Path) -> Iterator[SeriesFile]:
    made = SeriesFile("deep/er/x.db")
    yield made
    made.close()


def test_what_is_written_is_read(series: SeriesFile) -> None:
    assert not os.path.exists("deep")
    series.begin(about(1, job_name=HOSTILE, memory_bytes=5, num_cpus=2, runtime_s=60), 3, 99.5)
    series.begin(about(2), 1, None)
    series.flush()
    assert not os.path.exists("deep")  # no sample, no file
    series.add((1, 3), None, 1000, 1)
    series.add((1, 3), 12.5, None, 2, (50.0, 7))
    series.flush()
    series.add((2, 1), 1.0, 10, 1)
    series.flush()
    one, two = samples.read("deep/er/x.db")
    assert (one.job_name, one.attempt_id, one.request) == (HOSTILE, 3, Request(5, 2, 60, 99.5))
    assert (list(one.processes), one.memory[0], one.cpu[1]) == ([1, 2], 1000, 12.5)
    assert (one.cpu[0] != one.cpu[0], one.memory[1] != one.memory[1]) == (True, True)
    assert one.gpu is not None
    assert (one.gpu[1], two.request, two.gpu) == (50, Request(None, None, None, None), None)
    assert os.listdir("deep/er") == ["x.db"]


def test_torcs_columns_come_first(series: SeriesFile) -> None:
    series.begin(about(1), 1, None)
    series.add((1, 1), 1.5, 2, 3)
    series.flush()
    with contextlib.closing(sqlite3.connect("deep/er/x.db")) as db:
        row = db.execute("SELECT * FROM job_resource_samples").fetchone()
        assert (row[:2], type(row[2]), row[3:6]) == ((1, 1), float, (1.5, 2, 3))
        assert db.execute("SELECT * FROM job_metadata").fetchall() == [(1, "job_1")]


def test_the_summary_of_the_machine_goes_on_in_the_next_worker(work_dir: Path) -> None:
    for cpu, memory in ((20.0, 10), (50.0, 30)):
        one = SeriesFile("x.db")
        one.node(NodeSample(1.5, cpu, memory, 100, 0.5, 7), keep=memory == 30)
        one.close()
    node = samples.node("x.db")
    assert node is not None
    assert (list(node.memory), list(node.total_memory), list(node.processes)) == ([30], [100], [7])
    assert node.summary == (2, 50, 35, 30, 20)


def test_a_summary_of_which_nothing_is_known_is_not_written(work_dir: Path) -> None:
    series = SeriesFile(str(work_dir / "samples.db"))
    series.node(NodeSample(1.0, None, 10, 100, 0.5, 7))
    series.close()
    machine = samples.node(str(work_dir / "samples.db"))
    assert machine is not None
    assert (len(machine.times), machine.summary) == (1, None)


@pytest.mark.parametrize(
    ("tables", "row", "trouble"),
    [
        ("sample_count, peak", "7, 8", "no such column: peak_cpu_percent"),
        (SUMMARY, "NULL, NULL, 1, 1, 1", None),
        (SUMMARY, "'x', x'ff', 1, 1, 1", None),
        (SUMMARY, "5, 9e999, -9e999, 9e999, 9e999", None),
        (SUMMARY, "9223372036854775807, 1e300, 1e300, 1e300, 1e300", None),
    ],
)
def test_a_summary_that_a_job_has_scribbled_on_stops_no_worker(
    work_dir: Path, tables: str, row: str, trouble: str | None
) -> None:
    with contextlib.closing(sqlite3.connect("s.db")) as db:
        db.executescript(f"CREATE TABLE system_resource_summary (id INTEGER PRIMARY KEY, {tables});")
        db.executescript(f"INSERT INTO system_resource_summary VALUES (1, {row});")
    series = SeriesFile("s.db")
    series.node(NodeSample(1.0, 50.0, 10, 100, 1.0, 5))
    series.flush()
    assert series.trouble == trouble
    series.close()
    if trouble is None:
        machine = samples.node("s.db")
        assert machine is not None
        assert machine.summary == (1, 50, 50, 10, 10)


@pytest.mark.parametrize(("there", "given"), [("'abc'", 1), ("-5", 1), ("41", 42), ("9223372036854775807", None)])
def test_the_number_of_the_next_job_whatever_stands_in_the_file(work_dir: Path, there: str, given: int | None) -> None:
    with contextlib.closing(sqlite3.connect("s.db")) as db:
        db.executescript(f"CREATE TABLE job_metadata (job_id, job_name); INSERT INTO job_metadata VALUES ({there}, 1);")
    series = SeriesFile("s.db")
    with contextlib.closing(series), contextlib.nullcontext() if given else pytest.raises(sqlite3.DataError):
        assert series.next_job_id() == given


def test_a_reader_holds_up_nothing(series: SeriesFile) -> None:
    series.begin(about(1), 1, None)
    series.add((1, 1), 1.0, 1, 1)
    series.flush()
    reading = samples.read("deep/er/x.db")
    next(reading)
    series.add((1, 1), 1.0, 2, 1)
    series.flush()
    assert series.trouble is None
    (seen,) = samples.read("deep/er/x.db")
    assert list(seen.memory) == [1, 2]


def test_a_locked_file_is_trouble_only_when_it_stays_locked(
    series: SeriesFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torc_tools.shell.series._BUSY_S", 0)
    series.begin(about(1), 1, None)
    series.add((1, 1), 1.0, 1, 1)
    series.flush()
    with contextlib.closing(sqlite3.connect("deep/er/x.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        series.add((1, 1), 1.0, 2, 1)
        series.flush()
        series.flush()
        assert series.trouble is None
        series.flush()
        assert series.trouble == "database is locked"
    series.add((1, 1), 1.0, 3, 1)
    series.flush()
    (seen,) = samples.read("deep/er/x.db")
    assert (series.trouble, list(seen.memory)) == (None, [1, 2, 3])


def test_two_workers_share_a_file(work_dir: Path) -> None:
    one, two = SeriesFile("x.db"), SeriesFile("x.db")
    for at, (mine, job_id) in enumerate([(one, 1), (two, 2), (one, 1), (two, 2)]):
        mine.begin(about(job_id), 1, None)
        mine.add((job_id, 1), 1.0, at, 1)
        mine.flush()
        assert mine.trouble is None
    assert [list(seen.memory) for seen in samples.read("x.db")] == [[0, 2], [1, 3]]
    assert one.next_job_id() == 3
    one.close()
    two.close()


def test_a_job_that_removes_the_output_folder(series: SeriesFile) -> None:
    series.begin(about(1, job_name="it"), 1, None)
    for size in (1, 2):
        series.add((1, 1), 1.0, size, 1)
        series.flush()
        (seen,) = samples.read("deep/er/x.db")
        assert (seen.job_name, list(seen.memory)) == ("it", [size])
        os.unlink("deep/er/x.db")


def test_a_full_disk_keeps_the_newest(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torc_tools.shell.series._MOST_ROWS", 3)
    os.symlink("/dev/full", "x.db")
    full = SeriesFile("x.db")
    full.begin(about(1), 1, None)
    for size in range(5):
        full.add((1, 1), 1.0, size, 1)
        full.flush()
        assert full.trouble
    os.unlink("x.db")
    full.close()
    (seen,) = samples.read("x.db")
    assert (list(seen.memory), full.trouble) == ([2, 3, 4], None)


@pytest.mark.parametrize(
    ("slurm", "name"),
    [({}, ""), ({"SLURM_JOB_ID": "77"}, "_77"), ({"SLURM_JOB_ID": "../x"}, ""), ({"SLURM_JOB_ID": "²"}, "")],
)
def test_an_allocation_has_its_own_file(slurm: dict[str, str], name: str) -> None:
    host = os.uname().nodename
    made = path("out", 42, 3, slurm)
    assert made == f"out/resource_utilization/resource_metrics_{host}_42_3{name}.db"
    assert samples.hostname(made) == host


def test_attempts_and_requests_of_a_worker(torc: Torc, work_dir: Path) -> None:
    manifest = workflow(work_dir, config={"resource_monitor": MONITOR})
    asked = {"memory_bytes": 1 << 30, "num_cpus": 1, "runtime_s": 60}
    lines = text(manifest, job(1, "sleep 0.3", job_name=HOSTILE, attempt_id=2, **asked))
    done = torc("torc-work", input=lines, env={"SLURM_JOB_ID": ""})
    assert done.returncode == 0
    (file,) = (work_dir / "out/resource_utilization").iterdir()
    (seen,) = samples.read(str(file))
    assert (seen.job_id, seen.job_name, seen.attempt_id) == (1, HOSTILE, 2)
    assert seen.request is not None
    assert seen.request[:3] == (1 << 30, 1, 60)
    assert 0 <= seen.times[0] - (seen.request.started_at or 0) < 60


def test_a_worker_says_once_that_the_disk_is_full_and_its_job_goes_on(torc: Torc, work_dir: Path) -> None:
    file = work_dir / path("out", 1, 1, {})
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/full")
    manifest = workflow(work_dir, config={"resource_monitor": MONITOR})
    done = torc("torc-work", input=text(manifest, job(1, "sleep 0.3; touch ran")))
    assert (done.returncode, (work_dir / "ran").exists()) == (0, True)
    (line,) = said(done)
    assert line.startswith("torc-work: cannot write samples: ")


def test_a_killed_worker_leaves_what_it_wrote(work_dir: Path) -> None:
    """Samples are written every few seconds: until there are some, the worker lives."""
    manifest = workflow(work_dir, config={"resource_monitor": MONITOR})
    lines = text(manifest, job(1, "echo $$ > pid; exec sleep 60"))
    file = path("out", 1, 1, {})

    def there() -> bool:
        with contextlib.suppress(Failure):
            return any(len(seen.times) for seen in samples.read(file))
        return False

    with subprocess.Popen(command("torc-work"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(lines.encode())
        process.stdin.close()
        try:
            until(there, "samples")
        finally:
            process.kill()
            os.kill(int((work_dir / "pid").read_text()), signal.SIGKILL)
    (seen,) = samples.read(file)
    assert len(seen.times) >= 1


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(work_dir: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {os.getcwd()!r})
from torc_tools.shell.series import SeriesFile
series = SeriesFile("x.db")
series.begin({{"job_id": 1, "job_name": "it"}}, 1, None)
for number in range(10**9):
    for _ in range(500):
        series.add((1, 1), 1.0, number, 1)
    series.flush()
    print(number, flush=True)
"""
    for lines in (1, 3, 20):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                said = int(process.stdout.readline())
            process.kill()
        (seen,) = samples.read("x.db")
        assert len(seen.times) % 500 == 0
        assert seen.memory.count(said) >= 500
