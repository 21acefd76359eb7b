"""torc-work with an srun that does what a healthy one does not: fails, is busy, dies; and what srun is asked for."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc, command, script
from slurmtexts import squeue, waiting
from test_work import PYTHON, Events, config, ends, job, parse, text, workflow
from waiting import until

from torc_tools.core import steps
from torc_tools.core.packing import Capacity
from torc_tools.flows import worker_allocation
from torc_tools.shell import endnotes
from torc_tools.shell.claims import Claims

MIB = 1 << 20
FUTURE = 1 << 33
PLAIN = steps.Step(
    allocation="9",
    name="wf1_j2_r1_a1",
    node=None,
    num_cpus=4,
    memory_bytes=8 << 30,
    num_gpus=0,
    no_gpus=False,
    minutes=None,
    overlap=False,
    bind=False,
    mpi=None,
)
SRUN = r"""#!/bin/bash
echo "${*//$'\n'/ }" >> "$FAKE/asked"
out=/dev/null err=/dev/null
while [[ $1 = --* ]]; do
    case $1 in --output=*) out=${1#*=} err=${1#*=} ;; --error=*) err=${1#*=} ;; esac
    shift
done
number=$(wc -l < "$FAKE/asked")
[ -e "$FAKE/before" ] && . "$FAKE/before"
setsid -w "$@" > "$out" 2> "$err" < /dev/null
code=$?
[ -e "$FAKE/after" ] && . "$FAKE/after"
[ $code = 0 ] || echo "srun: error: n1: task 0: Exited with exit code $code" >&2
exit $code
"""


class Fake:
    """A folder with an srun of our own, and an environment that looks like an allocation."""

    def __init__(self, folder: Path, torc: Torc) -> None:
        self.folder, self._torc = folder, torc
        folder.mkdir()
        for name, body in (("srun", SRUN), ("squeue", "exit 1\n"), ("scancel", 'echo "$*" >> "$FAKE/canceled"\n')):
            (folder / name).write_text(body if name == "srun" else f"#!/bin/sh\n{body}")
            (folder / name).chmod(0o755)
        self.env = {**os.environ, "FAKE": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
        self.env |= {"SLURM_JOB_ID": "9", "SLURM_JOB_NODELIST": "n1", "SLURMD_NODENAME": "n1"}
        self.env |= {"SLURM_JOB_CPUS_PER_NODE": "4", "SLURM_MEM_PER_NODE": "8000"}
        self.env["SLURM_JOB_END_TIME"] = str(int(time.time()) + 3600)

    def work(self, *lines: dict[str, Any], args: tuple[object, ...] = ()) -> Events:
        """Run torc-work in the allocation; give its events."""
        done = self._torc("torc-work", *args, input=text(*lines), env=self.env)
        assert done.returncode == 0, done.stderr.decode()
        self.said = done.stderr.decode()
        return parse(done.stdout)

    def waits(self, *jobs: tuple[int, str]) -> None:
        """Let squeue say that these wait: ids and names."""
        (self.folder / "queue").write_text(squeue(*(waiting(job_id, "PENDING", NAME=name) for job_id, name in jobs)))
        script(self.folder / "squeue", f'cat "{self.folder}/queue"')

    def asked(self) -> list[str]:
        """Give what srun was called with, call by call."""
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def fake(work_dir: Path, torc: Torc) -> Fake:
    """Give an allocation with a fake srun."""
    return Fake(work_dir / "fake", torc)


def flow(fake: Fake, **fields: Any) -> dict[str, Any]:
    """Give a workflow record with a token that no other test's processes carry."""
    return workflow(fake.folder.parent, token=os.urandom(16).hex(), **fields)


def fate(events: Events, *keys: str) -> list[tuple[Any, ...]]:
    """Give some fields of each end, in order of job and attempt."""
    return [tuple(end[key] for key in keys) for _, end in sorted(ends(events).items())]


@pytest.mark.parametrize(
    ("change", "there", "away"),
    [
        ({}, "--jobid=9 --job-name=wf1_j2_r1_a1 --nodes=1 --ntasks=1 --exact --mem=8192M", "--time --gpus"),
        ({}, "--cpus-per-task=4", ""),
        ({}, "--cpu-bind=none --kill-on-bad-exit=0 --wait=0", "--mpi --overlap --gres --nodelist --signal"),
        ({"memory_bytes": 500_000}, "--mem=1M", ""),
        ({"memory_bytes": 1_500_000}, "--mem=2M", ""),
        ({"memory_bytes": None}, "--mem=0", ""),
        ({"num_gpus": 2}, "--gpus=2", "--gres"),
        ({"no_gpus": True}, "--gres=none", "--gpus"),
        ({"node": "n7", "minutes": 29}, "--nodelist=n7 --time=29", ""),
        ({"bind": True, "mpi": "pmix"}, "--mpi=pmix", "--cpu-bind"),
        ({"overlap": True}, "--overlap", "--exact"),
    ],
)  # fmt: skip
def test_what_srun_is_asked_for(change: dict[str, Any], there: str, away: str) -> None:
    words = steps.argv(PLAIN._replace(**change), ("a.o", "a.e"), ["true"])
    assert [word for word in there.split() if word not in words] == []
    assert [word for word in words for option in away.split() if word.split("=")[0] == option] == []


def test_paths_reach_srun_as_they_are() -> None:
    words = steps.argv(PLAIN, ("/a b/100%j.log", "/a b/100%j.log"), ["bash", "-c", "x"])
    assert "--output=/a b/100%%j.log" in words
    assert not any(word.startswith("--error") for word in words)
    assert "--output=/a\\b%j" in steps.argv(PLAIN, ("/a\\b%j", None), ["x"])
    assert "--error=/dev/null" in steps.argv(PLAIN, (None, None), ["x"])


@pytest.mark.parametrize(
    ("runtime", "left", "minutes"),
    [(None, 1800, 29), (None, 1801, 30), (None, 120, 1), (None, 30, 1), (3000, 1800, 50), (60, None, None)],
)
def test_a_step_has_at_least_the_time_of_its_job(runtime: int | None, left: int | None, minutes: int | None) -> None:
    assert steps.minutes(runtime, left, 60) == minutes


@pytest.mark.parametrize(
    ("count", "window"), [(1, 0), (2, 2), (10, 10), (11, 10), (50, 32), (99, 59), (100, 60), (1000, 60)]
)
def test_the_starts_of_allocations_are_spread(count: int, window: int) -> None:
    waits = [steps.delay_s(place, count) for place in range(count)]
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] == pytest.approx(window * (count - 1) / count)


def test_an_allocation_that_starts_long_after_the_first_waits_no_more(tmp_path: Path) -> None:
    lines = [f'{{"allocation_id": {number}, "slurm_job_id": "{number}"}}\n' for number in (4, 5, 6)]
    (tmp_path / "allocations.jsonl").write_text("".join(lines))
    claims = Claims(str(tmp_path), {})
    assert worker_allocation.delay_s(claims, 4, 6) == 2
    assert claims.take("allocation4")
    os.utime(tmp_path / "allocation4", (FUTURE, FUTURE))
    assert [worker_allocation.delay_s(claims, 4, number) for number in (4, 5, 6)] == [0, 1, 2]
    os.utime(tmp_path / "allocation4", (1, 1))
    assert [worker_allocation.delay_s(claims, 4, number) for number in (4, 5, 6)] == [0, 0, 0]


def test_an_allocation_is_read_from_its_environment() -> None:
    base = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_CPUS_PER_NODE": "4(x2),8"}
    found = steps.allocation({**base, "SLURM_MEM_PER_CPU": "100"}, 64, 1 << 40, 0)
    assert found is not None
    assert [(name, node[0], node[1]) for name, node in found.nodes.items()] == [
        ("n1", 4, 400 * MIB), ("n2", 4, 400 * MIB), ("n3", 8, 800 * MIB)]  # fmt: skip
    per_node = {**base, "SLURM_STEP_ID": "0", "SLURM_NTASKS": "3", "SLURMD_NODENAME": "n2", "SLURM_CPUS_ON_NODE": "4"}
    found = steps.allocation({**per_node, "SLURM_MEM_PER_NODE": "300", "SLURM_GPUS_ON_NODE": "2"}, 64, 1 << 40, 0)
    assert found is not None
    assert (found.nodes, found.in_step, found.has_gpus) == ({"n2": Capacity(4, 300 * MIB, 2, None)}, True, True)
    found = steps.allocation({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "0"}, 64, 1 << 40, 0)
    assert found is not None
    assert found.nodes == {"localhost": Capacity(64, 1 << 40, 0, None)}
    found = steps.completed(found, {"NumNodes": "1", "TRES": "cpu=4,mem=6000M,node=1", "EndTime": "1795321480"})
    assert (found.nodes["localhost"].memory_bytes, found.end_at) == (6000 * MIB, 1795321480.0)
    assert steps.allocation({}, 1, 1, 0) is None


def test_srun_takes_no_options_from_the_environment() -> None:
    kept = {"SLURM_JOB_ID": "1", "SLURM_CONF": "c", "PATH": "p", "SLURM_RESTART_COUNT": "1", "SLURM_JOB_NODELIST": "n"}
    dropped = ("SLURM_NTASKS", "SRUN_CPUS_PER_TASK", "SLURM_MEM_PER_CPU", "SLURM_EXPORT_ENV", "SLURM_WAIT", "SBATCH_X")
    assert steps.environment({**kept, **dict.fromkeys(dropped, "1")}) == kept


def test_a_job_runs_as_a_step(fake: Fake) -> None:
    events = fake.work(flow(fake), job(1, "echo $TORC_JOB_ID", memory_bytes=MIB), job(2, "exit 3"))
    assert fate(events, "status", "return_code", "slurm_step_name") == [
        ("completed", 0, "wf1_j1_r1_a1"),
        ("failed", 3, "wf1_j2_r1_a1"),
    ]
    assert sorted(line.split("--mem=")[1].split()[0] for line in fake.asked()) == ["0", "1M"]
    assert (fake.folder.parent / "out/job_stdio/job_wf1_j1_r1_a1.o").read_text() == "1\n"


def test_the_settings_of_a_job_are_not_those_of_srun(fake: Fake) -> None:
    """A hostile or innocent `env` reaches the job, and neither srun nor the shell that notes the job's end."""
    (fake.folder / "before").write_text('env > "$FAKE/env"\n')
    (fake.folder / "be").write_text("echo sourced\n")
    own = {"SLURM_CONF": "/nowhere", "SLURM_DISTRIBUTION": "a 'b'", "LD_PRELOAD": "", "LD_LIBRARY_PATH": "/odd"}
    (fake.folder / "odd").mkdir()
    script(fake.folder / "odd" / "bash", "exit 9")
    own |= {"PATH": f"{fake.folder}/odd:/usr/bin:/bin", "BASH_ENV": str(fake.folder / "be")}
    events = fake.work(flow(fake), job(1, 'echo "$SLURM_CONF $SLURM_DISTRIBUTION"', config={"env": own}))
    assert fate(events, "status", "return_code") == [("completed", 0)]
    said = (fake.folder.parent / "out/job_stdio/job_wf1_j1_r1_a1.o").read_text()
    assert said == "sourced\n/nowhere a 'b'\n"
    names = {line.partition("=")[0] for line in (fake.folder / "env").read_text().splitlines()}
    assert not names & {"SLURM_CONF", "SLURM_DISTRIBUTION", "LD_LIBRARY_PATH"}


def test_stdio_of_a_job_by_name(fake: Fake) -> None:
    execution = config(job_stdio_overrides={"a": {"mode": "combined"}}, stdio={"mode": "none"})
    fake.work(flow(fake, config=execution), job(1, "echo x", job_name="a"), job(2, "echo y"))
    assert [path.name for path in (fake.folder.parent / "out/job_stdio").iterdir()] == ["job_wf1_j1_r1_a1.log"]


def test_a_job_that_removes_the_folder_of_outputs_takes_only_its_own(fake: Fake) -> None:
    """An srun whose output has no place makes a step that hangs until its time is over."""
    (fake.folder / "before").write_text('[ -d "${out%/*}" ] || exec sleep 100\n')
    fake.work(flow(fake), job(1, 'rm -r "$TORC_OUTPUT_DIR/job_stdio"'), job(2, "echo x", waits_for=[1]))
    assert (fake.folder.parent / "out/job_stdio/job_wf1_j2_r1_a1.o").read_text() == "x\n"


def test_mode_direct_asks_no_srun(fake: Fake) -> None:
    assert fate(fake.work(flow(fake, config=config(mode="direct")), job(1, "true")), "status") == [("completed",)]
    assert fate(fake.work(job(1, "true"), args=("--mode", "direct")), "status") == [("completed",)]
    assert not (fake.folder / "asked").exists()


def test_mode_slurm_needs_an_allocation(torc: Torc, work_dir: Path) -> None:
    done = torc("torc-work", "--mode", "slurm", input=text(job(1, "true")))
    assert (done.returncode, done.stderr) == (69, b"torc-work: mode slurm needs a Slurm allocation, there is none\n")


def test_a_step_that_cannot_be_made_now_is_asked_for_again(fake: Fake) -> None:
    (fake.folder / "before").write_text(
        '[ $number = 3 ] || { echo "srun: error: Unable to create step for job 9: Socket timed out" >&2; exit 1; }'
    )
    events = fake.work(flow(fake), job(1, "true"))
    assert fate(events, "status", "attempt_id") == [("completed", 1)]
    assert len(fake.asked()) == 3
    (end,) = ends(events).values()
    assert end["started_at"] > events[1]["at"] + 1  # the time of the step that was made, not of those that were not
    assert end["ended_at"] == pytest.approx(end["started_at"] + end["exec_time_s"], abs=1e-3)
    assert end["ended_at"] <= events[-2]["at"]


def test_a_step_that_can_never_be_made_leaves_the_job_to_others(fake: Fake) -> None:
    (fake.folder / "before").write_text(
        'echo "srun: error: Unable to create step for job 9: More processors requested than permitted" >&2; exit 1'
    )
    events = fake.work(flow(fake), job(1, "true"), job(2, "true", waits_for=[1], status="blocked"))
    assert fate(events, "status", "return_code", "reason", "next") == [("failed", 1, "launch_failed", "requeue")]
    assert len(fake.asked()) == 1
    assert "stays ready: it could not be started as a step" in fake.said


def test_an_srun_that_is_killed_costs_the_job_nothing(fake: Fake) -> None:
    (fake.folder / "before").write_text("if [ $number = 1 ]; then kill -9 $$; fi")
    events = fake.work(flow(fake), job(1, "true"))
    assert fate(events, "return_code", "reason", "next")[0] == (-128, "launch_failed", "requeue")


def test_a_step_whose_node_failed_is_no_success_though_srun_says_0(fake: Fake) -> None:
    """Slurm calls nodes failed whose processes go on: they are ended, so that the next attempt is alone."""
    (fake.folder / "before").write_text('echo "srun: error: Node failure on n1" >&2; exit 0')
    events = fake.work(flow(fake), job(1, "true"))
    assert fate(events, "status", "return_code", "next")[0] == ("failed", -128, "requeue")
    assert "Slurm calls a node of this allocation failed: leaving" in fake.said


def test_out_of_memory_counts_whatever_the_script_returned(fake: Fake) -> None:
    (fake.folder / "after").write_text('echo "srun: error: n1: task 0: Out Of Memory" >&2; exit 1')
    events = fake.work(flow(fake, config=config(oom_exit_code=99)), job(1, "true"))
    assert fate(events, "status", "return_code", "reason") == [("failed", 99, "memory_limit")]


@pytest.mark.parametrize("monitored", [True, False])
def test_the_worker_holds_each_step_to_its_memory_where_slurm_does_not(fake: Fake, *, monitored: bool) -> None:
    (fake.folder / "before").write_text("trap : TERM\n")  # as srun does, wait for the step
    hog = f"""exec {PYTHON} -c 'import signal; x = bytearray(150 << 20); signal.pause()'"""
    lines = [job(n, hog, memory_bytes=100 * MIB, runtime_s=30) for n in (1, 2, 3)]
    monitor = {"resource_monitor": {"enabled": monitored}}
    found = fate(fake.work(flow(fake, config={**config(), **monitor}), *lines), "status", "reason", "return_code")
    assert found == [("failed", "memory_limit", 137)] * 3


def test_srun_that_is_not_there_means_direct(fake: Fake) -> None:
    (fake.folder / "bin").mkdir()
    (fake.folder / "bin/bash").symlink_to("/bin/bash")
    fake.env["PATH"] = str(fake.folder / "bin")
    assert fate(fake.work(flow(fake), job(1, "true")), "status") == [("completed",)]


@pytest.mark.parametrize(
    ("left", "expected", "reason"),
    [
        (3600, ("terminated", 143, "interrupted", "requeue"), "interrupted"),
        (12, ("terminated", 143, "allocation_end", None), "time_limit"),
    ],
)
def test_what_sigterm_means_depends_on_the_time(
    fake: Fake, work_dir: Path, left: int, expected: tuple[Any, ...], reason: str
) -> None:
    fake.env["SLURM_JOB_END_TIME"] = str(int(time.time()) + left)
    execution = config(sigterm_lead_seconds=2, sigkill_headroom_seconds=4)
    lines = text(flow(fake, config=execution), job(1, "echo > up; exec sleep 300"))
    worker = subprocess.Popen(
        command("work"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=fake.env,
        cwd=work_dir,
    )
    assert worker.stdin is not None
    worker.stdin.write(lines.encode())
    worker.stdin.close()
    worker.stdin = None
    until((work_dir / "up").exists, "the job to start")
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=90)
    events = parse(out)
    assert fate(events, "status", "return_code", "reason", "next") == [expected]
    assert events[-2]["reason"] == reason


@pytest.mark.parametrize("told", [False, True], ids=["silent", "told to stop"])
def test_the_next_life_runs_again_what_the_former_one_left(fake: Fake, work_dir: Path, *, told: bool) -> None:
    """Jobs 1 and 4 were running, job 2 claimed and not yet started, job 3 done; the life was on another machine.

    Job 4 ended well after that worker had died, and left a note of it.
    """
    fake.env |= {"SLURM_RESTART_COUNT": "1", "TORC_SILENT_S": "1000" if told else "5"}
    head = flow(fake)
    name = "wf1_r1_elsewhere_9_77"
    began = {"event": "worker_started", "at": 1.0, "workflow_token": head["token"], "restart_count": 0}
    began |= {"workflow_id": 1, "hostname": "elsewhere", "pid": 77, "pid_start": 1, "slurm_job_id": "9", "run_id": 1}
    about = {"workflow_id": 1, "run_id": 1, "attempt_id": 1, "at": 2.0}
    lines = [began, *({"event": "started", "job_id": job_id, **about} for job_id in (1, 3, 4))]
    lines += [{"event": "ended", "job_id": 3, "status": "completed", "return_code": 0, **about}]
    lines += [{"event": "stopping", "workflow_id": 1, "at": 3.0}] if told else []
    (work_dir / "out/events").mkdir(parents=True)
    file = work_dir / f"out/events/{name}.jsonl"
    file.write_text(text(*lines))
    os.utime(file, (time.time() - 60, time.time() - 60))
    claims = work_dir / f"out/claims/wf1_{head['token'][:8]}"
    claims.mkdir(parents=True)
    note = Path(endnotes.path(head["output_dir"], 1, (4, 1, 1)))
    note.parent.mkdir(parents=True)
    note.write_text("end 0 \n")
    for job_id in (1, 2, 3, 4):
        (claims / f"{job_id}.r1.a1").write_text(json.dumps({"worker": name, "slurm_job_id": "9"}) + "\n")
    events = fake.work(head, *(job(number, "true") for number in (1, 2, 3, 4)))
    lost, done = ("failed", -128, "lost", "requeue"), ("completed", 0, None, None)
    assert sorted(ends(events)) == [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1)]
    assert fate(events, "status", "return_code", "reason", "next") == [lost, done, lost, done, done]


def test_a_worker_of_a_former_run_starts_nothing(fake: Fake, work_dir: Path) -> None:
    head = flow(fake)
    claims = work_dir / f"out/claims/wf1_{head['token'][:8]}"
    claims.mkdir(parents=True)
    (claims / "run").write_text("2\n")
    events = fake.work(head, job(1, "true"))
    assert ends(events) == {}
    assert events[-2]["reason"] == "superseded"


def test_a_job_whose_worker_leaves_for_a_later_run_is_ready_again(fake: Fake) -> None:
    """Only other jobs were reset: it lost its attempt through no fault of its own."""
    head = flow(fake)
    run = f"claims/wf1_{head['token'][:8]}/run"
    events = fake.work(head, job(1, f'echo 2 > "$TORC_OUTPUT_DIR/{run}"; sleep 100'), job(2, "true", waits_for=[1]))
    assert fate(events, "status", "reason", "next") == [("terminated", "superseded", "requeue")]


def test_an_allocation_runs_the_jobs_of_its_scheduler_and_of_none(fake: Fake) -> None:
    jobs = [job(number, "true", slurm_scheduler_id=of) for number, of in ((1, 5), (2, 6), (3, None))]
    assert sorted(ends(fake.work(flow(fake), *jobs, args=("--scheduler-id", 5)))) == [(1, 1), (3, 1)]
    fake.env["SLURM_JOB_NAME"] = "torc_wf1_a1_01234567"
    assert sorted(ends(fake.work(flow(fake), *jobs))) == [(3, 1)]


def test_what_still_waits_is_canceled_only_when_all_is_over(fake: Fake, work_dir: Path) -> None:
    for jobs, canceled in (([job(1, "true"), job(2, "true", num_cpus=99)], False), ([job(1, "true")], True)):
        head = flow(fake)
        claims = work_dir / f"out/claims/wf1_{head['token'][:8]}"
        claims.mkdir(parents=True)
        lines = [{"allocation_id": number, "slurm_job_id": str(8 + number)} for number in (1, 2, 3)]
        (claims / "allocations.jsonl").write_text(text(*lines) + "cut sho")
        fake.waits((10, "torc_wf1_a2_01234567"), (11, "torc_wf1_s5_89abcdef"))
        fake.work(head, *jobs, args=("--allocation-id", 1))
        assert (fake.folder / "canceled").exists() == canceled
    assert (fake.folder / "canceled").read_text() == "--state=PENDING 10 11\n"


def test_a_job_of_others_that_was_given_the_id_of_one_that_waited_is_spared(fake: Fake, work_dir: Path) -> None:
    head = flow(fake)
    claims = work_dir / f"out/claims/wf1_{head['token'][:8]}"
    claims.mkdir(parents=True)
    lines = [{"allocation_id": number, "slurm_job_id": str(8 + number)} for number in (1, 2, 3)]
    (claims / "allocations.jsonl").write_text(text(*lines))
    fake.waits((10, "theirs"), (11, "torc_wf1_a3_01234567"))
    fake.work(head, job(1, "true"), args=("--allocation-id", 1))
    assert (fake.folder / "canceled").read_text() == "--state=PENDING 11\n"


def test_an_emptied_manifest_is_no_success(torc: Torc, work_dir: Path) -> None:
    (work_dir / "manifest").touch()
    done = torc("torc-work", "--allocation-id", 4, "manifest")
    assert (done.returncode, done.stderr) == (
        65,
        b"torc-work: the manifest of this allocation holds no workflow: it was emptied, or never written\n",
    )


def test_a_second_slurm_job_of_an_allocation_leaves(fake: Fake, work_dir: Path) -> None:
    head = flow(fake)
    claims = work_dir / f"out/claims/wf1_{head['token'][:8]}"
    claims.mkdir(parents=True)
    (claims / "allocation4").write_text('{"slurm_job_id": "8"}\n')
    assert fake.work(head, job(1, "true"), args=("--allocation-id", 4)) == []
    assert fake.said == "torc-work: Slurm job 8 works for allocation 4: nothing to do here\n"
