"""torc-undo: a recovery taken back as it was, guards, the journal, a kill after each write, Slurm's queue."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import fakecluster
import pytest
from conftest import Torc, said
from fakecluster import Cluster
from prepared import dump, execute, prepare
from test_apply import lines, requests, street
from test_recover_slurm import oomed
from test_reset import status

from torc_tools.shell import lease, store

__all__ = ["oomed"]  # a fixture


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a fake cluster, its clients on PATH."""
    made = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "20")
    yield made
    made.stop()


def recover(torc: Torc) -> None:
    """Apply and reset, as torc-recover --no-run does."""
    done = torc("reset", input=torc("apply", input=street(torc)).stdout)
    assert done.returncode == 0, said(done)


def rows(path: Path) -> list[str]:
    """Give the store as text, without what an undo may leave: the journal, the run, numbers of rows."""
    left = ('"change"', "sqlite_sequence", 'INTO "lease"')
    kept = (line for line in dump(path) if not any(word in line for word in left))
    return [re.sub(r"('ann',NULL,1700000000\.0),\d+", r"\1,RUN", line) for line in kept]


def changes(path: Path) -> list[tuple]:
    return execute(path, "SELECT change_id, command, subject, subject_id, why FROM change ORDER BY change_id")


def test_a_recovery_is_taken_back_as_if_it_had_never_been(torc, store_file) -> None:
    before = rows(store_file), requests(store_file), status(store_file)
    recover(torc)
    assert rows(store_file) != before[0]
    done = torc("undo", 1)
    assert done.returncode == 0
    assert said(done) == ["torc-undo: 7 change(s) taken back, of 3 job(s)"]
    assert (rows(store_file), requests(store_file), status(store_file)) == before
    records = [(each["subject"], each["subject_id"], each["job_name"]) for each in lines(done.stdout)[1:-1]]
    assert records[:3] == [("job", 2, "train"), ("job", 3, "sweep"), ("job", 5, "report")]
    assert records[-1] == ("workflow", 1, None)


def test_the_run_goes_on_by_one_and_the_jobs_recover_again(torc, store_file) -> None:
    recover(torc)
    torc("undo", 1)
    assert execute(store_file, "SELECT run_id FROM workflow") == [(3,)]
    recover(torc)
    assert status(store_file)[2][1:] == (4, 1)
    assert execute(store_file, "SELECT count(*) FROM resource_requirements") == [(3,)]  # one copy, not two


def test_undone_twice_is_undone_once_and_older_ones_follow(torc, store_file) -> None:
    torc("torc-jobs", "set", "--command", "echo", 4)
    first = rows(store_file)
    recover(torc)
    torc("undo", 1)
    assert rows(store_file) == first
    assert said(torc("undo", 1)) == ["torc-undo: 1 change(s) taken back, of 1 job(s)"]
    assert execute(store_file, "SELECT command FROM job WHERE job_id = 4") == [("false",)]
    assert said(torc("undo", 1)) == ["torc-undo: nothing to take back"]
    assert torc("undo", 1, "-e").returncode == 1


def test_of_several_recoveries_that_have_not_run_each_is_taken_back_in_turn(torc, store_file) -> None:
    before = rows(store_file)
    recover(torc)
    recovered = rows(store_file)
    for _ in range(2):
        torc("torc-reset", "--job-ids", 4)
        assert torc("undo", 1).returncode == 0
        assert rows(store_file) == recovered
    torc("torc-reset", "--job-ids", 4)
    assert torc("undo", 1).returncode == 0
    assert torc("undo", 1).returncode == 0
    assert rows(store_file) == before
    assert said(torc("undo", 1)) == ["torc-undo: nothing to take back"]
    made = len(changes(store_file))
    recover(torc)
    torc("torc-reset", "--job-ids", 4)
    torc("undo", 1)
    assert torc("undo", 1, changes(store_file)[made][0]).returncode == 0
    assert rows(store_file) == before


def test_from_a_change_on_everything_later_is_taken_back_too(torc, store_file) -> None:
    before = rows(store_file)
    torc("torc-jobs", "set", "--command", "echo", 4)
    torc("torc-requirements", "update", 1, "--memory", "7g")
    recover(torc)
    (first, *_), *_ = changes(store_file)
    assert torc("undo", 1, first).returncode == 0
    assert rows(store_file) == before
    assert said(torc("undo", 1, first)) == ["torc-undo: nothing to take back"]


def test_a_preview_changes_no_byte(torc, store_file) -> None:
    recover(torc)
    before = store_file.read_bytes()
    done = torc("undo", "-n", 1)
    assert all(each["dry_run"] for each in lines(done.stdout)[1:-1])
    assert said(done) == ["torc-undo: 7 change(s) would be taken back, of 3 job(s)"]
    assert store_file.read_bytes() == before


@pytest.mark.parametrize(
    ("since", "line"),
    [
        (
            "UPDATE job SET status = 5 WHERE job_id = 2",
            "job 2 (train) has run since change 5 (completed)",
        ),
        ("UPDATE resource_requirements SET memory_bytes = 5 WHERE resource_requirements_id = 2", "requirements 2"),
        ("UPDATE workflow SET run_id = 9", "workflow 1 (small) has changed since: its run_id is 9 now"),
        ("UPDATE job SET resource_requirements_id = 3 WHERE job_id = 6", "other jobs use requirements 3 since"),
        ("DELETE FROM job_depends_on; DELETE FROM result; DELETE FROM job WHERE job_id = 5", "job 5 is gone since"),
    ],
)
def test_what_has_changed_since_is_not_taken_back_and_nothing_else_is(torc, store_file, since, line) -> None:
    recover(torc)
    for statement in since.split(";"):
        execute(store_file, statement)
    before = dump(store_file)
    done = torc("undo", 1)
    assert done.returncode == 65
    assert line in said(done)[0]
    assert "nothing was taken back" in said(done)[0]
    assert len(said(done)) == 1
    assert dump(store_file) == before


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ((1, 99), 66, "no such change of the workflow: '99'"),
        ((1, "x"), 2, "x"),
        ((9,), 66, "'9'"),
        ((1, 1, "--list"), 2, "--list takes no CHANGE"),
        ((1, 1), 65, "change 1 was made by torc-sync: that cannot be taken back"),
    ],
)
def test_bad_input_is_named(torc, store_file, arguments, code, line) -> None:
    text = "INSERT INTO change VALUES (1, 1, 1.0, 'a', 'torc-sync', 'job', 1, '{}', '{}', '{}', '')"
    execute(store_file, text)
    done = torc("undo", *arguments)
    assert done.returncode == code
    assert line in said(done)[-1]
    assert done.stdout == b""


def test_nothing_is_taken_back_under_a_recovery_or_a_watch(torc, store_file) -> None:
    recover(torc)
    with lease.take(str(store_file), 1, "torc-watch"):
        assert torc("undo", 1).returncode == 75
    assert torc("undo", 1).returncode == 0


def test_a_kill_after_any_write_leaves_before_or_after(torc, work_dir) -> None:
    path = prepare(work_dir)
    recover(torc)
    kept, before = path.read_bytes(), rows(path)
    torc("undo", 1)
    after, ends = rows(path), []
    for count in range(1, 60):
        path.write_bytes(kept)
        done = torc("undo", 1, env={"TORC_KILL_AFTER_WRITES": str(count)})
        if done.returncode == 0:
            break
        assert done.returncode == -9
        ends.append(rows(path))
        assert ends[-1] in (before, after), f"between, after write {count}"
    assert count > 8
    assert before in ends
    assert rows(path) == after


def test_where_no_job_was_changed_none_is_counted(torc, store_file) -> None:
    assert torc("requirements", "update", 1, "--num-cpus", 3).returncode == 0
    assert said(torc("undo", 1)) == ["torc-undo: 1 change(s) taken back"]


def test_the_journal_is_listed_with_what_was_undone(torc, store_file) -> None:
    recover(torc)
    torc("undo", 1)
    found = lines(torc("undo", "--list", 1).stdout)[1:-1]
    by = {each["change_id"]: each["undone_by"] for each in found}
    assert [each["change_id"] for each in found] == sorted(by)
    mine = [each for each in found if each["command"] == "torc-undo"]
    assert len(mine) == 6
    assert all(by[taken] == each["change_id"] for each in mine for taken in each["why"]["undo"])
    assert all(by[each["change_id"]] is None for each in mine)
    table = torc("undo", "--list", 1, "-f", "table", env={"COLUMNS": "200"}).stdout.decode()
    assert "memory 2g -> 3g" in table
    assert "oom, likely" in table or "oom, certain" in table
    assert "status failed -> ready" in table
    narrow = torc("undo", "--list", 1, "-f", "table", env={"COLUMNS": "80"}).stdout.decode()
    assert "status failed" in narrow
    assert "made: memory 1g" in narrow


@pytest.mark.parametrize(
    "edit", ["UPDATE change SET who = 'eve' WHERE change_id = 3", "DELETE FROM change WHERE change_id = 2"]
)
def test_a_journal_edited_by_hand_shows(torc, store_file, edit) -> None:
    recover(torc)
    assert said(torc("undo", "--list", 1)) == []
    execute(store_file, edit)
    assert said(torc("undo", "--list", 1)) == [
        "torc-undo: warning: change 3 does not fit the one before it: the journal was edited by hand"
    ]


@pytest.mark.parametrize("edit", ["after = '[1'", "before = '[1]'", "why = 'null'", "why = ''"])
def test_a_change_that_was_made_unreadable_by_hand_is_named(torc, store_file, edit) -> None:
    recover(torc)
    execute(store_file, f"UPDATE change SET {edit} WHERE change_id = 3")
    before = rows(store_file)
    for more in ((), ("-n",), ("--list",)):
        done = torc("undo", *more, 1)
        assert done.returncode == 65
        assert said(done) == ["torc-undo: change 3 of the journal was edited by hand, and cannot be read"]
    assert rows(store_file) == before


def test_names_that_could_drive_a_terminal_are_made_visible(torc, store_file) -> None:
    execute(store_file, "UPDATE job SET name = 'a\x1b[2J\nb' WHERE job_id = 2")
    recover(torc)
    assert "job 2 (a\\x1b[2J\\nb)" in torc("undo", 1, "-f", "table").stdout.decode()


# On Slurm.


def test_what_waits_in_the_queue_is_canceled_and_the_jobs_fail_as_before(torc, oomed, cluster) -> None:
    cluster.hold()
    torc("torc-sync", 1)
    before = requests(oomed / "torc.db"), status(oomed / "torc.db")
    assert torc("torc-recover", 1, "--account", "proj").returncode == 0
    done = torc("undo", 1)
    assert done.returncode == 0, said(done)
    assert cluster.jobs()[-1]["state"].startswith("CANCELLED")
    assert not execute("torc.db", "SELECT 1 FROM allocation WHERE status = 'queued'")
    assert (requests(oomed / "torc.db"), status(oomed / "torc.db")) == before


def test_while_slurm_is_silent_nothing_is_taken_back(torc, oomed, cluster) -> None:
    cluster.hold()
    torc("torc-recover", 1, "--account", "proj")
    cluster.knob("squeue", "unable")
    before = rows(oomed / "torc.db")
    done = torc("undo", 1)
    assert done.returncode == 69
    assert rows(oomed / "torc.db") == before


def test_an_allocation_that_runs_keeps_its_jobs(torc, oomed, cluster) -> None:
    cluster.hold()
    torc("torc-recover", 1, "--account", "proj")
    cluster.change(cluster.jobs()[-1]["job_id"], state="RUNNING", start=1)
    done = torc("undo", 1)
    assert done.returncode == 75
    assert "may run the jobs: nothing was taken back (torc-cancel 1 ends it)" in said(done)[-1]


def test_a_large_recovery_is_taken_back_in_one_go(torc, work_dir) -> None:
    """10,000 jobs: no query a job but the one that writes it."""
    path = prepare(work_dir)
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO job (workflow_id, name, command, status, resource_requirements_id) VALUES (1, ?, 'x', 6, 2)",
            ((f"j{n}",) for n in range(10_000)),
        )
    before = rows(path)
    assert torc("reset", "-w", 1, "--failed").returncode == 0
    assert torc("undo", 1).returncode == 0
    assert rows(path) == before
    assert store.open_reader(str(path))
