"""Stores that several sections share, made once a run."""

import os
import subprocess
import sys
from pathlib import Path

from benchlib.measure import ROOT, clean_environment, run


def unfolded(folder: Path, size: int, attempts: int = 1) -> Path:
    """Give a folder with a store of `size` jobs and event files that nobody has folded yet."""
    made = folder / f"jobs{size}x{attempts}"
    if not made.exists():
        environment = clean_environment() | {"PYTHONPATH": str(ROOT / "scripts")}
        argv = [sys.executable, "-m", "benchlib.stores", str(made), str(size), str(attempts)]
        subprocess.run(argv, env=environment, check=True)
    return made


def folded(folder: Path, size: int) -> Path:
    """Give a folder with a store of `size` jobs of which a tenth failed, all events folded in."""
    made = unfolded(folder, size)
    if not (made / "folded").exists():
        run(["torc-sync", "1"], made)
        os.close(os.open(made / "folded", os.O_CREAT))
    return made
