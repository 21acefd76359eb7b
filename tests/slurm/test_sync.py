"""torc-sync on a real Slurm: what it says of allocations, workers and steps that end in ways they were not meant to."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc
from prepared import execute

from torc_tools import states

from .conftest import Bed

SPEC = """\
name: synced
resource_requirements:
  - {{name: small, num_cpus: 1, memory: 60m, runtime: PT2M}}
jobs:
  - {{name: one, command: "{command}", resource_requirements: small}}
"""
SILENT = {"TORC_SILENT_S": "0.1"}


class Run:
    """A workflow of one job in one allocation."""

    def __init__(self, torc: Torc, folder: Path, bed: Bed) -> None:
        self.torc, self.folder, self.bed, self.slurm_job_id = torc, folder, bed, ""

    def submit(self, command: str) -> None:
        """Create the workflow, plan and submit it."""
        (self.folder / "spec.yaml").write_text(SPEC.format(command=command))
        assert self.torc("torc-create", "spec.yaml").returncode == 0
        plan = self.torc("torc-regenerate", 1, "--account", "proj", "--partition", "debug")
        assert plan.returncode == 0, plan.stderr
        done = self.torc("torc-submit", input=plan.stdout)
        assert done.returncode == 0, done.stderr
        self.slurm_job_id = self.query("SELECT slurm_job_id FROM allocation")[0][0]

    def start(self, command: str = "sleep 100") -> int:
        """Submit it and wait until its job runs; give the process of its worker."""
        self.submit(command)
        self.bed.until(lambda: self.sync() and self.job() == ("running", 1), "the job to run")
        (events,) = self.folder.glob("torc_output/events/*.jsonl")
        pid = json.loads(events.read_text().splitlines()[0])["pid"]
        assert isinstance(pid, int)
        return pid

    @contextlib.contextmanager
    def unheard(self) -> Iterator[int]:
        """Start the job, give its worker, do something to its allocation; what it says from then on gets lost."""
        pid = self.start()
        (events,) = self.folder.glob("torc_output/events/*.jsonl")
        heard = events.read_bytes()
        yield pid
        gone = (None, "PENDING")
        self.bed.until(lambda: self.bed.queue().get(int(self.slurm_job_id)) in gone, "the allocation to be gone")
        self.bed.until(lambda: not Path(f"/proc/{pid}").exists(), "the worker to be gone")
        events.write_bytes(heard)

    def sync(self, **env: str) -> dict[str, Any]:
        """Run torc-sync; give its summary."""
        done = self.torc("torc-sync", 1, env=env)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[1])
        return found

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        return execute(self.folder / "torc.db", sql)

    def job(self) -> tuple[str, int]:
        """Give the state and the attempt of the job."""
        ((status, attempt),) = self.query("SELECT status, attempt_id FROM job")
        return states.NAMES[status], attempt

    def allocation(self) -> tuple[str, str]:
        """Give the status of the allocation and Slurm's word for it."""
        ((status, state),) = self.query("SELECT status, slurm_state FROM allocation")
        return status, state

    def facts(self) -> dict[str, Any]:
        """Give the facts of the first result."""
        found: dict[str, Any] = json.loads(self.query("SELECT facts FROM result ORDER BY attempt_id")[0][0])
        return found

    def cause(self) -> tuple[str, str]:
        """Give what torc-diagnose says: cause and certainty."""
        lines = map(json.loads, self.torc("torc-diagnose", 1).stdout.splitlines())
        (found,) = [(each["cause"], each["certainty"]) for each in lines if each["type"] == "diagnosis"]
        return found


@pytest.fixture
def run(torc: Torc, work_dir: Path, slurm: Bed) -> Run:
    """Give a workflow to be submitted."""
    return Run(torc, work_dir, slurm)


def test_an_allocation_that_is_canceled_from_outside(run: Run) -> None:
    with run.unheard():
        run.bed.ask("scancel", run.slurm_job_id)
    run.bed.until(lambda: run.sync()["slurm_jobs_failed"] == 1, "the job to be lost")
    run.bed.until(lambda: run.sync()["accounting_pending"] == 0, "accounting")
    assert run.allocation()[0] == "canceled"
    assert run.cause() == ("allocation_end", "certain")
    assert run.facts()["canceled_by"].startswith("root")
    assert run.facts()["allocation_state"] == "CANCELLED by 0"


def test_without_slurmdbd_the_controller_is_enough(run: Run) -> None:
    with run.unheard():
        run.bed.kill("slurmdbd")
        run.bed.ask("scancel", run.slurm_job_id)
    found = run.sync()
    assert (found["slurm"]["sacct"], found["accounting_pending"]) == ("unavailable", 1)
    assert run.job() == ("failed", 1)
    assert run.cause() == ("allocation_end", "certain")
    run.bed.start("slurmdbd")
    run.bed.until(lambda: run.sync()["accounting_pending"] == 0, "accounting")
    assert run.facts()["accounting"] == "final"
    assert run.facts()["slurm_step_id"] == f"{run.slurm_job_id}.0"
    assert run.cause() == ("allocation_end", "certain")


def test_without_the_controller_nothing_is_concluded(run: Run) -> None:
    pid = run.start()
    run.bed.kill("slurmctld")
    os.kill(pid, signal.SIGKILL)
    found = run.sync(**SILENT, TORC_SLURM_TIMEOUT_S="2")
    assert found["slurm"]["squeue"] == "unavailable"
    assert run.job() == ("running", 1)
    run.bed.start("slurmctld")
    run.bed.until(lambda: run.sync() and run.job()[0] == "failed", "the job to be lost")
    run.bed.until(lambda: run.sync()["accounting_pending"] == 0, "accounting")
    assert run.cause()[0] == "orphan"


def test_a_failed_node(run: Run) -> None:
    """Slurm puts the allocation back into its queue; its jobs are free again when its worker has been silent."""
    with run.unheard() as pid:
        node = run.bed.ask("squeue", "-h", "-j", run.slurm_job_id, "-o", "%N")
        run.bed.kill(node)
        run.bed.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.bed.until(lambda: run.sync() and run.allocation() == ("queued", "PENDING"), "the allocation to be requeued")
    assert run.job() == ("running", 1)
    run.bed.until_accounted(int(run.slurm_job_id), "", "PENDING")
    assert [each["job_name"] for each in run.sync(**SILENT)["jobs_requeued"]] == ["one"]
    assert run.job() == ("ready", 2)
    assert run.facts()["allocation_state"] == "NODE_FAIL"
    assert run.query("SELECT return_code FROM result") == [(states.LOST_CODE,)]


def test_an_allocation_that_is_requeued_and_held(run: Run) -> None:
    with run.unheard():
        run.bed.ask("scontrol", "requeuehold", run.slurm_job_id)
    assert [each["status"] for each in run.sync()["allocations_held"]] == ["queued"]
    assert run.job() == ("running", 1)
    assert [each["job_name"] for each in run.sync(**SILENT)["jobs_requeued"]] == ["one"]
    assert run.job() == ("ready", 2)
    command = f"scontrol release {run.slurm_job_id}"
    standing = run.torc("torc-status", 1, "-f", "table").stdout.decode()
    assert f"Slurm job {run.slurm_job_id}: queued" in standing
    assert standing.count(command) == 2, standing  # of the allocation, and of the job that waits for it
    assert command in run.torc("torc-watch", "--once", 1).stderr.decode()
    run.bed.ask(*command.split())
    assert run.sync()["allocations_held"] == []
    assert command not in run.torc("torc-status", 1, "-f", "table").stdout.decode()


def test_memory_behind_a_script_that_goes_on(run: Run) -> None:
    run.submit("python3 -c 'bytes([1]) * (120 << 20)'; true")
    run.bed.until(lambda: run.sync()["accounting_pending"] == 0 and run.job()[0] == "failed", "the job to have failed")
    assert run.query("SELECT return_code FROM result") == [(137,)]
    assert run.cause() == ("oom", "certain")
    assert run.query("SELECT slurm_state, exit_code FROM slurm_stats") == [("OUT_OF_MEMORY", "0:125")]
    run.bed.until(lambda: run.sync() and run.allocation() == ("complete", "COMPLETED"), "the allocation to be over")
