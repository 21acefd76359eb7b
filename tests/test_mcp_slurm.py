"""The tools of torc-mcp on Slurm: what they plan and submit, on a cluster of one file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakecluster
import jsonschema
import pytest
import street
import waiting
from conftest import Torc, said
from fakecluster import Cluster

from torc_tools.flows import mcp
from torc_tools.shell.stoppable import Task

SPEC = """\
name: oom
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: hog, command: 'test "$SLURM_MEM_PER_NODE" -ge 150 || exit 137', resource_requirements: small}
  - {name: report, command: "echo done > report", resource_requirements: small, depends_on: [hog]}
"""
SETTING = mcp.Setting("torc.db", read_only=False)


def given(name: str, **arguments: Any) -> dict[str, Any]:
    answer = mcp.answer(SETTING, name, {"workflow_id": 1, **arguments}, Task())
    assert answer.value is not None, answer.failure
    tool = next(tool for tool in mcp.offered(SETTING) if tool["name"] == name)
    jsonschema.Draft202012Validator(tool["outputSchema"]).validate(answer.value)
    return answer.value


def over(cluster: Cluster) -> None:
    waiting.until(lambda: all(job["end"] for job in cluster.jobs()), "the allocations to end", 60)


@pytest.fixture
def oomed(torc: Torc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a fake cluster on which workflow 1 has run once: hog was killed for memory."""
    cluster = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", cluster.path)
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "20")
    done = torc("torc-run", "--slurm", "-", "--account", "proj", input=SPEC)
    assert done.returncode == 0, said(done)
    over(cluster)
    yield cluster
    cluster.stop()


def test_a_resubmission_plans_and_submits(torc: Torc, oomed: Cluster) -> None:
    plan = given("recover", account="proj")
    assert plan["counts"] == {"adjustments": 1, "resets": 2, "allocations": 2, "submissions": 0}  # a chain of two
    sent = len(oomed.jobs())
    tried = given("resubmit_workflow", dry_run=True, account="proj", walltime="PT10M")
    assert tried["counts"] == {"resets": 2, "allocations": 2, "submissions": 0}
    assert tried["commands"][-1].startswith("torc-reset ")
    assert " | torc-regenerate " in tried["commands"][-1]
    assert (tried["allocations"][0]["walltime_s"], len(oomed.jobs())) == (600, sent)
    updated = mcp.answer(SETTING, "update_job_resources", {"job_id": 1, "memory": "200m"}, Task())
    assert updated.value is not None, updated.failure
    oomed.knob("sbatch", "fail")
    refused = mcp.answer(SETTING, "resubmit_workflow", {"workflow_id": 1, "account": "proj"}, Task())
    assert "torc-submit: " in refused.failure
    assert ": the jobs are reset and wait (exit status 69: unavailable)" in refused.failure
    oomed.knob("sbatch", None)
    done = given("resubmit_workflow", account="proj")  # the same call goes on
    assert done["counts"]["submissions"] == 2
    assert (done["submissions"][0]["status"], done["started"]) == ("queued", None)
    over(oomed)
    assert torc("torc-sync", 1).returncode == 0
    assert street.statuses() == {"hog": "completed", "report": "completed"}


def test_a_recovery_submits(torc: Torc, oomed: Cluster) -> None:
    done = given("recover", dry_run=False, account="proj")
    assert (done["exit_status"], done["started"]) == (0, None)
    assert done["counts"] == {"adjustments": 1, "resets": 2, "allocations": 0, "submissions": 2}
    over(oomed)
    assert torc("torc-sync", 1).returncode == 0
    assert street.statuses() == {"hog": "completed", "report": "completed"}
