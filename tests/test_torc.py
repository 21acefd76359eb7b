"""torc: every row of its table does what torc's words say, with torc's JSON; words and options as fingers know them."""

import importlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fakecluster
import pytest
import sources
from conftest import Torc, command, said
from fakecluster import Cluster
from hypothesis import given
from hypothesis import strategies as st
from prepared import SPEC, execute, prepare
from waiting import until

from torc_tools.core import front, front_json, front_table
from torc_tools.exits import Failure
from torc_tools.shell import manual, onpath

if TYPE_CHECKING:
    import argparse

DATA = Path(__file__).parent / "data"
COMPLETED, FAILED = 5, 6
HOSTILE = 'a "b"\n\x1b[31m<script>'


class Case(NamedTuple):
    """A row of the table, called: what follows the words, the keys of its JSON (a list: of each entry), its status."""

    args: tuple[str, ...]
    keys: set[str] | list[str] | None = None
    status: int = 0
    setup: tuple[str, ...] = ()


READY = "UPDATE job SET status = 2 WHERE job_id = 5"
LOST = "INSERT INTO allocation (workflow_id, kind, status, created_at, slurm_job_id) VALUES (1, 'slurm', 'complete', 1, '7')"  # noqa: E501
JOB = {"id", "name", "job_id", "status", "command", "resource_requirements_id"}
STATUS = {"id", "run_id", "is_canceled", "is_archived", "has_detected_need_to_run_completion_script", "jobs_by_status"}
RESULT = {"id", "job_id", "run_id", "attempt_id", "return_code", "status", "exec_time_minutes", "completion_time",
          "peak_memory_bytes", "avg_cpu_percent", "workflow_id", "compute_node_id"}  # fmt: skip
REQUIREMENT = {"id", "name", "num_cpus", "num_gpus", "num_nodes", "memory", "runtime"}
RESET = {"failed_only", "messages", "operations", "status", "workflow_id"}
VIOLATIONS = {"workflow_id", "run_id", "total_results", "over_utilization_count", "violations"}
CORRECTED = {"status", "workflow_id", "dry_run", "no_downsize", "memory_multiplier", "jobs_analyzed", "adjustments"}
CASES = {
    "recover": Case(("1", "--dry-run", "--ai-agent", "claude"), {"workflow_id", "dry_run", "memory_multiplier",
                    "runtime_multiplier", "result"}),
    "watch": Case(("1", "-p", "1", "-s", "-m", "0", "-o", "out"), None, 1),
    "create": Case(("spec.yaml", "--skip-checks"), {"message", "status", "workflow_id"}),
    "run": Case(("spec.yaml", "--max-parallel-jobs", "2", "-p", "1", "--memory-gb", "2", "-o", "out"), STATUS),
    "submit": Case(("1", "-i", "--skip-checks", "-a", "proj"), STATUS, 0, (READY,)),
    "submit-slurm": Case(("--account", "proj", "--group-by", "resource-requirements", "spec.yaml"), STATUS),
    "exec": Case(("-c", "true", "--", "echo", "a b"), STATUS),
    "cancel": Case(("1",), {"canceled_slurm_jobs", "errors", "status", "workflow_id"}),
    "delete": Case(("1", "--no-prompts"), {"status", "workflow_id"}),
    "status": Case(("1",), STATUS),
    "workflows create": Case(("--dry-run", "spec.yaml"), {"valid", "errors", "warnings", "summary"}),
    "workflows run": Case(("spec.yaml",), STATUS),
    "workflows submit": Case(("1", "--account=proj"), STATUS, 0, (READY,)),
    "workflows create-slurm": Case(("-a", "proj", "spec.yaml"), STATUS),
    "workflows list": Case((), ["id", "name", "user"]),
    "workflows get": Case(("1",), {"id", "name", "user", "run_id"}),
    "workflows status": Case(("1",), STATUS),
    "workflows is-complete": Case(("1",), {"is_canceled", "is_complete", "needs_to_run_completion_script"}),
    "workflows cancel": Case(("1",), {"canceled_slurm_jobs", "errors", "status", "workflow_id"}),
    "workflows delete": Case(("1", "--force"), {"status", "workflow_id"}),
    "workflows reset-status": Case(("1", "--failed-only", "--reinitialize", "--no-prompts"), RESET),
    "workflows reinitialize": Case(("1", "--dry-run"), {"safe", "workflow_id", "reset_jobs"}),
    "workflows reinit": Case(("1",), {"safe", "workflow_id"}),
    "reinit": Case(("1", "--force"), {"safe", "workflow_id"}),
    "workflows execution-plan": Case(("1",), {"events"}),
    "workflows sync-status": Case(("1", "--dry-run"), {"slurm_jobs_failed", "pending_allocations_cleaned",
                                  "running_jobs_failed"}),
    "workflows correct-resources": Case(("1", "--dry-run", "--no-downsize", "--memory-multiplier", "1.2"), CORRECTED),
    "workflows check-resources": Case(("1", "-a", "--include-failed"), VIOLATIONS),
    "workflows diagnose": Case(("1",), STATUS),
    "jobs list": Case(("1", "-s", "failed", "--limit", "9"), sorted(JOB)),
    "jobs list-resource-requirements": Case(("1", "-j", "2"), ["num_cpus", "memory_bytes", "runtime_s"]),
    "jobs get": Case(("2",), JOB),
    "jobs logs": Case(("2",), None),
    "jobs running": Case(("1",), [], 0, ("UPDATE job SET status = 4 WHERE job_id = 2",)),
    "jobs update": Case(("4", "--runtime", "PT2H", "--command", "true -v", "--name", "other"), JOB),
    "jobs reset-status": Case(("2", "3", "--reinit", "--no-prompts"), {"reset_count", "requested_job_ids",
                              "reset_job_ids", "downstream_jobs", "failures", "next_steps", "reinit"}),
    "resource-requirements list": Case(("1",), sorted(REQUIREMENT)),
    "resource-requirements get": Case(("2",), REQUIREMENT),
    "resource-requirements create": Case(("1", "-n", "new", "--num-cpus", "2", "-m", "4g", "-r", "PT1H"), REQUIREMENT),
    "resource-requirements update": Case(("2", "--num-nodes", "16"), REQUIREMENT),
    "results list": Case(("1", "-j", "2", "-j", "3", "-r", "1", "--include-logs"), sorted(RESULT)),
    "results get": Case(("2",), RESULT),
    "reports check-resource-utilization": Case(("1", "--include-failed", "-r", "1"), VIOLATIONS),
    "reports results": Case(("1", "-o", "torc_output", "-j", "2"), {"workflow_id", "workflow_name", "workflow_user",
                            "all_runs", "total_results", "results"}),
    "reports summary": Case(("1",), {"workflow_id", "workflow_name", "workflow_user", "total_jobs", "jobs_by_status",
                            "total_exec_time_minutes", "total_exec_time_formatted", "active_compute_nodes",
                            "pending_scheduled_nodes", "active_scheduled_nodes", "is_complete", "is_canceled",
                            "walltime_seconds", "walltime_formatted"}),
    "plot-resources": Case(("series.db", "-o", ".", "-p", "plot"), None),
    "slurm regenerate": Case(("1", "-a", "proj", "--submit", "-o", "out", "-p", "9"), {"workflow_id", "pending_jobs",
                             "schedulers_created", "total_allocations", "allocations_submitted", "submitted",
                             "warnings"}, 0, (READY,)),
    "slurm stats": Case(("1", "--job-id", "2"), {"items"}),
    "slurm sacct": Case(("1", "-o", "out", "--save-json"), {"workflow_id", "total_slurm_jobs", "summary", "errors"}, 0,
                        (LOST,)),
    "slurm usage": Case(("1",), {"workflow_id", "total_slurm_jobs", "total_nodes", "total_node_time",
                        "total_node_time_seconds", "total_cpu_time", "total_cpu_time_seconds", "errors"}, 0, (LOST,)),
    "slurm parse-logs": Case(("torc_output", "-w", "1", "--errors-only"), {"workflow_id", "output_dir",
                             "slurm_jobs_count", "files_scanned", "total_issues", "errors", "warnings", "issues"}),
    "scheduled-compute-nodes list": Case(("1",), ["id", "status", "slurm_job_id", "scheduler_type"], 0, (LOST,)),
    "hpc detect": Case((), {"name", "display_name", "partitions"}),
    "hpc list": Case((), ["name", "display", "partitions", "detected"]),
    "hpc show": Case(("kestrel",), {"name", "partitions"}),
    "hpc partitions": Case(("kestrel", "--gpu"), ["name", "cpus", "memory_mb", "max_walltime_secs", "gpus_per_node",
                           "gpu_type", "shared", "explicit"]),
    "hpc match": Case(("kestrel", "--cpus=4", "--memory=10g", "--walltime=04:00:00"), {"requirements",
                      "matching_partitions", "best_partition"}),
    "logs analyze": Case(("torc_output",), {"files_scanned", "issues", "errors", "warnings"}),
    "logs bundle": Case(("1", "--bundle-dir", "."), {"bundle", "file_count"}),
    "completions": Case(("bash", "torc-status"), None),
}  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a fake cluster that runs nothing of what is submitted."""
    made = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    made.hold()
    yield made
    made.stop()


@pytest.fixture
def place(work_dir: Path, cluster: Cluster) -> Path:
    """Give a folder with the prepared store, a spec, a series of samples, and the logs of a job."""
    prepare(work_dir)
    (work_dir / "spec.yaml").write_text(SPEC)
    stdio = work_dir / "torc_output" / "job_stdio"
    stdio.mkdir(parents=True)
    (stdio / "job_wf1_j2_r1_a1.e").write_text("step 1\nMemoryError\n")
    (stdio / "job_wf1_j2_r1_a1.o").write_text("hello\n")
    (stdio / "job_wf10_j2_r1_a1.e").write_text("MemoryError of another\n")
    execute(
        work_dir / "series.db",
        "CREATE TABLE job_resource_samples (id INTEGER PRIMARY KEY, job_id INTEGER, timestamp REAL, cpu_percent REAL,"
        " memory_bytes INTEGER, num_processes INTEGER)",
        "CREATE TABLE job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT)",
        "INSERT INTO job_resource_samples VALUES (1, 2, 1.0, 50.0, 1000000, 1), (2, 2, 2.0, 60.0, 2000000, 2)",
        "INSERT INTO job_metadata VALUES (2, 'train')",
    )
    return work_dir


def value(done: "subprocess.CompletedProcess[bytes]", status: int = 0) -> Any:
    assert done.returncode == status, (done.stdout, said(done))
    return json.loads(done.stdout)


def words(row: front.Row) -> str:
    return row.words


def test_every_row_has_a_case_and_a_command() -> None:
    assert {row.words for row in front_table.ROWS} == set(CASES)
    assert {f"torc-{row.tool}" for row in front_table.ROWS} <= set(sources.COMMANDS)
    assert {row.shape for row in front_table.ROWS} - {None} == set(front_json.SHAPES)


@pytest.mark.parametrize("row", front_table.ROWS, ids=words)
def test_a_row_does_its_work_and_its_json_has_torcs_keys(torc: Torc, place: Path, row: front.Row) -> None:
    case = CASES[row.words]
    execute(place / "torc.db", *case.setup)
    done = torc("torc", "--format", "json", *row.words.split(), *case.args)
    assert b"Traceback" not in done.stderr
    assert done.returncode == case.status, (done.stdout, said(done))
    if case.keys is None:
        return
    found = json.loads(done.stdout)
    if isinstance(case.keys, set):
        assert case.keys - set(found) == set()
    else:
        assert found
        assert [set(case.keys) - set(each) for each in found] == [set()] * len(found)


TABLES = ("jobs list", "jobs get", "results list", "reports summary", "resource-requirements list", "slurm regenerate",
          "slurm usage", "workflows execution-plan", "logs analyze", "hpc match", "workflows reset-status")  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_default_is_a_table(torc: Torc, place: Path, name: str) -> None:
    case = CASES[name]
    execute(place / "torc.db", *case.setup)
    done = torc("torc", *name.split(), *case.args)
    assert done.returncode == 0, said(done)
    assert done.stdout
    assert done.stdout[:1] not in (b"{", b"[")


def test_options_of_a_row_are_known_to_its_command() -> None:
    """What torc spells otherwise becomes something that the command has."""
    for row in front_table.ROWS:
        made: argparse.ArgumentParser = importlib.import_module(f"torc_tools.commands.{row.tool}").parser()
        known = {name for action in made._actions for name in action.option_strings}
        named = {flag.to for flag in row.flags.values() if flag.to} | {row.operand} - {""}
        fixed = {word for word in row.fixed if word.startswith("-")}
        assert {name.partition("=")[0] for name in named | fixed} <= known, row.words
        assert row.formats == ("--format" in known and not row.own_format and row.words != "jobs logs"), row.words


# the words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("job list 1", "torc: unknown command 'job': did you mean 'jobs list'"),
        ("jobs lst 1", "torc: unknown command 'jobs lst': did you mean 'jobs list'"),
        ("recoverr 1", "torc: unknown command 'recoverr': did you mean 'recover'?"),
        ("summary 1", "torc: unknown command 'summary': did you mean 'reports summary'"),
        (
            "jobs",
            "torc: 'jobs' needs another word: list, list-resource-requirements, get, logs, running, update,",
        ),
        ("zzzzzz", "torc: unknown command 'zzzzzz' (torc --help lists them)"),
        ("-f xml jobs list 1", "torc: format must be one of table, json, csv: 'xml'"),
        ("jobs list 1 -f", "torc: -f needs a value"),
        ("slurm regenerate 1 -a", "torc: -a needs a value"),
        ("help zzzzzz", "torc: unknown command 'zzzzzz' (torc --help lists them)"),
    ],
)
def test_what_nobody_knows_is_usage(torc: Torc, store_file: Path, line: str, message: str) -> None:
    done = torc("torc", *line.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said(done)[0].startswith(message), said(done)


@pytest.mark.parametrize("hostile", ["\x1b[31mjobs", "jo\nbs"])
def test_a_hostile_word_drives_no_terminal(torc: Torc, hostile: str) -> None:
    done = torc("torc", hostile)
    assert done.returncode == 2
    assert len(said(done)) == 1
    assert b"\x1b" not in done.stderr


PLACES = [
    ["-f", "json", "jobs", "list", "1"], ["jobs", "-f", "json", "list", "1"], ["jobs", "list", "-fjson", "1"],
    ["jobs", "list", "1", "--format=json"], ["--format", "table", "jobs", "list", "1", "--format", "json"],
    ["--url", "http://x", "--log-level=info", "jobs", "list", "1", "-f", "json", "--skip-version-check"],
    ["-s", "--db", "torc.db", "jobs", "list", "1", "-f", "json"],
]  # fmt: skip


@pytest.mark.parametrize("line", PLACES, ids=" ".join)
def test_options_stand_before_or_behind_the_words(torc: Torc, store_file: Path, line: list[str]) -> None:
    assert [job["id"] for job in value(torc("torc", *line))] == [1, 2, 3, 4, 5, 6]


def test_what_has_no_effect_is_said_once_and_only_on_request(torc: Torc, store_file: Path) -> None:
    line = ["--url", "x", "recover", "1", "--dry-run", "--url=y", "--ai-agent", "claude"]
    assert not any("no effect" in each for each in said(torc("torc", *line)))
    done = torc("torc", "-v", *line)
    assert said(done)[0] == "torc: of no effect here: --url, --ai-agent"
    assert done.stderr.count(b"no effect") == 1


def test_lists_are_arrays_or_items(torc: Torc, store_file: Path) -> None:
    line = ["jobs", "list", "1", "-f", "json"]
    assert isinstance(value(torc("torc", *line, env={"TORC_JSON": "array"})), list)
    assert [job["id"] for job in value(torc("torc", *line, env={"TORC_JSON": "items"}))["items"]] == [1, 2, 3, 4, 5, 6]
    assert value(torc("torc", "jobs", "get", "2", "-f", "json", env={"TORC_JSON": "items"}))["id"] == 2
    done = torc("torc", *line, env={"TORC_JSON": "xml"})
    assert (done.returncode, said(done)) == (2, ["torc: TORC_JSON is neither 'array' nor 'items': 'xml'"])
    assert value(torc("torc", "jobs", "list", "1", "-s", "running", "-f", "json")) == []
    assert set(value(torc("torc", "exec", "-c", "true", "--dry-run", "-f", "json"))) == {"name", "jobs"}


def test_a_failure_has_torcs_name_its_status_and_no_json(torc: Torc, store_file: Path) -> None:
    for form in ("table", "json"):
        done = torc("torc", "-f", form, "jobs", "list", "77")
        assert (done.returncode, done.stdout) == (66, b"")
        assert said(done) == ["torc: no such workflow: '77'"]


def test_hostile_names_are_json_strings(torc: Torc, store_file: Path) -> None:
    execute(store_file, f"UPDATE job SET name = '{HOSTILE}' WHERE job_id = 2")
    assert value(torc("torc", "jobs", "get", "2", "-f", "json"))["name"] == HOSTILE
    assert b"\x1b" not in torc("torc", "jobs", "list", "1").stdout
    assert value(torc("torc", "workflows", "execution-plan", "1", "-f", "json"))["events"][1][
        "jobs_becoming_ready"
    ] == [HOSTILE]


def test_recover_speaks_on_stdout_and_complains_on_stderr(torc: Torc, store_file: Path) -> None:
    """As torc does; torc-recover writes records there, and its words on stderr."""
    done = torc("torc", "recover", "1", "--dry-run")
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert "  Job 2 (train): OOM detected, increasing memory 2g -> 3g" in lines
    assert "  Would apply fixes: 1 OOM, 1 timeout" in lines
    assert not any(line.startswith("{") for line in lines)
    done = torc("torc", "recover", "77")
    assert (done.returncode, done.stdout) == (66, b"")


def test_recover_leaves_no_record_among_its_words(torc: Torc, store_file: Path) -> None:
    """Also where the workflow goes on here, in torc-run."""
    done = torc("torc", "recover", "1")
    lines = done.stdout.decode().splitlines()
    assert "Recovery complete for workflow 1" in lines
    assert any(line.startswith("workflow 1 (small), run 2: ") for line in lines)
    assert not any(line.startswith("{") for line in lines)


def test_the_report_of_a_recovery(torc: Torc, store_file: Path) -> None:
    found = value(torc("torc", "recover", "1", "-f", "json", "--dry-run", "--memory-multiplier", "2"))
    assert found["memory_multiplier"] == 2.0
    assert found["result"]["jobs_to_retry"] == [2, 3]
    assert (found["result"]["oom_fixed"], found["result"]["timeout_fixed"]) == (1, 1)
    assert [each["new_memory"] for each in found["result"]["adjustments"]] == ["4g", None]


def test_a_recovery_that_fails_says_so_in_json(torc: Torc, store_file: Path) -> None:
    """One line, as torc writes it: scripts read the reason from it."""
    done = torc("torc", "-f", "json", "recover", "77", "--dry-run")
    assert done.returncode == 66
    assert json.loads(done.stdout) == {"dry_run": True, "error": "no such workflow: '77'", "workflow_id": 77}
    assert said(done) == ["torc: no such workflow: '77'"]
    execute(store_file, READY, "UPDATE job SET status = 5 WHERE status IN (6, 8)")
    done = torc("torc", "-f", "json", "recover", "1")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error.startswith("Cannot recover: workflow is not complete. Wait for all jobs to finish")


def test_watch_says_what_scripts_look_for(torc: Torc, store_file: Path) -> None:
    execute(store_file, "UPDATE job SET command = 'true' WHERE job_id = 4")
    done = torc("torc", "watch", "1", "--recover", "--retry-unknown")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    for line in ("Attempting automatic recovery (attempt 1)", "  Applied fixes: 1 OOM, 1 timeout",
                 "Recovery initiated. Resuming monitoring...", "Workflow completed successfully (6 jobs)"):  # fmt: skip
        assert line in lines, lines


def test_help_is_that_of_the_command_in_80_columns(torc: Torc) -> None:
    for line in (["--help"], ["jobs", "--help"], ["jobs", "list", "--help"], ["submit-slurm", "-h"]):
        done = torc("torc", *line)
        assert done.returncode == 0
        assert max(map(len, done.stdout.decode().splitlines())) <= 80, line
    assert b"torc submit-slurm: torc-run --slurm\n" in done.stdout
    assert b"  -a: --account\n" in done.stdout
    assert torc("torc").returncode == 0
    assert all(row.words.split()[-1] in torc("torc", "--help").stdout.decode().replace("\n      ", "") for row in ROWS)


ROWS = front_table.ROWS[:5]


def test_help_opens_the_page(torc: Torc, work_dir: Path) -> None:
    if shutil.which("man"):
        done = torc("torc", "help", "jobs", "list")
        assert b"torc-jobs" in done.stdout
    (work_dir / "bin").mkdir()
    done = torc("torc", "help", "watch", env={"PATH": str(work_dir / "bin")})
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "--recover" in text
    assert "EXAMPLES" in text
    assert not any(line.startswith(".") for line in text.splitlines())


def test_every_row_has_a_page() -> None:
    assert [row.words for row in front_table.ROWS if manual.find(f"torc-{row.tool}") is None] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("results list 1 -j 2 --job-id=3 -r 1", ["1", "--run-id=1", "--job-ids=2,3"]),
        ("run x --memory-gb 4 -p 9 --skip-checks", ["x", "--memory=4g"]),
        ("submit-slurm -aproj --group-by partition x", ["--slurm", "--account=proj", "--group-by=partition", "x"]),
        ("jobs get 5 --where x", ["--where", "x", "--job-ids=5"]),
        ("exec -c true -- echo 'a", ["-c", "true", "--command=echo ''\"'\"'a'"]),
        ("watch 1 -rs", ["1", "-rs"]),
        ("jobs list 1 --sort-by name --reverse-sort", ["1", "--sort-by=job_name", "--reverse"]),
        ("workflows reset-status 1 --failed-only", [
            "--status=completed,failed,terminated,canceled,pending_failed",
            "--status=failed,terminated,canceled,pending_failed", "--workflow-id=1"]),
        ("jobs list 1 --return-code -9", ["1", "--return-code", "-9"]),
    ],
)  # fmt: skip
def test_arguments_become_those_of_the_command(line: str, expected: list[str]) -> None:
    before, rest = front.split(line.split())
    row, count = front.find(front_table.ROWS, rest)
    assert row is not None
    assert front.ask(row, before, rest[count:]).arguments == expected


def test_a_value_that_is_missing_is_usage() -> None:
    row, _ = front.find(front_table.ROWS, ["submit-slurm"])
    assert row is not None
    with pytest.raises(Failure) as failed:
        front.ask(row, front.Globals([], []), ["-a"])
    assert failed.value.status == 2


TOKENS = ["jobs", "list", "recover", "exec", "plot-resources", "slurm", "regenerate", "1", "-f", "json", "-fjson", "--",
          "--format=x", "-a", "-", "", "-rs", "--submit", "--no-prompts", "-v", "--url", "--job-id",
          "\n", "é"]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=8))
def test_any_line_is_read_or_refused(argv: list[str]) -> None:
    def read() -> front.Asked | Failure:
        before, rest = front.split(argv)
        row, count = front.find(front_table.ROWS, rest)
        return front.ask(row, before, rest[count:]) if row else front.unknown(front_table.ROWS, rest, {})

    found = read_or_refused(read)
    if isinstance(found, Failure):
        assert found.status == 2
    else:
        assert found.row.own_format or not any(word.startswith("--format") for word in found.arguments)


def read_or_refused(read: Callable[[], front.Asked | Failure]) -> front.Asked | Failure:
    try:
        return read()
    except Failure as failure:
        return failure


@pytest.mark.parametrize("form", ["json", "table"])
def test_an_interrupt_ends_what_runs_and_then_us(work_dir: Path, form: str) -> None:
    line = [*command("torc"), "-f", form, "exec", "-c", "touch begun; sleep 60"]
    running = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    until((work_dir / "begun").exists, "the job to begin")
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)
    assert b"Traceback" not in err
    assert execute(work_dir / "torc.db", "SELECT count(*) FROM worker WHERE ended_at IS NULL") == [(0,)]


def test_a_reader_that_goes_away_is_141(work_dir: Path, store_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = [*command("torc"), "jobs", "list", "1", "-f", "json"]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


GUIDES = [  # the command lines of torc's guides to recovery and to resource monitoring, with ids and files put in
    "recover 42 --dry-run",
    "recover 42",
    "recover 42 --memory-multiplier 1.5 --runtime-multiplier 1.4 --retry-unknown --recovery-hook fix.sh --dry-run",
    "watch 42 --recover",
    "watch 42 -r -m 5 --memory-multiplier 1.5 --runtime-multiplier 1.5 --retry-unknown --recovery-hook fix.sh -p 60",
    "watch 42 -o torc_output -s --partition standard --walltime 04:00:00",
    "watch 42 --auto-schedule --auto-schedule-threshold 5 --auto-schedule-cooldown 1800",
    "watch 42 --auto-schedule --auto-schedule-stranded-timeout 7200",
    "watch 42 --recover --recovery-hook fix-spark-cluster.sh",
    "watch 42 --auto-schedule",
    "watch 42 --recover --show-job-counts",
    "watch 42 --recover --max-retries 3",
    "watch 42 --recover --poll-interval 300 --show-job-counts --output-dir out",
    "submit-slurm --account myproject workflow.yaml",
    "jobs list 42 --status failed -f json",
    "jobs get 7 -f json",
    "jobs logs 7",
    "resource-requirements update 3 --num-nodes 16",
    "reports check-resource-utilization 42",
    "reports check-resource-utilization 42 --include-failed",
    "workflows sync-status 42",
    "workflows sync-status 42 --dry-run",
    "workflows reset-status 42 --failed-only --reinitialize",
    "-f json workflows correct-resources 42",
    "slurm regenerate 42 --submit",
    "slurm regenerate 42 --profile kestrel",
    "slurm stats 42",
    "slurm stats 42 --job-id 7",
    "-f json slurm stats 42",
    "hpc detect",
    "hpc partitions kestrel",
]


@pytest.mark.parametrize("line", GUIDES)
def test_command_lines_of_the_guides_are_understood(line: str) -> None:
    before, rest = front.split(line.split())
    row, count = front.find(front_table.ROWS, rest)
    assert row is not None
    asked = front.ask(row, before, rest[count:])
    made: argparse.ArgumentParser = importlib.import_module(f"torc_tools.commands.{row.tool}").parser()
    formats = [f"--format={asked.format}"] if row.formats else []
    assert made.parse_intermixed_args([*row.fixed, *formats, *asked.arguments[len(row.fixed) :]])
    assert asked.idle in ([], ["--reinitialize"])  # a reset of ours begins a run by itself


# hooks


def hooked(torc: Torc, place: Path, path: str, *more: str) -> "subprocess.CompletedProcess[bytes]":
    shutil.copy(DATA / "fix-spark-cluster.sh", place)
    hook = f"{shutil.which('bash')} fix-spark-cluster.sh"
    return torc("torc-recover", 1, "--recovery-hook", hook, "--no-run", *more, env={"PATH": path})


def test_the_hook_of_torcs_guide_byte_for_byte(torc: Torc, store_file: Path, work_dir: Path) -> None:
    """It lists the failed jobs, asks for each one's requirements, and gives these sixteen nodes."""
    tools = work_dir / "tools"
    tools.mkdir()
    for name in ("jq", "bash", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = hooked(torc, work_dir, str(tools))
    assert done.returncode == 0, said(done)
    lines = said(done)
    assert "  [hook] Updated job 2 to use 16 nodes" in lines
    assert "  [hook] Updated job 4 to use 16 nodes" in lines
    assert "Recovery hook completed successfully" in lines
    nodes = "SELECT j.job_id, r.num_nodes, j.status FROM job j JOIN resource_requirements r USING"
    assert execute(store_file, f"{nodes} (resource_requirements_id) WHERE j.job_id IN (2, 3, 4) ORDER BY 1") == [
        (2, 16, 2), (3, 16, 2), (4, 16, 2),
    ]  # fmt: skip
    who = "SELECT DISTINCT command FROM change WHERE command = 'torc-requirements'"
    assert execute(store_file, who) == [("torc-requirements",)]


def test_commands_on_the_path_of_hooks_are_ours_and_alone(work_dir: Path) -> None:
    with onpath.ours("/nowhere") as path:
        folder, rest = path.split(os.pathsep)
        assert rest == "/nowhere"
        assert sorted(os.listdir(folder)) == sources.COMMANDS
        done = subprocess.run([f"{folder}/torc", "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("torc (torc-tools)")
    assert not os.path.exists(folder)
    with onpath.ours(None) as path:
        assert path.endswith(os.defpath)


# the small commands behind some of the words


def changes(store: Path) -> list[tuple[Any, ...]]:
    return execute(store, "SELECT command, subject, subject_id FROM change ORDER BY change_id")


def test_requirements_change_for_all_that_use_them_and_are_journaled(torc: Torc, store_file: Path) -> None:
    assert torc("requirements", "update", 1, "--num-cpus", 3, "-m", "4g", "-N", "wide").returncode == 0
    assert execute(store_file, "SELECT name, num_cpus, memory_bytes, runtime_s FROM resource_requirements") == [
        ("wide", 3, 4 * 2**30, 60), ("big", 1, 2 * 2**30, 600),
    ]  # fmt: skip
    assert changes(store_file) == [("torc-requirements", "resource_requirements", 1)]
    assert torc("requirements", "update", 1, "--num-cpus", 3).returncode == 0
    assert len(changes(store_file)) == 1
    made = json.loads(torc("requirements", "create", 1, "-N", "new", "--query", "resource_requirements_id").stdout)
    assert torc("jobs", "set", "--resource-requirements-id", made, 4).returncode == 0
    assert execute(store_file, "SELECT resource_requirements_id FROM job WHERE job_id = 4") == [(made,)]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("update 1 -N big", 65, "workflow 1 has requirements named 'big': 2"),
        ("7", 2, "error: argument VERB: not a verb: '7': did you mean 'torc-requirements list 7'?"),
        ("create 1 -N big", 65, "workflow 1 has requirements named 'big': 2"),
        ("create 1", 2, "create needs a name"),
        ("update 1", 2, "update: nothing to set"),
        ("get 1 --num-cpus 2", 2, "get sets nothing"),
        ("get 9", 66, "no such resource requirements: '9'"),
        ("list 9", 66, "no such workflow: '9'"),
        ("update 1 --num-cpus 0", 2, "--num-cpus: not a whole number from 1 on: '0'"),
    ],
)
def test_requirements_that_are_refused_change_nothing(
    torc: Torc, store_file: Path, line: str, status: int, message: str
) -> None:
    done = torc("requirements", *line.split())
    assert done.returncode == status
    assert message in said(done)[-1]
    assert changes(store_file) == []


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("--name train 4", 65, "cannot name a job 'train': job 2 has that name"),
        ("--name new 3 4", 65, "cannot name a job 'new': 2 jobs are named"),
        ("--resource-requirements-id 9 4", 66, "workflow 1 has no resource requirements 9"),
        ("--resource-requirements-id 2 --memory 4g 4", 2, "takes no sizes beside it"),
    ],
)
def test_a_job_is_not_given_what_it_cannot_have(
    torc: Torc, store_file: Path, line: str, status: int, message: str
) -> None:
    done = torc("jobs", "set", *line.split())
    assert (done.returncode, changes(store_file)) == (status, [])
    assert message in said(done)[-1]


def test_a_deleted_workflow_is_gone_but_for_the_journal(torc: Torc, store_file: Path) -> None:
    execute(
        store_file, "INSERT INTO allocation (workflow_id, kind, status, created_at) VALUES (1, 'slurm', 'queued', 1)"
    )
    done = torc("workflows", "--delete", 1)
    assert done.returncode == 75
    assert "may still run jobs of workflow 1: nothing was deleted (torc-cancel 1 ends it)" in said(done)[0]
    assert torc("workflows", "--delete", 1, "--force").returncode == 0
    for table in ("workflow", "job", "result", "resource_requirements", "allocation", "job_depends_on"):
        assert execute(store_file, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert changes(store_file) == [("torc-workflows", "workflow", 1)]
    assert torc("workflows", 1).returncode == 66


STALE = [  # output there, input there, when the input was written (the job began at 1700000000), is it stale
    (True, True, 1_600_000_000, False),
    (False, True, 1_600_000_000, True),
    (True, True, 1_800_000_000, True),
    (True, False, 0, False),
]


@pytest.mark.parametrize(("output", "input_", "at", "is_stale"), STALE)
def test_stale_is_what_make_would_make_again(
    torc: Torc, store_file: Path, work_dir: Path, output: bool, input_: bool, at: int, is_stale: bool
) -> None:
    execute(
        store_file,
        "INSERT INTO file (file_id, workflow_id, name, path) VALUES (1, 1, 'in', 'in.txt'), (2, 1, 'out', 'out.txt')",
        "INSERT INTO job_file VALUES (1, 1, 0), (1, 2, 1)",
    )
    if output:
        (work_dir / "out.txt").write_text("x")
    if input_:
        (work_dir / "in.txt").write_text("x")
        os.utime(work_dir / "in.txt", (at, at))
    found = value(torc("reset", "-w", 1, "--stale", "-n", "-f", "json"))
    assert [record["job_id"] for record in found] == ([1, 2, 5] if is_stale else [])


def test_logs_of_one_workflow_and_not_of_its_namesakes(torc: Torc, place: Path) -> None:
    found = value(torc("torc", "logs", "analyze", "1", "-f", "json"))
    assert [(each["job_id"], each["line_number"], each["cause"]) for each in found["issues"]] == [(2, 2, "oom")]
    assert (found["files_scanned"], found["errors"], found["warnings"]) == (2, 1, 0)
    table = torc("logs", "analyze", "1", "-f", "table", env={"COLUMNS": "80"}).stdout.decode()
    assert table.split()[:6] == [
        "at",
        "cause",
        "severity",
        "job_id",
        "line",
        Path(found["issues"][0]["file"]).name + ":2",
    ]
    bundled = value(torc("torc", "logs", "bundle", "1", "-f", "json"))
    assert bundled["file_count"] == 2
    again = value(torc("torc", "logs", "analyze", bundled["bundle"], "-f", "json"))
    assert [each["cause"] for each in again["issues"]] == ["oom"]
    (place / "wf1.tar.gz").write_bytes(b"rubbish")
    assert torc("logs", "analyze", "wf1.tar.gz").returncode == 65
    assert torc("logs", "analyze", "nowhere").returncode == 66


def test_usage_and_rows_of_accounting(torc: Torc, store_file: Path, cluster: Cluster) -> None:
    execute(store_file, READY)
    assert torc("torc", "submit", "1", "--account", "proj").returncode == 0
    (job,) = cluster.jobs()
    cluster.change(job["job_id"], state="COMPLETED", start=1000, end=1090)
    found = value(torc("torc", "slurm", "sacct", "1", "-f", "json"))
    assert {row["slurm_job_id"] for row in found["summary"]} == {str(job["job_id"])}
    assert value(torc("torc", "slurm", "usage", "1", "-f", "json"))["total_slurm_jobs"] == 1
    cluster.knob("sacct", "unable")
    assert torc("torc", "slurm", "usage", "1").returncode == 69


def test_the_words_of_a_submission(torc: Torc, place: Path, cluster: Cluster) -> None:
    done = torc("torc", "submit-slurm", "--account", "proj", "spec.yaml")
    assert said(done)[:2] == ["Created workflow 2 with 2 jobs", "Submitted to Slurm with 2 allocations"]
    assert len(cluster.jobs()) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_read_by_their_shell(torc: Torc, work_dir: Path, shell: str) -> None:
    done = torc("completions", shell)
    assert done.returncode == 0, said(done)
    (work_dir / "c").write_bytes(done.stdout)
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    ask = {
        "bash": "source ./c; COMP_WORDS=(torc jobs li); COMP_CWORD=2; COMP_LINE='torc jobs li'; _shtab__torc_words"
                " torc li jobs; echo ${COMPREPLY[@]}",
        "zsh": 'autoload -Uz compinit; compinit -D; eval "$(<./c)"; echo ${_comps[torc]} list',
        "fish": "source ./c; complete -C 'torc jobs li'",
    }  # fmt: skip
    said_by = subprocess.run([shell, "-c", ask[shell]], capture_output=True, text=True, timeout=60, check=False)
    assert said_by.stderr == ""
    assert "list" in said_by.stdout.split()


def test_the_front_is_the_command_and_starts_python_once(work_dir: Path, store_file: Path) -> None:
    """No second interpreter: what the command needs is loaded on top of the table alone."""
    script = "import sys, torc_tools.commands.torc; print(*sys.modules)"
    done = subprocess.run([command("torc")[0], "-I", "-c", script], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("torc_tools.")}
    assert not {name for name in ours if name.startswith(("torc_tools.flows.", "torc_tools.core.front_json"))}
    assert "subprocess" not in done.stdout.split()
