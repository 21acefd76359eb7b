"""A workflow run on this machine: one allocation, one worker, its events folded as they come."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torc_tools import exits
from torc_tools.core import standing
from torc_tools.exits import Failure
from torc_tools.flows import fold, orphans, summing
from torc_tools.records import Record
from torc_tools.shell import (
    apart,
    holders,
    journal,
    liveness,
    manifest,
    progress,
    queries,
    stopping,
    store,
    stream,
    workers,
)

if TYPE_CHECKING:
    import subprocess

TICK_S = 0.5  # how often the progress is brought up to date; longer where a fold takes long


def run_here(db: sqlite3.Connection, path: str, workflow_id: int, options: list[str], *, ignore_missing: bool) -> int:
    """Run what is ready and what becomes ready until nothing more can run here; give the exit status.

    Jobs of workers that died go back to ready first. Where a worker already runs here, it is followed instead.
    0: every job completed; 1: some did not; 130: interrupted (INT, TERM, HUP: what ran is ready again).
    """
    orphans.reconcile(db, workflow_id, "torc-run", requeue=True)
    workflow = queries.workflow(db, workflow_id)
    if not ignore_missing:
        refuse_missing(db, workflow)
    allocation_id = _take(db, workflow, options)
    if allocation_id is None:
        return _follow_other(db, workflow_id)
    try:
        status = _work(db, path, workflow, allocation_id, options)
    finally:
        _close(db, workflow_id, allocation_id)
    return status or outcome(db, workflow_id)


def outcome(db: sqlite3.Connection, workflow_id: int) -> int:
    """Give 0 where every job is completed (or disabled), else 1."""
    return exits.OK if standing.outcome(queries.counts(db, workflow_id))["is_success"] else exits.EMPTY


def refuse_missing(db: sqlite3.Connection, workflow: Record) -> None:
    """Refuse to start a workflow whose input is not there (66)."""
    paths = list(dict.fromkeys(path for paths in summing.missing(db, workflow).values() for path in paths))
    if paths:
        lines = [f"missing input: '{path}'" for path in paths[:20]]
        more = [f"and {len(paths) - 20} more"] if len(paths) > 20 else []
        raise Failure(exits.NO_INPUT, *lines, *more, "nothing was started (-i starts anyway)")


def _take(db: sqlite3.Connection, workflow: Record, options: list[str]) -> int | None:
    """Note a new allocation, or give None where one lives: of two runs started at once, one gets it."""
    with store.transaction(db):
        if holders.all_of(db, workflow["workflow_id"]):
            return None
        stopping.admit(queries.workflow(db, workflow["workflow_id"]))
        allocation_id = workers.start(db, workflow["workflow_id"], {"options": options})
        _note(db, workflow["workflow_id"], allocation_id, None, {"kind": "local", "status": "active"})
    return allocation_id


def _note(db: sqlite3.Connection, workflow_id: int, allocation_id: int, before: Record | None, after: Record) -> None:
    """Journal a change of our allocation."""
    change = journal.Change("allocation", allocation_id, {"reason": "a worker of this machine"}, before, after)
    journal.record(db, workflow_id, "torc-run", [change])


def _work(db: sqlite3.Connection, path: str, workflow: Record, allocation_id: int, options: list[str]) -> int:
    """Start the worker, fold what it writes until it ends; give its exit status, or 130 after a signal."""
    counts = queries.counts(db, workflow["workflow_id"])
    if not counts["ready"] and not counts["blocked"]:
        return exits.OK
    lines = manifest.write(db, workflow, allocation_id, path)
    signals: list[int] = []
    worker = apart.start(["torc-work", "--quiet", "--allocation-id", allocation_id, *options, lines])
    with apart.forwarding(worker, signals.append):
        _follow(db, workflow, allocation_id, worker)
    return _told(workflow["workflow_id"], worker.returncode, signals)


def _told(workflow_id: int, returncode: int, signals: list[int]) -> int:
    """Give the status that a worker's end means, and say what stopped it before its time."""
    by = signals[0] if signals else -returncode
    if by <= 0:
        return returncode
    stream.say(f"torc-run: stopped by {signal.Signals(by).name}: 'torc-run {workflow_id}' goes on")
    return exits.INTERRUPTED if signals else exits.TEMPORARY


def _follow(db: sqlite3.Connection, workflow: Record, allocation_id: int, worker: "subprocess.Popen[bytes]") -> None:
    """Fold and show until the worker has ended. What keeps the store from being used meanwhile does not end us."""
    said: set[str] = set()
    handed_over = False
    with progress.shown(workflow["name"]) as show:
        pause = 0.0
        while not apart.ended(worker, pause):
            began = time.monotonic()
            with _going_on(said):
                if not handed_over:
                    workers.hand_over(db, allocation_id, worker.pid)
                    handed_over = True
                fold.fold(db, workflow["workflow_id"])
                show(queries.counts(db, workflow["workflow_id"]))
            pause = max(TICK_S, 10 * (time.monotonic() - began))


@contextlib.contextmanager
def _going_on(said: set[str]) -> Iterator[None]:
    """Let what the store or an event file is in the way of be tried again at the next tick; `said` keeps what was told.

    A store may be locked or on a full disk, an event file may not be readable now: the worker works on.
    """
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        trouble = f"store: {error}" if isinstance(error, sqlite3.Error) else f"events: {error}"
        if trouble not in said:
            said.add(trouble)
            stream.say(f"torc-run: {trouble}: trying again while the worker works")


def _follow_other(db: sqlite3.Connection, workflow_id: int) -> int:
    """Wait for the worker that already runs the workflow on this machine; say who it is.

    Raises Failure(75) where it runs on another machine or Slurm has allocations for it: nobody here can see their end.
    """
    _greet(db, workflow_id)
    said: set[str] = set()
    with progress.shown(queries.workflow(db, workflow_id)["name"]) as show:
        while holders.local(db, workflow_id):
            with _going_on(said):
                show(queries.counts(db, workflow_id))
                fold.fold(db, workflow_id)
            time.sleep(TICK_S)
    orphans.reconcile(db, workflow_id, "torc-run", requeue=True)
    return outcome(db, workflow_id)


def _greet(db: sqlite3.Connection, workflow_id: int) -> None:
    for allocation in holders.all_of(db, workflow_id)[:1]:
        if allocation["kind"] == "slurm":
            raise Failure(
                exits.TEMPORARY,
                f"{holders.name(allocation)} is there for workflow {workflow_id}: try again when it has ended,"
                " or torc-cancel it",
            )
        who = f"workflow {workflow_id} already runs on {allocation['hostname']} (pid {allocation['pid']})"
        if liveness.alive(allocation["hostname"], allocation["pid"], allocation["pid_start"]) is None:
            raise Failure(exits.TEMPORARY, f"{who}: try again when it has ended, or torc-cancel it")
        stream.say(f"torc-run: {who}: following it")


def _close(db: sqlite3.Connection, workflow_id: int, allocation_id: int) -> None:
    fold.fold(db, workflow_id)
    with store.transaction(db):
        if workers.end(db, allocation_id, "complete"):
            _note(db, workflow_id, allocation_id, {"status": "active"}, {"status": "complete"})
    orphans.reconcile(db, workflow_id, "torc-run", requeue=True)
