"""torc-sample as a command: what it passes on, where its records go, what it looks at."""

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import Torc, command, said
from prepared import prepare
from test_samples import HOSTILE
from waiting import until

from torc_tools.core import usage_text
from torc_tools.shell import cgroups, nodes, samples

GIB = 1 << 30
BIG = "x = bytearray(200 << 20)"
GPU = Path(__file__).parent / "data" / "nvml"


def records(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_follow_writes_each_sample_and_then_the_usage(torc: Torc) -> None:
    done = torc("torc-sample", "--follow", "--interval", "0.05", "--", "sleep", "0.3")
    *taken, usage = records(done.stderr)
    assert done.stdout == b""
    assert len(taken) >= 2
    assert {record["type"] for record in taken} == {"sample"}
    assert {record["pid"] for record in taken} == {usage["pid"]}
    assert usage["type"] == "usage"


def test_each_sample_comes_as_it_is_taken() -> None:
    """The command ends only when a sample was read."""
    argv = [*command("torc-sample"), "--follow", "--interval", "0.05", "--", "head", "-c1"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["type"] == "sample"
        process.communicate(b"x", timeout=20)
    assert process.returncode == 0


def test_without_follow_there_is_one_line(torc: Torc, work_dir: Path) -> None:
    torc("torc-sample", "--interval", "0.05", "-o", "out", "--", "sleep", "0.2")
    assert [record["type"] for record in records((work_dir / "out").read_bytes())] == ["usage"]


def test_text_is_for_people(torc: Torc) -> None:
    done = torc("torc-sample", "-f", "text", "--", "bash", "-c", "sleep 0.2; exit 3", "a\nb\x1b[31m")
    lines = said(done)
    assert done.returncode == 3
    assert lines[0] == r"command      bash -c 'sleep 0.2; exit 3' 'a\nb\x1b[31m'"
    assert lines[1] == "exit status  3"
    assert [line.split("  ")[0] for line in lines[2:]] == ["elapsed", "CPU time", "CPU", "memory", "processes"]
    sample, *_ = said(torc("torc-sample", "-f", "text", "--follow", "--", "sleep", "0.2"))
    assert sample.endswith("1 process")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"peak_memory_bytes": None, "peak_missing": "too_short", "peak_below_bytes": 15 << 20},
         "memory       less than 15.0 MB: it ended before it was looked at"),
        ({"peak_memory_bytes": None}, "memory       not known: no sample was taken"),
        ({"peak_memory_bytes": GIB, "peak_source": "cgroup", "avg_memory_bytes": 1 << 20},
         "memory       1.00 GB at most (known by the kernel, of the whole control group), 1.0 MB on average"),
        ({"exec_time_s": 3723.456}, "elapsed      1:02:03.46"),
        ({"exec_time_s": 59.999}, "elapsed      1:00.00"),
        ({"peak_gpu_percent": 100.0, "avg_gpu_percent": 50.25}, "GPU          50.2 % on average, 100.0 % at most"),
        ({"peak_gpu_memory_bytes": GIB}, "GPU memory   1.00 GB at most"),
    ],
)  # fmt: skip
def test_lines_of_text(fields: dict[str, object], line: str) -> None:
    usage = {"type": "usage", "command": ["x"], "return_code": 0, "exec_time_s": 1.0, "cpu_time_s": 1.0, **fields}
    assert line in usage_text.text(usage)
    assert usage_text.text({"type": "end"}) == []


def test_a_short_command_has_a_bound_where_nobody_knows_its_peak(torc: Torc) -> None:
    (usage,) = records(torc("torc-sample", "--", "true").stderr)
    if usage["peak_memory_bytes"] is None:  # it may have been seen, on a slow machine
        assert usage["peak_missing"] == "too_short"
        assert 1 << 20 < int(str(usage["peak_below_bytes"])) < 100 << 20


def test_arguments_that_are_not_text(torc: Torc, work_dir: Path) -> None:
    bad = b"\xff\x9b\x7f".decode(errors="surrogateescape")
    done = torc("torc-sample", "--db", "x.db", "--interval", "0.05", "--", "bash", "-c", "sleep 0.2", bad, HOSTILE)
    assert done.returncode == 0
    (usage,) = records(done.stderr)
    assert usage["command"] == ["bash", "-c", "sleep 0.2", "\\xff\\x9b\x7f", HOSTILE]
    assert b"\x7f" not in done.stderr
    (seen,) = samples.read("x.db")
    assert seen.job_name.endswith(HOSTILE)


def test_a_database_of_its_samples(torc: Torc, work_dir: Path) -> None:
    for number in (1, 2):
        done = torc("torc-sample", "--db", "a ?b.db", "--interval", "0.05", "--", "sleep", "0.2", "0")
        assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
        seen = list(samples.read("a ?b.db"))
        assert [series.job_id for series in seen] == list(range(1, number + 1))
        assert {series.job_name for series in seen} == {"sleep 0.2 0"}
        assert len(seen[-1].times) >= 2
    assert os.listdir() == ["a ?b.db"]


def test_inside_a_job_its_samples_are_the_jobs(torc: Torc, work_dir: Path) -> None:
    inside = {"TORC_JOB_ID": "7", "TORC_ATTEMPT_ID": "2", "TORC_JOB_NAME": HOSTILE}
    done = torc("torc-sample", "--db", "x.db", "--follow", "--", "sleep", "0.2", env=inside)
    sample, *_, usage = records(done.stderr)
    assert [sample[key] for key in ("job_id", "attempt_id", "job_name")] == [7, 2, HOSTILE]
    assert usage["job_id"] == 7
    (seen,) = samples.read("x.db")
    (again,) = samples.from_records(records(done.stderr))
    assert (seen.job_id, seen.attempt_id, seen.job_name) == (again.job_id, again.attempt_id, again.job_name)
    assert again[:3] == (7, HOSTILE, 2)


@pytest.mark.parametrize(("code", "status"), [(0, 74), (3, 3)])
@pytest.mark.parametrize("where", ["-o", "--db"])
def test_a_full_disk_costs_no_command(torc: Torc, work_dir: Path, where: str, code: int, status: int) -> None:
    file = "/dev/full"
    if where == "--db":
        torc("torc-sample", "--db", "x.db", "--", "true")
        file = "x.db"
    line = f"ln -sf /dev/full x.db; sleep 0.3; touch done; exit {code}"
    done = torc("torc-sample", "--interval", "0.05", where, file, "--", "bash", "-c", line)
    assert (work_dir / "done").exists()
    assert done.returncode == status
    assert len([text for text in said(done) if text.startswith("torc-sample: cannot ")]) == 1


def test_a_peak_after_the_last_sample_is_a_sample_too(torc: Torc, work_dir: Path) -> None:
    late = f"import time; time.sleep(0.8); {BIG}"
    done = torc("torc-sample", "--interval", "60", "--db", "x.db", "--", sys.executable, "-c", late)
    (usage,) = records(done.stderr)
    (seen,) = samples.read("x.db")
    assert (usage["peak_source"], max(seen.memory)) == ("kernel", usage["peak_memory_bytes"])


def test_a_database_of_another_is_left_alone(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    before = (work_dir / "torc.db").read_bytes()
    done = torc("torc-sample", "--db", "torc.db", "--", "touch", "ran")
    assert (done.returncode, said(done)) == (65, ["torc-sample: not a database of samples: 'torc.db' has other tables"])
    assert ((work_dir / "torc.db").read_bytes(), os.path.exists("ran")) == (before, False)


@pytest.mark.parametrize("options", [("--db", "."), ("--db", "/dev/full"), ("--db", "rubbish"), ("-o", "no/such/x")])
def test_what_cannot_be_written_from_the_start_runs_nothing(
    torc: Torc, work_dir: Path, options: tuple[str, str]
) -> None:
    (work_dir / "rubbish").write_bytes(b"rubbish" * 1000)
    done = torc("torc-sample", *options, "--", "touch", "ran")
    assert (done.returncode, len(done.stderr.splitlines())) == (74, 1)
    assert not (work_dir / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_every_signal_is_passed_on(work_dir: Path, number: int) -> None:
    line = f"trap 'echo got; exit 5' {number}; touch up; while :; do sleep 0.05; done"
    argv = [*command("torc-sample"), "--", "bash", "-c", line]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        until((work_dir / "up").exists, "the command")
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (5, b"got\n")


def test_a_terminals_interrupt_reaches_the_command_once(work_dir: Path) -> None:
    line = "trap 'echo got >> heard' INT; touch up; while ! test -e heard; do sleep 0.05; done; sleep 0.3; exit 4"
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [*command("torc-sample"), "--", "bash", "-c", line])  # noqa: S606
    until((work_dir / "up").exists, "the command")
    os.write(terminal, b"\x03")
    threading.Thread(target=_drain, args=(terminal,), daemon=True).start()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 4
    assert (work_dir / "heard").read_text() == "got\n"


@pytest.mark.parametrize("args", [("--", "true"), ("--node", "--count", "1"), ("-f", "json", "--", "true")])
def test_a_terminal_gets_text(args: tuple[str, ...]) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [*command("torc-sample"), *args])  # noqa: S606
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (b"elapsed      0:0" in shown, b'"usage"' in shown) == ((False, True) if "json" in args else (True, False))


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


def test_a_daemon_of_the_command_counts(torc: Torc, work_dir: Path) -> None:
    daemon = f"import time; {BIG}; open('up', 'w').close(); time.sleep(1)"
    line = f'(setsid {sys.executable} -c "{daemon}" &) ; while ! test -e up; do sleep 0.02; done; sleep 0.3'
    (usage,) = records(torc("torc-sample", "--interval", "0.1", "--", "bash", "-c", line).stderr)
    assert int(str(usage["peak_memory_bytes"])) > 200 << 20
    assert int(str(usage["peak_num_processes"])) >= 2


def test_what_is_left_behind_is_looked_at_once_more(torc: Torc, work_dir: Path) -> None:
    daemon = f"import time; {BIG}; open('up', 'w').close(); time.sleep(1)"
    line = f'(setsid {sys.executable} -c "{daemon}" &) ; while ! test -e up; do sleep 0.02; done'
    (usage,) = records(torc("torc-sample", "--interval", "60", "--", "bash", "-c", line).stderr)
    assert int(str(usage["peak_memory_bytes"])) > 200 << 20


def test_shared_pages_count_once_in_every_sample(torc: Torc, work_dir: Path) -> None:
    forks = "for _ in range(3):\n  if not os.fork(): time.sleep(0.6); os._exit(0)"
    line = f"import os, time; {BIG}\n{forks}\ntime.sleep(0.5)"
    done = torc("torc-sample", "--pss", "--follow", "--interval", "0.05", "--", sys.executable, "-c", line)
    *taken, usage = records(done.stderr)
    assert (usage["peak_source"], usage["peak_num_processes"]) == ("pss", 4)
    assert 200 << 20 < int(str(usage["peak_memory_bytes"])) < 300 << 20
    assert all(int(str(record["memory_bytes"])) < 300 << 20 for record in taken)


def test_a_reader_that_leaves(torc: Torc) -> None:
    argv = [*command("torc-sample"), "--interval", "0.02", "--node"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGINT, 130)])
def test_the_machine_until_a_signal_comes(torc: Torc, work_dir: Path, number: int, status: int) -> None:
    argv = [*command("torc-sample"), "--interval", "0.1", "--node", "--db", "x.db", "--follow"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        begin = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
    first, *taken, usage, last = records(b"".join(begin) + rest)
    assert (process.returncode, first["type"], usage["type"], last["count"]) == (
        status,
        "begin",
        "usage",
        len(taken) + 1,
    )
    assert (taken[0]["node"], taken[0]["num_cpus"], taken[0]["cpu_percent"]) == (
        os.uname().nodename,
        os.cpu_count(),
        None,
    )
    cpu = taken[1]["cpu_percent"]
    assert isinstance(cpu, float)
    assert 0 <= cpu <= 100 * (os.cpu_count() or 1)
    assert 0 < int(str(usage["peak_memory_bytes"])) < int(str(usage["total_memory_bytes"]))
    node = samples.node("x.db")
    assert node is not None
    assert (len(node.times), node.total_memory[0]) == (len(taken), usage["total_memory_bytes"])
    assert node.summary is not None
    assert node.summary.samples == len(taken)
    assert abs(node.cpu[1] * (os.cpu_count() or 1) - cpu) < 1
    assert list(samples.read("x.db")) == []


def test_the_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    known = nodes.Node().sample()
    monkeypatch.setattr(nodes, "_PROC", False)
    monkeypatch.setattr(nodes, "_WINDOW_S", 0)
    node = nodes.Node()
    first, second = node.sample(), node.sample()
    assert (first.cpu_percent, first.total_memory_bytes) == (None, known.total_memory_bytes)
    assert 0 <= (second.cpu_percent or 0) <= 100
    assert 0 < second.memory_bytes < second.total_memory_bytes
    assert (second.num_processes or 0) > 1


def test_with_a_database_alone_samples_are_not_written(torc: Torc, work_dir: Path) -> None:
    done = torc("torc-sample", "--node", "--interval", "0.05", "--count", 2, "--db", "x.db")
    assert [record["type"] for record in records(done.stdout)] == ["begin", "usage", "end"]
    done = torc("torc-sample", "--pid", os.getpid(), "--interval", "0.05", "--count", 2, "--db", "x.db")
    assert done.returncode == 0
    (seen,) = samples.read("x.db")
    assert seen.job_name.startswith(f"pid {os.getpid()} ")


def test_to_a_file_and_as_text(torc: Torc, work_dir: Path) -> None:
    torc("torc-sample", "--node", "--interval", "0.05", "--count", 1, "-o", "out")
    found = records((work_dir / "out").read_bytes())
    assert [record["type"] for record in found] == ["begin", "sample", "usage", "end"]
    done = torc("torc-sample", "--node", "--interval", "0.05", "--count", 1, "-f", "text")
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith(f"node {os.uname().nodename}  -  ")
    assert lines[1] == f"looked at    node {os.uname().nodename}"


@pytest.mark.parametrize(
    "args",
    [
        (), ("--node", "--pid", 1), ("--node", "true"), ("--pss", "--node"), ("--pss", "--cgroup", "/"),
        ("--interval", "nan", "true"), ("--format", "csv", "true"), ("--count", 0, "--node"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(torc: Torc, args: tuple[object, ...]) -> None:
    assert torc("torc-sample", *args).returncode == 2


def test_what_is_not_there(torc: Torc) -> None:
    for args in (("--pid", 2**22 + 7), ("--cgroup", "/no/such"), ("--cgroup", "."), ("--cgroup", "")):
        done = torc("torc-sample", *args)
        assert (done.returncode, len(said(done))) == (66, 1), args


def version_two(folder: Path) -> Path:
    """Make a folder with what a control group of version 2 shows."""
    (folder / "below").mkdir(parents=True)
    texts = {
        "cgroup.procs": "1\n2\n",
        "below/cgroup.procs": "3\n",
        "memory.stat": "anon 1000\nfile 5000\nkernel 30\nshmem 200\nactive_file 9\n",
        "memory.current": "6000\n",
        "memory.peak": "9000\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def test_a_control_group_of_version_two(torc: Torc, work_dir: Path) -> None:
    folder = version_two(work_dir / "group")
    assert cgroups.Cgroup(str(folder)).sample() == (2.5, 1200, 3)
    done = torc("torc-sample", "--cgroup", folder, "--interval", "0.05", "--count", 2)
    _, first, second, usage, _ = records(done.stdout)
    assert (first["cgroup"], first["memory_bytes"], first["cpu_percent"]) == (str(folder), 1200, None)
    assert (second["num_processes"], second["cpu_percent"]) == (3, None)
    # Of the peak of 9000 bytes, 4800 may be what is cached of files.
    assert (usage["peak_memory_bytes"], usage["peak_source"], usage["avg_memory_bytes"]) == (4200, "cgroup", 1200)


def test_a_control_group_of_version_one_in_its_trees(work_dir: Path) -> None:
    mounts = "tmpfs / tmpfs rw 0 0\n"
    for controller in ("cpu", "cpu acct", "memory", "pids"):
        root = work_dir / controller
        (root / "job/7").mkdir(parents=True)
        (root / "job/7/cgroup.procs").write_text("1\n")
        escaped = str(root).replace(" ", "\\040").replace("'", "\\047")
        mounts += f"cgroup {escaped} cgroup rw 0 0\n"
    (work_dir / "mounts").write_text(mounts)
    (work_dir / "memory/job/7/memory.stat").write_text(
        "rss 1\ncache 500\nshmem 0\ntotal_rss 70\ntotal_cache 30\ntotal_shmem 20\n"
    )
    (work_dir / "memory/job/7/memory.max_usage_in_bytes").write_text("200\n")
    (work_dir / "cpu/job/7/cpu.stat").write_text("nr_periods 0\nthrottled_time 0\n")  # says no CPU time
    (work_dir / "cpu acct/job/7/cpuacct.usage").write_text("1500000000\n")
    for name in ("/job/7", "//job//7/", str(work_dir / "pids/job/7")):
        group = cgroups.Cgroup(name, str(work_dir / "mounts"))
        assert (group.name, group.sample(), group.peak_bytes) == ("/job/7", (1.5, 90, 1), 190)


def test_what_a_control_group_does_not_count_is_null(torc: Torc, work_dir: Path) -> None:
    for away, key in (("cpu.stat", "cpu_percent"), ("memory.stat", "memory_bytes")):
        folder = version_two(work_dir / away)
        for path in folder.glob(away.replace("stat", "*")):
            path.unlink()
        done = torc("torc-sample", "--cgroup", folder, "--interval", "0.15", "--count", 2)
        _, _, second, usage, _ = records(done.stdout)
        known = {"cpu_percent": 0.0, "memory_bytes": 1200}
        assert {name: second[name] for name in known} == {**known, key: None}
        assert ("not_monitored" if key == "memory_bytes" else None) == usage["peak_missing"]
        nothing = [name for name in usage if usage[name] is None and name not in ("return_code", "peak_missing")]
        named = ["cpu_time_s", "peak_cpu_percent", "avg_cpu_percent"]
        assert nothing == (named if key == "cpu_percent" else ["peak_memory_bytes", "avg_memory_bytes", "peak_source"])
        text = torc("torc-sample", "-f", "text", "--cgroup", folder, "--interval", "0.15", "--count", 1).stdout.decode()
        assert ("its control group does not count it" if key == "memory_bytes" else "CPU time     -\n") in text


def test_a_control_group_that_goes_ends_the_samples(work_dir: Path) -> None:
    folder = version_two(work_dir / "group")
    argv = [*command("torc-sample"), "--cgroup", str(folder), "--interval", "0.05"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert json.loads(process.stdout.readline())["num_processes"] == 3
        for name in ("cgroup.procs", "below/cgroup.procs"):
            (folder / name).write_text("")
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, records(out)[-1]["type"]) == (0, "end")


def test_gpus(torc: Torc, work_dir: Path) -> None:
    fake = {"PYTHONPATH": str(GPU), "FAKE_NVML": "2"}
    done = torc("torc-sample", "--db", "x.db", "--follow", "--interval", "0.05", "--", "sleep", "0.3", env=fake)
    *taken, usage = records(done.stderr)
    # The first process of the tree runs on the first GPU, by 30 %; a stranger on both.
    assert {(record["gpu_percent"], record["gpu_memory_bytes"]) for record in taken} == {(30.0, 1 << 30)}
    assert (usage["peak_gpu_percent"], usage["avg_gpu_percent"]) == (30.0, 30.0)
    assert usage["peak_gpu_memory_bytes"] == 1 << 30
    (seen,) = samples.read("x.db")
    assert seen.gpu is not None
    assert seen.gpu[0] == 30
    (_, sample, *_) = records(torc("torc-sample", "--node", "--count", 1, env=fake).stdout)
    assert (sample["gpu_percent"], sample["gpu_memory_bytes"]) == (140.0, 6 << 30)


@pytest.mark.parametrize("how", ["none", "broken", "0", "silent"])
def test_without_gpus_there_is_no_word_of_them(torc: Torc, work_dir: Path, how: str) -> None:
    fake = {"PYTHONPATH": str(GPU), "FAKE_NVML": how} if how != "none" else {}
    done = torc("torc-sample", "--follow", "--interval", "0.05", "--", "sleep", "0.1", env=fake)
    assert done.returncode == 0
    assert b"gpu" not in done.stderr.lower()
    assert b"gpu" not in torc("torc-sample", "--node", "--count", 1, env=fake).stdout


def test_a_killed_torc_sample_leaves_what_it_wrote(work_dir: Path) -> None:
    argv = [*command("torc-sample"), "--interval", "60", "--node", "--db", "x.db"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:

        def there() -> bool:
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect("file:x.db?mode=ro", uri=True)) as db,
            ):
                return bool(db.execute("SELECT count(*) FROM system_resource_samples").fetchone()[0])
            return False

        until(there, "samples")
        process.kill()
    node = samples.node("x.db")
    assert node is not None
    assert len(node.times) >= 1
