"""A spec stored: the rows of every table, ids that go on, all of it or nothing."""

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import conftest
import pytest
from specs import planned, spec

from torc_tools import states
from torc_tools.flows import creation
from torc_tools.shell import queries, store

SPEC = spec(
    {"name": "a_{i}", "parameters": {"i": "1:3"}, "output_files": ["f"], "env": {"I": "{i}"}},
    {"name": "b", "depends_on_regexes": ["^a"], "input_files": ["f"], "output_user_data": ["d"],
     "resource_requirements": "r", "failure_handler": "h", "scheduler": "s", "priority": 2},
    files=[{"name": "f", "path": "p"}],
    user_data=[{"name": "d", "data": [1], "is_ephemeral": True}],
    resource_requirements=[{"name": "r", "num_cpus": 2, "memory": "1g"}],
    failure_handlers=[{"name": "h", "rules": [{"exit_codes": [1]}]}],
    slurm_schedulers=[{"name": "s", "account": "x"}],
    actions=[{"trigger_type": "on_jobs_ready", "action_type": "schedule_nodes", "job_name_regexes": ["a"],
              "scheduler": "s", "scheduler_type": "slurm"}],
)  # fmt: skip


@pytest.fixture
def db(work_dir: Path) -> sqlite3.Connection:
    return store.create(str(work_dir / "torc.db"))


def rows(db: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in db.execute(sql)]


def test_every_table(db: sqlite3.Connection, work_dir: Path) -> None:
    for workflow_id in (1, 2):  # the second finds ids given out already
        assert creation.save(db, planned(SPEC), "out") == workflow_id
    jobs = list(queries.jobs(db, "j.workflow_id = 2"))
    assert [(job["job_id"], job["job_name"], job["status"]) for job in jobs] == [
        (5, "a_1", "ready"), (6, "a_2", "ready"), (7, "a_3", "ready"), (8, "b", "blocked"),
    ]  # fmt: skip
    assert [job["config"] for job in jobs] == [{"env": {"I": str(i)}} for i in (1, 2, 3)] + [{}]
    last = jobs[3]
    assert (last["resource_requirements"], last["num_cpus"], last["memory_bytes"], last["priority"]) == (
        "r",
        2,
        2**30,
        2,
    )
    assert (last["failure_handler_id"], last["slurm_scheduler_id"]) == (2, 2)
    assert (jobs[0]["resource_requirements_id"], jobs[0]["memory_bytes"]) == (None, None)
    assert rows(db, "SELECT * FROM job_depends_on WHERE job_id > 4") == [(8, 5), (8, 6), (8, 7)]
    assert rows(db, "SELECT * FROM job_file WHERE job_id > 4") == [(5, 2, 1), (6, 2, 1), (7, 2, 1), (8, 2, 0)]
    assert rows(db, "SELECT * FROM job_user_data WHERE job_id > 4") == [(8, 2, 1)]
    assert rows(db, "SELECT name, data, is_ephemeral FROM user_data") == [("d", "[1]", 1)] * 2
    assert rows(db, "SELECT config ->> 'job_ids', config ->> 'slurm_scheduler_id' FROM action") == [
        ("[1,2,3]", 1), ("[5,6,7]", 2),
    ]  # fmt: skip
    first, second = queries.workflows(db)
    assert first["token"] != second["token"]
    assert len(first["token"]) == 32
    assert first["output_dir"] == str(work_dir / "out")
    assert first["submission_dir"] == str(work_dir)
    assert first["user"]


def test_ids_of_a_deleted_workflow_are_not_used_again(db: sqlite3.Connection) -> None:
    creation.save(db, planned(SPEC), "out")
    db.execute("DELETE FROM action")
    db.execute("DELETE FROM job")
    db.execute("DELETE FROM workflow")
    assert creation.save(db, planned(SPEC), "out") == 2
    assert rows(db, "SELECT min(job_id) FROM job") == [(5,)]


def test_a_spec_that_is_plain_data(db: sqlite3.Connection) -> None:
    assert (
        creation.save(db, creation.plan_spec({"name": "w", "jobs": [{"name": "a", "command": "true"}]}, "spec"), "out")
        == 1
    )
    assert queries.counts(db, 1)[states.NAMES[states.READY]] == 1


def test_a_kill_at_any_write_leaves_all_or_nothing(work_dir: Path) -> None:
    """TORC_KILL_AFTER_WRITES kills right before the Nth writing statement takes effect."""
    (work_dir / "spec.json").write_text('{"name": "w", "jobs": [{"name": "a_{i}", "command": "true",'
                                        ' "parameters": {"i": "1:3"}}]}')  # fmt: skip
    store.create("torc.db").close()
    found = set()
    for number in range(1, 40):
        done = subprocess.run(
            [*conftest.command("create"), "spec.json"], env={**os.environ, "TORC_KILL_AFTER_WRITES": str(number)},
            capture_output=True, check=False,
        )  # fmt: skip
        with contextlib.closing(sqlite3.connect("torc.db")) as db:
            workflows, jobs = (rows(db, f"SELECT count(*) FROM {table}")[0][0] for table in ("workflow", "job"))
        assert jobs == 3 * workflows  # type: ignore[operator]
        found.add((done.returncode, workflows))
        if done.returncode == 0:
            break
    assert found == {(-9, 0), (0, 1)}


def test_a_folder_whose_name_is_not_utf_8_is_refused(torc: conftest.Torc, work_dir: Path) -> None:
    folder = os.fsencode(work_dir) + b"/we\xffird"
    os.mkdir(folder)
    (work_dir / "s.yaml").write_text("name: x\njobs: [{name: a, command: 'true'}]\n")
    done = torc("create", "--store", "../torc.db", "../s.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"torc-create: the name of folder '")
    assert done.stderr.endswith(b"ird/torc_output' is not UTF-8\n")
