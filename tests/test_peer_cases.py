"""How runs end: the cases 135 and 139 to 151 of torc 0.21 through the real commands, with our answers.

Where torc's answer differs, the reason stands beside the case.
"""

import json

import pytest
from street import statuses


def job(name, text="true", after=(), **more):
    return {"name": name, "command": text, "depends_on": list(after), **more}


def run(torc, work_dir, *jobs, **more):
    """Run a workflow of jobs; give its states by name."""
    (work_dir / "s.json").write_text(json.dumps({"name": "w", "jobs": list(jobs), **more}))
    torc("torc-run", "s.json")
    return statuses()


CHAIN = (job("a", "exit 3"), job("b", after="a"), job("c", after="b"), job("d", after="c"))
DIAMOND = (job("a", "exit 3"), job("b", after="a"), job("c", after="a"), job("d", after="bc"))
FREE = {"cancel_on_blocking_job_failure": False}
ENDS = [
    # 139: torc runs c and d over the canceled b; a canceled parent cancels, all the way down
    ("139 chain", CHAIN, {"a": "failed", "b": "canceled", "c": "canceled", "d": "canceled"}),
    # 140: torc 0.21 runs d, 0.12 leaves it blocked for ever
    ("140 diamond", DIAMOND, {"a": "failed", "b": "canceled", "c": "canceled", "d": "canceled"}),
    ("flag false", (job("a", "exit 3"), job("b", after="a", **FREE)), {"a": "failed", "b": "completed"}),
    (
        "flag false below a canceled one",
        (job("a", "exit 3"), job("b", after="a"), job("c", after="b", **FREE)),
        {"a": "failed", "b": "canceled", "c": "completed"},
    ),
    # canceled parent and completed parent: torc makes the child ready
    (
        "half of the parents",
        (job("a", "exit 3"), job("b", after="a"), job("ok"), job("c", after=("b", "ok"))),
        {"a": "failed", "b": "canceled", "ok": "completed", "c": "canceled"},
    ),
    # 135: torc kills a job that names no requirement at its first sample, as over 1 MiB; no requirement is no limit
    ("135 no requirement", (job("a", "head -c 20000000 /dev/zero | tail -c 1"),), {"a": "completed"}),
]


@pytest.mark.parametrize(("jobs", "expected"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_what_an_end_means_for_the_jobs_below(torc, work_dir, jobs, expected):
    assert run(torc, work_dir, *jobs) == expected


def test_132_and_141_a_job_that_exits_0_after_its_time_is_no_success(torc, work_dir):
    """torc calls the child ready, though the work may be unfinished: terminated is not success (N15)."""
    limits = [{"name": "short", "num_cpus": 1, "memory": "1g", "runtime": "PT1S"}]
    stopped = job("a", "trap 'exit 0' TERM; sleep 30 & wait", resource_requirements="short")
    assert run(torc, work_dir, stopped, job("b", after="a"), resource_requirements=limits) == {
        "a": "terminated",
        "b": "canceled",
    }


def test_142_a_reset_of_the_failed_takes_the_dependents_and_keeps_the_rest(torc, work_dir):
    run(torc, work_dir, *CHAIN, job("other"))
    assert torc("torc-reset", "-w", 1, "--failed").returncode == 0
    assert statuses() == {"a": "ready", "b": "blocked", "c": "blocked", "d": "blocked", "other": "completed"}


def test_143_only_unknown_failures(torc, work_dir):
    run(torc, work_dir, job("a", "exit 3"))
    done = torc("torc-recover", 1)
    assert done.returncode == 1
    assert b"No recoverable jobs found. 1 job(s) failed with unknown causes." in done.stderr
    assert statuses() == {"a": "failed"}


def test_144_only_unknown_failures_in_a_dry_run(torc, work_dir):
    """torc's exits 0 where its real run exits 1; ours tells a script beforehand how the real one would end."""
    run(torc, work_dir, job("a", "exit 3"))
    done = torc("torc-recover", "--dry-run", 1)
    assert (done.returncode, b"No recoverable jobs found." in done.stderr) == (1, True)


def test_n6_an_unknown_job_is_not_run_again_because_another_is_recovered(torc, work_dir):
    """torc resets every failed job as soon as one can be recovered."""
    limits = [{"name": "short", "num_cpus": 1, "memory": "1g", "runtime": "PT1S"}]
    late = job("late", "sleep 1.2", resource_requirements="short")
    run(torc, work_dir, late, job("bug", "echo >> bugs; exit 3"), resource_requirements=limits)
    assert torc("torc-recover", 1).returncode == 0
    assert statuses() == {"late": "completed", "bug": "failed"}
    assert (work_dir / "bugs").read_text() == "\n"


def test_151_a_canceled_workflow_has_nothing_left_to_run(torc, work_dir):
    """torc leaves ready jobs ready, and calls the workflow complete."""
    run(torc, work_dir, job("a"), job("b", "exit 3"))
    (work_dir / "s.json").write_text(json.dumps({"name": "w", "jobs": [job("x"), job("y", after="x")]}))
    torc("torc-create", "s.json")
    assert torc("torc-cancel", 2).returncode == 0
    assert statuses() == {"a": "completed", "b": "failed", "x": "canceled", "y": "canceled"}
    assert torc("torc-run", 2).returncode == 1
    assert statuses()["x"] == "canceled"
