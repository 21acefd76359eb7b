"""torc-sync taking in what one sacct says of 10,000 steps; the allocations, squeue and sacct are made up."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchlib import cluster_bed as bed
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, timed

ROUNDS = 5
JOBS = 10_000
OOM_EVERY = 100  # one step in so many was killed for memory behind an exit status of 0
_AT = 1_700_000_000
_RAN_S = 30
_FIRST_ID = 9_000_000  # of the made-up Slurm jobs
_FIELD = "\x1f"
_HEAD = (
    "JobIDRaw JobID State ExitCode DerivedExitCode UID ElapsedRaw Submit Start End TimelimitRaw NNodes NTasks AllocCPUS"
    " MaxRSS MaxVMSize MaxDiskRead MaxDiskWrite AveCPU TotalCPU NodeList Reason FailedNode JobName Comment"
)
_QUEUE_HEAD = (
    "JOBID JOBID STATE UID ACCOUNT PARTITION START_TIME END_TIME SUBMIT_TIME TIME_LIMIT NODES NODELIST DEPENDENCY"
    " REASON NAME COMMENT"
)
_SBATCH = """#!/bin/sh
echo >> "{here}/sent"
echo "Submitted batch job $(({first} + $(wc -l < "{here}/sent")))"
"""
_SAYS = """#!/bin/sh
echo {name} >> "{here}/asked"
{does}
"""
_DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure the torc-sync that asks for all steps, and the next one, which has nothing to ask."""
    if at_most < JOBS:
        return []
    here = folder / "accounts"
    here.mkdir()
    with _fakes(here):
        _prepare(here)
        (here / "asked").unlink()
        taken = interleaved({"all": _sync(here, fresh=True), "again": _sync(here, fresh=False)}, ROUNDS)
        asked = (here / "asked").read_text().split()
    calls = ", ".join(f"{asked.count(name) / ROUNDS:g} {name}" for name in ("squeue", "sacct"))
    with closing(sqlite3.connect(here / "copy.db")) as db:
        stored, bad = db.execute("SELECT count(*), sum(slurm_state = 'OUT_OF_MEMORY') FROM slurm_stats").fetchone()
    note = (
        f"fake squeue and sacct, rows as Slurm 22.05 writes them; {calls} a call; {stored:,} stored, {bad} of them OOM"
    )
    work = f"torc-sync: {JOBS:,} jobs of {_allocations(here):,} allocations in one sacct"
    return [
        timed("slurm", work, taken["all"], ROUNDS, note=note),
        timed("slurm", "  the next torc-sync", taken["again"], ROUNDS),
    ]


def _sync(here: Path, *, fresh: bool) -> Callable[[int], Usage]:
    def case(_round: int) -> Usage:
        if fresh:
            shutil.copyfile(here / "torc.db", here / "copy.db")
        return run(["torc-sync", "--store", "copy.db", "1"], here)

    return case


@contextmanager
def _fakes(here: Path) -> Iterator[None]:
    """Put made-up clients first on PATH; squeue and sacct give no answer yet."""
    programs = here / "bin"
    programs.mkdir()
    _program(programs / "sbatch", _SBATCH.format(here=here, first=_FIRST_ID))
    for name in ("squeue", "sacct"):
        _program(programs / name, _SAYS.format(here=here, name=name, does=_DOWN))
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _prepare(here: Path) -> None:
    """Make a store whose jobs have all run, their events folded in, and what Slurm will say of them."""
    spec = {
        "name": "many",
        "resource_requirements": [{"name": "one", "num_cpus": 1, "memory": "1g", "runtime": "PT10M"}],
        "jobs": [{"name": "j{i}", "command": "./work {i}", "resource_requirements": "one",
                  "parameters": {"i": f"1:{JOBS}"}}],
    }  # fmt: skip
    (here / "many.json").write_text(json.dumps(spec))
    bed.torc(here, "torc-run", "--slurm", "many.json", "--account", "proj", "--walltime", "04:00:00")
    with closing(sqlite3.connect(here / "torc.db")) as db:
        token, first = db.execute("SELECT token, min(job_id) FROM workflow JOIN job USING (workflow_id)").fetchone()
    count = _allocations(here)
    os.makedirs(here / "torc_output" / "events", exist_ok=True)
    with open(here / "sacct.out", "w") as rows:
        rows.write(_FIELD.join(_HEAD.split()) + "\n")
        for number in range(count):
            slurm_job_id, jobs = _FIRST_ID + 1 + number, range(first + number, first + JOBS, count)
            with open(here / "torc_output" / "events" / f"wf1_r1_n1_{slurm_job_id}_1.jsonl", "w") as file:
                file.writelines(json.dumps(event) + "\n" for event in _events(token, number + 1, slurm_job_id, jobs))
            rows.writelines(_FIELD.join(row) + "\n" for row in _rows(slurm_job_id, jobs))
    bed.torc(here, "torc-sync", "1")
    (here / "squeue.out").write_text(_FIELD.join(_QUEUE_HEAD.split()) + "\n")
    for name in ("squeue", "sacct"):
        _program(here / "bin" / name, _SAYS.format(here=here, name=name, does=f"exec cat '{here}/{name}.out'"))


def _allocations(here: Path) -> int:
    with closing(sqlite3.connect(here / "torc.db")) as db:
        return int(db.execute("SELECT count(*) FROM allocation").fetchone()[0])


def _events(token: str, allocation_id: int, slurm_job_id: int, jobs: range) -> Iterator[dict[str, Any]]:
    """Give the events of the worker of one allocation, on a node that is not this machine."""
    common = {"type": "event", "workflow_id": 1}
    who = {"worker": f"wf1_r1_n1_{slurm_job_id}_1", "workflow_token": token, "hostname": "n1", "pid": 1, "pid_start": 1}
    where = {"allocation_id": allocation_id, "slurm_job_id": str(slurm_job_id), "restart_count": 0}
    have = {"run_id": 1, "num_cpus": 4, "memory_bytes": 4 << 30, "num_gpus": 0}
    yield common | {"event": "worker_started", "at": _AT} | who | where | have
    for job in jobs:
        ids = common | {"job_id": job, "run_id": 1, "attempt_id": 1, "slurm_job_id": str(slurm_job_id)}
        ids |= {"slurm_step_name": _step(job)}
        yield ids | {"event": "started", "at": _AT, "pid": 1, "pid_start": 1}
        yield ids | {"event": "ended", "at": _AT + _RAN_S} | _end()
    yield common | {"event": "worker_ended", "at": _AT + 3600, "reason": "finished"}


def _end() -> dict[str, Any]:
    measured = {"exec_time_s": float(_RAN_S), "peak_memory_bytes": 1 << 28, "avg_memory_bytes": 1 << 27}
    processor = {"peak_cpu_percent": 99.0, "avg_cpu_percent": 80.0, "peak_source": "sampled", "log_tail": None}
    limits = {"memory_bytes": 1 << 30, "runtime_s": 600, "num_cpus": 1, "reason": None, "signal": None, "next": None}
    times = {"started_at": _AT, "ended_at": _AT + _RAN_S, "status": "completed", "return_code": 0}
    return measured | processor | limits | times


def _rows(slurm_job_id: int, jobs: range) -> Iterator[list[str]]:
    """Give what sacct prints of one allocation: the job, its batch step, a step for each job."""
    yield _row(str(slurm_job_id), f"torc_wf1_a{slurm_job_id - _FIRST_ID}", "COMPLETED", 3600)
    yield _row(f"{slurm_job_id}.batch", "batch", "COMPLETED", 3600)
    for number, job in enumerate(jobs):
        is_oom = job % OOM_EVERY == 0
        state = "OUT_OF_MEMORY" if is_oom else "COMPLETED"
        yield _row(f"{slurm_job_id}.{number}", _step(job), state, _RAN_S, "0:125" if is_oom else "0:0")


def _row(job_id: str, name: str, state: str, elapsed_s: int, code: str = "0:0") -> list[str]:
    is_job = "." not in job_id
    start, end = str(_AT), str(_AT + elapsed_s)
    limit, measured = ("240", [""] * 4) if is_job else ("", ["536870912", "1073741824", "1048576", "65536"])
    uid, average = ("0", "") if is_job else ("", "00:00:24")
    head = [job_id, job_id, state, code, "0:0" if is_job else "", uid, str(elapsed_s), start, start, end, limit]
    tail = [average, "00:24.000", "n1", "None" if is_job else "", "None" if is_job else "", name, ""]
    return [*head, "1", "" if is_job else "1", "4" if is_job else "1", *measured, *tail]


def _step(job: int) -> str:
    return f"wf1_j{job}_r1_a1"
