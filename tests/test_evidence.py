"""What is taught of failures, as questions: each is answered by the commands, with the evidence for it."""

from pathlib import Path

import orjson
import pytest
from prepared import GIB, execute

SPEC = """\
name: sweep
resource_requirements:
  - {name: small, num_cpus: 1, memory: 2g, runtime: PT1H}
files:
  - {name: table, path: data/table.csv}
  - {name: other, path: data/other.csv}
jobs:
  - {name: prep, command: "true", output_files: [table], resource_requirements: small}
  - {name: made, command: "true", output_files: [other], resource_requirements: small}
  - {name: fit_1, command: "false", input_files: [other], resource_requirements: small}
  - {name: fit_2, command: "false", resource_requirements: small}
  - {name: fit_3, command: "false", resource_requirements: small}
  - {name: plot, command: "true", depends_on: [fit_2], resource_requirements: small}
"""
FAILED = "UPDATE job SET status = 6, run_id = 1 WHERE name = '{}'"
RESULT = """INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, started_at, ended_at,
    exec_time_s, peak_memory_bytes, memory_bytes, runtime_s, num_cpus, worker, facts)
    SELECT 1, job_id, 1, 1, 6, {code}, 1700000000, 1700000000 + {ran}, {ran}, {peak}, 2147483648, 3600, 1,
    'wf1_r1_{node}_77_4711', '{facts}' FROM job WHERE name = '{name}'"""


@pytest.fixture
def fail(torc, work_dir):
    """Give fail(name, code=1, ran=30, peak=None, node=n1, **facts): a job of the sweep that failed."""
    Path("sweep.yaml").write_text(SPEC)
    assert torc("torc-create", "sweep.yaml").returncode == 0
    execute("torc.db", "UPDATE job SET status = 5")

    def failed(name, code=1, ran=30, peak=None, node="n1", **facts):
        text = orjson.dumps(facts).decode().replace("'", "''")
        values = {"code": code, "ran": ran, "peak": "NULL" if peak is None else peak, "node": node, "facts": text}
        execute("torc.db", FAILED.format(name), RESULT.format(name=name, **values))

    return failed


def records(torc, *args, **more):
    done = torc(*args, **more)
    assert done.returncode == 0, done.stderr
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    return [each for each in found if each["type"] not in ("begin", "end")]


def facts_of(found):
    return [each["fact"] for each in found["evidence"]]


def test_is_it_memory(torc, fail) -> None:
    """137 says it together with a peak, or a word of Slurm or the kernel; a peak far below the limit speaks against."""
    fail("fit_1", 137, peak=2 * GIB - 4096, peak_source="kernel", signal=9)
    fail("fit_2", 137, peak=GIB // 50, peak_source="kernel", signal=9)
    fail("fit_3", 1, peak=GIB, slurm_state="OUT_OF_MEMORY", slurm_exit_code="0:125")
    one, two, three = records(torc, "torc-diagnose", 1)
    assert (one["cause"], one["certainty"]) == ("oom", "likely")
    assert "peak 2147479552 bytes of 2147483648 bytes" in facts_of(one)
    assert (two["cause"], two["certainty"]) == ("unknown", "weak")
    assert "peak is far below the limit" in two["contradictions"][0]
    assert (three["cause"], three["certainty"]) == ("oom", "certain")
    assert "state OUT_OF_MEMORY, exit code 0:125" in facts_of(three)
    plan = records(torc, "torc-heuristics", input=torc("torc-diagnose", 1).stdout)
    assert [(each["action"], each["new_memory"]) for each in plan] == [
        ("adjust", "3g"),
        ("hold", None),
        ("adjust", "3g"),
    ]


def test_is_it_time_or_the_allocation(torc, fail) -> None:
    fail("fit_1", 152, ran=3601)
    fail("fit_2", 143, ran=600, slurm_state="TIMEOUT", allocation_state="TIMEOUT")
    fail("fit_3", 152, ran=60)
    found = records(torc, "torc-diagnose", 1)
    assert [each["cause"] for each in found] == ["timeout", "allocation_end", "unknown"]
    plan = records(torc, "torc-heuristics", input=torc("torc-diagnose", 1).stdout)
    assert [(each["action"], each["new_runtime"]) for each in plan] == [
        ("adjust", "PT1H30M"), ("retry", None), ("hold", None),
    ]  # fmt: skip


def test_is_it_the_node(torc, fail) -> None:
    """A module that is missing on one node only: one line, which names the node."""
    for name in ("fit_1", "fit_2", "fit_3"):
        fail(name, 1, ran=2, node="n7", log_tail=f"{name}: loading\nModuleNotFoundError: No module named 'scipy'\n")
    (group,) = records(torc, "torc-diagnose", "--group", 1)
    assert (group["count"], group["cause"], group["rule"]) == (3, "missing_module", "python-module")
    assert (group["nodes"], group["line"]) == ({"n7": 3}, "ModuleNotFoundError: No module named 'scipy'")
    assert group["action"] == "hold"
    assert group["command"] == "torc-recover --retry-unknown 1"


@pytest.mark.parametrize("named", ["data/table.csv", "./data//table.csv", "WHOLE"])
def test_is_an_edge_missing(torc, fail, named) -> None:
    """A file was not there that another job makes: the spec does not say that the one needs the other."""
    path = str(Path.cwd() / "data" / "table.csv") if named == "WHOLE" else named
    fail("fit_1", 1, log_tail=f"FileNotFoundError: [Errno 2] No such file or directory: {path!r}\n")
    (found,) = records(torc, "torc-diagnose", 1)
    assert found["cause"] == "missing_file"
    assert found["evidence"][-1]["source"] == "spec"
    assert facts_of(found)[-1].endswith("table.csv' is an output of job 1 (prep), which this job does not wait for")
    assert found["advised"]["advice"].endswith(": name it under input_files")


@pytest.mark.parametrize("path", ["data/other.csv", "data/nobody.csv"])
def test_is_an_edge_there(torc, fail, path) -> None:
    fail("fit_1", 1, log_tail=f"cat: {path}: No such file or directory\n")
    (found,) = records(torc, "torc-diagnose", 1)
    assert found["cause"] == "missing_file"
    assert {each["source"] for each in found["evidence"]} == {"worker", "log", "rule"}


def test_does_the_data_decide(torc, fail) -> None:
    """Some points of a sweep fail with one code: nobody gets more for it, and these alone can run again."""
    fail("fit_2", 3, peak=GIB // 9, log_tail="fit_2: no convergence at point 17\n")
    fail("fit_3", 3, peak=GIB // 9, log_tail="fit_3: no convergence at point 4\n")
    (group,) = records(torc, "torc-diagnose", "--group", 1)
    assert (group["job_ids"], group["line"]) == ([4, 5], "JOB: no convergence at point N")
    plan = records(torc, "torc-heuristics", "--retry-unknown", input=torc("torc-diagnose", 1).stdout)
    assert [(each["action"], each["new_memory"], each["new_runtime"]) for each in plan] == [("retry", None, None)] * 2
    again = records(torc, "torc-reset", "--dry-run", "-j", "4,5")
    assert {each["job_name"] for each in again if each["type"] == "reset"} == {"fit_2", "fit_3", "plot"}


def test_a_peak_that_nobody_saw_is_no_peak(torc, fail) -> None:
    fail("fit_1", 137, ran=1, peak=0)
    fail("fit_2", 137, ran=1)
    found = records(torc, "torc-diagnose", 1)
    assert [(each["cause"], each["certainty"]) for each in found] == [("oom", "likely")] * 2
    assert all(each["contradictions"] == [] for each in found)


def test_do_all_fail_in_seconds(torc, fail) -> None:
    for at, name in enumerate(("prep", "made", "fit_1", "fit_2", "fit_3", "plot")):
        fail(name, 127, ran=0.1 * at, log_tail=f"bash: line {at}: sovle: command not found\n")
    (group,) = records(torc, "torc-diagnose", "--group", 1)
    assert (group["count"], group["cause"], group["action"]) == (6, "command_not_found", "hold")
    assert group["last_at"] - group["first_at"] == pytest.approx(0.5)
