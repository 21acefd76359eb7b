"""A weekend of 100 jobs on a real Slurm: most do well, the others fail in every way that recovery knows.

Each job runs `./job KIND`; a job that has done its work appends its name to ./done, so a job that succeeds twice shows.
"""

from collections import Counter
from pathlib import Path

JOB = """\
#!/bin/bash
# ./job KIND [SECONDS]: do the work of a job of this kind, and note that it is done.
kind=$1 seconds=${2:-0}
ok() { echo "$TORC_JOB_NAME" >> done; }
hold() { python3 -c 'held = bytearray(120 << 20)'; }
case $kind in
    quick) sleep 0.2; ok ;;
    healthy) sleep 1; ok ;;
    hog) hold && ok ;;                       # 120 MB where 100 were asked for, in the first run
    hidden) if hold; then ok; fi; exit 0 ;;  # the same, and nobody looks at the status of the program that died
    late) sleep 6; [ "$TORC_RUN_ID" != 1 ] || sleep 6; ok ;;  # where 5 seconds were asked for
    long) echo "$TORC_JOB_NAME $SLURM_JOB_ID $SLURMD_NODENAME" >> started; sleep "$seconds"; ok ;;
    bug) echo "ValueError: no such column 'yield'" >&2; exit 3 ;;
    after) ok ;;
esac
"""

REQUIREMENTS = """\
name: weekend
execution_config: {limit_runtime: true, sigterm_lead_seconds: 5, sigkill_headroom_seconds: 20}
resource_requirements:
  - {name: small, num_cpus: 1, memory: 64m, runtime: PT20S}
  - {name: medium, num_cpus: 1, memory: 100m, runtime: PT20S}
  - {name: brief, num_cpus: 1, memory: 64m, runtime: PT5S}
  - {name: whole_node, num_cpus: 4, memory: 500m, runtime: PT60S}
jobs:
"""
KINDS = (  # names, kind, requirement, names of the parents
    ("quick", 50, "quick", "small", None),
    ("healthy", 10, "healthy", "medium", None),
    ("hog", 8, "hog", "medium", None),
    ("hidden", 4, "hidden", "medium", None),
    ("late", 6, "late", "brief", None),
    ("long", 6, "long 12", "whole_node", None),
    ("bug", 1, "bug", "small", None),
    ("after_bug", 3, "after", "small", "bug_0"),
    ("after_hog", 12, "after", "small", "hog_{}"),
)
SOUND = 100 - 1 - 3  # all but the bug and what waits for it


def write(folder: Path) -> Path:
    """Write ./job and the spec; give the spec's path."""
    program = folder / "job"
    program.write_text(JOB)
    program.chmod(0o755)
    lines = []
    for name, count, kind, requirement, parent in KINDS:
        for number in range(count):
            above = f", depends_on: [{parent.format(number % 8)}]" if parent else ""
            command = f"command: ./job {kind}, resource_requirements: {requirement}"
            lines.append(f"  - {{name: {name}_{number}, {command}{above}}}")
    assert len(lines) == 100
    spec = folder / "weekend.yaml"
    spec.write_text(REQUIREMENTS + "\n".join(lines) + "\n")
    return spec


def running(folder: Path) -> dict[str, tuple[str, str]]:
    """Give (Slurm job id, node) of each long job that has started and is not done, as it was the last time."""
    path = folder / "started"
    words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    over = done(folder)
    return {name: (slurm_job_id, node) for name, slurm_job_id, node in words if name not in over}


def done(folder: Path) -> Counter[str]:
    """Give how often each job has succeeded."""
    path = folder / "done"
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()
