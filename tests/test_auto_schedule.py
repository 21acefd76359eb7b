"""torc-watch --auto-schedule while an allocation still works: retries that wait behind others get one of their own."""

from collections.abc import Iterator
from pathlib import Path

import fakecluster
import pytest
import street
from conftest import Torc, said
from fakecluster import Cluster

SPEC = """\
name: crowded
slurm_schedulers: [{name: site, account: proj, nodes: 1, walltime: "01:00:00", mem: 1G}]
actions:
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: site
    scheduler_type: slurm
    num_allocations: 1
failure_handlers:
  - name: ten
    rules: [{exit_codes: [10], recovery_script: "until [ -e held ]; do sleep 0.1; done", max_retries: 2}]
resource_requirements:
  - {name: small, num_cpus: 1, memory: 64m, runtime: PT1M}
  - {name: whole, num_cpus: 4, memory: 64m, runtime: PT1M}
jobs:
  - name: "flaky_{i}"
    command: "[ -e held ] || exit 10; touch mended_{i}"
    resource_requirements: small
    failure_handler: ten
    priority: 1
    parameters: {i: "1:3"}
  - name: holder
    command: "touch held; until [ -e mended_1 -a -e mended_2 -a -e mended_3 ]; do sleep 0.1; done"
    resource_requirements: whole
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a fake cluster that runs what is submitted."""
    made = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--auto-schedule-threshold", 3), "3 retry jobs waiting (threshold: 3), scheduling more nodes..."),
        (("--auto-schedule-stranded-timeout", 1), "stranded for "),
    ],
)
def test_retries_that_wait_get_more_capacity(
    torc: Torc, cluster: Cluster, options: tuple[object, ...], why: str
) -> None:
    """The only allocation is full until the retries are done, so they can only run in another."""
    made = torc("torc-run", "--slurm", "-", "--account", "proj", input=SPEC)
    assert (made.returncode, said(made)[-1]) == (0, "Submitted to Slurm with 1 allocation")
    done = torc("torc-watch", "--auto-schedule", *options, "--auto-schedule-cooldown", 1, "-p", 1, 1)
    assert done.returncode == 0, said(done)
    assert [line for line in said(done) if line.startswith("Auto-schedule: ") and why in line], said(done)
    assert "Auto-schedule: Successfully submitted new allocations" in said(done)
    assert said(done)[-1] == "Workflow completed successfully (4 jobs)"
    rows = street.query("SELECT attempt_id, return_code FROM result ORDER BY attempt_id, job_id")
    assert rows == [(1, 10)] * 3 + [(1, 0)] + [(2, 0)] * 3
