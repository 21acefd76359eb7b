"""Spawned jobs on a real Slurm: at once where somebody folds, in a new allocation where nobody did."""

from pathlib import Path

import pytest
import street
from conftest import Torc, said

from .conftest import Bed

SPEC = """\
name: spawning
compute_node_wait_for_new_jobs_seconds: WAIT
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: other, command: "true", resource_requirements: small}
  - name: step0
    resource_requirements: small
    command: |
      n=${TORC_JOB_NAME#step}; echo $TORC_JOB_NAME >> ran; [ $n = 2 ] && exit
      next=$((n + 1)) text=$(jq -Rs . < step.sh)
      printf '{"name": "step%d", "command": %s, "resource_requirements": "small"}\\n' $next "$text" >> "$TORC_SPAWN"
      printf '{"name": "side%d", "command": "echo $TORC_JOB_NAME >> ran", "resource_requirements": "small"}' $n \\
        >> "$TORC_SPAWN"
"""
DONE = {"other", "step0", "step1", "step2", "side0", "side1"}


def submit(torc: Torc, wait_s: int) -> None:
    """Store and submit; `wait_s` is how long a worker waits for news."""
    text = SPEC.replace("WAIT", str(wait_s))
    Path("step.sh").write_text(
        "".join(line[6:] for line in text.partition("command: |\n")[2].splitlines(keepends=True))
    )
    done = torc("torc-run", "--slurm", "-", "--account", "proj", "--partition", "debug", input=text)
    assert done.returncode == 0, said(done)


def complete() -> None:
    """Check that every job ran once."""
    assert street.statuses() == dict.fromkeys(DONE, "completed")
    assert sorted(Path("ran").read_text().split()) == sorted(DONE - {"other"})
    assert street.query("SELECT count(*), max(attempt_id) FROM result") == [(6, 1)]


@pytest.mark.usefixtures("work_dir")
def test_beside_a_watcher_they_run_in_the_same_allocation(torc: Torc, slurm: Bed) -> None:
    submit(torc, 60)
    done = torc("torc-watch", 1, "-p", 30, timeout=180)
    assert done.returncode == 0, [*done.stdout.decode().splitlines(), *said(done)]
    complete()
    assert street.query("SELECT count(*) FROM allocation") == [(1,)]


@pytest.mark.usefixtures("work_dir")
def test_what_was_spawned_while_nobody_looked_gets_an_allocation(torc: Torc, slurm: Bed) -> None:
    submit(torc, 1)
    slurm.until(lambda: not slurm.queue(), "the allocation to end")
    assert street.query("SELECT count(*) FROM job") == [(2,)]
    done = torc("torc-watch", 1, "--auto-schedule", "-p", 2, timeout=180)
    told = [*done.stdout.decode().splitlines(), *said(done)]
    assert done.returncode == 0, told
    assert "Auto-schedule: No schedulers available but 2 ready jobs found (2 retries)" in told
    complete()
