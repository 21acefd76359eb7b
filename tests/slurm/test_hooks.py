"""A hook that is asked, and pending_failed, on a real Slurm: no allocation is kept for a judgement that is awaited."""

from pathlib import Path

import street
from conftest import Torc, said, script
from prepared import execute

from .conftest import Bed

SPEC = """\
name: judged
use_pending_failed: true
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: bug, command: "exit 4", resource_requirements: small}
  - {name: flaky, command: "test -e mended", resource_requirements: small}
  - {name: doomed, command: "true", depends_on: [bug], resource_requirements: small}
  - {name: after, command: "true", depends_on: [flaky], resource_requirements: small}
  - name: tidy
    command: "true"
    depends_on: [bug]
    cancel_on_blocking_job_failure: false
    resource_requirements: small
"""
HOOK = """touch mended
jq -c 'select(.type == "diagnosis") | {type: "adjustment", job_ids: [.job_id]} +
    if .job_name == "bug" then {action: "fail", reason: "a bug"} else {action: "retry", reason: "mended"} end'"""


def test_failures_are_judged_by_a_hook_and_nothing_is_kept_for_them_meanwhile(
    torc: Torc, slurm: Bed, work_dir: Path
) -> None:
    done = torc("torc-run", "--slurm", "-", "--account", "proj", "--partition", "debug", input=SPEC)
    assert done.returncode == 0, said(done)
    slurm.until(lambda: not slurm.queue(), "the allocations to end")
    assert torc("torc-sync", 1).returncode == 0
    waiting = {
        "bug": "pending_failed",
        "flaky": "pending_failed",
        **dict.fromkeys(("doomed", "after", "tidy"), "blocked"),
    }
    assert street.statuses() == waiting
    ends = execute("torc.db", "SELECT max(t.ended_at), max(w.ended_at) FROM result t, worker w")
    assert ends[0][1] - ends[0][0] < 20  # torc's runner idles for 90 s beside them
    script(work_dir / "hook", HOOK)
    done = torc("torc-watch", "-r", "-p", 3, "--recovery-hook-json", "./hook", 1, timeout=180)
    assert done.returncode == 1, said(done)
    assert "  Job 1 (bug): failed for good: a bug" in said(done)
    assert street.statuses() == {
        "bug": "failed", "flaky": "completed", "doomed": "canceled", "after": "completed", "tidy": "completed",
    }  # fmt: skip
    assert slurm.queue() == {}
