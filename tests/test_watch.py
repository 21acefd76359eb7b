"""torc-watch through the real commands."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import street
import waiting
from conftest import Torc, command, said
from prepared import execute, prepare

from torc_tools.shell import liveness


def log(folder: Path) -> list[str]:
    (path,) = folder.rglob("watch_*.log")
    return path.read_text().splitlines()


def settled() -> bool:
    """Say whether no torc-run started in the background lives any more."""
    state = orjson.loads(street.query("SELECT state FROM watch")[0][0])
    return not liveness.alive(*state["child"])


@pytest.fixture
def background(work_dir: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Give a list of processes that are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_from_a_fresh_start_to_the_same_end_as_the_street(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir))
    done = torc("torc-watch", "--recover", "-s", 1)
    assert done.returncode == 1
    assert street.statuses() == street.HEALED
    lines = said(done)
    header = "Watching workflow 1 (poll interval: 60s, recover enabled, unlimited retries, job counts enabled)"
    start = [
        header,
        "  completed=0, running=0, pending=2, failed=0, blocked=4",
        "No schedulers available but 2 ready jobs found (0 retries)",
        "Starting the workflow here...",
        "  completed=1, running=0, pending=0, failed=5, blocked=0",
        "Workflow 1 is complete",
        "",
        "Workflow completed with failures:",
        "  - Failed: 2",
        "  - Canceled: 2",
        "  - Terminated: 1",
        "  - Completed: 1",
        "",
        "Attempting automatic recovery (attempt 1)",
        "",
        "Diagnosing failures...",
        "Applying recovery heuristics...",
    ]
    assert lines[: len(start)] == start
    middle = lines[lines.index("Resetting failed jobs...") :]
    assert middle[3:7] == ["Restarting the workflow here...", "", "Recovery initiated. Resuming monitoring...", ""]
    assert middle[7] == header
    assert lines[-5:] == [
        "",
        "No recoverable jobs found. 1 job(s) failed with unknown causes.",
        "Use --retry-unknown to retry jobs with unknown failure causes.",
        "Or use the Torc MCP server with your AI assistant to investigate.",
        "Or look yourself: 'torc-diagnose 1' says why, 'torc-jobs --logs 4' what job 4 wrote.",
    ]
    kept = log(work_dir)
    assert kept[0].startswith("--- 20")
    assert kept[1:] == lines


def test_success_is_said_once_every_job_is_completed(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir, bug=False))
    done = torc("torc-watch", "-r", "-m", 2, 1)
    assert done.returncode == 0
    assert "Attempting automatic recovery (attempt 1/2)" in said(done)
    assert said(done)[-3:] == ["Workflow 1 is complete", "", "Workflow completed successfully (4 jobs)"]
    again = torc("torc-watch", 1)
    assert again.returncode == 0
    kept = log(work_dir)
    assert len([line for line in kept if line.startswith("--- ")]) == 2
    assert street.query("SELECT * FROM lease") == []


def test_failures_without_recover_end_it(torc: Torc, store_file: Path) -> None:
    done = torc("torc-watch", 1)
    assert done.returncode == 1
    assert said(done) == [
        "Watching workflow 1 (poll interval: 60s)",
        "Workflow 1 is complete",
        "",
        "Workflow completed with failures:",
        "  - Failed: 2",
        "  - Canceled: 2",
        "  - Terminated: 1",
        "  - Completed: 1",
        "",
        "'torc-diagnose 1' says why, 'torc-jobs --logs 2' what job 2 wrote.",
        "Recovery disabled. To enable, use --recover flag.",
    ]


def test_recoveries_are_counted_over_watches(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "exit 3")
    options = ("--recover", "--retry-unknown", "--max-retries")
    done = torc("torc-watch", *options, 2, 1)
    end = [
        "Max retries (2) exceeded. Manual intervention required.",
        "Use the Torc MCP server with your AI assistant to investigate.",
        "Or look yourself: 'torc-diagnose 1' says why, 'torc-jobs --logs 1' what job 1 wrote.",
    ]
    assert (done.returncode, said(done)[-3:]) == (1, end)
    assert street.query("SELECT run_id FROM workflow") == [(3,)]
    assert torc("torc-watch", *options, 2, 1).returncode == 1
    assert street.query("SELECT run_id FROM workflow") == [(3,)]
    done = torc("torc-watch", *options, 3, 1)
    assert "Attempting automatic recovery (attempt 3/3)" in said(done)


def test_stuck_is_no_success_and_says_why(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir))
    done = torc("torc-watch", 1)
    lines = said(done)
    assert done.returncode == 1
    assert lines[1] == "Workflow 1 is stuck:"
    assert any("torc-run 1" in line for line in lines)
    assert lines[-1] == "2 ready jobs with no schedulers. Use --auto-schedule to regenerate."


def test_a_stuck_workflow_names_what_failed_and_how_to_look(torc: Torc, work_dir: Path) -> None:
    spec = "name: s\njobs: [{name: a, command: exit 3}, {name: b, command: 'true'}, {name: c, command: 'true'}]"
    torc("torc-run", "-", input=spec)
    execute("torc.db", "UPDATE job SET status = 2 WHERE job_id = 3")
    lines = said(torc("torc-watch", 1))
    assert lines[1:] == [
        "Workflow 1 is stuck:",
        "  job 3: no worker runs this workflow: torc-run 1",
        "  1 failed: 'torc-diagnose 1' says why, 'torc-jobs --logs 1' what job 1 wrote.",
        "1 ready jobs with no schedulers. Use --auto-schedule to regenerate.",
    ]


def test_a_job_that_fits_nowhere_is_stuck_after_one_start(torc: Torc, work_dir: Path) -> None:
    spec = work_dir / "spec.yaml"
    spec.write_text(
        "name: big\nresource_requirements: [{name: big, num_cpus: 4096, memory: 1m, runtime: PT1M}]\n"
        "jobs: [{name: a, command: 'true', resource_requirements: big}]\n"
    )
    torc("torc-create", spec)
    done = torc("torc-watch", "--recover", 1)
    assert done.returncode == 1
    assert any("4096 CPUs" in line for line in said(done)), said(done)


def test_auto_schedule_starts_what_is_ready_and_says_its_rules(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir, bug=False))
    done = torc("torc-watch", "--auto-schedule", "-j", 1, 1)
    lines = said(done)
    assert done.returncode == 1
    assert lines[1] == "Auto-schedule enabled (threshold: 5 retry jobs, cooldown: 1800s, stranded timeout: 7200s)"
    assert lines[2] == "Auto-schedule: No schedulers available but 1 ready jobs found (0 retries)"
    assert lines[-1] == "Recovery disabled. To enable, use --recover flag."


def test_partition_is_for_slurm(torc: Torc, store_file: Path) -> None:
    done = torc("torc-watch", "--partition", "debug", 1)
    assert done.returncode == 2
    assert said(done) == [
        "torc-watch: --partition is for Slurm allocations, and workflow 1 runs on this machine",
        "torc-watch: 'torc-recover --no-run 1', then 'torc-run --slurm 1' with the option, moves it to Slurm",
    ]


def test_steps_from_cron_come_to_the_same_end(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir))
    statuses = []
    for _ in range(20):
        done = torc("torc-watch", "--once", "--recover", 1)
        statuses.append(done.returncode)
        if done.returncode != 75:
            break
        waiting.until(settled, "the run in the background")
    assert statuses == [75, 75, 1]
    assert street.statuses() == street.HEALED
    again = torc("torc-watch", "--once", "--recover", 1)
    assert (again.returncode, again.stdout) == (1, b"")


def test_a_step_that_does_nothing_says_nothing(torc: Torc, work_dir: Path, background: list[object]) -> None:
    torc("torc-create", "-", input="name: one\njobs: [{name: a, command: 'until test -e go; do sleep 0.05; done'}]")
    first = torc("torc-watch", "--once", "-r", 1)
    assert first.returncode == 75
    assert said(first) == [
        "No schedulers available but 1 ready jobs found (0 retries)",
        "Starting the workflow here...",
    ]
    second = torc("torc-watch", "--once", "-r", 1)
    assert (second.returncode, second.stderr) == (75, b"")
    (work_dir / "go").touch()
    waiting.until(settled, "the run in the background")
    third = torc("torc-watch", "--once", "-r", 1)
    assert third.returncode == 0
    assert said(third)[-1] == "Workflow completed successfully (1 jobs)"
    fourth = torc("torc-watch", "--once", "-r", 1)
    assert (fourth.returncode, fourth.stderr) == (0, b"")
    assert len([line for line in log(work_dir) if line.startswith("--- ")]) == 2


def watching(folder: Path, started: list["subprocess.Popen[bytes]"], *options: str) -> "subprocess.Popen[bytes]":
    """Start a watch of workflow 1 whose job waits for the file `go`; give it once the job runs."""
    words = [*command("torc-watch"), "--recover", *options, "1"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)
    started.append(process)
    waiting.until(lambda: list((folder / "torc_output").glob("claims/*/1.r1.a1")), "the job to start")
    return process


SLOW = "name: one\njobs: [{name: a, command: 'until test -e go; do sleep 0.05; done'}]"


def test_the_second_is_told_who_holds_it(
    torc: Torc, work_dir: Path, background: list["subprocess.Popen[bytes]"]
) -> None:
    torc("torc-create", "-", input=SLOW)
    first = watching(work_dir, background)
    words = f"workflow 1 is held by torc-watch on {socket.gethostname()} (pid {first.pid}) since "
    for name, *options in (("torc-watch",), ("torc-recover",), ("torc-recover", "--dry-run")):
        done = torc(name, *options, 1)
        assert done.returncode == 75
        assert done.stderr.decode().startswith(f"{name}: {words}")
    (work_dir / "go").touch()
    assert first.wait(30) == 0


def test_after_kill_9_the_next_goes_on(torc: Torc, work_dir: Path, background: list["subprocess.Popen[bytes]"]) -> None:
    torc("torc-create", "-", input=SLOW)
    first = watching(work_dir, background)
    first.kill()
    first.wait()
    assert len(street.query("SELECT * FROM lease")) == 1
    second = subprocess.Popen([*command("torc-watch"), "--recover", "1"], stderr=subprocess.PIPE)
    background.append(second)
    assert second.stderr is not None
    assert second.stderr.readline().startswith(b"Watching workflow 1 ")
    waiting.until(lambda: street.query("SELECT pid FROM lease") == [(second.pid,)], "the lease to change hands")
    (work_dir / "go").touch()
    assert second.wait(30) == 0
    assert street.query("SELECT count(*) FROM result") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_leaves_lets_the_workers_go_on(
    torc: Torc, work_dir: Path, background: list["subprocess.Popen[bytes]"], number: int
) -> None:
    torc("torc-create", "-", input=SLOW)
    first = watching(work_dir, background)
    os.killpg(first.pid, number)
    assert first.wait(30) == 130
    assert first.stderr is not None
    assert b"Leaving workflow 1: its workers go on." in first.stderr.read()
    assert street.query("SELECT * FROM lease") == []
    assert not settled()
    (work_dir / "go").touch()
    waiting.until(settled, "the run to end")
    assert torc("torc-watch", 1).returncode == 0


def test_a_locked_store_is_tried_again_or_75(torc: Torc, store_file: Path) -> None:
    done = torc("torc-watch", "--store", "nowhere.db", 1)
    assert done.returncode == 66
    assert torc("torc-watch", 7).returncode == 66


def test_the_hook_of_a_watch_speaks_into_the_log(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "test -e mended")
    done = torc("torc-watch", "-r", "--recovery-hook", "sh -c 'echo at $0; touch mended'", 1)
    assert done.returncode == 0, said(done)
    assert "  [hook] at 1" in log(work_dir)


def test_a_failing_hook_ends_the_watch_and_is_in_the_log(torc: Torc, store_file: Path) -> None:
    done = torc("torc-watch", "-r", "--recovery-hook", "false", 1)
    assert done.returncode == 1
    assert said(done)[-1] == log(store_file.parent)[-1] == "torc-watch: Recovery hook 'false' failed with exit code 1"
    assert street.query("SELECT status FROM job WHERE job_id = 2") == [(6,)]


def test_the_log_may_lie_elsewhere_and_names_cannot_break_its_lines(torc: Torc, work_dir: Path) -> None:
    path = prepare(work_dir)
    execute(path, "UPDATE job SET name = 'a' || char(10) || 'b' || char(27) || '[31m' WHERE job_id = 2")
    torc("torc-watch", "-r", "-o", "logs", 1, env={"TORC_STORE": str(path)})
    kept = (work_dir / "logs").glob("watch_*.log")
    assert any(r"Job 2 (a\nb\x1b[31m): OOM detected" in line for line in next(kept).read_text().splitlines())


def test_print_shows_the_recovery(torc: Torc, store_file: Path) -> None:
    done = torc(
        "torc-watch", "--print", "--store", "a b.db", "--recovery-hook", "fix.sh", "-j", 2, "--walltime", "01:30:00", 1
    )
    assert done.stdout.decode() == (
        "torc-sync --store 'a b.db' 1 && TORC_WORKFLOW_ID=1 fix.sh 1 && torc-diagnose --store 'a b.db' 1"
        " | torc-heuristics --memory-multiplier 1.5 --runtime-multiplier 1.5 --retry-unknown"
        " | torc-apply --store 'a b.db' | torc-reset --store 'a b.db'"
        " && torc-run --store 'a b.db' --max-parallel-jobs=2 --time-limit=PT1H30M 1\n"
    )
