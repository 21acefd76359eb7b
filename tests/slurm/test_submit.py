"""torc-submit, torc-run --slurm and torc-cancel on a real Slurm."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import command, script
from prepared import execute

from torc_tools import exits

REQUIREMENTS = "resource_requirements: [{name: small, num_cpus: 1, memory: 60m, runtime: PT1M}]\n"
SPEC = f"name: real\n{REQUIREMENTS}jobs:\n  - {{name: one, command: echo one, resource_requirements: small}}\n"
WRAPPERS = {  # around the real sbatch: once, for the second call
    "accepts and fails": '"$real" "$@" >/dev/null; exit 1',
    "accepts and hangs": '"$real" "$@" >/dev/null; exec tail -f /dev/null',
    "accepts and dies": '"$real" "$@" >/dev/null; kill -9 $$',
    "accepts and babbles": '"$real" "$@" >/dev/null; echo "all is well"',
    "accepts twice and fails": '"$real" "$@" >/dev/null; "$real" "$@" >/dev/null; exit 1',
    "hangs": "exec tail -f /dev/null",
    "dies": "kill -9 $$",
    "babbles": "echo 'Submitted batch job'",
}


def planned(number: int, group: str = "small", **more: Any) -> dict[str, Any]:
    """Make the `allocation` record number `number` of a plan; it stays in the queue, unless told otherwise."""
    asked = {"type": "allocation", "workflow_id": 1, "kind": "slurm", "status": "planned", "plan": "one",
             "token": os.urandom(16).hex(), "planned_after": 0, "group": group, "number": number, "num_allocations": 3,
             "account": "proj", "walltime_s": 300, "num_cpus": 1, "memory_bytes": 100 << 20,
             "sbatch": {"begin": "now+1hour"}}  # fmt: skip
    return {**asked, **more}


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def submissions(text: bytes) -> list[dict[str, Any]]:
    found = [orjson.loads(line) for line in text.splitlines()]
    return [record for record in found if record["type"] == "submission"]


def queue(slurm) -> list[str]:
    """Give the comments of the jobs that wait or run."""
    return sorted(slurm.ask("squeue", "-h", "-o", "%k").splitlines())


@pytest.fixture
def stored(torc, work_dir: Path) -> Path:
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "spec.yaml").returncode == 0
    return work_dir / "torc.db"


@pytest.mark.parametrize("how", WRAPPERS)
def test_one_live_submission_for_each_whatever_sbatch_does(slurm, torc, stored, work_dir, monkeypatch, how) -> None:
    real = shutil.which("sbatch")
    folder = work_dir / "wrapped"
    folder.mkdir()
    once = f'mkdir "{folder}/second" 2>/dev/null || exec "$real" "$@"; [ -e "{folder}/first" ] || '
    once += f'{{ : >"{folder}/first"; rmdir "{folder}/second"; exec "$real" "$@"; }}'
    script(folder / "sbatch", f"real={real}\n{once}\n{WRAPPERS[how]}")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    plan = [planned(number) for number in (1, 2, 3)]
    env = {"TORC_SLURM_TIMEOUT_S": "5"} if "hangs" in how else {}
    done = torc("submit", input=lines(*plan), env=env)
    if how.startswith("accepts"):
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == exits.UNAVAILABLE
        assert torc("submit", "-w", 1).returncode == 0
    assert queue(slurm) == sorted(f"torc:{record['token']}" for record in plan)
    ids = {row[0] for row in execute(stored, "SELECT slurm_job_id FROM allocation WHERE status = 'queued'")}
    assert ids == set(map(str, slurm.queue()))


def test_a_kill_between_sbatch_and_its_record_submits_nothing_twice(slurm, torc, stored) -> None:
    plan = [planned(1), planned(2)]
    for writes in range(9, 30, 3):
        done = torc("submit", input=lines(*plan), env={"TORC_KILL_AFTER_WRITES": str(writes)})
        assert done.returncode in (0, -signal.SIGKILL)
        if done.returncode == 0:
            break
    assert torc("submit", input=lines(*plan)).returncode == 0
    assert queue(slurm) == sorted(f"torc:{record['token']}" for record in plan)


def test_folders_with_awkward_names(slurm, torc, work_dir) -> None:
    """Also where sbatch's own quoting, patterns and comments would make something else of them."""
    (work_dir / "spec.yaml").write_text(SPEC)
    for number, name in enumerate(['a "b" c', "50%j #x", "d'e\u00fc $HOME `id`"], 1):
        there = work_dir / name
        there.mkdir()
        done = torc("run", "--slurm", "--account", "proj", "--partition", "debug", "-o", "out %j #", "--store",
                    work_dir / "torc.db", work_dir / "spec.yaml", cwd=there)  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = done.stderr.decode().splitlines()
        assert (said[0], said[-1]) == (
            f"Created workflow {number} with 1 job", "Submitted to Slurm with 1 allocation"
        )  # fmt: skip
        (job,) = [row[0] for row in execute(work_dir / "torc.db", "SELECT max(slurm_job_id) FROM allocation")]
        slurm.until_accounted(int(job), "batch", "COMPLETED")
        out = there / "out %j #"
        assert (out / "job_stdio" / f"job_wf{number}_j{number}_r1_a1.o").read_text() == "one\n"
        assert (out / f"slurm_output_wf{number}_sl{job}.o").exists()
        assert (out / f"slurm_output_wf{number}_sl{job}.e").read_text() == ""


def test_a_backslash_which_ends_the_patterns_of_sbatch(slurm, torc, work_dir) -> None:
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "-o", "back\\slash %j", "spec.yaml").returncode == 0
    (sent,) = submissions(torc("submit", input=lines(planned(1, sbatch={}, mode="direct"))).stdout)
    job = sent["slurm_job_id"]
    slurm.until_accounted(int(job), "batch", "COMPLETED")
    out = work_dir / "back\\slash %j"
    assert (out / "job_stdio/job_wf1_j1_r1_a1.o").read_text() == "one\n"
    assert [(out / f"slurm_output_wf1_sl{job}.{suffix}").read_text() for suffix in "oe"] == ["", ""]


def test_dependencies_and_chains(slurm, torc, stored) -> None:
    plan = lines(
        planned(1), planned(2), planned(1, "after", after_groups=["small"], sbatch={}),
        planned(1, "chain", singleton=True, slurm_scheduler_id=4, sbatch={}, memory_bytes=None),
    )  # fmt: skip
    first, second, after, chain = submissions(torc("submit", input=plan).stdout)
    assert after["depends_on"] == [first["slurm_job_id"], second["slurm_job_id"]]
    said = slurm.ask("squeue", "-h", "-j", after["slurm_job_id"], "-o", "%E")
    assert said == ",".join(f"afterany:{job}(unfulfilled)" for job in after["depends_on"])
    assert chain["job_name"].startswith("torc_wf1_s4_")
    slurm.ask("scancel", *after["depends_on"])
    slurm.until_accounted(int(after["slurm_job_id"]), "batch", "COMPLETED")


def test_submission_from_inside_an_allocation(slurm, torc, stored, work_dir) -> None:
    """What the outer job has in its environment is not handed on."""
    (work_dir / "plan").write_bytes(lines(planned(1, sbatch={}, walltime_s=240)))
    words = " ".join(f"'{word}'" for word in command("torc-submit"))
    outer = slurm.submit(f'cd "{work_dir}" && {words} plan > said', "--account=proj", "--mem-per-cpu=50")
    slurm.until_accounted(outer, "", "COMPLETED")
    (record,) = submissions((work_dir / "said").read_bytes())
    slurm.until_accounted(int(record["slurm_job_id"]), "batch", "COMPLETED")
    assert torc("sync", 1).returncode == 0
    assert execute(stored, "SELECT DISTINCT status FROM job") == [(5,)]
    assert "TimeLimit=00:04:00" in slurm.ask("scontrol", "show", "job", record["slurm_job_id"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"account": "nobody", "partition": "nowhere"}, "nvalid"), ({"memory_bytes": 9 << 40}, "not available")],
)
def test_a_refusal_is_one_line(slurm, torc, stored, wrong, words) -> None:
    plan = [planned(1), planned(2, **wrong), planned(3)]
    done = torc("submit", input=lines(*plan))
    assert done.returncode == exits.UNAVAILABLE
    (line,) = done.stderr.decode().splitlines()
    assert words in line
    assert [record["status"] for record in submissions(done.stdout)] == ["queued", "planned", "planned"]
    assert len(queue(slurm)) == 1


def test_a_controller_that_is_down_and_comes_back(slurm, torc, stored) -> None:
    plan = [planned(1), planned(2), planned(3)]
    assert torc("submit", input=lines(plan[0])).returncode == 0
    slurm.kill("slurmctld")
    try:
        done = torc("submit", input=lines(*plan), env={"TORC_SLURM_TIMEOUT_S": "3"})
        assert done.returncode == exits.UNAVAILABLE
        assert len(done.stderr.splitlines()) == 1
    finally:
        slurm.start("slurmctld")
    assert torc("submit", "-w", 1).returncode == 0
    assert queue(slurm) == sorted(f"torc:{record['token']}" for record in plan)


def test_cancel_ends_what_runs_and_takes_back_what_waits(slurm, torc, work_dir) -> None:
    spec = f"name: long\n{REQUIREMENTS}jobs: [{{name: long, command: sleep 300, resource_requirements: small}}]\n"
    (work_dir / "spec.yaml").write_text(spec)
    assert torc("create", "spec.yaml").returncode == 0
    plan = [planned(1, sbatch={}), planned(2)]
    first, second = submissions(torc("submit", input=lines(*plan)).stdout)
    marks = work_dir / "torc_output" / "events"
    slurm.until(lambda: any(b'"started"' in path.read_bytes() for path in marks.glob("*.jsonl")), "the job to run")
    done = torc("cancel", 1, "--grace", "PT30S")
    assert done.returncode == 0, done.stderr
    slurm.until(lambda: not slurm.queue(), "the queue to be empty")
    rows = execute(work_dir / "torc.db", "SELECT slurm_job_id, status, slurm_reason FROM allocation")
    assert rows == [(each["slurm_job_id"], "canceled", "torc-cancel") for each in (first, second)]
    assert execute(work_dir / "torc.db", "SELECT status, peak_memory_bytes > 0 FROM result") == [(7, 1)]
    assert slurm.accounts(int(first["slurm_job_id"]))[""][0] in ("COMPLETED", "RUNNING")
