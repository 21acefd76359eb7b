"""What keeps submissions exactly once: whose a row is, what of an sbatch still runs, what workers are told."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from torc_tools.records import Record
from torc_tools.shell import allocations, appending, crash, layout, liveness, procs

FOREIGN_S = 600.0  # a submitter of another machine, of which nothing can be seen, counts as gone after so long
_HONOURED = frozenset(  # of sbatch's input variables those that change neither what was planned nor how we find it
    (
        "SBATCH_ACCTG_FREQ",
        "SBATCH_CONSTRAINT",
        "SBATCH_EXCLUSIVE",
        "SBATCH_EXPORT",
        "SBATCH_GET_USER_ENV",
        "SBATCH_HINT",
        "SBATCH_NETWORK",
        "SBATCH_NO_REQUEUE",
        "SBATCH_PROFILE",
        "SBATCH_QOS",
        "SBATCH_REQUEUE",
        "SBATCH_RESERVATION",
        "SBATCH_WCKEY",
    )
)
_KEPT = frozenset(("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "TORC_SILENT_S", "TORC_SLURM_TIMEOUT_S", *_HONOURED))
_DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK")
_DROPPED = ("TORC_", "SLURM_", "SLURMD_", "SBATCH_", "PMI_", "PMIX_")


def environment() -> dict[str, str]:
    """Give the environment that sbatch gets and hands to the job: the user's, without what an outer job put there."""
    inside = "SLURM_JOB_ID" in os.environ
    return {
        key: value
        for key, value in os.environ.items()
        if key in _KEPT or not (key.startswith(_DROPPED) or (inside and key in _DEVICES))
    }


def get(db: sqlite3.Connection, allocation_id: int) -> Record:
    """Give an allocation as a row, `config` decoded."""
    row = db.execute("SELECT * FROM allocation WHERE allocation_id = ?", (allocation_id,)).fetchone()
    return {**dict(row), "config": orjson.loads(row["config"])}


def rivals(db: sqlite3.Connection, record: Record) -> list[int]:
    """Give the allocations that another plan brought since this one was made, unless they were never sent."""
    query = (
        "SELECT allocation_id FROM allocation WHERE workflow_id = ? AND kind = 'slurm' AND allocation_id > ?"
        " AND plan IS NOT ? AND NOT (status = 'canceled' AND slurm_job_id IS NULL) ORDER BY allocation_id"
    )
    return [row[0] for row in db.execute(query, (record["workflow_id"], record["planned_after"], record.get("plan")))]


def take(db: sqlite3.Connection, row: Record, command: str, run_id: int) -> None:
    """Note that this process submits an allocation for a run of the workflow, inside the caller's transaction.

    One that may have been submitted before keeps the run that it was submitted for.
    """
    hostname, pid, pid_start = liveness.me()
    allocations.change(db, row, command, {"reason": "submitting"}, status="submitting", submitted_at=time.time())
    query = "UPDATE allocation SET hostname = ?, pid = ?, pid_start = ? WHERE allocation_id = ?"
    db.execute(query, (hostname, pid, pid_start, row["allocation_id"]))
    if row["status"] == "planned":
        sends_for(db, row, run_id)


def sends_for(db: sqlite3.Connection, row: Record, run_id: int) -> None:
    """Note for which run of the workflow an allocation is about to be submitted."""
    db.execute("UPDATE allocation SET run_id = ? WHERE allocation_id = ?", (run_id, row["allocation_id"]))


def settle(db: sqlite3.Connection, row: Record, command: str, why: str, **after: Any) -> None:
    """Note how it came out, inside the caller's transaction: nobody holds the row any more."""
    allocations.change(db, row, command, {"reason": why}, **after)
    query = "UPDATE allocation SET hostname = NULL, pid = NULL, pid_start = NULL WHERE allocation_id = ?"
    db.execute(query, (row["allocation_id"],))


def held_by_other(row: Record) -> bool:
    """Say whether a living process other than this one is submitting an allocation."""
    if row["status"] != "submitting" or (row["hostname"], row["pid"]) == liveness.me()[:2]:
        return False
    alive = liveness.alive(row["hostname"], row["pid"], row["pid_start"])
    return time.time() - (row["submitted_at"] or 0.0) < FOREIGN_S if alive is None else alive


def submitting(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the allocations of a workflow whose answer from sbatch is not known."""
    return allocations.of_workflow(db, workflow_id, ("submitting",))


def left_running(words: Iterable[str]) -> list[int]:
    """Give the processes of this machine that have all these arguments: an sbatch that outlived its submitter."""
    wanted = set(map(os.fsencode, words))
    return [pid for pid in _pids() if pid != os.getpid() and wanted <= set(procs.arguments(pid))]


def worker_of(workflow: Record, allocation_id: int) -> str | None:
    """Give the Slurm job whose worker has taken an allocation, by its claim; None where none has."""
    path = os.path.join(layout.claims_dir(workflow), layout.allocation_claim(allocation_id))
    try:
        with open(path, "rb") as file:
            claim = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError):
        return None
    found = claim.get("slurm_job_id") if isinstance(claim, dict) else None
    return None if found is None else str(found)


def tell_workers(workflow: Record, allocation_id: int, slurm_job_id: str) -> None:
    """Append a line for workers, which never open the store: that allocation is this Slurm job."""
    line = orjson.dumps({"allocation_id": allocation_id, "slurm_job_id": slurm_job_id})
    path = layout.submitted_path(workflow)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    appending.append(path, line + b"\n")
    crash.wrote()


def told(workflow: Record) -> set[tuple[int, str]]:
    """Give the (allocation, Slurm job) that workers were told of."""
    try:
        with open(layout.submitted_path(workflow), "rb") as file:
            lines = [orjson.loads(line) for line in file if line.endswith(b"\n") and not line.isspace()]
    except FileNotFoundError:
        return set()
    except orjson.JSONDecodeError:  # cut short by a full disk: all are told again
        return set()
    return {(line["allocation_id"], line["slurm_job_id"]) for line in lines}


def kill(pid: int) -> None:
    """Kill a process of ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def write_script(path: str, text: str) -> None:
    """Write a script, whole or not at all, for its owner to run and others to read."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(f"{path}.part", 0o755)  # noqa: S103  it holds no secret
    os.replace(f"{path}.part", path)
    crash.wrote()


def _pids() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())
