"""torc-sample with real processes, and the reading of /proc beneath it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Torc, command
from waiting import until

from torc_tools.shell import liveness, procs, trees

BIG = "x = bytearray(200 << 20)"


def test_a_command_is_passed_through_and_measured(torc: Torc, work_dir: Path) -> None:
    line = f"import os, sys; {BIG}; print(sys.stdin.read()); print('err', file=sys.stderr); sys.exit(3)"
    done = torc("torc-sample", "-o", "usage", "--", sys.executable, "-c", line, input="hello")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"err\n")
    usage = json.loads((work_dir / "usage").read_text().splitlines()[-1])
    assert (usage["type"], usage["return_code"]) == ("usage", 3)
    assert usage["peak_memory_bytes"] > 200 << 20
    assert usage["cpu_time_s"] > 0


def test_the_peak_of_the_kernel_counts_also_where_a_large_program_started_us(torc: Torc) -> None:
    large = bytearray(300 << 20)
    usage = json.loads(torc("torc-sample", "--", sys.executable, "-c", BIG).stderr)
    assert 200 << 20 < usage["peak_memory_bytes"] < len(large)
    assert usage["peak_source"] in ("kernel", "sampled")  # a slow machine sees it, too


def test_the_usage_goes_to_standard_error(torc: Torc) -> None:
    done = torc("torc-sample", "true")
    assert done.stdout == b""
    assert json.loads(done.stderr)["command"] == ["true"]


def test_signals_are_passed_on(work_dir: Path) -> None:
    argv = [
        *command("torc-sample"),
        "--",
        "bash",
        "-c",
        "trap 'echo got; exit 5' TERM; touch up; while :; do sleep 0.05; done",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until((work_dir / "up").exists, "the command")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (5, b"got\n")


@pytest.mark.parametrize(("argv", "status"), [(["nope-nope"], 127), (["/"], 126), (["bash", "-c", "kill -9 $$"], 137)])
def test_statuses(torc: Torc, argv: list[str], status: int) -> None:
    assert torc("torc-sample", "--", *argv).returncode == status


def test_a_process_is_sampled_until_it_ends(torc: Torc) -> None:
    with subprocess.Popen(["sleep", "0.5"]) as process:
        done = torc("torc-sample", "--interval", "0.1", "--pid", process.pid)
    first, *samples, usage, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["type"], last["type"], last["count"]) == ("begin", "end", len(samples) + 1)
    assert 1 <= len(samples) <= 8
    assert (usage["type"], usage["command"], usage["return_code"]) == ("usage", ["sleep", "0.5"], None)
    assert usage["peak_memory_bytes"] == max(sample["memory_bytes"] for sample in samples)
    assert samples[0]["cpu_percent"] is None
    assert all(sample["num_processes"] == 1 and sample["memory_bytes"] > 0 for sample in samples)


def test_usage_errors(torc: Torc) -> None:
    assert torc("torc-sample").returncode == 2
    assert torc("torc-sample", "--pid", 1, "true").returncode == 2
    assert torc("torc-sample", "--count", 1, "true").returncode == 2
    assert torc("torc-sample", "--interval", 0, "true").returncode == 2
    assert torc("torc-sample", "-o", "no/such/dir", "true").returncode == 74


def test_shared_pages_count_once() -> None:
    forks = "for _ in range(3):\n  if not os.fork(): signal.pause()"
    line = f"import os, signal; {BIG}\n{forks}\nprint(1, flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = trees.Tree(process.pid)
        taken = tree.sample(0)
        resident = tree.resident_bytes()
        tree.signal(signal.SIGKILL)
    assert taken.num_processes == 4
    assert resident > 800 << 20
    assert 200 << 20 < taken.memory_bytes < 300 << 20


def test_a_moment_of_memory_between_two_samples_is_seen() -> None:
    line = f"import sys, signal\nsys.stdin.readline(); {BIG}; del x; print(1, flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = trees.Tree(process.pid)
        before = tree.sample(0).memory_bytes
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        after, later = tree.sample(before).memory_bytes, tree.sample(before).memory_bytes
        tree.signal(signal.SIGKILL)
    assert before < 100 << 20
    assert after > 200 << 20
    assert later < 100 << 20


def test_what_is_gone_has_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    pid = process.pid
    assert (procs.resident_bytes(pid), procs.cpu_seconds(pid), procs.resident_and_high_bytes(pid)) == (0, 0.0, (0, 0))
    assert (procs.children(pid), liveness.start_ticks(pid), procs.proportional_bytes(pid)) == ([], None, None)
    assert procs.environment(pid) == [b""]


def test_where_the_kernel_lists_no_children_all_processes_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["bash", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        known = procs.descendants([process.pid])
        monkeypatch.setattr(procs, "_KERNEL_LISTS_CHILDREN", False)
        assert procs.descendants([process.pid]) == known == [process.pid, child]
        assert process.pid in procs.children(os.getpid())
        trees.kill([process.pid])


def test_without_proc_psutil_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procs, "PROC", False)
    with subprocess.Popen(["bash", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(procs.descendants([process.pid])) == 2
        assert procs.resident_bytes(process.pid) > 0
        assert procs.cpu_seconds(process.pid) >= 0
        trees.kill([process.pid])
    assert procs.resident_bytes(process.pid) == 0


def test_a_full_disk_does_not_leave_the_command_alone(torc: Torc, work_dir: Path) -> None:
    done = torc("torc-sample", "--interval", "0.01", "-o", "/dev/full", "--", "bash", "-c", "sleep 0.3; touch done")
    assert done.returncode == 74
    assert b"No space left" in done.stderr
    assert (work_dir / "done").exists()
