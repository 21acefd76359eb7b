"""pending_failed: a failure that somebody has to judge: shown, diagnosed, run again or made final; never lost."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import street
from conftest import Torc, said, script
from hypothesis import given
from hypothesis import strategies as st
from prepared import execute, in_memory

from torc_tools.core.transitions import Unblocker
from torc_tools.flows import applying, fold
from torc_tools.shell import jobstate
from torc_tools.states import BLOCKED, COMPLETED, FAILED, PENDING_FAILED

SPEC = """\
name: pending
use_pending_failed: true
jobs:
  - {name: bug, command: "test -e mended || exit 4"}
  - {name: doomed, command: "true", depends_on: [bug]}
  - {name: tidy, command: "touch tidied", depends_on: [bug, doomed], cancel_on_blocking_job_failure: false}
  - {name: fine, command: "true"}
"""
WHY = "'torc-diagnose 1' says why"
READY = "'torc-reset -w 1 -s pending_failed' makes them ready again"
FINAL = "'torc-jobs set --status failed JOB' makes one final"
MORE = "'torc-recover 1' gives more to those that had too little"
WAYS = f"{WHY}, {READY}, {FINAL}"


@pytest.fixture
def pending(torc: Torc, work_dir: Path) -> Path:
    """Give a folder in which workflow 1 has run: job 1 (bug) waits for a judgement, and holds jobs 2 and 3 back."""
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("torc-create", "spec.yaml").returncode == 0
    assert torc("torc-run", 1).returncode == 1
    found = {"bug": "pending_failed", "doomed": "blocked", "tidy": "blocked", "fine": "completed"}
    assert street.statuses() == found
    return work_dir


@pytest.fixture
def stored(store_file: Path) -> Path:
    """Give a folder with a workflow whose job 4 waits for a judgement, and holds job 6 back; jobs 2 and 3 failed."""
    execute(
        store_file,
        "UPDATE result SET facts = '{}', return_code = 3, status = 10 WHERE job_id = 4",
        "UPDATE job SET status = 10 WHERE job_id = 4",
        "UPDATE job SET status = 1 WHERE job_id = 6",
    )
    return store_file.parent


def record(output: bytes, kind: str) -> list[dict[str, Any]]:
    return [each for each in map(orjson.loads, output.splitlines()) if each["type"] == kind]


def test_everything_that_shows_jobs_shows_it_and_what_can_be_done(torc: Torc, stored: Path) -> None:
    (summary,) = record(torc("torc-status", 1).stdout, "summary")
    (reason,) = [each for each in summary["reasons"] if each["reason"] == "pending_failed"]
    assert (reason["text"], summary["is_success"]) == (
        f"job 4: awaiting classification: {WHY}, {MORE}, {READY}, {FINAL}",
        False,
    )
    assert len(record(torc("torc-jobs", "-s", "pending_failed", 1).stdout, "job")) == 1
    assert len(record(torc("torc-results", "-s", "pending_failed", 1).stdout, "result")) == 1
    (found,) = [x for x in record(torc("torc-diagnose", 1).stdout, "diagnosis") if x["job_id"] == 4]
    assert (found["status"], found["cause"]) == ("pending_failed", "unknown")
    report = torc("torc-report", "--include-failed", 1).stdout
    (usage,) = [each for each in record(report, "resource_violation") if each["job_id"] == 4]
    assert usage["status"] == "pending_failed"
    end = torc("torc-watch", 1)
    assert (end.returncode, f"1 job(s) await classification: {WAYS}" in said(end)) == (1, True)


def test_a_recovery_is_no_deadlock_and_leaves_it_alone_unless_asked(torc: Torc, pending: Path) -> None:
    done = torc("torc-recover", 1)
    assert (done.returncode, said(done)[-1]) == (1, f"1 job(s) await classification: {WAYS}")
    assert street.statuses()["bug"] == "pending_failed"
    (pending / "mended").touch()
    assert torc("torc-recover", "--retry-unknown", 1).returncode == 0
    assert set(street.statuses().values()) == {"completed"}


def test_a_reset_by_state_runs_it_again(torc: Torc, stored: Path) -> None:
    reset = record(torc("torc-reset", "-w", 1, "--status", "pending_failed").stdout, "reset")
    assert [(each["job_id"], each["status"]) for each in reset] == [(4, "ready"), (6, "blocked")]


def test_a_person_makes_it_final_and_what_waits_for_it_hears_of_it(torc: Torc, pending: Path) -> None:
    assert torc("torc-jobs", "set", "--status", "failed", 1).returncode == 0
    assert street.statuses() == {"bug": "failed", "doomed": "canceled", "tidy": "ready", "fine": "completed"}
    moves = street.query("SELECT subject_id, before, after FROM change WHERE command = 'torc-jobs' ORDER BY change_id")
    states_of = [(row[0], orjson.loads(row[1])["status"], orjson.loads(row[2])["status"]) for row in moves]
    assert states_of == [(1, "pending_failed", "failed"), (2, "blocked", "canceled"), (3, "blocked", "ready")]
    again = torc("torc-jobs", "set", "--status", "failed", 1)
    assert again.returncode == 0
    assert len(street.query("SELECT * FROM change WHERE command = 'torc-jobs'")) == 3
    assert torc("torc-run", 1).returncode == 1
    assert street.statuses()["tidy"] == "completed"


def test_torcs_own_words_for_it(torc: Torc, stored: Path) -> None:
    done = torc("torc", "jobs", "update", 4, "--status", "failed")
    assert (done.returncode, street.statuses()["bug"]) == (0, "failed"), said(done)


def test_an_adjustment_makes_it_final_and_the_job_is_not_reset(torc: Torc, stored: Path) -> None:
    line = {"type": "adjustment", "job_ids": [4], "action": "fail", "because": {"cause": "bad input"}}
    tried = torc("torc-apply", "-n", input=orjson.dumps(line))
    assert street.statuses()["bug"] == "pending_failed"
    assert record(tried.stdout, "applied")[0]["dry_run"] is True
    applied = torc("torc-apply", input=orjson.dumps(line))
    (made,) = record(applied.stdout, "applied")
    assert (made["action"], made["already"], made["change_ids"]) == ("fail", False, [1])
    assert (street.statuses()["bug"], street.statuses()["after_bug"]) == ("failed", "canceled")
    reset = torc("torc-reset", input=applied.stdout)
    assert (reset.returncode, record(reset.stdout, "reset")) == (0, [])
    again = torc("torc-apply", input=orjson.dumps(line))
    assert record(again.stdout, "applied")[0]["already"] is True
    assert street.query("SELECT count(*) FROM change") == [(2,)]


def test_only_a_failure_is_made_final(torc: Torc, stored: Path) -> None:
    done = torc("torc-apply", input=b'{"type": "adjustment", "job_ids": [1], "action": "fail"}')
    assert (done.returncode, said(done)) == (
        65, ["torc-apply: job 1: refused: completed, and only a failed job fails for good"],
    )  # fmt: skip
    done = torc("torc-jobs", "set", "--status", "failed", 1)
    assert (done.returncode, said(done)) == (65, ["torc-jobs: job 1 is completed: it cannot be set to failed"])


@pytest.mark.parametrize("watch", [False, True])
def test_a_hook_that_is_asked_makes_it_final_beside_a_recovery(torc: Torc, stored: Path, watch: bool) -> None:
    script(
        stored / "hook",
        """cat > /dev/null
        echo '{"type": "adjustment", "job_ids": [4], "action": "fail", "reason": "bad input"}'""",
    )
    if watch:
        done = torc("torc-watch", "-r", "-m", 1, "--recovery-hook-json", "./hook", 1)
    else:
        done = torc("torc-recover", "--recovery-hook-json", "./hook", 1)
    assert "  Job 4 (bug): failed for good: bad input" in said(done)
    found = street.statuses()
    assert (found["bug"], found["after_bug"], found["train"], found["report"]) == (
        "failed", "canceled", "completed", "completed",
    )  # fmt: skip


def test_a_hook_may_make_it_final_where_nothing_runs_again(torc: Torc, pending: Path) -> None:
    """What that frees goes on all the same: a job that runs whatever became of its parents."""
    script(
        pending / "hook",
        """cat > /dev/null
        echo '{"type": "adjustment", "job_ids": [1], "action": "fail"}'""",
    )
    done = torc("torc-recover", "--recovery-hook-json", "./hook", 1)
    assert "1 job(s) are ready, and no worker runs: the workflow goes on." in said(done)
    assert street.statuses() == {"bug": "failed", "doomed": "canceled", "tidy": "completed", "fine": "completed"}


@given(st.data())
def test_final_later_comes_to_the_same_as_failed_at_once(data: st.DataObject) -> None:
    """Whatever hangs on jobs that wait for a judgement: once they are judged, no trace is left of the wait."""
    count = data.draw(st.integers(2, 9))
    above = {job: st.sets(st.integers(1, job - 1), max_size=3) for job in range(2, count + 1)}
    parents = {1: set(), **{job: data.draw(drawn) for job, drawn in above.items()}}
    roots = [job for job in parents if not parents[job]]
    ends = {job: data.draw(st.sampled_from([COMPLETED, FAILED, PENDING_FAILED])) for job in roots}
    cancels = {job for job in parents if data.draw(st.booleans())}
    db = in_memory()
    for job in parents:
        row = (job, str(job), ends.get(job, BLOCKED), job in cancels)
        db.execute(
            "INSERT INTO job (job_id, workflow_id, name, command, status, cancel_on_blocking_job_failure)"
            " VALUES (?, 1, ?, 'true', ?, ?)",
            row,
        )
    edges = [(job, each) for job in parents for each in parents[job]]
    db.executemany("INSERT INTO job_depends_on VALUES (?, ?)", edges)
    waiting = {job: parents[job] for job in parents if job not in ends}
    at_once = {job: FAILED if end == PENDING_FAILED else end for job, end in ends.items()}
    wanted = {**dict.fromkeys(waiting, BLOCKED), **at_once, **dict(Unblocker(waiting, at_once, cancels).settle())}
    judged = data.draw(st.permutations([job for job in ends if ends[job] == PENDING_FAILED]))
    cut = data.draw(st.integers(0, len(judged)))
    parts = [list(part) for part in (judged[:cut], judged[cut:]) if part]
    fold.settle(db, 1)
    for part in parts:
        line = {"type": "adjustment", "job_ids": part, "action": "fail"}
        out, refused = applying.apply(db, [line], dry_run=False)
        assert (refused, {each["type"] for each in out}) == ([], {"applied"})
    assert {row["job_id"]: row["status"] for row in jobstate.lives(db, parents)} == wanted


def test_no_allocation_is_planned_for_what_waits_for_a_judgement(torc: Torc, stored: Path) -> None:
    execute(stored / "torc.db", "UPDATE job SET status = 2 WHERE job_id = 2")
    done = torc("torc-regenerate", "--profile", "kestrel", "--account", "a", 1)
    assert [each["job_ids"] for each in record(done.stdout, "allocation")] == [[2]]
    assert any("1 job below one that is disabled, pending_failed" in line for line in said(done)), said(done)
