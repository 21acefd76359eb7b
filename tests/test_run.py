"""torc-run: specs, ids and command lines; kills, interrupts and second calls lose nothing and run nothing twice."""

import json
import os
import signal
import subprocess
from collections import Counter

import pytest
from conftest import command
from street import query
from waiting import until

WAITER = "echo up > up; read go < go; echo {name} >> ran"  # says that it runs, and waits for a word


def spec(path, *jobs, **more):
    path.write_text(json.dumps({"name": "w", "jobs": list(jobs), **more}))
    return path


def job(name, text, **more):
    return {"name": name, "command": text, **more}


def summary(done):
    return next(json.loads(line) for line in done.stdout.splitlines() if b'"summary"' in line)


def begin(*arguments):
    """Start a torc-run beside the test; its output is thrown away."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command("torc-run"), *map(str, arguments)], **quiet)


def worker_pid(folder):
    """Give the pid of the worker, once it has said in its event file that its last job runs."""
    (file,) = (folder / "torc_output" / "events").iterdir()
    until(lambda: '"started"' in file.read_text().splitlines()[-1], "the start of a job")
    return json.loads(file.read_text().splitlines()[0])["pid"]


def ran(folder):
    return Counter((folder / "ran").read_text().split())


@pytest.fixture
def gate(work_dir):
    """Two pipes: a job writes its name into `up` and reads from `go` before it goes on."""
    os.mkfifo("up")
    os.mkfifo("go")

    def opened():
        with open("up") as up:
            assert up.read() == "up\n"

    return opened


def release():
    with open("go", "w") as go:
        go.write("go\n")


def test_a_spec_runs_to_its_end(torc, work_dir):
    spec(
        work_dir / "s.json",
        job("one", "echo one >> ran"),
        job("bug", "exit 3"),
        job("two", "echo two >> ran", depends_on=["one"]),
        job("never", "echo never >> ran", depends_on=["bug"]),
        job("anyway", "echo anyway >> ran", depends_on=["bug"], cancel_on_blocking_job_failure=False),
    )
    done = torc("torc-run", "s.json")
    assert done.returncode == 1
    counts = summary(done)["counts"]
    assert (counts["completed"], counts["failed"], counts["canceled"]) == (3, 1, 1)
    assert ran(work_dir) == Counter(["one", "two", "anyway"])
    assert torc("torc-run", 1).returncode == 1
    assert ran(work_dir) == Counter(["one", "two", "anyway"])


def test_all_completed_is_0(torc, work_dir):
    spec(work_dir / "s.json", job("one", "true"))
    assert torc("torc-run", "s.json").returncode == 0


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["-c", "echo a >> ran"], ["a"]),
        (["-c", "echo {i} >> ran", "--param", "i=1:3"], ["1", "2", "3"]),
        (["-c", "echo {i}{x} >> ran", "--param", "i=1:2", "--param", "x=[a,b]"], ["1a", "1b", "2a", "2b"]),
        (["-c", "echo {i}{x} >> ran", "--param", "i=1:2", "--param", "x=[a,b]", "--link", "zip"], ["1a", "2b"]),
        (["-C", "-", "-j", "1"], ["x", "y"]),
    ],
)
def test_plain_command_lines(torc, work_dir, options, lines):
    done = torc("torc-run", *options, input="echo x >> ran\n# a comment\n\necho y >> ran\n")
    assert done.returncode == 0
    assert sorted(ran(work_dir)) == lines
    assert query("SELECT count(*) FROM result") == [(len(lines),)]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, b"what to run?"),
        (["-c", "true", "1"], 2, b"not both"),
        (["nothing"], 66, b"no such spec: 'nothing'"),
        (["nothing.yaml"], 66, b"'nothing.yaml'"),
        (["7"], 66, b"no such"),
        (["²"], 66, b"no such spec"),
        (["9" * 30], 2, b"not an id"),
        (["-C", "nothing"], 66, b"'nothing'"),
        (["-c", "true", "--param", "i"], 2, b"not a parameter"),
        (["7", "--param", "i=1:2"], 2, b"go with -c or -C"),
        (["spec.yaml", "--name", "x"], 2, b"go with -c or -C"),
        (["spec.yaml", "--monitor", "off"], 2, b"go with -c or -C"),
        (["spec.yaml", "-n"], 2, b"--dry-run goes with -c or -C"),
        (["-c", "true", "-n", "--param", "i"], 2, b"not a parameter"),
        (["-c", "true", "--memory", "much"], 2, b"not a memory size"),
        (["-c", "true", "--time-limit", "90"], 2, b"not a duration"),
        (["-c", "true", "--end-time", "tomorrow"], 2, b"not a time"),
        (["-c", "true", "--end-time", "nan"], 2, b"not a time"),
        (["-c", "true", "--end-time", "2000000000", "--time-limit", "PT1H"], 2, b"not allowed with"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(torc, arguments, status, message):
    done = torc("torc-run", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.splitlines()[-1]


def test_the_output_folder_of_a_stored_workflow_may_be_named_but_not_changed(torc, work_dir):
    assert torc("torc-run", "-c", "true", "-o", "out").returncode == 0
    assert torc("torc-run", 1, "-o", "./out").returncode == 0
    done = torc("torc-run", 1, "-o", "other")
    assert done.returncode == 2
    assert b"not in 'other'" in done.stderr


def test_command_lines_say_what_is_sampled_and_where_output_goes(torc, work_dir):
    line = ["-c", "echo {i}", "--param", "i=1:2", "--monitor", "time_series", "--stdio", "combined"]
    shown = torc("torc-run", *line, "-n")
    assert not (work_dir / "torc.db").exists()
    assert torc("torc-run", *line).returncode == 0
    (config,) = query("SELECT config FROM workflow")[0]
    assert '"granularity":"time_series"' in config
    assert '"mode":"combined"' in config
    assert len(list((work_dir / "torc_output" / "job_stdio").glob("*.log"))) == 2
    (work_dir / "s.json").write_bytes(shown.stdout)
    assert torc("torc-run", "s.json").returncode == 0
    assert query("SELECT DISTINCT config FROM workflow") == [(config,)]


def test_a_bad_spec_leaves_no_store_behind(torc, work_dir):
    (work_dir / "s.json").write_text('{"name": "w", "jobs": [{"name": "a"}]}')
    assert torc("torc-run", "s.json").returncode == 65
    assert not (work_dir / "torc.db").exists()


def test_a_missing_input_file_stops_everything_unless_told_otherwise(torc, work_dir):
    spec(
        work_dir / "s.json",
        job("one", "echo one >> ran", input_files=["in"]),
        files=[{"name": "in", "path": "no/such 'file"}],
    )
    done = torc("torc-run", "s.json")
    assert done.returncode == 66
    assert b"missing input: 'no/such 'file'" in done.stderr
    assert not (work_dir / "ran").exists()
    assert torc("torc-run", "-i", 1).returncode == 0


def test_after_kill_9_of_worker_and_run_what_was_running_runs_again_and_nothing_else(torc, work_dir, gate):
    spec(
        work_dir / "s.json",
        job("done", "echo done >> ran"),
        job("busy", WAITER.format(name="busy"), depends_on=["done"]),
        job("last", "echo last >> ran", depends_on=["busy"]),
    )
    first = begin("s.json")
    gate()
    os.kill(worker_pid(work_dir), signal.SIGKILL)
    first.kill()
    first.wait()
    second = begin(1)
    gate()
    release()
    assert second.wait(30) == 0
    assert ran(work_dir) == Counter(["done", "busy", "last"])
    assert query("SELECT result.attempt_id, return_code FROM result JOIN job USING (job_id) WHERE name = 'busy'") == [
        (1, -128),
        (2, 0),
    ]


def test_a_worker_that_is_killed_is_said_and_its_job_is_ready_again(torc, work_dir, gate):
    spec(work_dir / "s.json", job("busy", WAITER.format(name="busy")))
    first = begin("s.json")
    gate()
    os.kill(worker_pid(work_dir), signal.SIGKILL)
    assert first.wait(30) == 75
    assert query("SELECT status, attempt_id FROM job") == [(2, 2)]


def test_a_worker_that_outlives_its_torc_run_is_followed(torc, work_dir, gate):
    spec(work_dir / "s.json", job("busy", WAITER.format(name="busy")))
    first = begin("s.json")
    gate()
    first.kill()
    first.wait()
    second = begin(1)
    release()
    assert second.wait(30) == 0
    assert ran(work_dir) == Counter(["busy"])
    assert query("SELECT attempt_id, return_code FROM result") == [(1, 0)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_state_that_goes_on(torc, work_dir, gate, number):
    spec(work_dir / "s.json", job("busy", WAITER.format(name="busy")))
    first = begin("s.json")
    gate()
    first.send_signal(number)
    assert first.wait(30) == 130
    assert query("SELECT status, attempt_id FROM job") == [(2, 2)]
    assert query("SELECT count(*) FROM result") == [(1,)]
    second = begin(1)
    gate()
    release()
    assert second.wait(30) == 0
    assert ran(work_dir) == Counter(["busy"])


def test_under_nohup_a_hangup_is_nothing(torc, work_dir, gate):
    spec(work_dir / "s.json", job("busy", WAITER.format(name="busy")))
    first = subprocess.Popen(
        ["nohup", *command("torc-run"), "s.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    gate()
    first.send_signal(signal.SIGHUP)
    release()
    assert first.wait(30) == 0


def test_a_store_that_is_locked_while_the_worker_works_does_not_end_the_run(torc, work_dir):
    lock = "import sqlite3; db = sqlite3.connect('torc.db', timeout=60); db.execute('BEGIN EXCLUSIVE')"
    wait = "while 'trying again' not in open('err').read(): pass"
    (work_dir / "lock.py").write_text(f"{lock}\n{wait}\n")
    spec(work_dir / "s.json", job("lock", "python3 lock.py; echo lock >> ran"), job("next", "echo next >> ran"))
    assert torc("torc-create", "s.json").returncode == 0
    with open("err", "w") as err:
        line = [*command("torc-run"), "-j", "1", "1"]
        done = subprocess.run(line, stderr=err, env={**os.environ, "TORC_BUSY_S": "0.1"}, timeout=60, check=False)
    assert done.returncode == 0
    assert (work_dir / "err").read_text().count("store: database is locked: trying again") == 1
    assert ran(work_dir) == Counter(["lock", "next"])


def test_two_at_once_run_nothing_twice(torc, work_dir):
    spec(work_dir / "s.json", *(job(f"j{i}", f"echo {i} >> ran") for i in range(40)))
    assert torc("torc-create", "s.json").returncode == 0
    both = [begin(1), begin(1)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert ran(work_dir) == Counter(str(i) for i in range(40))


def test_after_a_reset_actions_of_reset_jobs_fire_again_and_the_start_does_not(torc, work_dir):
    def action(trigger, word, **more):
        return {"trigger_type": trigger, "action_type": "run_commands", "commands": [f"echo {word} >> ran"], **more}

    spec(
        work_dir / "s.json",
        job("a", "test -e cured"),
        job("b", "true"),
        actions=[
            action("on_workflow_start", "start"),
            action("on_jobs_complete", "a_over", jobs=["a"]),
            action("on_jobs_complete", "b_over", jobs=["b"]),
            action("on_workflow_complete", "complete"),
        ],
    )
    assert torc("torc-run", "s.json").returncode == 1
    assert ran(work_dir) == Counter(["start", "a_over", "b_over", "complete"])
    (work_dir / "cured").touch()
    assert torc("torc-reset", "-w", 1, "--failed").returncode == 0
    assert torc("torc-run", 1).returncode == 0
    assert ran(work_dir) == Counter({"start": 1, "a_over": 2, "b_over": 1, "complete": 2})


def test_a_command_longer_than_an_argument_may_be_runs_as_any_other(torc, work_dir):
    words = "x" * 200_000
    spec(work_dir / "s.json", job("long", f"echo $0 $# {words} | wc -c; ls /proc/self/fd | wc -l; exit 3"))
    torc("torc-run", "s.json")
    assert query("SELECT return_code FROM result") == [(3,)]
    size, descriptors = (work_dir / "torc_output" / "job_stdio" / "job_wf1_j1_r1_a1.o").read_text().split()
    assert (int(size), int(descriptors)) == (len(f"bash 0 {words}\n"), 4)
