"""scripts/example: the complete example of torc's guide, on a real Slurm, next to what the guide prints."""

import os
import subprocess
from pathlib import Path

from conftest import ROOT, TESTBED

from .conftest import Bed


def test_the_example_prints_what_the_guide_does(slurm: Bed, work_dir: Path) -> None:
    """100 jobs in 10 allocations, five of them out of memory; the script compares, and fails where it differs."""
    done = subprocess.run(
        [ROOT / "scripts" / "example", work_dir / "example"],
        env={**os.environ, "TORC_TESTBED": TESTBED},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "All other lines are the same, and in the same order." in lines
    slurm.until(lambda: not slurm.queue(), "the queue to be empty")
