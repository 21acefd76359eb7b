"""What every command that writes must hold: nothing is said to be done that did not reach the store."""

import contextlib
import importlib
import os
import sqlite3
import subprocess
from pathlib import Path

import orjson
import pytest
from conftest import Torc, command
from prepared import TOKEN, execute
from waiting import until

from torc_tools import states
from torc_tools.core.resetting import Name
from torc_tools.flows import resetting, working
from torc_tools.shell import layout, liveness, manifest, queries, store

WRITERS = [
    ("apply", ["adjustment"]),
    ("reset", ["--job-ids=4"]),
    ("sync", ["1"]),
    ("cancel", ["1"]),
    ("jobs", ["set", "4", "--memory=3g"]),
]


@pytest.mark.parametrize(("name", "arguments"), WRITERS, ids=[name for name, _ in WRITERS])
def test_what_is_said_to_be_changed_is_on_the_disk(
    store_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    arguments: list[str],
) -> None:
    """The news that is folded in must not hide that the store may not be written: no command changes a copy."""
    news = {"type": "event", "event": "worker_started", "at": 9.0, "workflow_token": TOKEN, "hostname": "far"}
    events = store_file.parent / "torc_output" / "events"
    events.mkdir(parents=True)
    (events / "wf1_r1_far_local_1.jsonl").write_bytes(orjson.dumps(news, option=orjson.OPT_APPEND_NEWLINE))
    plan = store_file.parent / "adjustment"
    plan.write_text('{"type":"adjustment","job_ids":[4],"new_memory":"3g"}\n')
    before = store_file.read_bytes()
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)  # root may write what it may not
    main = importlib.import_module(f"torc_tools.commands.{name}").main
    assert main([*arguments, f"--store={store_file}"]) == 0
    assert store_file.read_bytes() != before
    with sqlite3.connect(store_file) as db:
        assert db.execute("SELECT count(*) FROM worker").fetchone() == (1,)


TABLES = {  # subject of a change -> the table, and what the journal keeps of it
    "job": ("job", "status run_id attempt_id worker resource_requirements_id command priority"),
    "workflow": ("workflow", "run_id is_canceled"),
    "resource_requirements": ("resource_requirements", "memory_bytes runtime_s num_cpus num_gpus num_nodes"),
    "allocation": ("allocation", "status"),
}
DEAD = (os.uname().nodename, 1, 1)  # pid 1 did not start at tick 1
COMMANDS = [
    ("apply", []),
    ("reset", ["-w", "1", "--failed"]),
    ("sync", ["1"]),
    ("cancel", ["1"]),
    ("cancel", ["1", "-j", "1,5"]),
    ("jobs", ["set", "3", "--memory=3g", "--num-cpus=2", "--command=x", "--priority=4"]),
    ("jobs", ["set", "6", "--status=disabled"]),
]


def state(path: Path) -> dict[str, dict[int, dict[str, object]]]:
    """Give what is in the store of all that commands change, by subject and id."""
    found = {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        for subject, (table, columns) in TABLES.items():
            rows = [dict(row) for row in db.execute(f"SELECT * FROM {table}")]
            names = columns.split()
            found[subject] = {row[f"{table}_id"]: {name: row[name] for name in names} for row in rows}
    for job in found["job"].values():
        job["status"] = states.NAMES[job["status"]]
    for workflow in found["workflow"].values():
        workflow["is_canceled"] = bool(workflow["is_canceled"])
    return found


@pytest.mark.parametrize(("name", "arguments"), COMMANDS, ids=[" ".join([name, *more]) for name, more in COMMANDS])
def test_the_journal_tells_all_that_a_command_changed(
    torc: Torc, store_file: Path, name: str, arguments: list[str]
) -> None:
    """Take the changes back, the last first, and the store is as it was: torc-undo has all that it needs."""
    worker = "UPDATE worker SET hostname = ?, pid = ?, pid_start = ?, ended_at = NULL"
    with contextlib.closing(sqlite3.connect(store_file, isolation_level=None)) as db:
        db.execute("INSERT INTO worker (workflow_id, name) VALUES (1, 'w')")
        db.execute(worker, DEAD)
        query = "INSERT INTO allocation (workflow_id, kind, status, created_at, hostname, pid, pid_start)"
        db.execute(f"{query} VALUES (1, 'local', 'active', 0, ?, ?, ?)", DEAD)
        if name != "reset":
            db.execute("UPDATE job SET status = ?, worker = 'w' WHERE job_id = 1", (states.RUNNING,))
            db.execute("UPDATE job SET status = ? WHERE job_id IN (5, 6)", (states.BLOCKED,))
            db.execute("UPDATE job SET status = ? WHERE job_id = 2", (states.BLOCKED,))
            db.execute("UPDATE job SET status = ? WHERE job_id IN (4)", (states.DISABLED,))
            db.execute("DELETE FROM result WHERE job_id IN (1, 2, 4)")
    before = state(store_file)
    plan = b'{"type":"adjustment","job_ids":[3],"new_memory":"3g"}\n'
    torc(name, *arguments, input=plan)
    assert state(store_file) != before
    assert undone(store_file, state(store_file)) == before


def undone(path: Path, found: dict[str, dict[int, dict[str, object]]]) -> dict[str, dict[int, dict[str, object]]]:
    """Take the changes of the journal back in `found`; what workers' events moved was no command's doing."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        changes = db.execute("SELECT subject, subject_id, before, after FROM change ORDER BY change_id DESC").fetchall()
    for subject, subject_id, before, after in changes:
        old, new = orjson.loads(before), orjson.loads(after)
        row = found[subject][subject_id]
        assert {key: value for key, value in new.items() if key in row}.items() <= row.items()
        if old is None:
            del found[subject][subject_id]
        else:
            row.update({key: value for key, value in old.items() if key in row})
    return found


def test_the_allocation_of_a_run_is_in_the_journal(torc: Torc, work_dir: Path) -> None:
    torc("run", "-c", "true")
    rows = execute(work_dir / "torc.db", "SELECT command, subject, before, after FROM change")
    assert rows == [
        ("torc-run", "allocation", "null", '{"kind":"local","status":"active"}'),
        ("torc-run", "allocation", '{"status":"active"}', '{"status":"complete"}'),
    ]


def test_a_manifest_shows_the_store_at_one_moment(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset between two of its queries would leave a blocked job without the parent that it waits for."""
    monkeypatch.setenv("TORC_BUSY_S", "0.1")
    db = store.open_store(str(store_file))

    def reset_meanwhile(query: str) -> None:
        if "FROM job j LEFT JOIN resource_requirements" in query:
            db.set_trace_callback(None)
            other = store.open_store(str(store_file))
            with contextlib.closing(other), contextlib.suppress(sqlite3.OperationalError):
                resetting.reset(other, [Name(1)], force=False, dry_run=False)

    db.set_trace_callback(reset_meanwhile)
    path = manifest.write(db, queries.workflow(db, 1), 1, str(store_file))
    jobs = [line for line in map(orjson.loads, Path(path).read_bytes().splitlines()) if line["type"] == "job"]
    assert [job["job_id"] for job in jobs if job["status"] == "blocked" and not job["waits_for"]] == []


def test_news_that_cannot_be_read_do_not_end_a_run(work_dir: Path) -> None:
    """The worker would go on alone, its allocation ended."""
    errors = work_dir / "errors"
    jobs = ["-c", "mkfifo go; read -r _ < go", "-c", "touch done"]
    with errors.open("wb") as stderr:
        run = subprocess.Popen([*command("run"), "-j", "1", *jobs], stdout=subprocess.DEVNULL, stderr=stderr)
    until((work_dir / "go").exists, "the first job")
    stranger = work_dir / "torc_output" / "events" / "wf1_r1_x_local_1.jsonl"
    stranger.symlink_to(stranger)
    until(lambda: "trying again" in errors.read_text() or run.poll() is not None, "torc-run to say so")
    stranger.unlink()
    (work_dir / "go").write_text("\n")
    assert run.wait(20) == 0
    assert (work_dir / "done").exists()


@pytest.mark.parametrize("change", ["--status=disabled", "--command=touch other"])
def test_what_a_living_worker_may_start_is_not_changed_behind_its_back(
    torc: Torc, store_file: Path, change: str
) -> None:
    """It would run as the manifest has it, and the store would say that something else had run."""
    host, pid, pid_start = liveness.me()
    execute(
        store_file,
        f"UPDATE job SET status = {states.READY} WHERE job_id = 6",
        "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at)"
        f" VALUES (1, 'local', 'active', '{host}', {pid}, {pid_start}, 0)",
    )
    before = state(store_file)
    done = torc("jobs", "set", "6", change)
    who = f"a worker on {host} (pid {pid})"
    text = f"torc-jobs: job 6 (after_bug) is ready and {who} may run it as it is: nothing was changed\n"
    assert (done.returncode, done.stderr.decode()) == (75, text)
    assert state(store_file) == before
    execute(store_file, "UPDATE allocation SET status = 'complete'")
    assert torc("jobs", "set", "6", change).returncode == 0


def test_a_worker_never_takes_the_name_of_one_whose_file_is_gone(work_dir: Path) -> None:
    """Its first events would lie before the place up to which the store has read the file of that name."""
    name = layout.worker_name(1, 1, None, os.getpid())
    workflow = {"workflow_id": 1, "run_id": 1, "output_dir": str(work_dir), "event_offsets": {f"{name}.jsonl": 900}}
    assert working._unused(workflow, None) == f"{name}.2"
