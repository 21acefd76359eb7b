"""The bed is what it claims to be: these tests ask Slurm only, never torc."""

import re
from pathlib import Path

import pytest

from .conftest import Bed

GROW = "python3 -c 'x = bytes([1]) * (200 << 20)'"


def test_a_step_that_takes_too_much_memory_is_out_of_memory(slurm: Bed) -> None:
    job = slurm.submit(f"srun -n1 --mem=40M {GROW}; true", "--mem=512M")
    assert slurm.until_accounted(job, "0", "OUT_OF_MEMORY") == "0:125"


def test_a_step_that_takes_less_is_completed(slurm: Bed) -> None:
    job = slurm.submit(f"srun -n1 --mem=400M {GROW}", "--mem=512M")
    assert slurm.until_accounted(job, "0", "COMPLETED") == "0:0"


def test_a_step_over_its_time_is_a_timeout_and_the_job_goes_on(slurm: Bed) -> None:
    """Limits are whole minutes, and slurmctld looks every half a minute."""
    job = slurm.submit("srun -n1 --time=1 sleep 300; sleep 300", "--time=5")
    slurm.until_accounted(job, "0", "TIMEOUT", timeout_s=150)
    assert slurm.queue() == {job: "RUNNING"}


def test_a_node_that_is_set_down_ends_its_job_at_once(slurm: Bed) -> None:
    job = slurm.submit("sleep 300", "--no-requeue", "--nodelist=n2")
    slurm.until(lambda: slurm.queue() == {job: "RUNNING"}, "the job to run")
    slurm.kill("n2")
    slurm.ask("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    slurm.until_accounted(job, "", "NODE_FAIL")


def test_a_dead_slurmd_leaves_its_job_running_and_finds_it_again(slurm: Bed, tmp_path: Path) -> None:
    go, said = tmp_path / "go", tmp_path / "said"
    job = slurm.submit(f"until [ -e '{go}' ]; do sleep 0.1; done; echo alive > '{said}'", "--nodelist=n1")
    slurm.until(lambda: slurm.queue() == {job: "RUNNING"}, "the job to run")
    slurm.kill("n1")
    go.touch()
    slurm.until(said.exists, "the job to write")
    slurm.start("n1")
    slurm.until_accounted(job, "", "COMPLETED")


@pytest.mark.parametrize(("partition", "limit"), [("debug", 10), ("standard", 240), ("bigmem", 480)])
def test_each_partition_has_its_limit(slurm: Bed, partition: str, limit: int) -> None:
    """A job that asks for more waits for ever, as where EnforcePartLimits is NO."""
    job = slurm.submit("sleep 300", f"--partition={partition}", f"--time={limit}")
    over = slurm.submit("sleep 300", f"--partition={partition}", f"--time={limit + 1}")
    slurm.until(lambda: slurm.queue() == {job: "RUNNING", over: "PENDING"}, "one job to run")
    why = slurm.ask("squeue", "--noheader", f"--jobs={over}", "--format=%r")
    assert why in ("PartitionTimeLimit", "PartitionConfig")  # Slurm takes the one or the other


def test_only_bigmem_has_much_memory(slurm: Bed) -> None:
    assert slurm.attempt("sbatch", "--test-only", "--mem=15G", "--partition=bigmem", "--wrap=true").returncode == 0
    refused = slurm.attempt("sbatch", "--test-only", "--mem=15G", "--partition=debug", "--wrap=true")
    assert refused.returncode != 0
    assert "Requested node configuration is not available" in refused.stderr


def test_test_only_names_a_start_and_makes_no_job(slurm: Bed) -> None:
    said = slurm.attempt("sbatch", "--test-only", "--wrap=true").stderr
    assert re.search(r"Job \d+ to start at \d{4}-", said)
    assert slurm.queue() == {}


def test_a_job_that_ends_while_slurmdbd_is_dead_is_accounted_later(slurm: Bed) -> None:
    slurm.kill("slurmdbd")
    assert slurm.attempt("sacct", "-n").returncode != 0
    job = slurm.submit("true")
    slurm.until(lambda: slurm.queue() == {}, "the job to end")
    slurm.start("slurmdbd")
    slurm.until_accounted(job, "batch", "COMPLETED")


def test_a_job_lives_on_while_slurmctld_is_dead(slurm: Bed) -> None:
    job = slurm.submit("sleep 300")
    slurm.until(lambda: slurm.queue() == {job: "RUNNING"}, "the job to run")
    slurm.kill("slurmctld")
    slurm.start("slurmctld")
    slurm.until(lambda: slurm.queue() == {job: "RUNNING"}, "the job to be known")
    slurm.ask("scancel", job)
    slurm.until_accounted(job, "", "CANCELLED")


def test_the_reset_mends_all(slurm: Bed) -> None:
    slurm.submit("sleep 300", "--nodes=3", "--requeue")
    slurm.ask("scontrol", "update", "NodeName=n3", "State=DRAIN", "Reason=test")
    slurm.kill("slurmctld", "slurmdbd", "n1", "big1")
    slurm.reset()
    assert slurm.queue() == {}
    assert slurm.idle()
