"""What torc's guides to recovery and to monitoring say, statement by statement, and the test that shows it of us.

STATEMENTS is the table. What is shown by no other test is shown here. `ours` says where a statement holds in another
form, or holds further than it is said.
"""

import ast
import functools
import importlib
import os
import socket
from pathlib import Path
from typing import NamedTuple

import mcptalk
import orjson
import pytest
from conftest import Torc, said
from prepared import GIB, execute

from torc_tools import states
from torc_tools.core import diagnosis

TESTS = Path(__file__).parent


class Statement(NamedTuple):
    """A statement, the tests that show it, and where we go another way."""

    says: str
    shown: tuple[str, ...]
    ours: str = ""


def by(file: str, *names: str) -> tuple[str, ...]:
    """Give the ids of tests of a file: by("recover", "a_dry_run") is tests/test_recover.py::test_a_dry_run."""
    folder, _, stem = file.rpartition("/")
    return tuple(f"{folder + '/' if folder else ''}test_{stem}.py::test_{name}" for name in names)


def here(*names: str) -> tuple[str, ...]:
    """Give the ids of tests of this file."""
    return by("statements", *names)


SEVEN = by("recover_slurm", "the_seven_steps_with_torcs_words")
FRESH = by("watch", "from_a_fresh_start_to_the_same_end_as_the_street")
ROW = by("torc", "a_row_does_its_work_and_its_json_has_torcs_keys")
HOOK = by("torc", "the_hook_of_torcs_guide_byte_for_byte")
VERDICTS = by("diagnosis", "cases_of_torc")
CORRECTED = by("correct", "the_object_is_that_of_torcs_reference_key_by_key")
REPORTED = by("report", "json_is_what_torcs_reference_shows")
SPEC = by("spec", "defaults")
AUTO = by("pace", "capacity_is_added_to_capacity_by_threshold_cooldown_and_stranded_time")

RECOVERY = (
    Statement("two commands recover: one once, one until all is done",
              by("torc", "recover_speaks_on_stdout_and_complains_on_stderr", "watch_says_what_scripts_look_for")),
    Statement("recover is for workflows on Slurm", SEVEN + by("recover", "the_lines_are_those_torc_documents"),
              "and for those that ran here: they run here again"),
    Statement("it diagnoses, adjusts, resets, submits", SEVEN),
    Statement("memory, CPU and run time are tracked", here("a_run_tracks_memory_cpu_and_time_in_its_results")),
    Statement("out of memory: the peak is above the limit", VERDICTS),
    Statement("out of memory: exit code 137",
              VERDICTS + by("diagnosis", "137_against_an_exact_peak_is_weak_and_says_why",
                            "137_late_is_a_timeout_unless_memory_was_short"),
              "unless the kernel's own figure, or the clock, says otherwise"),
    Statement("flag likely_oom", by("report", "json_of_failed_results_has_what_is_known_of_each")),
    Statement("timeout: within a tenth of the limit", here("late_is_the_last_tenth_of_the_runtime_and_killed")),
    Statement("timeout: the job was killed", here("late_is_the_last_tenth_of_the_runtime_and_killed")),
    Statement("flag likely_timeout", by("utilization", "what_a_failed_result_is_said_to_have_failed_of")),
    Statement("memory grows by 1.5", by("heuristics", "memory_grows_as_in_the_table"),
              "times the larger of the limit and the peak: never to less than what was too little"),
    Statement("run time grows by 1.5",
              by("heuristics", "runtime_grows_as_in_the_table") + here("recover_and_watch_have_the_factors_they_say"),
              "torc recover by 1.4, as its own list of options says"),
    Statement("unknown failures are not run again",
              by("recover", "unknown_causes_alone_give_up_and_change_nothing")
              + by("peer_cases", "n6_an_unknown_job_is_not_run_again_because_another_is_recovered")),
    Statement("--retry-unknown runs them again", by("watch", "recoveries_are_counted_over_watches")),
    Statement("recover --dry-run changes nothing",
              by("recover", "a_dry_run_leaves_every_byte_and_says_what_would_be_done")
              + by("recover_slurm", "a_dry_run_plans_with_the_new_limits_and_the_dependents_and_changes_nothing")),
    Statement("recover has seven steps, in this order", SEVEN),
    Statement("orphans are cleaned up before the conditions are looked at",
              here("orphans_are_cleaned_up_before_the_conditions_are_looked_at")),
    Statement("options and defaults of recover", here("recover_has_the_options_of_the_guide")),
    Statement("'OOM detected, increasing memory 8g -> 12g'",
              by("pace", "the_lines_of_a_plan_are_those_torc_documents")),
    Statement("'Resetting 1 job(s) for retry...', '  Reset 1 job(s)'", SEVEN),
    Statement("'  Submitted Slurm allocation with 1 job'", SEVEN),
    Statement("'Recovery complete for workflow 42' and what was done", SEVEN),
    Statement("watch goes through its six steps",
              FRESH + by("recover_slurm", "a_watch_goes_from_the_first_submission_to_the_end")),
    Statement("options and defaults of watch", here("watch_has_the_options_of_the_guide")),
    Statement("watch needs nothing to be running when it starts", FRESH),
    Statement("a hook gets the id as argument and in TORC_WORKFLOW_ID",
              by("recover", "the_hook_comes_first_and_what_it_sets_counts")),
    Statement("a hook lists jobs by 'torc jobs list ID --status failed -f json'", HOOK),
    Statement("jq -r '.[].id' reads that", HOOK),
    Statement("'torc jobs get ID -f json' has resource_requirements_id", HOOK),
    Statement("'torc resource-requirements update ID --num-nodes 16'", HOOK),
    Statement("with a hook, unknown failures are run again",
              by("recover", "the_hook_comes_first_and_what_it_sets_counts")
              + by("watch", "the_hook_of_a_watch_speaks_into_the_log")),
    Statement("the hook comes before the reset; where it fails, recovery stops",
              by("recover", "a_hook_that_fails_changes_nothing")
              + by("watch", "a_failing_hook_ends_the_watch_and_is_in_the_log")),
    Statement("auto-schedule: jobs are ready and no allocation is there: at once",
              by("pace", "ready_jobs_without_capacity_start_at_once_whatever_the_cooldown")),
    Statement("auto-schedule: so many retries wait, after the cooldown", AUTO),
    Statement("auto-schedule: fewer, but for two hours", AUTO),
    Statement("'Created workflow 42 with 100 jobs', 'Submitted to Slurm with 10 allocations'",
              by("torc", "the_words_of_a_submission")),
    Statement("the line that a watch begins with, again after a recovery", FRESH),
    Statement("'completed=0, running=10, pending=0, failed=0, blocked=90'",
              FRESH + by("pace", "the_lines_of_a_watch_are_those_torc_documents")),
    Statement("'Workflow 42 is complete'", FRESH),
    Statement("the counts of what failed; 'Attempting automatic recovery (attempt 1)'", FRESH),
    Statement("'Resetting failed jobs...', 'Regenerating Slurm schedulers and submitting...'",
              by("recover_slurm", "a_watch_goes_from_the_first_submission_to_the_end")),
    Statement("'Workflow completed successfully (100 jobs)'",
              by("watch", "success_is_said_once_every_job_is_completed")),
    Statement("what is said where nothing can be recovered, and after the last retry",
              FRESH + by("watch", "recoveries_are_counted_over_watches")),
    Statement("the log is watch_<hostname>_<workflow_id>.log in the output folder",
              here("the_log_of_a_watch_is_named_after_host_and_workflow")),
    Statement("all output goes to the terminal and to the log", FRESH),
    Statement("MCP: get_workflow_status, get_job_logs, check_resource_utilization, update_job_resources",
              by("mcp", "a_session_over_a_pipe", "the_session_that_is_shown_goes_as_it_should")
              + here("what_mcp_tells_of_use_is_what_the_report_tells")),
    Statement("MCP: list_failed_jobs has information on the error", by("mcp", "a_session_over_a_pipe")),
    Statement("MCP: resubmit_workflow plans Slurm's allocations anew",
              by("mcp_slurm", "a_resubmission_plans_and_submits")
              + by("mcp", "a_resubmitted_workflow_goes_on_without_us")),
    Statement("only failing jobs get more", by("apply", "only_the_failing_jobs_grow")),
    Statement("retries have no end but that of --max-retries",
              by("pace", "the_lines_of_a_watch_are_those_torc_documents")
              + by("watch", "recoveries_are_counted_over_watches"), "a job that cannot grow any more is held: it ends"),
    Statement("'torc workflows sync-status', with --dry-run",
              ROW + by("sync", "a_dead_workers_jobs_fail_as_orphans_and_cancel_their_dependents",
                       "a_dry_run_leaves_every_byte")),
    Statement("'torc jobs logs ID'", ROW + by("jobs", "logs_are_the_bytes_of_the_files")),
    Statement("'torc hpc detect', 'torc hpc partitions PROFILE', --profile kestrel",
              ROW + by("torc", "command_lines_of_the_guides_are_understood")
              + by("regenerate", "what_fits_nowhere_stands_beside_what_fits")),
    Statement("'torc workflows reset-status --failed-only --reinitialize'",
              ROW + by("torc", "arguments_become_those_of_the_command")),
    Statement("recovery acts on likely_oom and likely_timeout",
              by("utilization", "the_report_says_what_recovery_acts_on")
              + by("report", "the_flags_are_those_of_torc_diagnose")),
    Statement("exit status 0 for success, 1 after the last retry",
              by("watch", "success_is_said_once_every_job_is_completed", "recoveries_are_counted_over_watches",
                 "stuck_is_no_success_and_says_why")),
    Statement("regenerate: pending jobs, by requirement, partition, jobs a node, number, sbatch",
              by("regenerate", "requirements_of_the_same_content_share_whatever_their_names",
                 "every_job_is_planned_for_once_and_what_is_asked_for_holds_it")
              + by("hpc", "the_best_partition_of_kestrel") + by("planning_cases", "number_of_allocations")
              + by("submit", "a_plan_is_submitted_and_what_is_not_a_plan_passes")),
)  # fmt: skip

MONITORING = (
    Statement("enabled: true unless said otherwise", SPEC + by("spec", "every_field_reaches_its_place")),
    Statement("granularity: summary or time_series; summary unless said otherwise", SPEC + by("spec", "faults")),
    Statement("sample_interval_seconds: 10 unless said otherwise", SPEC),
    Statement("generate_plots does nothing", by("spec", "keys_that_nothing_reads_are_said_once")),
    Statement("summary keeps peaks and averages in the results",
              here("a_run_tracks_memory_cpu_and_time_in_its_results")),
    Statement("time_series has a database for each run",
              by("work", "time_series") + by("series", "an_allocation_has_its_own_file"),
              "one for each host and allocation of a run, so that no two machines write to a file"),
    Statement("resource_metrics_<hostname>_<workflow_id>_<run_id>.db",
              by("work", "time_series") + by("series", "an_allocation_has_its_own_file"),
              "in an allocation with its number behind"),
    Statement("samples have a primary key id and a REAL timestamp", by("series", "torcs_columns_come_first")),
    Statement("the other columns of samples, and job_metadata",
              by("series", "torcs_columns_come_first") + by("work", "time_series")),
    Statement("peak_cpu_percent, avg_cpu_percent in results",
              here("a_run_tracks_memory_cpu_and_time_in_its_results")),
    Statement("peak_memory_gb, avg_memory_gb in results",
              here("a_run_tracks_memory_cpu_and_time_in_its_results"), "beside the bytes, which are the truth"),
    Statement("the report has run_id null where none was asked for", REPORTED),
    Statement("the other keys of the report and of a violation", REPORTED),
    Statement("10.50 GB of 8.00 GB is +31.3%", REPORTED),
    Statement("the keys of a correction", CORRECTED),
    Statement("8g with a peak of 10500000000 bytes grows", CORRECTED, "to 12g; 13g is of 10.5 GiB"),
    Statement("32g and PT4H with 2147483648 bytes fall to 3g and PT12M", CORRECTED),
    Statement("the counters of a correction",
              CORRECTED
              + by("correct", "row_63_counts_jobs_with_too_little_and_requirements_that_change"),
              "they agree with the adjustments beside them"),
    Statement("job_ids are the jobs that share the requirement",
              CORRECTED + by("correct", "the_healthy_siblings_request_is_untouched"),
              "and that the adjustment is for: a healthy sibling of what failed keeps its own"),
    Statement("jobs_analyzed are the jobs with violations", CORRECTED),
    Statement("cpu_adjusted is left out where it is false", CORRECTED),
    Statement("four kinds of plots", by("plot", "the_files_are_torcs_and_their_paths_are_written")),
    Statement("pages are self-contained",
              by("plot", "the_policy_names_the_scripts_and_nothing_else")
              + by("browser/plot", "nothing_on_a_page_sends_it_anywhere")),
    Statement("CPU, memory and number of processes of the whole tree",
              by("accuracy", "a_deep_tree", "short_children_are_counted", "four_at_a_time")),
    Statement("sacct is asked about each step inside an allocation",
              by("sync_slurm", "statistics_of_steps", "ten_thousand_jobs_in_one_question_each"),
              "once for all steps, off the path of the jobs"),
    Statement("six fields of sacct and the ids beside them", here("what_accounting_does_not_say_is_null")),
    Statement("they are null for a job that ran here, without sacct, for a step that is not found",
              here("what_accounting_does_not_say_is_null") + by("sync_slurm", "statistics_of_steps")),
    Statement("three ways to call 'torc slurm stats'",
              ROW + by("torc", "command_lines_of_the_guides_are_understood")),
    Statement("one monitor whatever the number of jobs, on the system's own interfaces",
              here("the_monitor_is_no_thread_and_takes_little")
              + by("sample", "without_proc_psutil_answers"), "no thread: the worker itself; psutil only beside Linux"),
    Statement("monitoring holds up no job",
              here("the_monitor_is_no_thread_and_takes_little")
              + by("accuracy", "a_job_that_has_much_memory_left_is_looked_at_less_often")
              + by("recover_slurm", "without_accounting_the_recovery_is_the_same")),
)  # fmt: skip


@functools.cache
def functions_of(file: str) -> dict[str, list[str]]:
    """Give the tests of a file of tests by name, each with its decorators."""
    tree = ast.parse((TESTS / file).read_text())
    return {
        node.name: [ast.unparse(each) for each in node.decorator_list]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("statement", [*RECOVERY, *MONITORING], ids=lambda each: each.says)
def test_a_statement_is_shown_by_tests_that_run(statement: Statement) -> None:
    assert statement.shown
    for name in statement.shown:
        file, _, function = name.partition("::")
        decorators = functions_of(file).get(function)
        assert decorators is not None, f"there is no {name}"
        assert not [each for each in decorators if "mark.skip" in each or "mark.xfail" in each], name


def test_every_test_of_this_file_shows_a_statement() -> None:
    named = {name.partition("::")[2] for each in (*RECOVERY, *MONITORING) for name in each.shown}
    ours = set(functions_of("test_statements.py")) - {"by", "here", "functions_of"}
    about = {"test_a_statement_is_shown_by_tests_that_run", "test_every_test_of_this_file_shows_a_statement"}
    assert {name for name in ours if name.startswith("test_")} - about - named == set()


def result(code: int, ran_s: float, **more: object) -> dict[str, object]:
    """Give a result of a job that had an hour and 2 GiB, of which it used little."""
    return {
        "type": "result", "workflow_id": 1, "job_id": 7, "job_name": "j", "run_id": 1, "attempt_id": 1,
        "status": "failed", "return_code": code, "exec_time_s": ran_s, "peak_memory_bytes": GIB // 8,
        "memory_bytes": 2 * GIB, "runtime_s": 3600, "facts": {}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "ran_s", "late"),
    [(143, 3241.0, True), (137, 3241.0, True), (143, 3239.0, False), (1, 3599.0, False), (0, 3599.0, False)],
)
def test_late_is_the_last_tenth_of_the_runtime_and_killed(code: int, ran_s: float, late: bool) -> None:
    assert diagnosis.diagnose(result(code, ran_s))["likely_timeout"] is late


def lines(stdout: bytes, kind: str) -> list[dict[str, object]]:
    """Give the records of a type."""
    return [each for each in map(orjson.loads, stdout.splitlines()) if each["type"] == kind]


def test_a_run_tracks_memory_cpu_and_time_in_its_results(torc: Torc, work_dir: Path) -> None:
    eat = "held = bytearray(40 << 20); sum(range(10**6)); import time; time.sleep(1.5)"
    assert torc("torc-run", "-c", f"python3 -c '{eat}'").returncode == 0
    (found,) = lines(torc("torc-results", 1).stdout, "result")
    assert int(str(found["peak_memory_bytes"])) > 40 << 20
    for name in ("exec_time_s", "avg_memory_bytes", "peak_memory_gb", "avg_memory_gb", "peak_cpu_percent",
                 "avg_cpu_percent"):  # fmt: skip
        assert isinstance(found[name], float | int), name
        assert float(str(found[name])) > 0, name
    assert list((work_dir / "torc_output").rglob("*.db")) == []  # a summary keeps no series


TICKS = "cut -d' ' -f14,15 /proc/$PPID/stat"


def test_the_monitor_is_no_thread_and_takes_little(torc: Torc, work_dir: Path) -> None:
    """The parent of a job is the worker: a job asks what it has, and what it took for fifteen samples or more."""
    (work_dir / "ask").write_text(f"{TICKS}; sleep 2; {TICKS}; sed -n 's/^Threads:.//p' /proc/$PPID/status\n")
    spec = {
        "name": "ask",
        "resource_monitor": {"granularity": "time_series", "sample_interval_seconds": 0.1},
        "jobs": [{"name": "ask", "command": ". ./ask > seen"}],
    }
    assert torc("torc-run", "-", input=orjson.dumps(spec)).returncode == 0
    *ticks, threads = map(int, (work_dir / "seen").read_text().split())
    assert threads == 1
    a_sample_takes_s = (sum(ticks[2:]) - sum(ticks[:2])) / os.sysconf("SC_CLK_TCK") / 15
    assert a_sample_takes_s < 0.01  # less than a hundredth of the second that may lie between two samples


def test_orphans_are_cleaned_up_before_the_conditions_are_looked_at(torc: Torc, store_file: Path) -> None:
    """A job whose worker is gone stands in the way of no recovery: it is part of it."""
    execute(
        store_file,
        "DELETE FROM result WHERE job_id = 4",
        f"UPDATE job SET status = {states.RUNNING}, worker = 'w' WHERE job_id = 4",
        "INSERT INTO worker (workflow_id, name, hostname, pid, pid_start)"
        f" VALUES (1, 'w', '{os.uname().nodename}', 1, 1)",
    )
    done = torc("torc-recover", "--no-run", 1)
    assert done.returncode == 0, said(done)
    assert "  Job 4 (bug): orphan: not the job's doing; retrying as it is" in said(done)
    assert [each["job_id"] for each in lines(done.stdout, "reset") if each["because"] == "named"] == [2, 3, 4]


def options(command: str) -> dict[str, object]:
    """Give the options of a command, long and short, with their defaults."""
    made = importlib.import_module(f"torc_tools.commands.{command}").parser()
    return {name: action.default for action in made._actions for name in action.option_strings}


def test_recover_and_watch_have_the_factors_they_say() -> None:
    factors = ("--memory-multiplier", "--runtime-multiplier")
    assert [options("recover")[name] for name in factors] == [1500, 1400]
    assert [options("watch")[name] for name in factors] == [1500, 1500]


def test_recover_has_the_options_of_the_guide() -> None:
    found = options("recover")
    assert (found["--retry-unknown"], found["--recovery-hook"], found["--dry-run"]) == (False, None, False)
    assert {"--memory-multiplier", "--runtime-multiplier"} <= set(found)


def test_watch_has_the_options_of_the_guide() -> None:
    found = options("watch")
    expected = {
        "-r": False, "--recover": False, "-m": None, "--max-retries": None, "--memory-multiplier": 1500,
        "--runtime-multiplier": 1500, "--retry-unknown": False, "--recovery-hook": None, "-p": 60,
        "--poll-interval": 60, "-s": False, "--show-job-counts": False, "--auto-schedule": False,
        "--auto-schedule-threshold": 5, "--auto-schedule-cooldown": 1800, "--auto-schedule-stranded-timeout": 7200,
        "--partition": None, "--walltime": None,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert {"-o", "--output-dir"} <= set(found)


def test_the_log_of_a_watch_is_named_after_host_and_workflow(torc: Torc, store_file: Path) -> None:
    done = torc("torc-watch", 1)
    log = store_file.parent / "torc_output" / f"watch_{socket.gethostname()}_1.log"
    assert log.read_text().splitlines()[1:] == said(done)


def test_what_accounting_does_not_say_is_null(torc: Torc, store_file: Path) -> None:
    """Every attempt of a workflow that ran here has a row; its ids are known, and nothing else."""
    row = orjson.loads(torc("torc", "-f", "json", "slurm", "stats", "1", "--job-id", "2").stdout)["items"][0]
    ids = {"workflow_id": 1, "job_id": 2, "run_id": 1, "attempt_id": 1}
    fields = ("slurm_job_id", "max_rss_bytes", "max_vm_size_bytes", "max_disk_read_bytes", "max_disk_write_bytes",
              "ave_cpu_seconds", "node_list")  # fmt: skip
    assert {name: row[name] for name in (*ids, *fields)} == {**ids, **dict.fromkeys(fields)}
    everyone = lines(torc("torc-stats", 1).stdout, "slurm_stats")
    assert [each["job_id"] for each in everyone] == [1, 2, 3, 4]


def test_what_mcp_tells_of_use_is_what_the_report_tells(torc: Torc, store_file: Path) -> None:
    calls: list[mcptalk.Call] = [("check_resource_utilization", {"workflow_id": 1, "all": True})]
    (told,) = mcptalk.session(calls, ["--store", str(store_file)]).answers
    report = orjson.loads(torc("torc-report", 1, "--include-failed", "--all", "-f", "json").stdout)
    for name in ("over_utilization_count", "resource_violations_count"):
        assert told.value[name] == report[name], name
    assert [each["job_id"] for each in told.value["violations"]] == [each["job_id"] for each in report["violations"]]
    flags = [(each["job_id"], each["likely_oom"]) for each in told.value["resource_violations"]]
    assert flags == [(each["job_id"], each.get("likely_oom", False)) for each in report["resource_violations"]]
