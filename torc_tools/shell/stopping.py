"""Asking workers to stop: cancel files in the folder of the claims, signals to processes of this machine."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterable

import orjson

from torc_tools.records import Record
from torc_tools.shell import appending, crash, layout, liveness
from torc_tools.shell.claims import CANCEL, CANCEL_JOBS, LOST_JOBS, RUN, SPAWNED

LOOK_S = 0.05  # how long between two looks at the processes that are waited for


def request(workflow: Record) -> None:
    """Write the cancel file of a workflow: every worker kills its jobs and leaves; they look every second."""
    with open(os.path.join(_folder(workflow), CANCEL), "wb"):
        pass


def admit(workflow: Record) -> None:
    """Make way for new workers: no cancel file any more, and the present run for those of former runs to leave by.

    Call it with the workflow as the store has it now, before workers are started or submitted, and after a reset.
    """
    folder = _folder(workflow)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, CANCEL))
    announce_run(workflow)


def announce_run(workflow: Record) -> None:
    """Write the present run id where workers look: those of an earlier run start nothing more and leave."""
    path = os.path.join(_folder(workflow), RUN)
    new = f"{path}.{os.getpid()}.new"
    with open(new, "wb") as file:
        file.write(b"%d\n" % workflow["run_id"])
    os.replace(new, path)


def request_jobs(workflow: Record, jobs: Iterable[tuple[int, int, int]]) -> None:
    """Ask workers to end these attempts (job, run, attempt), or not to start them: one line each, appended."""
    _append(
        workflow, CANCEL_JOBS, [{"job_id": job, "run_id": run, "attempt_id": attempt} for job, run, attempt in jobs]
    )


def tell_lost(workflow: Record, jobs: Iterable[tuple[tuple[int, int, int], str]]) -> None:
    """Tell living workers what became of attempts (job, run, attempt) that lost theirs: the new status of each job.

    They may then run it again, or let go what waits for it. A full disk costs only their patience.
    """
    lines = [
        {"job_id": job, "run_id": run, "attempt_id": attempt, "status": status} for (job, run, attempt), status in jobs
    ]
    if lines:
        with contextlib.suppress(OSError):
            _append(workflow, LOST_JOBS, lines)


def tell_spawned(workflow: Record, verdicts: Iterable[Record]) -> None:
    """Tell living workers what came of attempts that spawned jobs, with the new jobs. Raises OSError."""
    _append(workflow, SPAWNED, verdicts)
    crash.wrote()


def _append(workflow: Record, name: str, lines: Iterable[Record]) -> None:
    text = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    appending.append(os.path.join(_folder(workflow), name), text)


def _folder(workflow: Record) -> str:
    folder = layout.claims_dir(workflow)
    os.makedirs(folder, exist_ok=True)
    return folder


def processes(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the workers that may live, each once: hostname, pid, pid_start; silent ones of other machines do not."""
    query = "SELECT hostname, pid, pid_start, {} FROM {} WHERE workflow_id = ? AND ended_at IS NULL"
    rows = [
        *db.execute(query.format("heartbeat_at", "worker"), (workflow_id,)),
        *db.execute(query.format("NULL AS heartbeat_at", "allocation") + " AND status = 'active'", (workflow_id,)),
    ]
    found = {(row["hostname"], row["pid"]): dict(row) for row in reversed(rows) if row["pid"] is not None}
    return [row for row in found.values() if _may_live(row)]


def wait(workers: Iterable[Record], seconds: float) -> list[Record]:
    """Wait until the workers on this machine have ended, `seconds` at most; give those that have not."""
    deadline = time.monotonic() + seconds
    left = here(workers)
    while left and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        left = here(left)
    return left


def here(workers: Iterable[Record]) -> list[Record]:
    """Give the workers that are known to live: those of this machine."""
    return [each for each in workers if liveness.alive(each["hostname"], each["pid"], each["pid_start"])]


def terminate(workers: Iterable[Record]) -> None:
    """Send SIGTERM to workers of this machine; a pid that has been given to another process since is left alone."""
    for each in workers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            handle = os.pidfd_open(each["pid"])  # from here on the pid cannot be given away
            try:
                if here([each]):
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
            finally:
                os.close(handle)


def _may_live(row: Record) -> bool:
    alive = liveness.alive(row["hostname"], row["pid"], row["pid_start"])
    return bool(alive) or (alive is None and time.time() - (row["heartbeat_at"] or 0) < liveness.silent_s())
