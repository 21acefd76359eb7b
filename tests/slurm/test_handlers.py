"""Failure handlers and --auto-schedule on a real Slurm: retries that outlive their allocations get new ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import street
from conftest import Torc, said

from .conftest import Bed

SPEC = """\
name: retried
execution_config: {mode: direct, sigterm_lead_seconds: 1, sigkill_headroom_seconds: 2}  # 97 steps may take a minute
slurm_schedulers: [{name: site, account: proj, nodes: 1, walltime: "00:02:00", mem: 1500M}]
actions:
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: site
    scheduler_type: slurm
    num_allocations: 3
failure_handlers:
  - name: ten
    rules: [{exit_codes: [10], recovery_script: "touch mended_$TORC_JOB_NAME", max_retries: 2}]
resource_requirements:
  - {name: small, num_cpus: 1, memory: 64m, runtime: PT10S}
  - {name: long, num_cpus: 1, memory: 64m, runtime: PT40S}
jobs:
  - {name: "work_{i}", command: "sleep 0.2", resource_requirements: small, parameters: {i: "1:97"}}
  - name: "flaky_{i}"
    command: ./flaky
    resource_requirements: long
    failure_handler: ten
    parameters: {i: "1:3"}
"""
FLAKY = """\
#!/bin/bash
# Fails with 10 when its allocation is too near its end for another 40 seconds, unless somebody has mended it.
test -e "mended_$TORC_JOB_NAME" && exit
end=$(squeue -h -j "$SLURM_JOB_ID" -o %e)
left=$(($(date -d "$end" +%s) - $(date +%s) - 40))
[ $left -le 0 ] || sleep $left
exit 10
"""


def submit_short(torc: Torc) -> None:
    """Submit allocations of one minute: another job of 40 seconds soon fits into none of them."""
    plan = torc("torc-regenerate", 1, "--account", "proj")
    assert plan.returncode == 0, said(plan)
    records = [json.loads(line) for line in plan.stdout.splitlines()]
    for record in records:
        if record["type"] == "allocation":
            assert record["walltime_s"] == 120
            record["walltime_s"] = 60
    done = torc("torc-submit", input="".join(json.dumps(record) + "\n" for record in records))
    assert done.returncode == 0, said(done)


@pytest.fixture
def retried(torc: Torc, slurm: Bed, work_dir: Path) -> list[str]:
    """Run it to its end; give what torc-watch said."""
    (work_dir / "flaky").write_text(FLAKY)
    (work_dir / "flaky").chmod(0o755)
    (work_dir / "retried.yaml").write_text(SPEC)
    assert torc("torc", "create", "retried.yaml").returncode == 0
    submit_short(torc)
    done = torc("torc", "watch", 1, "--auto-schedule", "-p", 2, timeout=180)
    told: list[str] = done.stdout.decode().splitlines()
    assert done.returncode == 0, [*told, *said(done)]
    return told


def test_retries_without_an_allocation_get_a_new_one(torc: Torc, slurm: Bed, retried: list[str]) -> None:
    """100 jobs, three exit with 10; their handler mends them when no allocation has time left for them."""
    assert [line for line in retried if "Auto-schedule: " in line] == [
        "Auto-schedule: No schedulers available but 3 ready jobs found (3 retries)",
        "Auto-schedule: Successfully submitted new allocations",
    ]
    assert "  Submitted Slurm allocation with 3 jobs" in retried
    assert retried[-1] == "Workflow completed successfully (100 jobs)"
    ran: dict[str, list[Any]] = {}
    for name, attempt, code, allocation in street.query(
        "SELECT j.name, t.attempt_id, t.return_code, w.allocation_id FROM result t JOIN job j USING (job_id)"
        " JOIN worker w ON w.name = t.worker ORDER BY t.job_id, t.attempt_id"
    ):
        ran.setdefault(name, []).append((attempt, code, "old" if allocation <= 3 else "new"))
    assert len(ran) == 100
    flaky = {name: ran.pop(name) for name in ("flaky_1", "flaky_2", "flaky_3")}
    assert list(flaky.values()) == [[(1, 10, "old"), (2, 0, "new")]] * 3
    assert {tuple(each) for each in ran.values()} == {((1, 0, "old"),)}
    drained(slurm)


def drained(slurm: Bed) -> None:
    """Check that the allocations of the plan had ended by themselves before the one for the retries was made."""
    rows = street.query("SELECT slurm_job_id, created_at, ended_at FROM allocation ORDER BY allocation_id")
    assert len(rows) == 4
    assert max(ended for _, _, ended in rows[:3]) <= rows[3][1]
    for job, _, _ in rows:
        assert slurm.until_accounted(int(job), "", "COMPLETED") == "0:0"
