"""torc-cancel: what has not started is canceled in the store, what runs by its worker; nothing that ended changes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import command
from prepared import TOKEN, execute
from waiting import until

from torc_tools.shell import layout, liveness

RUNNING, READY, BLOCKED = 4, 2, 1

# A worker as torc-cancel sees it: it has job 5, and ends it (and itself) as its argument says.
WORKER = """
import json, os, select, signal, sys, time
events, folder, token, manner = sys.argv[1:]
pid = os.getpid()
start = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[19])
name = f"wf1_r1_{os.uname().nodename}_local_{pid}"
file = open(f"{events}/{name}.jsonl", "w", buffering=1)
def write(kind, **more):
    line = {"type": "event", "event": kind, "at": time.time(), "workflow_id": 1, **more}
    file.write(json.dumps(line) + "\\n")
def leave(*_):
    write("ended", job_id=5, run_id=1, attempt_id=1, status="canceled", return_code=-15, peak_memory_bytes=777)
    write("worker_ended", reason="canceled")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
write("worker_started", workflow_token=token, hostname=os.uname().nodename, pid=pid, pid_start=start, run_id=1)
write("started", job_id=5, run_id=1, attempt_id=1, pid=pid, pid_start=start)
print("up", flush=True)
asked = {"file": "cancel", "job": "cancel.jobs", "term": "never"}[manner]
while not os.path.exists(f"{folder}/{asked}"):
    select.select([], [], [], 0.01)
if manner == "job":
    assert json.load(open(f"{folder}/cancel.jobs")) == {"job_id": 5, "run_id": 1, "attempt_id": 1}
leave()
"""


def states_of(path: Path) -> list[int]:
    return [row[0] for row in execute(path, "SELECT status FROM job ORDER BY job_id")]


@pytest.fixture
def open_store(store_file: Path) -> Path:
    """Give the store with job 5 ready, job 6 blocked (by job 4, ready)."""
    execute(
        store_file,
        f"UPDATE job SET status = {READY} WHERE job_id IN (4, 5)",
        f"UPDATE job SET status = {BLOCKED} WHERE job_id = 6",
    )
    return store_file


@pytest.fixture
def worker(open_store: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    output_dir = str(open_store.parent / "torc_output")
    events = layout.events_dir(output_dir)
    Path(events).mkdir(parents=True)
    folder = layout.claims_dir({"output_dir": output_dir, "workflow_id": 1, "token": TOKEN})
    made = subprocess.Popen(
        [sys.executable, "-c", WORKER, events, folder, TOKEN, request.param], stdout=subprocess.PIPE
    )
    assert made.stdout is not None
    assert made.stdout.readline() == b"up\n"
    yield made
    made.kill()
    made.wait()
    made.stdout.close()


def summary(done: "subprocess.CompletedProcess[bytes]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    begin, found, end = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert (begin["stage"], end["count"], found["type"]) == ("torc-cancel", 1, "summary")
    return dict(found)


def test_what_has_not_started_is_canceled(torc: Any, open_store: Path) -> None:
    found = summary(torc("cancel", "1"))
    assert (found["is_canceled"], found["is_complete"], found["counts"]["canceled"]) == (True, True, 3)
    assert states_of(open_store) == [5, 6, 8, 7, 7, 7]
    rows = execute(open_store, "SELECT command, subject, subject_id, before, after FROM change ORDER BY change_id")
    assert [(row[1], row[2]) for row in rows] == [("job", 4), ("job", 5), ("job", 6), ("workflow", 1)]
    assert (rows[2][0], rows[2][3], rows[2][4]) == ("torc-cancel", '{"status":"blocked"}', '{"status":"canceled"}')


def test_canceling_twice_is_canceling_once(torc: Any, open_store: Path) -> None:
    first = summary(torc("cancel", "1"))
    rows = execute(open_store, "SELECT * FROM change", "SELECT * FROM job", "SELECT * FROM result")
    assert summary(torc("cancel", "1")) == first
    assert execute(open_store, "SELECT * FROM change", "SELECT * FROM job", "SELECT * FROM result") == rows


def test_a_dry_run_says_so_and_changes_nothing(torc: Any, open_store: Path) -> None:
    before = open_store.read_bytes()
    found = summary(torc("cancel", "-n", "1"))
    assert (found["dry_run"], found["is_canceled"], found["counts"]["canceled"]) == (True, True, 3)
    assert open_store.read_bytes() == before
    assert not (open_store.parent / "torc_output").exists()


@pytest.mark.parametrize("worker", ["file"], indirect=True)
def test_a_worker_ends_its_job_and_its_result_is_kept(torc: Any, open_store: Path, worker: Any) -> None:
    found = summary(torc("cancel", "1", "--grace", "PT30S"))
    assert worker.wait(5) == 0
    assert (found["is_complete"], found["counts"]["canceled"], found["allocations"]) == (True, 3, [])
    assert execute(open_store, "SELECT return_code, peak_memory_bytes, status FROM result WHERE job_id = 5") == [
        (-15, 777, 7)
    ]


@pytest.mark.parametrize("worker", ["term"], indirect=True)
def test_a_worker_that_does_not_listen_is_terminated(torc: Any, open_store: Path, worker: Any) -> None:
    found = summary(torc("cancel", "1", "--grace", "PT1S"))
    assert worker.wait(5) == 0
    assert found["is_complete"]
    assert execute(open_store, "SELECT return_code FROM result WHERE job_id = 5") == [(-15,)]


@pytest.mark.parametrize("worker", ["job"], indirect=True)
def test_one_running_job_is_canceled_by_its_worker(torc: Any, open_store: Path, worker: Any) -> None:
    found = summary(torc("cancel", "1", "-j", "5", "--grace", "PT20S"))
    assert (found["is_canceled"], found["is_complete"]) == (False, False)
    assert states_of(open_store) == [5, 6, 8, READY, 7, BLOCKED]


@pytest.mark.parametrize("worker", ["term"], indirect=True)
def test_the_job_of_a_dead_worker_is_canceled_at_once(torc: Any, open_store: Path, worker: Any) -> None:
    marked = {**os.environ, "TORC_JOB_MARK": f"{TOKEN}.5.r1.a1"}
    left = subprocess.Popen(["sleep", "1000"], env=marked)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    found = summary(torc("cancel", "1"))
    assert found["is_complete"]
    assert left.wait(10) == -signal.SIGKILL
    assert execute(open_store, "SELECT return_code, status FROM result WHERE job_id = 5") == [(-128, 7)]


def test_a_named_job_takes_its_dependents_with_it(torc: Any, open_store: Path) -> None:
    found = summary(torc("cancel", "1", "-j", "4"))
    assert (found["is_canceled"], states_of(open_store)) == (False, [5, 6, 8, 7, READY, 7])
    rows = execute(open_store, "SELECT subject_id, before FROM change ORDER BY change_id")
    assert rows == [(4, '{"status":"ready"}'), (6, '{"status":"blocked"}')]
    assert summary(torc("cancel", "1", "-j", "1,2")) == found


def test_a_dependent_that_does_not_mind_becomes_ready(torc: Any, open_store: Path) -> None:
    execute(open_store, "UPDATE job SET cancel_on_blocking_job_failure = 0 WHERE job_id = 6")
    summary(torc("cancel", "1", "-j", "4"))
    assert states_of(open_store) == [5, 6, 8, 7, READY, READY]


def test_an_allocation_of_a_dead_process_is_ended(torc: Any, open_store: Path) -> None:
    host, pid, _ = liveness.me()
    execute(
        open_store,
        "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at)"
        f" VALUES (1, 'local', 'active', '{host}', {pid}, 1, 1), (1, 'local', 'complete', '{host}', {pid}, 1, 1)",
    )
    summary(torc("cancel", "1"))
    rows = execute(open_store, "SELECT status, ended_at IS NULL FROM allocation ORDER BY allocation_id")
    assert rows == [("canceled", 0), ("complete", 1)]


def test_a_process_that_only_has_the_pid_is_left_alone(torc: Any, open_store: Path) -> None:
    other = subprocess.Popen(["sleep", "1000"])
    host = liveness.me()[0]
    execute(
        open_store,
        "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at)"
        f" VALUES (1, 'local', 'active', '{host}', {other.pid}, 1, 1)",
    )
    summary(torc("cancel", "1"))
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["9"], 66, "torc-cancel: no such workflow: '9'\n"),
        (["1", "-j", "9"], 66, "torc-cancel: workflow 1 has no job '9'\n"),
        (["1", "-j", "4,9"], 66, "torc-cancel: workflow 1 has no job '9'\n"),
    ],
)
def test_refusals(torc: Any, open_store: Path, arguments: list[str], status: int, message: str) -> None:
    before = open_store.read_bytes()
    done = torc("cancel", *arguments)
    assert (done.returncode, done.stderr.decode()) == (status, message)
    assert open_store.read_bytes() == before


@pytest.mark.parametrize("writes", [1, 5, 8, 9, 10])
def test_a_cancel_that_is_killed_can_be_called_again(open_store: Path, torc: Any, writes: int) -> None:
    done = torc("cancel", "1", env={"TORC_KILL_AFTER_WRITES": str(writes)})
    assert done.returncode in (0, -signal.SIGKILL)
    assert states_of(open_store) in ([5, 6, 8, READY, READY, BLOCKED], [5, 6, 8, 7, 7, 7])
    assert summary(torc("cancel", "1"))["counts"]["canceled"] == 3


SPEC = """
name: two
jobs:
  - {name: long, command: "touch up; sleep 60"}
  - {name: child, command: "true", depends_on: [long], cancel_on_blocking_job_failure: false}
  - {name: grandchild, command: "touch ran", depends_on: [child]}
"""


def running(torc: Any, work_dir: Path) -> "subprocess.Popen[bytes]":
    """Start SPEC with torc-run, and wait until its first job is up."""
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "spec.yaml").returncode == 0
    run = subprocess.Popen([*command("run"), "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until((work_dir / "up").exists, "the first job")
    return run


def test_a_real_run_is_canceled(torc: Any, work_dir: Path) -> None:
    run = running(torc, work_dir)
    found = summary(torc("cancel", "1", "--grace", "PT20S"))
    assert run.wait(20) == 1
    assert (found["counts"]["canceled"], found["is_complete"]) == (3, True)
    assert states_of(work_dir / "torc.db") == [7, 7, 7]
    assert [row[0] for row in execute(work_dir / "torc.db", "SELECT status FROM result")] == [7]


def test_named_jobs_of_a_real_run_are_canceled_and_the_rest_goes_on(torc: Any, work_dir: Path) -> None:
    run = running(torc, work_dir)
    summary(torc("cancel", "1", "-j", "1,3", "--grace", "PT20S"))
    assert run.wait(20) == 1
    assert states_of(work_dir / "torc.db") == [7, 5, 7]
    assert not (work_dir / "ran").exists()
