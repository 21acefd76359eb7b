"""A chain of jobs whose stages alternate between two allocations, beside a chain of sbatch --dependency."""

import json
import statistics
from pathlib import Path
from typing import Any

from benchlib import cluster_bed as bed
from benchlib.table import Row, ratio

ROUNDS = 3
STAGES = 6
_WIDE = {"name": "wide", "num_cpus": 4, "memory": "500m", "runtime": "PT10S"}
_DEEP = {"name": "deep", "num_cpus": 1, "memory": "5000m", "runtime": "PT10S"}
_BATCH = "sbatch --dependency=afterok"


def measured(folder: Path, _at_most: int) -> list[Row]:
    """Measure the time between the end of a job and the start of the next; both write it down themselves."""
    here = folder / "chain"
    here.mkdir()
    cases: dict[str, bed.Case] = {
        "torc: two allocations, turn by turn": lambda n: _torc(here / f"two{n}", _two()),
        "torc: one allocation": lambda n: _torc(here / f"one{n}", _plain(_WIDE, _WIDE)),
        "torc: an allocation for each stage": lambda n: _torc(here / f"each{n}", _plain(_WIDE, _DEEP)),
        _BATCH: lambda n: _chain(here / f"batch{n}"),
    }
    taken = bed.medians(cases, ROUNDS)
    peer = taken[_BATCH][0]
    return [_row(name, middle, longest, peer) for name, (middle, longest) in taken.items()]


def _row(name: str, middle: float, longest: float, peer: float) -> Row:
    return Row(
        "slurm",
        f"chain of {STAGES}, from one job's end to the next one's start: {name}",
        middle * 1000,
        "ms",
        ROUNDS,
        peers="" if name == _BATCH else f"{ratio(middle, peer)} {_BATCH}",
        aim="5 s" if "two" in name else "",
        note=f"the longest {longest:.1f} s",
    )


def _command(number: int) -> str:
    return f"{bed.STAMP} > began{number}; sleep 0.2; {bed.STAMP} > ended{number}"


def _jobs(*keys: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the chain; its jobs have the keys in turn."""
    return [
        {"name": f"j{number}", "command": _command(number), **keys[number % len(keys)]}
        | ({"depends_on": [f"j{number - 1}"]} if number else {})
        for number in range(STAGES)
    ]


def _two() -> dict[str, Any]:
    """Give a chain of which each of two allocations, both there from the start, may run every other job."""
    schedulers = [
        {"name": name, "account": "proj", "partition": "standard", "nodes": 1, "walltime": "00:05:00"} for name in "ab"
    ]
    start = {"trigger_type": "on_workflow_start", "action_type": "schedule_nodes", "scheduler_type": "slurm"}
    return {
        "name": "chain",
        "resource_requirements": [_WIDE],
        "slurm_schedulers": schedulers,
        "actions": [{**start, "scheduler": name, "num_allocations": 1} for name in "ab"],
        "jobs": _jobs(*({"resource_requirements": "wide", "scheduler": name} for name in "ab")),
    }


def _plain(*requirements: dict[str, Any]) -> dict[str, Any]:
    """Give a chain whose jobs have these requirements in turn."""
    return {
        "name": "chain",
        "resource_requirements": list({each["name"]: each for each in requirements}.values()),
        "jobs": _jobs(*({"resource_requirements": each["name"]} for each in requirements)),
    }


def _torc(own: Path, spec: dict[str, Any]) -> list[float]:
    own.mkdir()
    (own / "chain.json").write_text(json.dumps(spec))
    bed.torc(own, "torc-run", "--slurm", "chain.json", "--account", "proj")
    return _gaps(own)


def _chain(own: Path) -> list[float]:
    own.mkdir()
    before: list[str] = []
    for number in range(STAGES):
        asked = ("--partition=standard", "--cpus-per-task=4", "--mem=756M", *before)
        before = [f"--dependency=afterok:{bed.batch(own, _command(number), *asked)}"]
    return _gaps(own)


def _gaps(own: Path) -> list[float]:
    """Give the median and the longest time between two stages, once all are over."""
    bed.stamp(own / f"ended{STAGES - 1}")
    pairs = [(bed.stamp(own / f"ended{n}"), bed.stamp(own / f"began{n + 1}")) for n in range(STAGES - 1)]
    found = [began - ended for ended, began in pairs]
    return [statistics.median(found), max(found)]
