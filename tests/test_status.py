"""Why nothing moves: the judgement on facts, and the facts as torc-status collects them."""

import os
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared import execute

from torc_tools import states
from torc_tools.core import standing
from torc_tools.shell import layout, liveness, store

GIB = 2**30
MACHINE = {"num_cpus": 4, "memory_bytes": 8 * GIB, "num_gpus": 0, "left_s": None}


def job(job_id: int, status: str, **more: Any) -> dict[str, Any]:
    sizes = {"num_cpus": 1, "memory_bytes": None, "num_gpus": 0, "runtime_s": None}
    return {"job_id": job_id, "status": status, **sizes, **more}


def facts(*jobs: dict[str, Any], parents: dict[int, list[int]] | None = None, **more: Any) -> standing.Facts:
    known = {each["job_id"]: each["status"] for each in jobs} | more.pop("ended", {})
    given: dict[str, Any] = {
        "workflow_id": 42, "is_canceled": False, "jobs": jobs, "names": {each: f"n{each}" for each in known},
        "status": known, "parents": parents or {}, "places": [], "queued": [], "machine": MACHINE, "missing": {},
        "lost": frozenset(),
    }  # fmt: skip
    return standing.Facts(**{**given, **more})


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1, found
    return found[0]


def held(slurm_job_id: int) -> dict[str, Any]:
    return {"slurm_job_id": str(slurm_job_id), "slurm_state": "PENDING", "slurm_reason": "JobHeldUser"}


PLACE = {"num_cpus": 8, "memory_bytes": 16 * GIB, "num_gpus": 0, "left_s": 600.5}
READY = [
    (job(1, "ready"), {}, "no_allocation", "job 1: no worker runs this workflow: torc-run 42"),
    (job(1, "ready", num_cpus=64), {}, "cpus", "job 1: need 64 CPUs, more than this machine has (4)"),
    (job(1, "ready", memory_bytes=9 * GIB), {}, "memory", "job 1: need 9g memory, more than this machine has (8g)"),
    (job(1, "ready", num_gpus=1), {}, "gpus", "job 1: need 1 GPUs, more than this machine has (0)"),
    (job(1, "ready", runtime_s=7200), {"places": [PLACE]}, "runtime",
     "job 1: need PT2H, more than is left of every allocation (PT10M)"),
    (job(1, "ready", num_cpus=6), {"places": [PLACE]}, "waiting_for_room",
     "job 1: waiting for room in a running worker"),
    (job(1, "ready", num_cpus=6, runtime_s=7200), {"places": [PLACE, {**PLACE, "num_cpus": 2, "left_s": None}]},
     "runtime", "job 1: need PT2H, more than is left of every allocation (PT10M)"),
    (job(1, "ready"), {"queued": [{"slurm_reason": None}, {"slurm_reason": "Priority"}]}, "allocation_queued",
     "job 1: 2 allocation(s) wait in the queue (Priority)"),
    (job(1, "ready"), {"queued": [held(7), held(8)], "is_slurm": True}, "allocation_held",
     "job 1: Slurm holds what waits in its queue (JobHeldUser): scontrol release 7,8"),
    (job(1, "ready"), {"queued": [held(7), {"slurm_reason": "Priority"}], "is_slurm": True}, "allocation_queued",
     "job 1: 2 allocation(s) wait in the queue (JobHeldUser)"),
    (job(1, "ready", runtime_s=7200), {"places": [PLACE], "queued": [{"slurm_reason": "Priority"}], "is_slurm": True},
     "allocation_queued", "job 1: 1 allocation(s) wait in the queue (Priority)"),
    (job(1, "ready", runtime_s=7200), {"places": [PLACE], "is_slurm": True}, "runtime",
     "job 1: need PT2H, more than is left of every allocation (PT10M)"),
    (job(1, "ready"), {"planned": 2, "is_slurm": True}, "not_submitted",
     "job 1: 2 allocation(s) are planned but not submitted: torc-submit -w 42"),
    (job(1, "ready", num_cpus=64), {"is_slurm": True}, "no_allocation",
     "job 1: no allocation: torc-regenerate 42 | torc-submit"),
    (job(1, "ready", num_cpus=64), {"is_slurm": True, "unfit": {1: "no node has 64; would fit: 4"}}, "unplannable",
     "job 1: fits nowhere: no node has 64; would fit: 4 ('torc-jobs set' asks for less)"),
    (job(1, "ready"), {"is_new": True}, "no_allocation",
     "job 1: nothing runs it yet: torc-run 42; on Slurm: torc-run --slurm 42"),
    (job(1, "ready"), {"is_new": True, "is_slurm": True}, "no_allocation",
     "job 1: nothing runs it yet: torc-regenerate 42 | torc-submit; here: torc-run 42"),
    (job(1, "ready", num_cpus=64), {"is_new": True}, "cpus",
     "job 1: need 64 CPUs, more than this machine has (4); on Slurm: torc-run --slurm 42"),
    (job(1, "running"), {"lost": frozenset({1}), "is_slurm": True}, "lost_worker",
     "job 1: the worker that had it is gone: torc-sync 42"),
    (job(1, "ready"), {"is_canceled": True}, "canceled",
     "job 1: the workflow is canceled: torc-reset -w 42 --status canceled starts it again"),
    (job(1, "ready"), {"missing": {1: ["a.csv"]}}, "missing_input",
     "job 1: input that no job makes is missing: 'a.csv'"),
    (job(1, "running"), {"lost": frozenset({1})}, "lost_worker",
     "job 1: the worker that had it is gone: torc-sync 42, then torc-run 42"),
    (job(1, "pending_failed"), {}, "pending_failed",
     ("job 1: awaiting classification: 'torc-diagnose 42' says why, 'torc-recover 42' gives more to those that had too"
      " little, 'torc-reset -w 42 -s pending_failed' makes them ready again, 'torc-jobs set --status failed JOB' makes"
      " one final")),
    (job(1, "uninitialized"), {}, "uninitialized", "job 1: not started yet: torc-run 42"),
    (job(1, "blocked"), {}, "unsettled", "job 1: nothing holds it back any more: torc-sync 42"),
]  # fmt: skip


@pytest.mark.parametrize(("waiting", "more", "reason", "text"), READY)
def test_why_one_job_does_not_move(waiting: dict[str, Any], more: dict[str, Any], reason: str, text: str) -> None:
    found = only(standing.reasons(facts(waiting, **more)))
    assert (found["reason"], found["text"], found["count"], found["job_ids"]) == (reason, text, 1, [1])


def test_a_running_job_needs_no_reason() -> None:
    assert standing.reasons(facts(job(1, "running"), job(2, "pending"))) == []


def test_the_worst_job_above_holds_a_blocked_one() -> None:
    jobs = [job(1, "running"), job(2, "disabled"), job(3, "blocked"), job(4, "blocked"), job(5, "blocked")]
    found = standing.reasons(facts(*jobs[:1], *jobs[2:], parents={3: [1, 2], 4: [3], 5: [1]}, ended={2: "disabled"}))
    assert [(each["parent_status"], each["job_ids"]) for each in found] == [("disabled", [3, 4]), ("running", [5])]
    assert found[0]["text"] == "2 jobs: waiting for job 2 (n2), which is disabled"
    assert found[1]["text"] == "job 5: waiting for parents that are running"


def test_one_reason_names_a_hundred_jobs_and_counts_all() -> None:
    found = only(standing.reasons(facts(*(job(number, "ready") for number in range(1, 251)))))
    assert (found["count"], len(found["job_ids"])) == (250, 100)


STATE = st.sampled_from(states.NAMES)


@given(st.lists(STATE, max_size=12), st.data())
def test_every_waiting_job_has_exactly_one_reason(names: list[str], data: st.DataObject) -> None:
    status = dict(enumerate(names, 1))
    parents = {
        each: data.draw(st.lists(st.integers(1, each - 1), unique=True, max_size=3)) for each in status if each > 1
    }
    open_jobs = [job(each, name) for each, name in status.items() if states.NUMBERS[name] not in states.SETTLED]
    found = standing.reasons(facts(*open_jobs, parents=parents, ended=status))
    named = sorted(each for reason in found for each in reason["job_ids"])
    assert named == [each["job_id"] for each in open_jobs if each["status"] not in ("pending", "running")]
    assert all(reason["count"] == len(reason["job_ids"]) for reason in found)


@pytest.mark.parametrize(
    ("counts", "complete", "success"),
    [
        ({}, True, True),
        ({"completed": 2, "disabled": 1, "failed": 0}, True, True),
        ({"completed": 2, "canceled": 1}, True, False),
        ({"completed": 2, "pending_failed": 1}, False, False),
        ({"blocked": 1}, False, False),
    ],
)
def test_outcome(counts: dict[str, int], complete: bool, success: bool) -> None:
    assert standing.outcome(counts) == {"is_complete": complete, "is_success": success}


def summary(torc: Any, *options: str) -> dict[str, Any]:
    done = torc("status", *options, "1")
    assert done.returncode == 0, done.stderr
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["begin", "summary", "end"]
    return dict(lines[1])


def test_the_summary_of_a_run_that_is_over(torc: Any, store_file: Path) -> None:
    found = summary(torc)
    assert found["counts"] | {"completed": 1, "failed": 2, "canceled": 2, "terminated": 1} == found["counts"]
    assert (found["total"], found["is_complete"], found["is_success"], found["reasons"]) == (6, True, False, [])
    assert found["last_event_at"] == 1700000100.0


def test_a_missing_input_file_is_named_and_one_that_a_job_makes_is_not(torc: Any, store_file: Path) -> None:
    execute(
        store_file,
        "UPDATE job SET status = 2 WHERE job_id IN (5, 6)",
        "INSERT INTO file (file_id, workflow_id, name, path) VALUES (1, 1, 'a', 'in.csv'), (2, 1, 'b', 'made.csv')",
        "INSERT INTO job_file VALUES (5, 1, 0), (6, 2, 0), (4, 2, 1)",
    )
    reasons = {each["reason"]: each for each in summary(torc)["reasons"]}
    assert reasons["missing_input"]["missing"] == ["in.csv"]
    assert reasons["no_allocation"]["job_ids"] == [6]
    (store_file.parent / "in.csv").write_text("")
    assert [each["job_ids"] for each in summary(torc)["reasons"]] == [[5, 6]]


def started(store_file: Path, pid_start: int, **more: Any) -> Path:
    """Write the event file of a worker that is this process (or a dead one, with another start)."""
    db = store.open_store(str(store_file))
    token, output_dir = db.execute("SELECT token, output_dir FROM workflow").fetchone()
    host, pid, _ = liveness.me()
    path = Path(layout.events_dir(output_dir)) / f"{layout.worker_name(1, 1, None, pid)}.jsonl"
    path.parent.mkdir(parents=True)
    event = {
        "type": "event", "event": "worker_started", "at": 1700000200.0, "workflow_id": 1, "workflow_token": token,
        "hostname": host, "pid": pid, "pid_start": pid_start, "run_id": 1, **MACHINE, **more,
    }  # fmt: skip
    path.write_bytes(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
    return path


def test_what_a_live_worker_holds_decides(torc: Any, store_file: Path) -> None:
    started(store_file, liveness.me()[2], num_cpus=1)
    execute(
        store_file,
        "UPDATE job SET status = 2 WHERE job_id = 5",
        "UPDATE resource_requirements SET num_cpus = 2 WHERE resource_requirements_id = 1",
    )
    found = summary(torc)
    assert only(found["allocations"])["is_alive"] is True
    assert (only(found["allocations"])["pid"], only(found["allocations"])["num_cpus"]) == (os.getpid(), 1)
    assert only(found["reasons"])["text"] == "job 5: need 2 CPUs, more than every allocation has (1)"
    assert found["last_event_at"] == 1700000200.0


def test_a_job_that_is_longer_than_what_is_left_is_seen(torc: Any, store_file: Path) -> None:
    started(store_file, liveness.me()[2], ends_at=time.time() + 30)
    execute(store_file, "UPDATE job SET status = 2 WHERE job_id = 5")
    assert only(summary(torc)["reasons"])["reason"] == "runtime"


def test_a_dead_worker_is_seen(torc: Any, store_file: Path) -> None:
    path = started(store_file, 1)
    execute(store_file, f"UPDATE job SET status = 4, worker = '{path.stem}' WHERE job_id = 5")
    found = summary(torc)
    assert found["allocations"] == []
    assert only(found["reasons"])["reason"] == "lost_worker"


def test_read_only_shows_the_same_and_writes_nothing(torc: Any, store_file: Path) -> None:
    started(store_file, 1)
    before = store_file.read_bytes()
    first = summary(torc, "--read-only")
    assert store_file.read_bytes() == before
    assert first == summary(torc)
    assert store_file.read_bytes() != before


def test_a_person_reads_lines_and_no_name_drives_the_terminal(torc: Any, store_file: Path) -> None:
    execute(store_file, "UPDATE workflow SET name = 'a\x1b[31m\nb'", "UPDATE job SET status = 1 WHERE job_id = 5")
    done = torc("status", "-f", "table", "1")
    assert done.stdout.decode() == (
        "workflow 1 (a\\x1b[31m\\nb), run 1: unfinished\n"
        "  6 jobs: 1 blocked, 1 completed, 2 failed, 1 canceled, 1 terminated\n"
        "  what does not move, and why:\n"
        "    job 5: nothing holds it back any more: torc-sync 1\n"
    )


def test_no_such_workflow(torc: Any, store_file: Path) -> None:
    done = torc("status", "9")
    assert (done.returncode, done.stdout, done.stderr) == (66, b"", b"torc-status: no such workflow: '9'\n")


def test_lines_about_slurm_allocations_say_what_slurm_says_of_them(torc, store_file):
    columns = "workflow_id, kind, status, slurm_job_id, slurm_state, slurm_reason, ends_at, created_at"
    rows = [
        ("queued", "7", "PENDING", "Priority", None),
        ("active", "8", "RUNNING", None, time.time() + 7200.5),
        ("planned", None, None, None, None),
    ]
    for status, *rest in rows:
        values = ", ".join("NULL" if each is None else repr(each) for each in rest)
        execute(store_file, f"INSERT INTO allocation ({columns}) VALUES (1, 'slurm', '{status}', {values}, 0)")
    lines = torc("torc-status", 1, "-f", "table").stdout.decode().splitlines()
    assert lines[2] == "  Slurm job 7: queued, PENDING (Priority)"
    assert lines[3].startswith("  Slurm job 8: active, RUNNING, not known to be alive, ")
    assert lines[3].endswith(" left")
    assert lines[4] == "  allocation 3: planned"


def test_what_workers_wrote_counts_where_slurm_was_not_asked_since(torc, store_file):
    rows = [
        ("queued", "NULL", "NULL"),
        ("queued", "'PENDING'", "NULL"),
        ("queued", "NULL", "1"),
        ("active", "'RUNNING'", "1"),
    ]
    for number, (status, state, ended_at) in enumerate(rows, 1):
        execute(
            store_file,
            "INSERT INTO allocation (allocation_id, workflow_id, kind, status, slurm_job_id, slurm_state, created_at)"
            f" VALUES ({number}, 1, 'slurm', '{status}', '{number}', {state}, 0)",
            "INSERT INTO worker (workflow_id, name, allocation_id, hostname, started_at, heartbeat_at, ended_at)"
            f" VALUES (1, 'w{number}', {number}, 'n1', 0, {time.time()}, {ended_at})",
        )
    done = torc("torc-status", 1, "-f", "table")
    assert done.stdout.decode().splitlines()[2:6] == [
        "  Slurm job 1: active, on n1, alive",
        "  Slurm job 2: active, on n1, alive",
        "  Slurm job 3: active, its workers have left",
        "  Slurm job 4: active, RUNNING, its workers have left",
    ]


def test_a_created_workflow_is_told_both_ways_on_and_later_only_its_own(torc, work_dir):
    torc("torc-create", "-", input="name: one\njobs: [{name: a, command: 'exit 1'}, {name: b, command: 'true'}]")
    only_reason = "nothing runs it yet: torc-run 1; on Slurm: torc-run --slurm 1"
    assert only(summary(torc)["reasons"])["text"] == f"2 jobs: {only_reason}"
    torc("torc-run", 1)
    torc("torc-reset", "-w", 1, "--failed")
    assert only(summary(torc)["reasons"])["text"] == "job 1: no worker runs this workflow: torc-run 1"
