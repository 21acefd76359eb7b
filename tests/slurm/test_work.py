"""torc-work in real allocations: steps, their ends, two allocations that free each other's jobs, the store far away."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc, command
from waiting import until

from .conftest import Bed

TOKEN = os.urandom(16).hex()  # another run's processes are not ours
MIB = 1 << 20
GROW = "python3 -c 'x = bytes([1]) * (200 << 20)'"
LOOP = "for i in $(seq 300); do sleep 1; done"
HOSTILE = (
    "SLURM_MEM_PER_CPU=7 SLURM_NTASKS=3 SLURM_CPUS_PER_TASK=4 SRUN_CPUS_PER_TASK=4 SLURM_OVERLAP=1 SLURM_WAIT=1"
    " SLURM_CPU_BIND=cores SLURM_EXPORT_ENV=NONE SLURM_KILL_BAD_EXIT=1 SLURM_TIMELIMIT=1 SLURM_LABELIO=1"
)

Event = dict[str, Any]


class Field:
    """One workflow in a folder: its manifest, its allocations, its events."""

    def __init__(self, slurm: Bed, folder: Path) -> None:
        self.slurm, self.folder, self.out = slurm, folder, folder / "out"
        self.manifest = folder / "manifest.jsonl"

    def jobs(self, *jobs: Event, **execution: Any) -> None:
        """Write the manifest; a job has 1 CPU and 100 MiB unless it says otherwise."""
        head = {"type": "workflow", "workflow_id": 1, "run_id": 1, "token": TOKEN, "name": "w", "allocation_id": 1}
        head |= {"output_dir": str(self.out), "submission_dir": str(self.folder)}
        head["config"] = {"execution_config": execution, "compute_node_wait_for_new_jobs_seconds": 30}
        lines = [head]
        for number, job in enumerate(jobs, 1):
            plain = {"type": "job", "workflow_id": 1, "job_id": number, "num_cpus": 1, "memory_bytes": 100 * MIB}
            lines.append(plain | job)
        self.manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def submit(self, *options: str, allocation: int = 1, before: str = "", name: str = "w") -> int:
        """Submit an allocation whose worker reads the manifest; `before` stands before torc-work."""
        worker = shlex.join([*command("work"), "--quiet", "--allocation-id", str(allocation), str(self.manifest)])
        script = self.folder / f"{name}.sh"
        script.write_text(f"#!/bin/bash\nexport {HOSTILE}\nexec {before} {worker}\n")
        options = (f"--job-name=torc_wf1_{allocation}", *options)
        said = ["--output", str(self.folder / f"{name}.said"), "--open-mode=append"]
        return int(self.slurm.ask("sbatch", "--parsable", "--mem=1500M", "--time=5", *said, *options, script))

    def over(self, *jobs: int) -> None:
        """Wait until allocations have left the queue."""
        self.slurm.until(lambda: not set(jobs) & self.slurm.queue().keys(), f"{jobs} to end", 150)

    def events(self, kind: str) -> list[Event]:
        """Give the events of a kind that all workers wrote, by time."""
        files = list((self.out / "events").glob("*.jsonl")) if self.out.exists() else []
        lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines(keepends=True)[:] if line]
        return sorted((line for line in lines if line["event"] == kind), key=lambda line: line["at"])

    def ends(self) -> dict[tuple[int, int], Event]:
        """Give the ends by job and attempt, each of which there is once."""
        found = self.events("ended")
        by = {(event["job_id"], event["attempt_id"]): event for event in found}
        assert len(by) == len(found)
        return by

    def fates(self, *keys: str) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Give some fields of each end."""
        return {key: tuple(event[name] for name in keys) for key, event in self.ends().items()}

    def wrote(self, job: int, suffix: str = "o", attempt: int = 1) -> str:
        """Give what an attempt wrote, nothing before it began."""
        path = self.out / f"job_stdio/job_wf1_j{job}_r1_a{attempt}.{suffix}"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def field(slurm: Bed, work_dir: Path) -> Field:
    """Give a workflow in a folder of its own."""
    return Field(slurm, work_dir)


def test_steps_end_as_their_jobs_do(field: Field) -> None:
    field.jobs(
        {"command": "echo $SLURM_STEP_ID $SLURM_CPUS_PER_TASK; sleep 1"},
        {"command": "exit 3"},
        {"command": "kill -9 $$"},
        {"command": "exit 137"},
        {"command": GROW},
        {"command": f"{GROW} || true; echo went on"},
        {"command": f"{GROW}; sleep 1", "memory_bytes": 400 * MIB, "num_cpus": 2},
        {"command": "true", "memory_bytes": None},
        {"command": "setsid sleep 300 & echo left one"},
    )
    job = field.submit("--cpus-per-task=4", name="a job with 'quotes' and 100%")
    field.over(job)
    assert field.fates("status", "return_code", "reason", "signal") == {
        (1, 1): ("completed", 0, None, None),
        (2, 1): ("failed", 3, None, None),
        (3, 1): ("failed", 137, None, 9),
        (4, 1): ("failed", 137, None, None),
        (5, 1): ("failed", 137, "memory_limit", None),
        (6, 1): ("failed", 137, "memory_limit", None),
        (7, 1): ("completed", 0, None, None),
        (8, 1): ("completed", 0, None, None),
        (9, 1): ("completed", 0, None, None),
    }
    ends = field.ends()
    assert field.wrote(1).split()[1] == "1"
    assert field.wrote(6) == "went on\n"
    assert "Out Of Memory" in ends[6, 1]["srun_said"]
    assert 200 * MIB <= ends[7, 1]["peak_memory_bytes"] < 300 * MIB
    assert (ends[7, 1]["slurm_job_id"], ends[7, 1]["slurm_step_name"]) == (str(job), "wf1_j7_r1_a1")
    assert field.events("worker_ended")[0]["reason"] == "finished"


def test_the_end_of_an_allocation_terminates_its_jobs(field: Field) -> None:
    field.jobs(
        {"command": f"trap '' USR1; {LOOP}"},
        {"command": f"trap '' USR1; trap 'echo checkpoint; exit 0' TERM; {LOOP}"},
        {"command": f"trap '' USR1 TERM; {LOOP}"},
        {"command": f"trap 'echo warned; exit 9' USR1; {LOOP}"},
        {"command": "true", "runtime_s": 100},
        sigterm_lead_seconds=3,
        sigkill_headroom_seconds=10,
        srun_termination_signal="USR1@12",
    )
    job = field.submit("--cpus-per-task=4", "--time=1", "--signal=B:TERM@15")
    field.over(job)
    assert field.fates("status", "return_code", "reason", "next") == {
        (1, 1): ("terminated", 143, "allocation_end", None),
        (2, 1): ("terminated", 0, "allocation_end", None),
        (3, 1): ("terminated", 152, "allocation_end", None),
        (4, 1): ("terminated", 9, "allocation_end", None),
    }
    assert (field.wrote(2), field.wrote(4).split()) == ("checkpoint\n", ["warned"])
    assert all(end["peak_memory_bytes"] and end["warned_at"] for end in field.ends().values())
    assert field.events("worker_ended")[0]["reason"] == "time_limit"
    assert field.slurm.until_accounted(job, "", "COMPLETED") == "0:0"


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_that_a_user_sends_to_a_step_reaches_the_job_once(field: Field, name: str) -> None:
    field.jobs({"command": f"trap 'echo heard; [ $((count++)) = 0 ] || exit 7' {name}; echo up; {LOOP}"})
    job = field.submit("--cpus-per-task=4")
    until(lambda: bool(field.events("started")) and "up" in field.wrote(1), "the job to start")
    for count in (1, 2):
        field.slurm.ask("scancel", f"--signal={name}", f"{job}.0")
        field.slurm.until(lambda count=count: field.wrote(1).split() == ["up", *["heard"] * count], "the signal")
    field.over(job)
    assert field.fates("status", "return_code", "signal") == {(1, 1): ("failed", 7, None)}


def test_a_job_that_ends_well_because_its_allocation_is_canceled_is_not_done(field: Field) -> None:
    field.jobs({"command": f"trap 'echo checkpoint; exit 0' TERM; echo up; {LOOP}"})
    job = field.submit("--cpus-per-task=4")
    until(lambda: bool(field.events("started")) and "up" in field.wrote(1), "the job to start")
    field.slurm.ask("scancel", job)
    field.over(job)
    assert field.wrote(1).split()[:2] == ["up", "checkpoint"]
    assert field.fates("status", "next") == {(1, 1): ("terminated", "requeue")}


def test_a_requeued_allocation_runs_again_what_was_cut_short(field: Field) -> None:
    field.jobs({"command": 'echo "try $TORC_ATTEMPT_ID"; [ "$TORC_ATTEMPT_ID" = 2 ] || sleep 300'}, {"command": "true"})
    job = field.submit("--cpus-per-task=4", "--requeue")
    until(lambda: len(field.events("ended")) == 1 and field.wrote(1), "the first job to run")
    field.slurm.ask("scontrol", "requeue", job)
    field.slurm.until(lambda: field.slurm.queue().get(job) == "PENDING", "the job to be requeued")
    assert field.fates("status", "next")[1, 1] == ("terminated", "requeue")
    later = "StartTime=now+2"  # slurmd launches no job in the second in which it ended the job's former life
    field.slurm.ask("scontrol", "update", f"JobId={job}", later)
    field.over(job)
    assert field.fates("status", "next") == {
        (1, 1): ("terminated", "requeue"),
        (1, 2): ("completed", None),
        (2, 1): ("completed", None),
    }
    assert [event["restart_count"] for event in field.events("worker_started")] == [0, 1]


def test_two_allocations_share_jobs_free_each_others_and_cancel_the_third(field: Field, torc: Torc) -> None:
    """The store is in neither's reach; a Slurm job that comes twice for one allocation has nothing to do."""
    whole = {"num_cpus": 4, "memory_bytes": 1000 * MIB}
    field.jobs(
        {"command": "sleep 4", **whole},
        {"command": "sleep 5", **whole},
        {"command": "echo child", "waits_for": [1, 2], "status": "blocked", **whole},
    )
    first, second = (field.submit("--cpus-per-task=4", allocation=number) for number in (1, 2))
    third = field.submit("--begin=now+1hour", allocation=3)
    claims = field.out / "claims" / f"wf1_{TOKEN[:8]}"
    claims.mkdir(parents=True, exist_ok=True)
    lines = [{"allocation_id": at, "slurm_job_id": str(job)} for at, job in enumerate((first, second, third), 1)]
    (claims / "allocations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    field.over(first, second, third)
    ends = field.ends()
    assert {key: end["status"] for key, end in ends.items()} == dict.fromkeys([(1, 1), (2, 1), (3, 1)], "completed")
    assert {ends[1, 1]["slurm_job_id"], ends[2, 1]["slurm_job_id"]} == {str(first), str(second)}
    assert ends[3, 1]["started_at"] - max(ends[1, 1]["ended_at"], ends[2, 1]["ended_at"]) < 5
    field.slurm.until_accounted(third, "", "CANCELLED")
    again = field.submit(allocation=1, name="again")
    field.over(again)
    assert f"Slurm job {first} works for allocation 1" in (field.folder / "again.said").read_text()
    assert len(field.ends()) == 3


def test_two_nodes_hold_jobs_each_and_one_together(field: Field) -> None:
    show = "echo $SLURMD_NODENAME; sleep 2"
    field.jobs(
        *({"command": show, "num_cpus": 3} for _ in range(2)),
        {"command": "srun bash -c 'echo $SLURMD_NODENAME' | sort; echo $TORC_NODELIST", "num_nodes": 2, "priority": -1},
        {"command": "true", "num_nodes": 3},
    )
    field.over(field.submit("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=4"))
    assert {key: end["status"] for key, end in field.ends().items()} == dict.fromkeys(
        [(1, 1), (2, 1), (3, 1)], "completed"
    )
    nodes = sorted([field.wrote(1).strip(), field.wrote(2).strip()])
    assert nodes[0] != nodes[1]
    assert field.wrote(3).split() == [*nodes, ",".join(nodes)]
    assert field.events("unfit")[0]["reason"] == "needs 3 nodes, this worker has 2"


def test_a_worker_on_each_node_starts_jobs_itself_and_holds_them(field: Field) -> None:
    field.jobs(
        *({"command": "echo $SLURMD_NODENAME; sleep 3", "num_cpus": 4} for _ in range(2)),
        {"command": "python3 -c 'import time; x = bytes([1]) * (200 << 20); time.sleep(9)'", "priority": -1},
    )
    each = "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=4 --mem=1500M --wait=0 --kill-on-bad-exit=0"
    before = f"env -u SLURM_MEM_PER_CPU -u SLURM_NTASKS -u SLURM_TIMELIMIT -u SLURM_EXPORT_ENV {each} --cpu-bind=none"
    field.over(field.submit("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=4", before=before))
    assert field.fates("status", "return_code", "reason") == {
        (1, 1): ("completed", 0, None),
        (2, 1): ("completed", 0, None),
        (3, 1): ("failed", 137, "memory_limit"),
    }
    assert field.wrote(1) != field.wrote(2)
    assert len(field.events("worker_started")) == 2


def test_the_worker_needs_no_store(slurm: Bed, torc: Torc, work_dir: Path) -> None:
    """The folder of the store is not there while the worker works, and nothing like it is made."""
    home = work_dir / "home"
    home.mkdir()
    jobs = [{"name": "a", "command": "echo $TORC_STORE"}, {"name": "b", "command": "exit 4", "depends_on": ["a"]}]
    (work_dir / "spec.json").write_text(json.dumps({"name": "w", "jobs": jobs}))
    store = str(home / "torc.db")

    def run(*words: object) -> bytes:
        done = torc(*words, env={**os.environ, "TORC_STORE": store})
        assert done.returncode == 0, done.stderr.decode()
        return bytes(done.stdout)

    run("torc-create", "spec.json")
    manifest = work_dir / "manifest.jsonl"
    _manifest(Path(store), manifest)
    home.rename(work_dir / "away")
    worker = shlex.join([*command("work"), "-q", str(manifest)])
    job = slurm.submit(f"exec {worker}", "--cpus-per-task=2", "--mem=600M")
    slurm.until(lambda: job not in slurm.queue(), "the worker to end")
    assert not home.exists()
    (work_dir / "away").rename(home)
    run("torc-sync", 1)
    results = [json.loads(line) for line in run("torc-results", 1, "-f", "jsonl").splitlines()]
    assert [each["return_code"] for each in results if each["type"] == "result"] == [0, 4]


def _manifest(store: Path, path: Path) -> None:
    """Write the manifest of workflow 1, as torc-submit does."""
    import shutil

    from torc_tools.shell import manifest, queries
    from torc_tools.shell.store import open_store

    db = open_store(str(store))
    made = manifest.write(db, queries.workflow(db, 1), 1, str(store))
    db.close()
    shutil.copy(made, path)
