"""Opening the store with everything in it that the workers wrote: new event lines are folded in first.

One transaction a fold; offsets are stored with what they stand for, so folding twice changes nothing.
"""

import contextlib
import os
import sqlite3

from torc_tools.core import transitions
from torc_tools.core.ledger import Ledger
from torc_tools.flows import spawning
from torc_tools.records import Record
from torc_tools.shell import eventlog, folding, progress, queries, store, stream

BATCH = 20_000  # results held in memory before they are written
TOLD = 1000  # lines between two signs of life


def opened(
    path: str, workflow_id: int | None, *, read_only: bool = False, copy: bool = False, writes: bool = False
) -> sqlite3.Connection:
    """Open the store at `path` with the news of `workflow_id` (None: of every workflow) folded in.

    read_only leaves every byte on disk as it was: where there is something to fold, the answer is a copy in memory.
    copy always gives a copy in memory, which may be written freely (dry runs). A store that may not be written is read
    as with read_only, unless the caller `writes`: what it changes must not get lost in memory. Raises Failure(66) for
    a missing store or workflow.
    """
    if copy or read_only or not (writes or os.access(path, os.W_OK)):
        return _untouched(path, workflow_id, copy=copy)
    db = store.open_store(path)
    fold(db, workflow_id)
    return db


def fold(db: sqlite3.Connection, workflow_id: int | None) -> int:
    """Fold the new event lines of a workflow (None: of every workflow) into the store; give how many they were.

    Workers hear what became of spawned jobs, also of those that whoever folded before did not come to tell.
    """
    count = 0
    for workflow in _workflows(db, workflow_id):
        if eventlog.news(db, workflow):
            count += _fold_one(db, workflow)
        spawning.tell(db, workflow)
    return count


def settle(db: sqlite3.Connection, workflow_id: int) -> list[tuple[int, int]]:
    """Apply the transition rule to the blocked jobs of a workflow, inside the caller's transaction; give the moves."""
    parents, status, cancels = folding.waiting(db, workflow_id)
    moves = transitions.Unblocker(parents, status, cancels).settle()
    folding.save_status(db, moves)
    return moves


def _untouched(path: str, workflow_id: int | None, *, copy: bool) -> sqlite3.Connection:
    if not copy:
        db = store.open_reader(path)
        if not any(eventlog.news(db, workflow) for workflow in _workflows(db, workflow_id)):
            return db
        db.close()
    db = store.open_copy(path)
    fold(db, workflow_id)
    return db


def _workflows(db: sqlite3.Connection, workflow_id: int | None) -> list[Record]:
    return list(queries.workflows(db)) if workflow_id is None else [queries.workflow(db, workflow_id)]


def take_in(db: sqlite3.Connection, workflow: Record) -> int:
    """Fold the new event lines of one workflow, inside the caller's transaction; give how many they were."""
    workflow_id, files = workflow["workflow_id"], eventlog.news(db, workflow)
    if not files:
        return 0
    ledger = Ledger(folding.lives(db, workflow_id))
    spawns = spawning.Spawns(db, workflow, ledger.lives)
    with progress.during("taking in what the workers wrote") as step:
        step.total = eventlog.size(files) if step.is_shown else None
        count = sum(_fold_file(db, workflow, (ledger, spawns, step), file) for file in files)
    folding.save_moves(db, ledger.moves)
    folding.save_actions(db, workflow_id, ledger.actions)
    if ledger.moves:
        settle(db, workflow_id)
    if ledger.rejected:
        lines = f"{ledger.rejected} event line(s) of workflow {workflow_id}"
        stream.say(f"warning: {lines} could not be read and were skipped")
    return count


def _fold_one(db: sqlite3.Connection, workflow: Record) -> int:
    with store.transaction(db):
        return take_in(db, workflow)


def _fold_file(
    db: sqlite3.Connection,
    workflow: Record,
    into: tuple[Ledger, spawning.Spawns, progress.Step],
    news: tuple[str, str, int],
) -> int:
    """Fold one event file from its offset on; give how many lines it had."""
    (ledger, spawns, step), (worker, path, offset) = into, news
    count, before = 0, step.done - offset
    with contextlib.suppress(FileNotFoundError):
        for event, after in eventlog.read(path, offset, workflow["token"]):
            count, offset = count + 1, after
            if count % TOLD == 0:
                step.done = before + offset
            if event is None:
                ledger.rejected += 1
            else:
                ledger.take(spawns.heard(event), worker)
            if len(ledger.results) >= BATCH:
                _flush(db, workflow, ledger)
    _flush(db, workflow, ledger)
    step.done = before + offset
    if count:
        folding.save_workers(db, workflow["workflow_id"], ledger.workers, {worker: offset})
    return count


def _flush(db: sqlite3.Connection, workflow: Record, ledger: Ledger) -> None:
    folding.save_results(db, workflow["workflow_id"], ledger.results)
    ledger.results.clear()
