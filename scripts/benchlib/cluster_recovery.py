"""The two recoveries of the table to beat: from torc-run --slurm to the end of torc-watch --recover."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchlib import cluster_bed as bed
from benchlib.measure import Usage, run
from benchlib.table import Row

ROUNDS = 3
LONG_ROUNDS = 1
_HOLD = "python3 -c 'import time; held = bytearray(120 << 20); time.sleep({})'"
_SMALL = {"name": "small", "num_cpus": 1, "memory": "100m", "runtime": "PT1M"}
_MEDIUM = {"name": "medium", "num_cpus": 1, "memory": "100m", "runtime": "PT2M"}
_BRIEF = {"name": "brief", "num_cpus": 1, "memory": "64m", "runtime": "PT5S"}


def measured(folder: Path, _at_most: int) -> list[Row]:
    """Measure both, each with the poll interval of the table."""
    four = [_watched(folder / f"four{number}", _four(), 5) for number in range(ROUNDS)]
    many = [_watched(folder / f"many{number}", _seventeen(), 2) for number in range(LONG_ROUNDS)]
    return [
        Row("slurm", "OOM of one job in four (10 s of work), watch --recover -p 5: submit to all done",
            statistics.median(seconds for seconds, _ in four), "s", ROUNDS, aim="20 s",
            torc="41 s (0.21.0: 177 s, 3 s recorded as 30 s)", note=four[-1][1]),
        Row("slurm", "17 jobs (2 OOM, 1 hidden; 1 late, 1 bug, 1 dependent, 1 of 75 s), watch --recover -p 2",
            statistics.median(seconds for seconds, _ in many), "s", LONG_ROUNDS, aim="95 s",
            torc="129 s, the healthy job's memory raised, too", note=many[-1][1]),
    ]  # fmt: skip


def _four() -> dict[str, Any]:
    jobs = [
        _job("prepare", "sleep 2"),
        _job("hog", _HOLD.format(3), after="prepare"),
        _job("healthy", "sleep 3"),
        _job("report", "sleep 2", after="hog"),
    ]
    return {"name": "four", "resource_requirements": [_SMALL], "jobs": jobs}


def _seventeen() -> dict[str, Any]:
    jobs = [
        _job("hog", _HOLD.format(3), "medium"),
        _job("hidden", _HOLD.format(3) + " || true", "medium"),
        _job("healthy", "sleep 3", "medium"),
        _job("long", "sleep 75", "medium"),
        _job("late", "sleep 7", "brief"),
        _job("bug", "echo 'no such column' >&2; exit 3"),
        _job("report", "sleep 1", after="hog"),
        *(_job(f"quick{number}", "sleep 2") for number in range(10)),
    ]
    execution = {"limit_runtime": True, "sigterm_lead_seconds": 5, "sigkill_headroom_seconds": 20}
    requirements = [_SMALL, _MEDIUM, _BRIEF]
    return {"name": "17", "execution_config": execution, "resource_requirements": requirements, "jobs": jobs}


def _job(name: str, command: str, requirement: str = "small", after: str | None = None) -> dict[str, Any]:
    job = {"name": name, "command": command, "resource_requirements": requirement}
    return {**job, "depends_on": [after]} if after else job


def _watched(own: Path, spec: dict[str, Any], poll_s: int) -> tuple[float, str]:
    """Give the time from the submission to the end of the watch, and what became of the jobs."""
    own.mkdir()
    (own / "spec.json").write_text(json.dumps(spec))
    bed.settled()
    began = time.monotonic()
    bed.torc(own, "torc-run", "--slurm", "spec.json", "--account", "proj", "--partition", "debug")
    watch: Usage = run(["torc-watch", "--recover", "-p", str(poll_s), "1"], own)
    seconds = time.monotonic() - began
    bed.settled()
    idle = f"allocations idle at their ends for {_idle_s(own):.0f} s together"
    return seconds, f"{_became(own)}; {idle}; torc-watch ended with {watch.status}"


def _became(own: Path) -> str:
    """Say how the jobs ended, and what the recovery did to the memory of those that share a requirement."""
    jobs = {each["job_name"]: each for each in _records(own, "torc-jobs", "job")}
    bad = [f"{name} {each['status']}" for name, each in jobs.items() if each["status"] != "completed"]
    asked = ", ".join(
        f"{name} {jobs[name]['memory_bytes'] >> 20}m" for name in ("healthy", "hog", "hidden") if name in jobs
    )
    times = [each["exec_time_s"] for each in _records(own, "torc-results", "result") if each["job_name"] == "healthy"]
    ran = f"healthy ran {len(times)} time(s), {times[-1]:.2f} s" if times else "healthy never ran"
    done = ", ".join([f"{len(jobs) - len(bad)} of {len(jobs)} completed", *bad])
    return f"{done}; memory now: {asked}; {ran}"


def _idle_s(own: Path) -> float:
    """Add up how long the workers of all allocations were there after the end of the last job they ran."""
    total = 0.0
    for path in (own / "torc_output" / "events").glob("*.jsonl"):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        busy = [each["at"] for each in events if each["event"] in ("worker_started", "ended")]
        total += max(each["at"] for each in events) - max(busy)
    return total


def _records(own: Path, command: str, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, bed.torc(own, command, "1", "-f", "jsonl").splitlines())
    return [each for each in lines if each["type"] == kind]
