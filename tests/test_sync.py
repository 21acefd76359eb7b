"""torc-sync and the fold: what workers wrote goes into the store once and whole; lost jobs are settled."""

import contextlib
import json
import os
import signal
import subprocess

import pytest
from prepared import TOKEN, execute

from torc_tools import states
from torc_tools.shell import layout, liveness, store, workers


def event(kind, **fields):
    return {"type": "event", "event": kind, "at": 5.0, "workflow_id": 1, **fields}


def hello(pid=1, pid_start=1, token=TOKEN, **fields):
    host = os.uname().nodename
    return event("worker_started", workflow_token=token, hostname=host, pid=pid, pid_start=pid_start, **fields)


def started(job):
    return event("started", job_id=job, run_id=1, attempt_id=1)


def ended(job, status="completed", code=0, attempt=1):
    fields = {"status": status, "return_code": code, "exec_time_s": 1.0, "reason": None}
    return event("ended", job_id=job, run_id=1, attempt_id=attempt, **fields)


def write(folder, events, name="wf1_r1_host_local_1", tail=""):
    path = folder / "torc_output" / "events" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in events) + tail)
    return path


@contextlib.contextmanager
def asleep(**mark):
    """Give a process that sleeps with a mark in its environment, in a session of its own; it ends with the block."""
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, **mark}, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status_of(path):
    rows = execute(path, "SELECT job_id, status, attempt_id FROM job")
    return {job_id: (states.NAMES[status], attempt_id) for job_id, status, attempt_id in rows}


@pytest.fixture
def fresh(store_file):
    """The prepared store before its run: jobs 1, 3 and 4 ready, the others blocked, no results."""
    execute(
        store_file,
        "DELETE FROM result",
        f"UPDATE job SET status = {states.BLOCKED}",
        f"UPDATE job SET status = {states.READY} WHERE job_id IN (1, 3, 4)",
    )
    return store_file


def test_events_move_jobs_and_their_dependents(torc, work_dir, fresh):
    write(work_dir, [hello(), started(1), ended(1), started(4), ended(4, "failed", 1), started(3)])
    assert torc("torc-sync", 1, "--read-only").returncode == 2  # it writes, so it has no such option
    with_dead_worker = torc("torc-sync", "-n", 1)
    assert with_dead_worker.returncode == 0
    assert torc("torc-results", 1, "--query", "status").stdout.split() == [b'"completed"', b'"failed"']
    assert status_of(fresh)[2] == ("ready", 1)  # its parent is done
    assert status_of(fresh)[6] == ("canceled", 1)  # its parent has a bug
    assert status_of(fresh)[3] == ("running", 1)


def test_folding_twice_changes_nothing(torc, work_dir, fresh):
    write(work_dir, [hello(pid=os.getpid(), pid_start=liveness.start_ticks(os.getpid())), started(1), ended(1)])
    torc("torc-sync", 1)
    before = fresh.read_bytes()
    assert torc("torc-sync", 1).returncode == 0
    assert fresh.read_bytes() == before


def test_a_torn_last_line_waits_for_its_rest(torc, work_dir, fresh):
    whole = json.dumps(ended(1)) + "\n"
    path = write(work_dir, [hello(pid=os.getpid(), pid_start=None), started(1)], tail=whole[:40])
    torc("torc-sync", 1)
    assert status_of(fresh)[1] == ("running", 1)
    with path.open("a") as file:
        file.write(whole[40:])
    torc("torc-sync", 1)
    assert status_of(fresh)[1] == ("completed", 1)


def test_lines_that_are_no_events_are_skipped_and_counted(torc, work_dir, fresh):
    write(work_dir, [hello(), started(1), {"type": "event"}, [1], ended(1)], tail="rubbish\n\xff\n")
    done = torc("torc-sync", 1)
    assert done.returncode == 0
    assert b"4 event line(s) of workflow 1 could not be read" in done.stderr
    assert status_of(fresh)[1] == ("completed", 1)


def test_event_files_of_another_store_are_left_alone(torc, work_dir, fresh):
    write(work_dir, [hello(token="f" * 32), started(1), ended(1)])
    torc("torc-sync", 1)
    assert status_of(fresh)[1] == ("ready", 1)


def test_a_dead_workers_jobs_fail_as_orphans_and_cancel_their_dependents(torc, work_dir, fresh):
    write(work_dir, [hello(pid=2**22 - 1), started(1), ended(1), started(4)])
    done = torc("torc-sync", 1)
    summary = json.loads(done.stdout.splitlines()[1])
    assert summary["running_jobs_failed"] == 1
    assert summary["failed_job_details"][0]["job_name"] == "bug"
    assert status_of(fresh)[4] == ("failed", 1)
    assert status_of(fresh)[6] == ("canceled", 1)
    assert execute(fresh, "SELECT return_code FROM result WHERE job_id = 4") == [(-128,)]
    assert execute(fresh, "SELECT count(*) FROM change WHERE subject_id = 4") == [(1,)]


def test_the_truth_arriving_late_wins_over_the_orphan(torc, work_dir, fresh):
    path = write(work_dir, [hello(pid=2**22 - 1), started(4)])
    torc("torc-sync", 1)
    with path.open("a") as file:
        file.write(json.dumps(ended(4)) + "\n")
    torc("torc-sync", 1)
    assert status_of(fresh)[4] == ("completed", 1)
    assert execute(fresh, "SELECT return_code FROM result WHERE job_id = 4") == [(0,)]


def test_a_living_workers_jobs_stay(torc, work_dir, fresh):
    write(work_dir, [hello(pid=os.getpid(), pid_start=liveness.start_ticks(os.getpid())), started(1)])
    assert torc("torc-sync", 1).returncode == 0
    assert status_of(fresh)[1] == ("running", 1)


def test_what_a_lost_job_left_running_is_killed(torc, work_dir, fresh):
    with asleep(TORC_JOB_MARK=f"{TOKEN}.4.r1.a1") as left, asleep(TORC_JOB_MARK=f"{TOKEN}.4.r1.a2") as other:
        write(work_dir, [hello(pid=2**22 - 1), started(4)])
        torc("torc-sync", "-n", 1)
        assert left.poll() is None
        torc("torc-sync", 1)
        assert left.wait(timeout=10) == -signal.SIGKILL
        assert other.poll() is None


def test_claims_of_dead_workers_on_jobs_that_never_started_are_freed(torc, work_dir, fresh):
    folder = work_dir / layout.claims_dir({"output_dir": "torc_output", "workflow_id": 1, "token": TOKEN})
    folder.mkdir(parents=True)
    host, pid, pid_start = liveness.me()
    dead = {"hostname": host, "pid": 2**22 - 1, "pid_start": 1}
    (folder / "3.r1.a1").write_text(json.dumps(dead))
    (folder / "4.r1.a1").write_text(json.dumps({"hostname": host, "pid": pid, "pid_start": pid_start}))
    write(work_dir, [hello(pid=pid, pid_start=pid_start)])
    torc("torc-sync", 1)
    assert sorted(os.listdir(folder)) == ["4.r1.a1"]


def test_the_scripts_of_a_dead_worker_are_killed_before_they_can_run_twice(torc, work_dir, fresh):
    write(work_dir, [hello(pid=2**22 - 1)])
    mark = f"{TOKEN}.wf1_r1_host_local_1"
    with asleep(TORC_WORKER_MARK=mark) as left, asleep(TORC_WORKER_MARK=f"{mark}0") as other:
        torc("torc-sync", 1)
        assert left.wait(timeout=10) == -signal.SIGKILL
        assert other.poll() is None


def test_what_is_no_claim_in_the_folder_of_the_claims_stays_and_stops_nothing(torc, work_dir, fresh):
    folder = work_dir / layout.claims_dir({"output_dir": "torc_output", "workflow_id": 1, "token": TOKEN})
    (folder / "a folder").mkdir(parents=True)
    (folder / "note.txt").write_text("mine")
    (folder / "3.r1.a1").write_text("")
    assert torc("torc-sync", 1).returncode == 0
    assert sorted(os.listdir(folder)) == ["a folder", "note.txt"]


def test_what_a_dead_worker_started_but_could_not_say_is_killed_before_it_can_run_twice(torc, work_dir, fresh):
    folder = work_dir / layout.claims_dir({"output_dir": "torc_output", "workflow_id": 1, "token": TOKEN})
    folder.mkdir(parents=True)
    dead = {"hostname": os.uname().nodename, "pid": 2**22 - 1, "pid_start": 1}
    (folder / "3.r1.a1").write_text(json.dumps(dead))
    with asleep(TORC_JOB_MARK=f"{TOKEN}.3.r1.a1") as left:
        write(work_dir, [hello(pid=2**22 - 1)])
        torc("torc-sync", 1)
        assert left.wait(timeout=10) == -signal.SIGKILL
        assert os.listdir(folder) == []


def test_a_dry_run_leaves_every_byte(torc, work_dir, fresh):
    write(work_dir, [hello(pid=2**22 - 1), started(1), ended(1), started(4)])
    before = fresh.read_bytes()
    done = torc("torc-sync", "-n", 1)
    assert json.loads(done.stdout.splitlines()[1])["running_jobs_failed"] == 1
    assert fresh.read_bytes() == before


def test_killed_after_any_write_the_store_is_as_before_or_as_after(torc, work_dir, fresh):
    """torc-sync writes twice: the fold, then what it means for lost jobs. Nothing is ever between."""
    write(work_dir, [hello(pid=2**22 - 1), started(1), ended(1), started(4), ended(4, "failed", 1), started(3)])
    start = fresh.read_bytes()
    legal = [status_of(fresh)]
    for command in ("torc-results", "torc-sync"):
        torc(command, 1)
        legal.append(status_of(fresh))
    seen = []
    for writes in range(1, 100):
        fresh.write_bytes(start)
        done = torc("torc-sync", 1, env={"TORC_KILL_AFTER_WRITES": str(writes)})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        seen.append(legal.index(status_of(fresh)))
        torc("torc-sync", 1)
        assert status_of(fresh) == legal[-1]
    assert seen == sorted(seen)
    assert set(seen) >= {0, 1}


def test_only_workers_whose_leftovers_were_looked_for_are_buried(store_file):
    """One that dies in between would be ended with its scripts still running, and they would run again beside it."""
    db = store.open_store(str(store_file))
    for name in ("early", "late"):
        row = (1, name, os.uname().nodename, 2**22 - 1, 1)
        db.execute("INSERT INTO worker (workflow_id, name, hostname, pid, pid_start) VALUES (?, ?, ?, ?, ?)", row)
    workers.bury(db, 1, ["early"])
    assert workers.killed(db, 1) == ["late"]
