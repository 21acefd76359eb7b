"""From the command line to the first instruction of the first job."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from benchlib import cluster_bed as bed
from benchlib.table import Row, ratio

ROUNDS = 7
_TORC, _BATCH = "torc-run --slurm", "sbatch"
_JOB = f"{bed.STAMP} > first"
_ASKED = ("--mem=356M", "--cpus-per-task=1")
_PARTS = ("torc-run until sbatch is called", "until the worker's first event", "until the job's own first instruction")


def measured(folder: Path, _at_most: int) -> list[Row]:
    """Measure one job, submitted in four ways."""
    here = folder / "first"
    spec = {
        "name": "first",
        "resource_requirements": [{"name": "one", "num_cpus": 1, "memory": "100m", "runtime": "PT1M"}],
        "jobs": [{"name": "first", "command": _JOB, "resource_requirements": "one"}],
    }
    here.mkdir()
    (here / "first.json").write_text(json.dumps(spec))
    srun = f"srun --exact --mem=100M bash -c '{_JOB}'"
    cases: dict[str, bed.Case] = {
        _TORC: lambda number: _torc(here, number),
        _BATCH: lambda number: _peer(here / f"b{number}", _JOB),
        "sbatch, the job a step of srun": lambda number: _peer(here / f"s{number}", srun),
        "sbatch --array=0": lambda number: _peer(here / f"a{number}", _JOB, "--array=0"),
    }
    taken = bed.medians(cases, ROUNDS)
    peer = taken[_BATCH][0]
    rows = [
        Row(
            "slurm",
            f"submit to first job: {name}",
            all_s,
            "s",
            ROUNDS,
            peers="" if name == _BATCH else _beside(all_s, peer),
        )
        for name, (all_s, *_) in taken.items()
    ]
    parts = zip(_PARTS, taken[_TORC][1:], strict=True)
    return rows + [Row("slurm", f"  of torc-run --slurm: {name}", each, "s", ROUNDS) for name, each in parts]


def _beside(value: float, peer: float) -> str:
    return f"{ratio(value, peer)} {_BATCH}, {value - peer:+.2f} s"


def _torc(here: Path, number: int) -> list[float]:
    """Give the time until the job's first instruction, and its parts."""
    own = here / f"t{number}"
    own.mkdir()
    began = time.time()
    bed.torc(own, "torc-run", "--slurm", "../first.json", "--account", "proj", "--partition", "debug")
    first = bed.stamp(own / "first")
    with closing(sqlite3.connect(own / "torc.db")) as db:
        sent = db.execute("SELECT submitted_at FROM allocation").fetchone()[0]
    (events,) = (own / "torc_output" / "events").glob("*.jsonl")
    worker = json.loads(events.read_text().splitlines()[0])["at"]
    return [first - began, sent - began, worker - sent, first - worker]


def _peer(here: Path, command: str, *options: str) -> list[float]:
    here.mkdir()
    began = time.time()
    bed.batch(here, command, *_ASKED, *options)
    return [bed.stamp(here / "first") - began]
