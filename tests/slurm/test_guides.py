"""Every command line of torc's guides, typed through `torc` against a workflow that has failed on a real Slurm.

The lines are in tests/data/command-lines (tests/commandlines.py found them). Where a line leaves out which workflow is
meant, or is only options, `typed` completes it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT
from prepared import execute

from torc_tools.shell import store

from .conftest import Bed

DATA = ROOT / "tests" / "data"
LINES = (DATA / "command-lines").read_text().splitlines()
SPEC = """\
name: guide
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: prepare, command: "echo prepared", resource_requirements: small}
  - {name: train_model, command: "python3 -c 'held = bytearray(120 << 20)'", resource_requirements: small}
  - {name: report, command: "echo done", resource_requirements: small, depends_on: [train_model]}
"""
BUG = '  - {name: convert, command: "test -e fixed || exit 3", resource_requirements: small}\n'
FIX = '#!/bin/bash\ntouch fixed\necho "mended workflow $1 $TORC_WORKFLOW_ID"\n'


class Case(NamedTuple):
    """What a line prints (patterns, in order), how it is typed where that is not the line itself, its exit status.

    state: what has failed ('bug': a job with a bug, too). before: what is typed first.
    """

    looks: tuple[str, ...]
    typed: str = ""
    status: int = 0
    state: str = "oom"
    before: str = ""


HEALED = (
    r"^Attempting automatic recovery \(attempt 1\)$",
    r"^  Job 102 \(train_model\): OOM detected, increasing memory 100m -> 150m$",
    r"^  Applied fixes: 1 OOM, 0 timeout$",
    r"^Recovery initiated. Resuming monitoring...$",
    r"^Workflow completed successfully \(3 jobs\)$",
)
TRIED = (r"Job 102 .* 100m -> 150m$", r"^\[DRY RUN\] Total: 2 allocation", r"^Would reset 1 job\(s\) and regenerate")
SUBMITTED = (r"^Created workflow 43 with 3 jobs$", r"^Submitted to Slurm with 2 allocations$")
RESET = "torc workflows reset-status 42 --failed-only --reinitialize --no-prompts"
CASES = {
    # recovery
    "torc recover 42 --dry-run": Case(TRIED),
    "torc recover --dry-run": Case(TRIED, typed="torc recover 42 --dry-run"),
    "torc recover 42": Case((
        r"^  Applied fixes: 1 OOM, 0 timeout$", r"^  Submitted Slurm allocation with 1 job$",
        r"^Recovery complete for workflow 42$", r"^Reset 1 job\(s\). Slurm schedulers regenerated and submitted.$",
    )),
    'torc recover <workflow_id> --memory-multiplier 1.5 --runtime-multiplier 1.4 --retry-unknown --recovery-hook'
    ' "bash fix.sh" --dry-run': Case((r"100m -> 150m$", r"1 job\(s\) with unknown failure cause \(would retry\)"),
                                     state="bug"),
    # watching
    "torc watch --recover": Case(HEALED, typed="torc watch 42 --recover"),
    "torc watch -r": Case(HEALED, typed="torc watch 42 -r"),
    "torc watch 42 --recover": Case(HEALED),
    "torc watch 42 --recover --show-job-counts": Case((r"completed=1,", *HEALED[:4], r"completed=3,", HEALED[4])),
    "torc watch 42 --recover --poll-interval 300 --show-job-counts": Case((r"\(poll interval: 300s", *HEALED)),
    "torc watch <workflow_id> -r -m 5 --memory-multiplier 1.5 --runtime-multiplier 1.5 --retry-unknown --recovery-hook"
    ' "bash fix.sh" -p 60 -o torc_output -s --auto-schedule --auto-schedule-threshold 5 --auto-schedule-cooldown 1800'
    " --auto-schedule-stranded-timeout 7200 --partition standard --walltime 04:00:00": Case(
        (r"\(attempt 1/5\)$", r"\[hook\] mended workflow 42 42$", r"^Workflow completed successfully \(4 jobs\)$"),
        state="bug",
    ),
    'torc watch 42 --recover --recovery-hook "bash fix-spark-cluster.sh"': Case(
        (r"\[hook\] Updated job 102 to use 16 nodes$", r"no partition of Torctest \(Slurm\) gives 16 nodes"),
        status=1, state="bug",  # as the hook wants; the test bed has three nodes
    ),
    "torc watch $WORKFLOW_ID --auto-schedule": Case(
        (r"^Auto-schedule: No schedulers available but 1 ready jobs found \(0 retries\)$", HEALED[4]),
        before=f"{RESET} && torc jobs update 102 --memory 200m",
    ),
    "--max-retries 5": Case((r"\(attempt 1/5\)$", HEALED[4]), typed="torc watch 42 --recover --max-retries 5"),
    "--memory-multiplier 2.0": Case(
        (r" 100m -> 200m$", HEALED[4]), typed="torc watch 42 --recover --memory-multiplier 2.0"
    ),
    "--runtime-multiplier 2.0": Case(
        HEALED, typed="torc watch 42 --recover --runtime-multiplier 2.0"
    ),
    # the hook, and what it types
    "bash fix-spark-cluster.sh 42": Case((r"^Updated job 102 to use 16 nodes$",)),
    "torc jobs list $WORKFLOW_ID --status failed -f json | jq -r '.[].id'": Case((r"\A102\n\Z",)),
    "torc jobs get $JOB_ID -f json": Case((r'"id": 102,', r'"resource_requirements_id": 1,')),
    "torc resource-requirements update $RR_ID --num-nodes 16": Case(
        (r"^id +name +num_cpus.* num_nodes ", r"^1 +small .* 16 "),
    ),
    # submission
    "torc submit-slurm --account my_project workflow.yaml": Case(SUBMITTED),
    "torc submit-slurm --account myproject workflow.yaml": Case(SUBMITTED),
    "torc slurm regenerate --submit": Case((r"queued",), typed="torc slurm regenerate 42 --submit", before=RESET),
    "--profile kestrel": Case(
        (r"^small .* \(short\) ",), typed="torc slurm regenerate 42 --profile kestrel", before=RESET
    ),
    # by hand
    "torc workflows sync-status <workflow_id>": Case((r"^workflow 42: nothing to settle$",)),
    "torc workflows sync-status <workflow_id> --dry-run": Case((r"^workflow 42: nothing to settle$",)),
    "torc workflows reset-status --failed-only --reinitialize": Case(
        (r"102 +train_model",), typed="torc workflows reset-status 42 --failed-only --reinitialize"
    ),
    "torc jobs logs <job_id>": Case((r"job_wf42_j102_r1_a1.o <==$", r"oom.kill")),
    # looking
    "torc reports check-resource-utilization 42": Case((r"^1 result\(s\), 0 violation\(s\)$",)),
    "torc reports check-resource-utilization --include-failed": Case(
        (r"^102 +train_model +failed +137 +oom", r" 1 failed$"),
    ),
    "--format json": Case(
        (r'"workflow_id": 42,', r'"over_utilization_count": 0,'),
        typed="torc reports check-resource-utilization 42 --format json",
    ),
    "torc -f json workflows correct-resources": Case(
        (r'"workflow_id": 42,', r'"memory_corrections": 1,', r'"new_memory": "'),
    ),
    "torc hpc detect": Case((r"^torctest ",)),
    "torc hpc partitions <profile>": Case((r"^bigmem ",)),
    "torc slurm stats <workflow_id>": Case((r"^101 .* COMPLETED ", r"^102 .* OUT_OF_MEMORY ")),
    "torc slurm stats <workflow_id> --job-id <job_id>": Case((r"^102 .* OUT_OF_MEMORY ",)),
    "torc -f json slurm stats <workflow_id>": Case((r'"items": \[', r'"max_rss_bytes"', r'"job_id": 102')),
}  # fmt: skip
MEANT = {"<workflow_id>": "42", "<job_id>": "102", "<profile>": "kestrel"}
NAMED = {"WORKFLOW_ID": "42", "JOB_ID": "102", "RR_ID": "1"}


class Place:
    """A folder with workflow 42, which has failed on Slurm; for each line it is as it was then."""

    def __init__(self, bed: Bed, folder: Path) -> None:
        self.bed, self.folder = bed, folder
        self.here = folder / "it's a guide"  # the store knows it by this name
        self._states: set[str] = set()

    def type(self, case: Case, line: str) -> "subprocess.CompletedProcess[str]":
        """Type a line, and what goes before it, where the workflow is as the case says."""
        self.clear()
        if case.state not in self._states:
            self._fail(case.state)
        shutil.copytree(self.folder / case.state, self.here)
        if case.before:
            done = self._shell(case.before)
            assert done.returncode == 0, done.stdout
        return self._shell(re.sub("<[a-z_]+>", lambda found: MEANT[found[0]], case.typed or line))

    def _fail(self, state: str) -> None:
        """Run the workflow once, and keep what it left."""
        self.here.mkdir()
        (self.here / "workflow.yaml").write_text(SPEC + (BUG if state == "bug" else ""))
        (self.here / "fix.sh").write_text(FIX)
        shutil.copy(DATA / "fix-spark-cluster.sh", self.here)
        store.create(str(self.here / "torc.db")).close()
        execute(self.here / "torc.db", "INSERT INTO sqlite_sequence VALUES ('workflow', 41), ('job', 100)")
        done = self._shell("torc submit-slurm --account myproject workflow.yaml && torc watch 42 -p 300")
        assert "Recovery disabled. To enable, use --recover flag." in done.stdout, done.stdout
        self.clear(keep=state)
        self._states.add(state)

    def clear(self, keep: str | None = None) -> None:
        """End what the line before left in the queue; remove its folder, or keep it as a state."""

        def empty() -> bool:
            if jobs := self.bed.queue():
                self.bed.attempt("scancel", "--quiet", *jobs)
            return not jobs

        self.bed.until(empty, "the queue to be empty")
        if keep:
            self.here.rename(self.folder / keep)
        elif self.here.exists():
            shutil.rmtree(self.here)

    def _shell(self, line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.here,
            env={**os.environ, "SLURM_CONF": self.bed.conf, **NAMED},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def place(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give the folder; afterwards nothing of it is left in the queue."""
    bed.reset()
    made = Place(bed, tmp_path_factory.mktemp("guides"))
    yield made
    made.clear()


def test_every_line_has_its_look() -> None:
    assert sorted(CASES) == sorted(LINES)


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_guides_works(line: str, place: Place) -> None:
    case = CASES[line]
    done = place.type(case, line)
    assert done.returncode == case.status, done.stdout
    at = 0
    for look in case.looks:
        found = re.compile(look, re.MULTILINE).search(done.stdout, at)
        assert found, f"{look!r} is not in, or not where it belongs:\n{done.stdout}"
        at = found.end()


def test_the_hook_of_the_guides_heals_where_the_nodes_are_there(place: Place) -> None:
    """As the line above, with the two nodes that the test bed has for it."""
    hook = "sed 's/num-nodes 16/num-nodes 2/' fix-spark-cluster.sh > fix-two.sh && touch fixed"
    done = place.type(Case((), state="bug", before=hook), 'torc watch 42 -r -m 1 --recovery-hook "bash fix-two.sh"')
    assert done.returncode == 0, done.stdout
    assert "Workflow completed successfully (4 jobs)" in done.stdout
    ran = "SELECT r.num_nodes, t.run_id FROM job j JOIN resource_requirements r USING (resource_requirements_id)"
    rows = execute(
        place.here / "torc.db", f"{ran} JOIN result t USING (job_id) WHERE j.name = 'train_model' ORDER BY 2"
    )
    assert rows == [(2, 1), (2, 2)]
