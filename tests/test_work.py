"""torc-work with real processes: limits, daemons, retries, actions, signals, siblings, kill -9 after each write."""

import contextlib
import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc, command
from waiting import until

from torc_tools.flows import worker_manifest

TOKEN = "0123456789abcdef"  # noqa: S105  names a workflow, opens nothing
Events = list[dict[str, Any]]
PYTHON = shlex.quote(sys.executable)
HERE = os.getpid()  # tells the processes of these tests from those of another run


def workflow(work_dir: Path, **fields: Any) -> dict[str, Any]:
    return {
        "type": "workflow",
        "workflow_id": 1,
        "run_id": 1,
        "token": TOKEN,
        "name": "w",
        "output_dir": str(work_dir / "out"),
        "submission_dir": str(work_dir),
        "config": {},
        **fields,
    }


def job(job_id: int, line: str, **fields: Any) -> dict[str, Any]:
    return {"type": "job", "workflow_id": 1, "job_id": job_id, "command": line, **fields}


def text(*lines: dict[str, Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def parse(out: bytes) -> Events:
    return [json.loads(line) for line in out.splitlines()]


def work(torc: Torc, *lines: dict[str, Any], args: tuple[str, ...] = ("-j", "4"), **more: Any) -> Events:
    done = torc("torc-work", *args, input=text(*lines), **more)
    assert done.returncode == 0, done.stderr.decode()
    return parse(done.stdout)


def ends(events: Events) -> dict[tuple[int, int], dict[str, Any]]:
    return {(e["job_id"], e["attempt_id"]): e for e in events if e.get("event") == "ended"}


def config(**execution: Any) -> dict[str, Any]:
    return {"execution_config": execution}


def running(mark: str) -> list[int]:
    """Give the pids of processes whose arguments hold `mark`."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line and int(name) != os.getpid():
            found.append(int(name))
    return found


def gone(mark: str) -> None:
    """Wait until no such process is left: one that was killed may take its time to be gone."""
    until(lambda: not running(mark), f"the end of {mark}")


def test_a_bare_job_line_runs(torc: Torc, work_dir: Path) -> None:
    events = work(torc, {"type": "job", "job_id": 1, "command": "echo hi; pwd; env | grep ^TORC_ | sort"})
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["reason"], end["next"]) == ("completed", 0, None, None)
    assert end["ended_at"] - end["started_at"] == pytest.approx(end["exec_time_s"], abs=1e-3)
    written = (work_dir / "torc_output/job_stdio/job_wf0_j1_r1_a1.o").read_text().splitlines()
    assert written[:2] == ["hi", str(work_dir)]
    names = {line.partition("=")[0] for line in written[2:]}
    assert names >= {"TORC_WORKFLOW_ID", "TORC_JOB_ID", "TORC_JOB_NAME", "TORC_RUN_ID", "TORC_ATTEMPT_ID"}
    assert names >= {"TORC_OUTPUT_DIR", "TORC_WORKFLOW_SUBMISSION_DIR"}
    assert [e["type"] for e in (events[0], events[-1])] == ["begin", "end"]
    assert events[-1]["count"] == len(events) - 2


def test_a_cut_input_starts_nothing(torc: Torc, work_dir: Path) -> None:
    lines = text({"type": "begin", "stage": "torc-jobs"}, job(1, "touch started"))
    assert torc("torc-work", input=lines).returncode == 65
    assert not (work_dir / "started").exists()


def test_children_start_when_their_parents_end_and_are_canceled_below_a_failure(torc: Torc, work_dir: Path) -> None:
    events = work(
        torc,
        workflow(work_dir),
        job(1, "true"),
        job(2, "true", status="blocked", waits_for=[1]),
        job(3, "exit 3"),
        job(4, "touch no", status="blocked", waits_for=[2, 3]),
        job(5, "true", status="blocked", waits_for=[4], cancel_on_blocking_job_failure=False),
        job(6, "touch no", status="blocked", waits_for=[1], parent_failed=True),
    )
    assert {key: e["status"] for key, e in ends(events).items()} == {
        (1, 1): "completed",
        (2, 1): "completed",
        (3, 1): "failed",
        (5, 1): "completed",
    }
    assert not (work_dir / "no").exists()
    (file,) = (work_dir / "out/events").iterdir()
    assert parse(file.read_bytes()) == [e for e in events if e["type"] == "event"]


def test_env_stdio_and_invocation_script(torc: Torc, work_dir: Path) -> None:
    work(
        torc,
        workflow(work_dir, config={"env": {"A": "w", "B": "w"}, "execution_config": {"stdio": {"mode": "combined"}}}),
        job(1, "'$A$B'", invocation_script="env B=inv bash -c 'echo $0'", config={"env": {"A": "j"}}),
        job(2, "echo out; echo err >&2"),
        job(3, "echo out", config={"stdio": {"mode": "separate", "delete_on_success": True}}),
        job(4, "echo out; exit 1", config={"stdio": {"mode": "no_stdout", "delete_on_success": True}}),
        job(5, "cat; echo $A$B", config={"env": {"A": "j"}}),
    )
    folder = work_dir / "out/job_stdio"
    assert (folder / "job_wf1_j2_r1_a1.log").read_text() == "out\nerr\n"
    assert (folder / "job_wf1_j5_r1_a1.log").read_text() == "jw\n"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "job_wf1_j1_r1_a1.log",
        "job_wf1_j2_r1_a1.log",
        "job_wf1_j4_r1_a1.e",
        "job_wf1_j5_r1_a1.log",
    }


def test_signals_are_default_and_the_session_is_own(torc: Torc, work_dir: Path) -> None:
    shows = f"{PYTHON} -c 'import os, signal; print(os.getsid(0) == os.getppid() or os.getsid(0) == os.getpid())'"
    work(torc, job(1, f"grep -E '^Sig(Ign|Blk)' /proc/self/status; {shows}; true"))
    lines = (work_dir / "torc_output/job_stdio/job_wf1_j1_r1_a1.o").read_text().split()
    assert (lines[1], lines[4]) == ("0" * 16, "True")
    assert int(lines[3], 16) & ~(0b11 << 31) == 0  # glibc keeps 32 and 33 for itself


@pytest.mark.parametrize(
    ("line", "code", "number"),
    [("kill -9 $$", 137, 9), ("kill -15 $$", 143, 15), ("exit 7", 7, None), ("no-such-command", 127, None)],
)
def test_return_codes(torc: Torc, work_dir: Path, line: str, code: int, number: int | None) -> None:
    end = ends(work(torc, workflow(work_dir), job(1, line)))[1, 1]
    assert (end["status"], end["return_code"], end["signal"], end["reason"]) == ("failed", code, number, None)


def test_a_command_that_cannot_be_started_ends_once(torc: Torc, work_dir: Path) -> None:
    too_long = {"env": {"WORD": "x" * 200_000}}
    events = work(torc, workflow(work_dir), job(1, "true", config=too_long), job(2, "true"))
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["reason"]) == ("failed", 126, "launch_failed")
    assert "Argument list too long" in end["log_tail"]
    assert ends(events)[2, 1]["status"] == "completed"


def test_missing_output_fails_and_the_log_tail_tells(torc: Torc, work_dir: Path) -> None:
    events = work(
        torc,
        workflow(work_dir),
        job(1, "echo why >&2", output_files=["made", "not made"]),
        job(2, "touch made", output_files=["made"]),
    )
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["reason"]) == ("failed", 1, "missing_output")
    assert end["log_tail"] == "why\n"
    assert ends(events)[2, 1]["status"] == "completed"


def test_a_job_that_puts_a_pipe_where_its_log_was_holds_nobody(torc: Torc, work_dir: Path) -> None:
    line = 'log=$(readlink -f /proc/$$/fd/2); rm "$log"; mkfifo "$log"; exit 3'
    events = work(torc, workflow(work_dir), job(1, line), job(2, "true"))
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["log_tail"]) == ("failed", 3, None)
    assert ends(events)[2, 1]["status"] == "completed"


HOG = "import signal; x = bytearray(({1}, {0} << 20)[1]); signal.pause()"


def test_memory_limit_kills_the_whole_tree(torc: Torc, work_dir: Path) -> None:
    line = f"""(setsid {PYTHON} -c '{HOG.format(150, HERE)}' & ) ; sleep 61.{HERE}; true"""
    events = work(torc, workflow(work_dir), job(1, line, memory_bytes=100 << 20))
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["reason"]) == ("failed", 137, "memory_limit")
    assert end["peak_memory_bytes"] > 100 << 20
    assert end["peak_source"] == "sampled"
    assert end["exec_time_s"] < 20
    gone(f"({HERE}, 150 << 20)")
    gone(f"61.{HERE}")


def test_limit_resources_false_lifts_the_limits(torc: Torc, work_dir: Path) -> None:
    line = f"""{PYTHON} -c 'x = bytearray(150 << 20); import threading; threading.Event().wait(1.2)'; true"""
    manifest = workflow(work_dir, config=config(limit_resources=False))
    end = ends(work(torc, manifest, job(1, line, memory_bytes=100 << 20, runtime_s=1)))[1, 1]
    assert (end["status"], end["return_code"]) == ("completed", 0)
    assert end["peak_memory_bytes"] > 150 << 20


@pytest.mark.parametrize(
    ("line", "code", "lead"),
    [
        (f"sleep 62.{HERE}; true", 152, 30),
        (f"trap 'exit 0' TERM; sleep 62.{HERE} & wait", 0, 30),
        (f"trap '' TERM; sleep 62.{HERE}; true", 152, 1),
    ],
    ids=("dies", "exits", "ignores"),
)
def test_runtime_limit(torc: Torc, work_dir: Path, line: str, code: int, lead: int) -> None:
    manifest = workflow(work_dir, config=config(sigterm_lead_seconds=lead))
    events = work(torc, manifest, job(1, line, runtime_s=1), job(2, "true", status="blocked", waits_for=[1]))
    end = ends(events)[1, 1]
    assert (end["status"], end["return_code"], end["reason"]) == ("terminated", code, "runtime_limit")
    assert end["warned_at"] - end["started_at"] == pytest.approx(1, abs=0.9)
    assert (2, 1) not in ends(events)
    gone(f"62.{HERE}")


def test_left_over_processes_die_with_their_job(torc: Torc, work_dir: Path) -> None:
    daemon = f"(setsid sleep 63.{HERE} >/dev/null 2>&1 &); sleep 63.{HERE} & true"
    events = work(torc, workflow(work_dir), job(1, daemon), job(2, "sleep 1"))
    assert ends(events)[1, 1]["status"] == "completed"
    gone(f"63.{HERE}")


RULES = {
    "1": {
        "name": "h",
        "rules": [
            {
                "exit_codes": [3],
                "max_retries": 2,
                "recovery_script": "echo $TORC_RETURN_CODE.$TORC_ATTEMPT_ID >> ran; test ! -e stop",
            }
        ],
    }
}


def test_retries_run_the_script_first_and_leave_a_result_each(torc: Torc, work_dir: Path) -> None:
    manifest = workflow(work_dir, failure_handlers=RULES)
    events = work(torc, manifest, job(1, "exit 3", failure_handler_id=1), job(2, "exit 4", failure_handler_id=1))
    found = ends(events)
    assert [found[1, n]["next"] for n in (1, 2, 3)] == ["retry", "retry", None]
    assert (1, 4) not in found
    assert (work_dir / "ran").read_text() == "3.1\n3.2\n"
    assert found[2, 1]["next"] is None
    assert [e["return_code"] for e in events if e.get("event") == "recovery_script"] == [0, 0]


def test_a_recovery_script_cut_short_by_a_signal_is_not_the_jobs_failure(work_dir: Path) -> None:
    handler = {"1": {"name": "h", "rules": [{"exit_codes": [3], "recovery_script": "touch began; sleep 60"}]}}
    lines = text(workflow(work_dir, failure_handlers=handler), job(1, "exit 3", failure_handler_id=1))
    with subprocess.Popen([*command("work"), "-j", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        worker.stdin.write(lines.encode())
        worker.stdin.close()
        until((work_dir / "began").exists, "the script")
        worker.send_signal(signal.SIGTERM)
        assert worker.stdout is not None
        end = ends(parse(worker.stdout.read()))[1, 1]
    assert (end["status"], end["next"]) == ("failed", "requeue")


def test_scripts_and_actions_are_marked_as_the_workers_own(torc: Torc, work_dir: Path) -> None:
    handler = {"1": {"name": "h", "rules": [{"exit_codes": [3], "recovery_script": "echo $TORC_WORKER_MARK >> marks"}]}}
    action = {"action_id": 1, "trigger_type": "on_workflow_start", "action_type": "run_commands"}
    commands = ["echo $TORC_WORKER_MARK >> marks"]
    flow = workflow(work_dir, failure_handlers=handler, actions=[{**action, "commands": commands}])
    work(torc, flow, job(1, "test -e marks2 || { touch marks2; exit 3; }", failure_handler_id=1))
    (file,) = (work_dir / "out/events").iterdir()
    assert (work_dir / "marks").read_text().splitlines() == [f"{TOKEN}.{file.stem}"] * 2


def test_a_worker_with_the_pid_of_an_earlier_one_has_a_file_of_its_own(work_dir: Path) -> None:
    folder = work_dir / "out/events"
    folder.mkdir(parents=True)
    shell = 'touch "$0/wf1_r1_$(uname -n)_local_$$.jsonl"; exec "$@"'
    line = ["bash", "-c", shell, str(folder), *command("work"), "-j", "1"]
    lines = text(workflow(work_dir), job(1, "true")).encode()
    subprocess.run(line, input=lines, cwd=work_dir, stdout=subprocess.DEVNULL, timeout=60, check=True)
    assert sorted(file.stat().st_size > 0 for file in folder.iterdir()) == [False, True]


def test_a_failing_recovery_script_means_failed(torc: Torc, work_dir: Path) -> None:
    (work_dir / "stop").touch()
    manifest = workflow(work_dir, failure_handlers=RULES)
    found = ends(work(torc, manifest, job(1, "exit 3", failure_handler_id=1)))
    assert list(found) == [(1, 1)]
    assert (found[1, 1]["status"], found[1, 1]["next"]) == ("failed", None)


def test_a_recovery_script_has_a_time_limit(torc: Torc, work_dir: Path) -> None:
    rules = {"1": {"rules": [{"match_all_exit_codes": True, "recovery_script": f"sleep 64.{HERE}; true"}]}}
    manifest = workflow(work_dir, failure_handlers=rules, config=config(recovery_script_timeout_seconds=0.3))
    events = work(torc, manifest, job(1, "exit 3", failure_handler_id=1))
    assert ends(events)[1, 1]["next"] is None
    assert [e["return_code"] for e in events if e.get("event") == "recovery_script"] == [124]
    gone(f"64.{HERE}")


def test_use_pending_failed(torc: Torc, work_dir: Path) -> None:
    manifest = workflow(work_dir, failure_handlers=RULES, config={"use_pending_failed": True})
    found = ends(work(torc, manifest, job(1, "exit 4", failure_handler_id=1), job(2, "exit 4")))
    assert {end["status"] for end in found.values()} == {"pending_failed"}


def test_a_job_too_large_stays_ready_with_a_reason(torc: Torc, work_dir: Path) -> None:
    done = torc(
        "torc-work", "--num-cpus", 2, input=text(workflow(work_dir), job(1, "true", num_cpus=3), job(2, "true"))
    )
    events = parse(done.stdout)
    assert list(ends(events)) == [(2, 1)]
    assert [(e["job_id"], e["reason"]) for e in events if e.get("event") == "unfit"] == [
        (1, "needs 3 CPUs, this worker has 2")
    ]
    assert b"job 1 (job_1) stays ready: it needs 3 CPUs, this worker has 2" in done.stderr


def test_gpus_are_assigned_and_given_back(torc: Torc, work_dir: Path) -> None:
    lines = [job(n, 'echo "$CUDA_VISIBLE_DEVICES" >> gpus', num_gpus=1) for n in range(1, 6)]
    work(
        torc,
        workflow(work_dir),
        *lines,
        args=("--num-gpus", "1", "--num-cpus", "4"),
        env={"CUDA_VISIBLE_DEVICES": "GPU-7"},
    )
    assert (work_dir / "gpus").read_text() == "GPU-7\n" * 5


def test_what_another_worker_claimed_is_left_alone(torc: Torc, work_dir: Path) -> None:
    claims = work_dir / f"out/claims/wf1_{TOKEN[:8]}"
    claims.mkdir(parents=True)
    (claims / "1.r1.a1").touch()
    events = work(torc, workflow(work_dir), job(1, "touch no"), job(2, "true"))
    assert list(ends(events)) == [(2, 1)]
    assert not (work_dir / "no").exists()
    claim = json.loads((claims / "2.r1.a1").read_text())
    started = next(e for e in events if e.get("event") == "worker_started")
    assert (claim["worker"], claim["pid"]) == (started["worker"], started["pid"])


def test_what_torc_sync_made_of_lost_jobs_is_heard(work_dir: Path) -> None:
    folder = work_dir / "out" / "claims" / f"wf1_{TOKEN[:8]}"
    folder.mkdir(parents=True)
    for lost in (1, 2):
        (folder / f"{lost}.r1.a1").touch()
    keeper = job(9, "until test -e again -a -e child; do sleep 0.02; done")
    lines = [job(1, "touch again"), job(2, "touch twice"), job(3, "touch child", waits_for=[2]), keeper]
    process = start(work_dir, workflow(work_dir), *lines)
    told = [{"job_id": 1, "run_id": 1, "attempt_id": 1, "status": "ready"}]
    told += [{"job_id": 2, "run_id": 1, "attempt_id": 1, "status": "completed"}, {"job_id": 2}]
    (folder / "lost.jobs").write_text(text(*told))
    output, _ = process.communicate(timeout=30)
    assert set(ends(parse(output))) == {(1, 2), (3, 1), (9, 1)}
    assert not (work_dir / "twice").exists()


def start(work_dir: Path, *lines: dict[str, Any], args: tuple[str, ...] = ("-j", "4")) -> "subprocess.Popen[bytes]":
    (work_dir / "manifest").write_text(text(*lines))
    return subprocess.Popen([*command("torc-work"), *args, "manifest"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_workers_share_the_jobs_and_free_each_others(work_dir: Path) -> None:
    lines = [job(n, f"echo {n} >> ran; while [ ! -e go ]; do sleep 0.02; done") for n in (1, 2)]
    child = job(3, "echo 3 >> ran", status="blocked", waits_for=[1, 2])
    workers = [start(work_dir, workflow(work_dir), *lines, child, args=("-j", "1")) for _ in range(2)]
    ran = work_dir / "ran"
    until(lambda: ran.exists() and sorted(ran.read_text().split()) == ["1", "2"], "one job in each worker")
    (work_dir / "go").touch()
    outs = [parse(worker.communicate(timeout=20)[0]) for worker in workers]
    assert sorted(ran.read_text().split()) == ["1", "2", "3"]
    assert sorted(key for events in outs for key in ends(events)) == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize(
    ("mode", "reason", "following"), [("requeue", "interrupted", "requeue"), ("terminate", "allocation_end", None)]
)
def test_a_signal_leaves_a_state_that_can_go_on(work_dir: Path, mode: str, reason: str, following: str | None) -> None:
    lines = [job(1, f"touch up; sleep 65.{HERE}; true"), job(2, "true", status="blocked", waits_for=[1])]
    worker = start(work_dir, workflow(work_dir), *lines, args=("-j", "4", "--on-signal", mode))
    until((work_dir / "up").exists, "the job")
    worker.send_signal(signal.SIGINT)
    events = parse(worker.communicate(timeout=20)[0])
    assert worker.returncode == 0
    end = ends(events)[1, 1]
    assert (end["status"], end["reason"], end["next"], end["return_code"]) == ("terminated", reason, following, 143)
    assert (1, 2) not in ends(events)
    assert events[-2]["reason"] == ("interrupted" if mode == "requeue" else "time_limit")
    gone(f"65.{HERE}")


def test_a_second_signal_kills_at_once(work_dir: Path) -> None:
    worker = start(work_dir, workflow(work_dir), job(1, f"trap '' TERM; touch up; sleep 66.{HERE}; sleep 66.{HERE}"))
    until((work_dir / "up").exists, "the job")
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    assert b"SIGTERM: stopping" in worker.stderr.readline()
    worker.send_signal(signal.SIGTERM)
    end = ends(parse(worker.communicate(timeout=20)[0]))[1, 1]
    assert (end["return_code"], end["next"]) == (152, "requeue")


def test_the_end_of_the_time_is_not_the_jobs_fault(torc: Torc, work_dir: Path) -> None:
    events = work(
        torc,
        workflow(work_dir),
        job(1, f"sleep 67.{HERE}"),
        job(2, "true", runtime_s=100),
        args=("-j", "4", "--time-limit", "PT2S"),
    )
    end = ends(events)[1, 1]
    assert (end["status"], end["reason"], end["return_code"], end["next"]) == (
        "terminated",
        "allocation_end",
        143,
        None,
    )
    assert (2, 1) not in ends(events)


def test_torc_cancel_is_heard(work_dir: Path) -> None:
    worker = start(work_dir, workflow(work_dir), job(1, f"touch up; sleep 68.{HERE}"))
    until((work_dir / "up").exists, "the job")
    (work_dir / f"out/claims/wf1_{TOKEN[:8]}/cancel").touch()
    events = parse(worker.communicate(timeout=20)[0])
    assert ends(events)[1, 1]["status"] == "canceled"
    assert events[-2]["reason"] == "canceled"


def test_a_reader_that_leaves_ends_the_worker(work_dir: Path) -> None:
    worker = start(work_dir, workflow(work_dir), job(1, f"touch up; sleep 1.5; sleep 69.{HERE}"), job(2, "sleep 1"))
    assert worker.stdout is not None
    assert worker.stderr is not None
    worker.stdout.close()
    worker.stderr.close()
    assert worker.wait(timeout=20) == 141
    (file,) = (work_dir / "out/events").iterdir()
    assert ends(parse(file.read_bytes()))[1, 1]["next"] == "requeue"


def test_actions(torc: Torc, work_dir: Path) -> None:
    def action(action_id: int, trigger: str, *commands: str, **more: Any) -> dict[str, Any]:
        return {
            "action_id": action_id,
            "trigger_type": trigger,
            "action_type": "run_commands",
            "commands": commands,
            **more,
        }

    manifest = workflow(
        work_dir,
        actions=[
            action(1, "on_workflow_start", "sleep 0.2; echo start >> log"),
            action(2, "on_jobs_ready", "sleep 0.2; echo ready >> log", job_ids=[2]),
            action(
                3,
                "on_jobs_complete",
                "echo complete $TORC_WORKFLOW_ID >> log",
                "false",
                "echo never >> log",
                job_ids=[1, 2],
            ),
            action(4, "on_workflow_complete", "echo end >> log"),
            action(5, "on_worker_complete", "echo bye >> log"),
            action(6, "on_worker_start", "touch hello"),
            {"action_id": 7, "trigger_type": "on_workflow_start", "action_type": "schedule_nodes"},
            action(8, "on_workflow_start", "echo again >> log", executed_run_id=1),
        ],
    )
    events = work(torc, manifest, job(1, "echo one >> log"), job(2, "echo two >> log", status="blocked", waits_for=[1]))
    assert (work_dir / "log").read_text().splitlines() == ["start", "one", "ready", "two", "complete 1", "end", "bye"]
    codes = {e["action_id"]: e["return_code"] for e in events if e.get("event") == "action"}
    assert codes == {1: 0, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0}
    work(torc, manifest, job(3, "true"))
    assert (work_dir / "log").read_text().splitlines()[7:] == []


def test_an_action_that_waits_for_a_job_and_its_child_does_not_lock(torc: Torc, work_dir: Path) -> None:
    action = {
        "action_id": 1,
        "trigger_type": "on_jobs_ready",
        "action_type": "run_commands",
        "job_ids": [1, 2],
        "commands": ["true"],
    }
    events = work(
        torc, workflow(work_dir, actions=[action]), job(1, "true"), job(2, "true", status="blocked", waits_for=[1])
    )
    assert sorted(ends(events)) == [(1, 1), (2, 1)]


def test_a_monitor_switched_off_takes_no_samples(torc: Torc, work_dir: Path) -> None:
    manifest = workflow(work_dir, config={"resource_monitor": {"enabled": False}})
    end = ends(work(torc, manifest, job(1, "sleep 0.3")))[1, 1]
    assert end["avg_memory_bytes"] is None
    assert end["avg_cpu_percent"] is not None


def test_time_series(torc: Torc, work_dir: Path) -> None:
    monitor = {"granularity": "time_series", "sample_interval_seconds": 1}
    manifest = workflow(work_dir, config={"resource_monitor": monitor})
    work(torc, manifest, job(1, "sleep 0.7", job_name="it"))
    (file,) = (work_dir / "out/resource_utilization").iterdir()
    assert file.name == f"resource_metrics_{socket.gethostname()}_1_1.db"
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT * FROM job_metadata").fetchall() == [(1, "it")]
        rows = db.execute("SELECT job_id, memory_bytes > 0, num_processes FROM job_resource_samples").fetchall()
    assert len(rows) >= 2
    assert rows[0] == (1, 1, 1)


def test_the_peak_that_a_job_is_killed_for_is_in_its_series(torc: Torc, work_dir: Path) -> None:
    monitor = {"granularity": "time_series", "sample_interval_seconds": 60}
    manifest = workflow(work_dir, config={"resource_monitor": monitor})
    eat = f"exec {PYTHON} -c 'import time; time.sleep(0.6); x = bytearray(150 << 20); time.sleep(30)'"
    end = ends(work(torc, manifest, job(1, eat, memory_bytes=100 << 20)))[1, 1]
    (file,) = (work_dir / "out/resource_utilization").iterdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        (most,) = db.execute("SELECT max(memory_bytes) FROM job_resource_samples").fetchone()
    assert (end["reason"], most) == ("memory_limit", end["peak_memory_bytes"])


def test_the_machine_is_watched_where_it_is_asked_for(torc: Torc, work_dir: Path) -> None:
    scopes = {"jobs": {"enabled": False}, "compute_node": {"granularity": "time_series"}}
    monitor = {"resource_monitor": {"sample_interval_seconds": 0.1, **scopes}}
    end = ends(work(torc, workflow(work_dir, config=monitor), job(1, "sleep 0.5")))[1, 1]
    assert end["peak_missing"] == "not_monitored"
    (file,) = (work_dir / "out/resource_utilization").iterdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM job_resource_samples").fetchone() == (0,)
        found = db.execute("SELECT cpu_percent, memory_bytes FROM system_resource_samples").fetchall()
    assert len(found) >= 3
    assert all(memory > 100 << 20 for _, memory in found)
    assert all(cpu >= 0 for cpu, _ in found[2:])


def test_the_gpus_of_a_job_are_in_its_series(torc: Torc, work_dir: Path) -> None:
    monitor = {"granularity": "time_series", "sample_interval_seconds": 0.1}
    manifest = workflow(work_dir, config={"resource_monitor": monitor})
    fake = {"PYTHONPATH": str(Path(__file__).parent / "data/nvml"), "FAKE_NVML": "2"}
    jobs = job(1, "sleep 0.4", num_gpus=1), job(2, "sleep 0.4")
    work(torc, manifest, *jobs, args=("--num-cpus", "2", "--num-gpus", "2"), env=fake)
    (file,) = (work_dir / "out/resource_utilization").iterdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT DISTINCT job_id, gpu_percent, gpu_memory_bytes FROM job_resource_samples").fetchall()
    assert sorted(rows) == [(1, 30.0, 1 << 30), (2, None, None)]


def test_what_is_switched_off_leaves_nothing_behind(torc: Torc, work_dir: Path) -> None:
    scopes = {"jobs": {"enabled": False, "granularity": "time_series"}, "compute_node": {"enabled": False}}
    end = ends(work(torc, workflow(work_dir, config={"resource_monitor": scopes}), job(1, "sleep 0.3")))[1, 1]
    assert end["avg_memory_bytes"] is None
    assert not (work_dir / "out/resource_utilization").exists()


def test_kill_nine_after_each_write_leaves_whole_lines(torc: Torc, work_dir: Path) -> None:
    lines = text(workflow(work_dir), *(job(n, "true") for n in range(1, 4)))
    for writes in range(1, 15):
        done = torc("torc-work", "-j", 1, "-q", input=lines, env={"TORC_KILL_AFTER_WRITES": str(writes)})
        files = list((work_dir / "out/events").glob("*.jsonl"))
        for file in files:
            assert file.read_bytes().endswith(b"\n")
            assert all(event["type"] == "event" for event in parse(file.read_bytes()))
        for file in (work_dir / "out/claims").rglob("*.r1.*"):
            assert json.loads(file.read_text())["pid"]
            file.unlink()
        for file in files:
            file.unlink()
        if done.returncode == 0:
            break
    assert done.returncode == 0
    assert writes > 8


def test_a_full_disk_is_reported(torc: Torc, work_dir: Path) -> None:
    (work_dir / "out").write_text("not a folder")
    done = torc("torc-work", input=text(workflow(work_dir), job(1, "true")))
    assert done.returncode == 74
    assert b"cannot make" in done.stderr


HEAD = {"type": "workflow", "workflow_id": 1, "run_id": 1, "token": "t", "output_dir": "out"}


def test_a_job_that_removes_the_output_folder_costs_no_other_job(torc: Torc, work_dir: Path) -> None:
    lines = [
        workflow(work_dir),
        job(1, "until rm -rf out; do :; done"),
        job(2, "echo 2", status="blocked", waits_for=[1]),
    ]
    assert {key: end["status"] for key, end in ends(work(torc, *lines)).items()} == {
        (1, 1): "completed",
        (2, 1): "completed",
    }
    (file,) = (work_dir / "out/events").iterdir()
    kept = parse(file.read_bytes())
    assert [event["event"] for event in kept][1:] == ["started", "ended", "started", "ended", "worker_ended"]
    assert (work_dir / "out/job_stdio/job_wf1_j2_r1_a1.o").read_text() == "2\n"


@pytest.mark.parametrize(("folder", "verb"), [("claims", "claim"), ("job_stdio", "start")])
def test_what_the_machine_cannot_start_now_waits_and_fails_nothing(
    torc: Torc, work_dir: Path, folder: str, verb: str
) -> None:
    flow = workflow(work_dir, config={"compute_node_wait_for_new_jobs_seconds": 0.1})
    spoil = job(1, f"until test -e up; do sleep 0.01; done; rm -r out/{folder}; touch out/{folder}", priority=1)
    back = job(3, f"touch up; until grep cannot err; do sleep 0.01; done; rm out/{folder}", priority=1)
    lines = text(flow, spoil, back, job(2, "true", status="blocked", waits_for=[1]))
    shell = ["bash", "-c", 'exec "$@" 2> err', "bash", *command("work"), "-j", "2"]
    done = subprocess.run(shell, input=lines.encode(), cwd=work_dir, stdout=subprocess.PIPE, timeout=60, check=True)
    assert {key: end["status"] for key, end in ends(parse(done.stdout)).items()} == dict.fromkeys(
        [(1, 1), (2, 1), (3, 1)], "completed"
    )
    done = torc("torc-work", "-j", 1, input=text(flow, job(4, spoil["command"]), job(5, "true")))
    assert (done.returncode, list(ends(parse(done.stdout)))) == (74, [(4, 1)])
    assert f"cannot {verb} job 5: Not a directory; starting nothing until that works".encode() in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"type": "job", "command": "true"}, "line 1: job: 'job_id' is missing"),
        ({"type": "job", "job_id": 1}, "line 1: job: 'command' is missing"),
        ({"type": "job", "job_id": 1, "command": "x", "num_cpus": -1}, "line 1: job: 'num_cpus' is -1"),
        ({"type": "job", "job_id": 1, "command": "x", "status": "odd"}, "line 1: job: unknown status 'odd'"),
        (
            {"type": "job", "job_id": 1, "command": "x", "config": {"stdio": {"mode": "odd"}}},
            "line 1: unknown stdio mode",
        ),
        ({"type": "job", "job_id": 1, "command": "x", "waits_for": [{}]}, "line 1: job: 'waits_for[0]' is {}"),
        ({"type": "job", "job_id": 1, "command": "x", "output_files": ["a", 3]}, "line 1: job: 'output_files[1]' is 3"),
        (HEAD | {"actions": [3]}, "line 1: workflow: 'actions[0]' is 3"),
        (
            HEAD | {"actions": [{"action_id": 1, "trigger_type": "on_jobs_ready", "job_ids": 3}]},
            "line 1: record: 'job_ids' is 3",
        ),
        (HEAD | {"event_offsets": [1]}, "line 1: workflow: 'event_offsets' is [1]"),
    ],
)
def test_bad_lines_are_refused(torc: Torc, line: dict[str, Any], message: str) -> None:
    done = torc("torc-work", input=text(line))
    assert done.returncode == 65
    assert message in done.stderr.decode()


@pytest.mark.parametrize(
    ("execution", "bounded", "is_limit"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"limit_runtime": "auto"}, True, False),
        ({"limit_runtime": True}, True, True),
        ({"limit_runtime": False}, False, False),
        ({"limit_runtime": True, "limit_resources": False}, False, False),
    ],
)
def test_when_a_runtime_is_a_limit(execution: dict[str, object], bounded: bool, is_limit: bool) -> None:
    """As torc-create(1), torc-run(1) and torc-work(1) say of limit_runtime."""
    workflow = {"config": {"execution_config": execution}}
    assert worker_manifest.policy(workflow, ended_by_slurm=bounded).limit_runtime is is_limit
