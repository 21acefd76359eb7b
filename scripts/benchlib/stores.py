"""Makes stores of any size by the real commands: torc-create of a sweep, event files written here, torc-sync.

Run as a process of its own (`python -m benchlib.stores FOLDER JOBS ATTEMPTS`), so that the rig itself stays small.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

WORKERS = 4
_SWEEP = """
name: sweep
resource_requirements:
  - {{name: small, num_cpus: 1, memory: 8g, runtime: PT1H}}
jobs:
  - name: "work_{{i:06d}}"
    command: "./work --case {{i}}"
    resource_requirements: small
    parameters: {{i: "1:{count}"}}
"""
_MEMORY = 8 << 30


def sweep(count: int) -> str:
    """Give a spec of `count` jobs of their own."""
    return _SWEEP.format(count=count)


def barriers(stages: int, each: int) -> str:
    """Give a spec of `stages` sweeps of `each` jobs, a barrier behind each."""
    jobs: list[dict[str, Any]] = []
    for stage in range(1, stages + 1):
        job = {"name": f"s{stage}_{{i:05d}}", "command": f"./stage{stage} {{i}}", "resource_requirements": "small"}
        after = {"depends_on": [f"barrier{stage - 1}"]} if stage > 1 else {}
        jobs.append(job | after | {"parameters": {"i": f"1:{each}"}})
        barrier = {"name": f"barrier{stage}", "command": "true", "resource_requirements": "small"}
        jobs.append(barrier | {"depends_on_regexes": [f"^s{stage}_.*"]})
    small = {"name": "small", "num_cpus": 1, "memory": "2g", "runtime": "PT10M"}
    return json.dumps({"name": "stages", "resource_requirements": [small], "jobs": jobs})


def make(folder: Path, count: int, attempts: int = 1) -> None:
    """Make `folder`/torc.db with `count` jobs, and the event files of their `attempts`; nothing of them is folded.

    Of the last attempts one in ten fails: seven of ten of memory, two of time, one of a bug.
    """
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(sweep(count))
    subprocess.run(["torc-create", "sweep.yaml"], cwd=folder, check=True, capture_output=True)
    with sqlite3.connect(folder / "torc.db") as db:
        token, output_dir, first = db.execute(
            "SELECT token, output_dir, min(job_id) FROM workflow JOIN job USING (workflow_id)"
        ).fetchone()
    os.makedirs(f"{output_dir}/events")
    for number in range(WORKERS):
        jobs = range(first + number, first + count, WORKERS)
        with open(f"{output_dir}/events/wf1_r1_bench_local_{number + 1}.jsonl", "wb") as file:
            events = _life(number + 1, token, jobs, attempts)
            file.writelines(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events)


def lines(folder: Path) -> int:
    """Give how many event lines a store's folder holds."""
    return sum(chunk.count(b"\n") for path in (folder / "torc_output" / "events").iterdir() for chunk in _chunks(path))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _life(pid: int, token: str, jobs: range, attempts: int) -> Iterator[dict[str, Any]]:
    """Give the events of a worker on a machine called `bench`, which has come to its end."""
    common = {"type": "event", "workflow_id": 1}
    who = {"worker": f"wf1_r1_bench_local_{pid}", "workflow_token": token, "hostname": "bench", "pid": pid}
    have = {"pid_start": 1, "run_id": 1, "num_cpus": 8, "memory_bytes": 64 << 30, "num_gpus": 0}
    at = 1_700_000_000.0
    nobody = {"allocation_id": None, "slurm_job_id": None, "restart_count": 0}
    yield common | {"event": "worker_started", "at": at} | who | have | nobody
    for job in jobs:
        for attempt in range(1, attempts + 1):
            at += 0.25
            ids = {"job_id": job, "run_id": 1, "attempt_id": attempt}
            yield common | {"event": "started", "at": at} | ids | {"pid": 1000 + job, "pid_start": 1}
            yield common | {"event": "ended", "at": at + 30} | ids | _end(job, at, last=attempt == attempts)
    yield common | {"event": "worker_ended", "at": at + 60, "reason": "finished"}


def _end(job: int, at: float, *, last: bool) -> dict[str, Any]:
    """Give how an attempt ended; one that is not the last was retried by a failure handler."""
    kind = job % 100 // 10 if job % 10 == 0 and last else -1  # a tenth: 0..9 say how they fail
    status, code, peak, reason, signal = "completed", 0, 1 << 30, None, None
    if not last or kind == 9:
        status, code = "failed", 3
    elif 0 <= kind < 7:
        status, code, peak, reason, signal = "failed", 137, _MEMORY + (job << 12), "memory_limit", 9
    elif kind >= 7:
        status, code, reason, signal = "terminated", 152, "runtime_limit", 15
    measured = {"exec_time_s": 30.0, "peak_memory_bytes": peak, "avg_memory_bytes": peak // 2, "peak_source": "sampled"}
    processor = {"peak_cpu_percent": 99.5, "avg_cpu_percent": 80.25}
    limits = {"memory_bytes": _MEMORY, "runtime_s": 3600, "num_cpus": 1}
    text = f"work: case {job}: cannot go on\n" if code else None
    end = {"reason": reason, "signal": signal, "warned_at": None, "log_tail": text, "next": None if last else "retry"}
    times = {"status": status, "return_code": code, "started_at": at, "ended_at": at + 30}
    return times | measured | processor | limits | end


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
