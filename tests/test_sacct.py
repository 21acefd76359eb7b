"""torc-sacct: plain jobs of Slurm's accounting as results, told why they failed, refused by what changes a store."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import said, script
from slurmtexts import account, sacct

MIB = 2**20
LIMITS = {"TimelimitRaw": "10", "ReqMem": "100M", "NNodes": 1, "AllocCPUS": 2, "ElapsedRaw": 60, "Start": 1, "End": 61}


def job(job_id: str, state: str, code: str = "0:0", **more: Any) -> dict[str, Any]:
    return account(job_id, state, code, **{**LIMITS, **more})


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a function that says what sacct answers; what it was asked is in the file `asked`."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def says(*rows: dict[str, Any]) -> Path:
        (folder / "answer").write_text(sacct(*rows))
        script(folder / "sacct", f'printf "%s\\n" "$@" >> "{folder}/asked"; cat "{folder}/answer"\n')
        return folder / "asked"

    return says


def results(done) -> list[dict[str, Any]]:
    assert done.returncode == 0, said(done)
    return [orjson.loads(line) for line in done.stdout.splitlines()[1:-1]]


@pytest.mark.parametrize(
    ("rows", "status", "code", "cause"),
    [
        ([job("7", "COMPLETED")], "completed", 0, None),
        ([job("7", "FAILED", "3:0"), account("7.batch", "FAILED", "3:0")], "failed", 3, "unknown"),
        ([job("7", "OUT_OF_MEMORY", "0:125"), account("7.batch", "OUT_OF_MEMORY", "0:125")], "failed", 137, "oom"),
        ([job("7", "COMPLETED"), account("7.0", "OUT_OF_MEMORY", "0:125")], "failed", 137, "oom"),
        ([job("7", "TIMEOUT", "0:0", ElapsedRaw=601)], "terminated", 152, "timeout"),
        ([job("7", "NODE_FAIL", "1:0", FailedNode="n3")], "failed", -128, "node_fail"),
        ([job("7", "PREEMPTED")], "failed", -128, "preempted"),
        ([job("7", "FAILED", "0:53")], "failed", 181, "launch_fail"),
        ([job("7", "CANCELLED by 1000", "0:15")], "canceled", 143, "canceled"),
        ([job("7", "FAILED", "0:11")], "failed", 139, "segfault"),
        ([job("7", "DEADLINE")], "terminated", 0, "deadline"),
    ],
)
def test_what_accounting_says_is_a_result_and_has_a_cause(torc, slurm, rows, status, code, cause) -> None:
    slurm(*rows)
    done = torc("torc-sacct", 7)
    (found,) = results(done)
    assert (found["status"], found["return_code"], found["workflow_id"]) == (status, code, 0)
    assert (found["memory_bytes"], found["runtime_s"], found["num_cpus"]) == (100 * MIB, 600, 2)
    causes = [each["cause"] for each in results(torc("torc-diagnose", "-", input=done.stdout))]
    assert causes == ([cause] if cause else [])


def test_the_largest_peak_of_all_steps_counts_and_no_peak_is_null(torc, slurm) -> None:
    steps = [account("7.batch", "COMPLETED", MaxRSS="1M"), account("7.0", "COMPLETED", MaxRSS="90M")]
    slurm(job("7", "COMPLETED"), *steps, account("7.1", "COMPLETED", MaxRSS=""), job("8", "FAILED"))
    seven, eight = results(torc("torc-sacct", 7, 8))
    assert (seven["peak_memory_bytes"], seven["facts"]["peak_source"]) == (90 * MIB, "slurm")
    assert eight["peak_memory_bytes"] is None
    assert eight["facts"]["peak_missing"]


@pytest.mark.parametrize(
    ("asked", "nodes", "cpus", "mib"),
    [
        ("400M", 1, 4, 400),
        ("400M", 4, 4, 100),
        ("400Mn", 4, 4, 400),
        ("100Mc", 2, 8, 400),
        ("0", 1, 1, None),
        ("", 1, 1, None),
    ],
)
def test_the_memory_of_a_node_as_old_and_new_slurms_write_it(torc, slurm, asked, nodes, cpus, mib) -> None:
    slurm(job("7", "FAILED", ReqMem=asked, NNodes=nodes, AllocCPUS=cpus))
    (found,) = results(torc("torc-sacct", 7))
    assert found["memory_bytes"] == (mib and mib * MIB)


def test_the_last_life_counts_and_what_is_not_over_is_left_out(torc, slurm) -> None:
    slurm(
        job("7", "NODE_FAIL", Submit=1), account("7.batch", "CANCELLED", MaxRSS="50M"), job("7", "COMPLETED", Submit=2),
        job("8", "RUNNING"), job("9", "PENDING"), job("10", "TIMEOUT", Submit=1), job("10", "RUNNING", Submit=2),
    )  # fmt: skip
    (found,) = results(torc("torc-sacct", 7, 8, 9, 10))
    assert (found["job_id"], found["attempt_id"], found["status"]) == (7, 2, "completed")
    assert found["peak_memory_bytes"] is None  # that of the former life is not its own


@pytest.mark.parametrize(
    ("arguments", "asked", "not_asked"),
    [
        (("4711", "4712_3"), ["--jobs=4711,4712_3", "--starttime=1970-01-01T"], ["--uid", "--allusers"]),
        ((), ["--uid=", "--starttime="], ["--jobs", "--endtime", "1970"]),
        (("-u", "ada", "--until", "2026-01-31T18:00:00"), ["--uid=ada", "--endtime=2026-01-31T18:00:00"], ["--jobs"]),
        (("-a", "--since", "PT8H"), ["--allusers"], ["--uid", "--jobs", "1970"]),
    ],
)
def test_what_is_asked(torc, slurm, arguments, asked, not_asked) -> None:
    path = slurm()
    assert results(torc("torc-sacct", *arguments)) == []
    text = path.read_text()
    assert [each for each in asked if each not in text] == []
    assert [each for each in not_asked if each in text] == []


def test_only_what_failed_is_asked_for_by_name(torc, slurm) -> None:
    slurm(job("7", "COMPLETED"), job("8", "FAILED", "1:0"), job("9", "TIMEOUT"), job("10", "CANCELLED by 0"))
    assert [each["job_id"] for each in results(torc("torc-sacct", "--failed"))] == [8, 9]


def test_allocations_of_workflows_are_left_out_unless_they_are_named(torc, slurm) -> None:
    names = ("torc_wf1_a7_9d729ff8", "torc_wf12_sstandard-1_be4b-_f2", "torc_wf1_mine", "not_torc_wf1_a7_9d729ff8")
    slurm(*(job(str(number), "FAILED", "1:0", JobName=name) for number, name in enumerate(names, 1)))
    done = torc("torc-sacct", "--failed")
    assert [each["job_name"] for each in results(done)] == list(names[2:])
    assert orjson.loads(done.stdout.splitlines()[-1])["count"] == 2
    assert said(done) == [
        "torc-sacct: 2 allocation(s) of workflows left out: torc-diagnose WORKFLOW explains their jobs"
    ]
    done = torc("torc-sacct", 1, 2, 3, 4)
    assert ([each["job_name"] for each in results(done)], said(done)) == (list(names), [])


def test_what_is_made_of_them_changes_no_store(torc, slurm, store_file) -> None:
    """The ids of Slurm may be those of jobs of a store."""
    before = store_file.read_bytes()
    slurm(job("2", "OUT_OF_MEMORY", "0:125"))
    plan = torc("torc-heuristics", input=torc("torc-diagnose", "-", input=torc("torc-sacct", 2).stdout).stdout)
    assert b'"new_memory":"150m"' in plan.stdout
    assert torc("torc-apply", input=plan.stdout).returncode == 66
    assert torc("torc-reset", input=torc("torc-sacct", 2).stdout).returncode == 66
    assert store_file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("7;rm",), "not a Slurm job id: '7;rm'"),
        (("7", "-a"), "by their ids or by their user"),
        (("--since", "tomorrow"), "not a time: 'tomorrow'"),
    ],
)
def test_bad_words_are_named(torc, slurm, arguments, line) -> None:
    path = slurm()
    done = torc("torc-sacct", *arguments)
    assert done.returncode == 2
    assert line in said(done)[-1]
    assert not path.exists()


def test_without_slurm_it_says_so(torc, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = torc("torc-sacct", 7)
    assert (done.returncode, done.stdout) == (69, b"")
    assert said(done) == ["torc-sacct: no program 'sacct' on PATH: is this a login node of a Slurm cluster?"]


def test_hostile_names_stay_what_they_are(torc, slurm) -> None:
    slurm(job("7", "FAILED", "1:0", name="a\x1b[2J <script>'\"\nb"))
    (found,) = results(torc("torc-sacct", 7))
    assert found["job_name"] == "a\x1b[2J <script>'\"\nb"
    table = torc("torc-sacct", 7, "-f", "table").stdout
    assert b"\x1b" not in table
    assert b"a\\x1b[2J <script>" in table
