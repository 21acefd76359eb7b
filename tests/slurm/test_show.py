"""The whole of it on a real Slurm: 100 jobs over many allocations, every kind of failure, torc-watch --recover."""

import json
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc, command

from . import weekend
from .conftest import Bed

VERDICTS = {  # what happened -> cause, certainty, what became of the job
    "hog": ("oom", "certain", "completed"),
    "hidden": ("oom", "certain", "completed"),
    "late": ("timeout", "certain", "completed"),
    "bug": ("unknown", "weak", "failed"),
    "canceled": ("interrupted", "certain", "completed"),
    "crashed": ("node_fail", "certain", "completed"),
    "requeued": ("interrupted", "certain", "completed"),
}


def lines(done: "subprocess.CompletedProcess[bytes]", kind: str) -> list[dict[str, Any]]:
    """Give the records of a type that a command wrote."""
    return [each for each in map(json.loads, done.stdout.splitlines()) if each["type"] == kind]


def crash(bed: Bed, slurm_job_id: str, node: str) -> None:
    """Let a node die with all that ran in an allocation on it, as a machine does that loses its power."""
    bed.kill(node)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            called = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        inside = f"SLURM_JOB_ID={slurm_job_id}\0".encode() in environment
        if inside or called.startswith(f"slurmstepd: [{slurm_job_id}.".encode()):
            os.kill(int(pid), signal.SIGKILL)
    bed.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    bed.start(node)


@pytest.fixture
def watching(torc: Torc, work_dir: Path, slurm: Bed) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a torc-watch --recover over the weekend, which has been submitted."""
    made = torc("torc-run", "--slurm", weekend.write(work_dir), "--account", "proj")
    assert made.stderr.decode().splitlines()[0] == "Created workflow 1 with 100 jobs"
    with open(work_dir / "watched", "wb") as file:
        process = subprocess.Popen(
            [*command("torc-watch"), "1", "--recover", "-s", "-p", "3"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "TORC_SILENT_S": "40"},
        )
    yield process
    process.kill()
    process.wait()


def test_a_weekend(torc: Torc, work_dir: Path, slurm: Bed, watching: "subprocess.Popen[bytes]") -> None:
    hit = {name: name for name in ("hog", "hidden", "late", "bug")} | disturb(slurm, work_dir)
    slurm.until(lambda: watching.poll() is not None, "torc-watch to end", 400)
    told = (work_dir / "watched").read_text()
    states = {each["job_name"]: each["status"] for each in lines(torc("torc-jobs", 1), "job")}
    bad = [name for name, state in states.items() if state != "completed"]
    assert bad == ["bug_0", "after_bug_0", "after_bug_1", "after_bug_2"], told
    assert weekend.done(work_dir) == dict.fromkeys([name for name in states if "bug" not in name], 1)
    assert watching.returncode == 1
    assert "1 job(s) failed with unknown causes" in told
    table(torc, states, hit)


def disturb(bed: Bed, folder: Path) -> dict[str, str]:
    """Hit three allocations with a long job running in them; give the name of the job by what happened to it."""
    hit: dict[str, str] = {}
    struck: set[str] = set()

    def target() -> list[tuple[str, str, str]]:
        found = weekend.running(folder).items()
        return [(name, *where) for name, where in found if where[0] not in struck and name not in hit.values()]

    for what in ("canceled", "crashed", "requeued"):
        bed.until(target, "a long job to start", 120)
        hit[what], slurm_job_id, node = target()[0]
        struck.add(slurm_job_id)
        if what == "canceled":
            bed.ask("scancel", slurm_job_id)
        elif what == "crashed":
            crash(bed, slurm_job_id, node)
        else:
            bed.ask("scontrol", "requeue", slurm_job_id)
    return hit


def table(torc: Torc, states: dict[str, str], hit: dict[str, str]) -> None:
    """Print what became of each scenario, and hold it against what should."""
    done = torc("torc-results", 1, "--all-runs", "--all-attempts", "-f", "jsonl")
    seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in lines(torc("torc-diagnose", "-", input=done.stdout), "diagnosis"):
        said = [fact["fact"] for fact in each["evidence"] if fact["source"] == "slurm" and "peak" not in fact["fact"]]
        found = each["cause"], each["certainty"], "; ".join(said)
        for what, name in hit.items():
            if each["job_name"].startswith(name):
                seen[what].add(found)
    results = lines(done, "result")
    print(f"\n{'what happened':<14} {'diagnosed':<22} {'what was done':<22} {'became':<10} what Slurm said")
    for what, (cause, certainty, became) in VERDICTS.items():
        name = hit[what] if hit[what] in states else f"{hit[what]}_0"
        for found in sorted(seen[what]):
            acted = action([each for each in results if each["job_name"] == name])
            print(f"{what:<14} {found[0] + ', ' + found[1]:<22} {acted:<22} {states[name]:<10} {found[2]}")
        assert {found[:2] for found in seen[what]} == {(cause, certainty)}, what
        assert states[name] == became


def action(results: list[dict[str, Any]]) -> str:
    """Say in words what was done between the first attempt of a job and its last."""
    first, last = results[0], results[-1]
    if len(results) == 1:
        return "left alone"
    before, after = first["memory_bytes"], last["memory_bytes"]
    if before != after:
        return f"memory {before >> 20}m -> {after >> 20}m"
    if first["runtime_s"] != last["runtime_s"]:
        return f"runtime {first['runtime_s']}s -> {last['runtime_s']}s"
    return "run again as it is"
