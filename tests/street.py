"""A workflow of real programs that fail: one out of memory, one out of time, one with a bug, and what hangs on them.

In the first run they hold what they have until they are stopped, so that a slow machine sees the same failures.
"""

import hashlib
from pathlib import Path
from typing import Any

import prepared

SPEC = """\
name: street
resource_requirements:
  - {name: small, num_cpus: 1, memory: 48m, runtime: PT30S}
  - {name: brief, num_cpus: 1, memory: 48m, runtime: PT1S}
jobs:
  - {name: prepare, command: "true", resource_requirements: small}
  - name: hog
    command: "python3 -c 'import time; held = bytearray(60 << 20); time.sleep('$((TORC_RUN_ID == 1 ? 60 : 0))')'"
    resource_requirements: small
    depends_on: [prepare]
  - {name: late, command: "sleep $((TORC_RUN_ID == 1 ? 60 : 0))", resource_requirements: brief, depends_on: [prepare]}
  - {name: bug, command: "test -e mended", resource_requirements: small}
  - {name: report, command: "echo done > report", resource_requirements: small, depends_on: [hog, late]}
  - {name: after_bug, command: "true", resource_requirements: small, depends_on: [bug]}
"""
HEALED = {
    "prepare": "completed",
    "hog": "completed",
    "late": "completed",
    "bug": "failed",
    "report": "completed",
    "after_bug": "canceled",
}


def write(folder: Path, *, bug: bool = True) -> Path:
    """Write the spec, with or without the bug and what hangs on it; give its path."""
    path = folder / "street.yaml"
    path.write_text(SPEC if bug else "\n".join(line for line in SPEC.splitlines() if "bug" not in line) + "\n")
    return path


def query(sql: str) -> list[tuple[Any, ...]]:
    """Ask ./torc.db."""
    return prepared.execute("torc.db", sql)


def statuses() -> dict[str, str]:
    """Give the state of every job of ./torc.db by name."""
    from torc_tools import states

    return {name: states.NAMES[status] for name, status in query("SELECT name, status FROM job ORDER BY job_id")}


def limits() -> dict[str, tuple[int, int]]:
    """Give (memory_bytes, runtime_s) of every job by name."""
    join = "job j JOIN resource_requirements r USING (resource_requirements_id)"
    sql = f"SELECT j.name, r.memory_bytes, r.runtime_s FROM {join}"
    return {name: (memory, runtime) for name, memory, runtime in query(sql)}


def dump() -> list[str]:
    """Give everything that ./torc.db holds, as SQL."""
    return prepared.dump("torc.db")


def digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
