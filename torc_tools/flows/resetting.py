"""Starting jobs over, with all that depend on them: one transaction, every change journaled."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable

from torc_tools import exits, states
from torc_tools.core import resetting
from torc_tools.core.resetting import Life, Name
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import allocations, holders, jobstate, journal, queries, stopping, store
from torc_tools.shell.journal import Change

COMMAND = "torc-reset"
SHOWN = 10  # dependents named to a person


def reset(
    db: sqlite3.Connection,
    names: Iterable[Name],
    *,
    force: bool,
    dry_run: bool,
    show: Callable[[str], None] = lambda _: None,
) -> tuple[list[Record], list[str]]:
    """Reset the named jobs and their dependents; give the `reset` records, and a line for each name refused.

    `names` are asked for inside the transaction, so that what chooses them by state sees the state that is changed.
    `show` gets a line for people for each workflow before anything of it is changed. Raises Failure(65) where a job
    that would be reset is pending or running, and Failure(75) where a living worker may still run one or Slurm has
    allocations for the workflow, unless `force`: then nothing at all is changed.
    """
    out: list[Record] = []
    with store.transaction(db):
        chosen, refused = _chosen(db, names, dry_run=dry_run)
        for workflow_id, job_ids in sorted(chosen.items()):
            out += _reset_one(db, workflow_id, job_ids, force=force, show=show)
    if not dry_run:
        _announce(db, {record["workflow_id"] for record in out})
    for record in out:
        record["dry_run"] = dry_run
    return out, refused


def _announce(db: sqlite3.Connection, workflow_ids: Iterable[int]) -> None:
    """Tell workers that are queued with the jobs of an earlier run; one that lives here finishes what it has.

    Where that cannot be written the reset stands: whoever starts workers writes it again.
    """
    for workflow_id in workflow_ids:
        if allocations.last_id(db, workflow_id) and not holders.local(db, workflow_id):
            with contextlib.suppress(OSError):
                stopping.announce_run(queries.workflow(db, workflow_id))


def _chosen(db: sqlite3.Connection, names: Iterable[Name], *, dry_run: bool) -> tuple[dict[int, set[int]], list[str]]:
    """Split names into the jobs to reset, by workflow, and lines about those that are refused."""
    named = list(dict.fromkeys(names))
    lives = _lives(db, [name.job_id for name in named])
    chosen: dict[int, set[int]] = {}
    refused: dict[str, None] = {}
    for name in named:
        life = lives.get(name.job_id)
        why_not = resetting.refusal(name._replace(is_preview=name.is_preview and not dry_run), life)
        if why_not is None and life is not None:
            chosen.setdefault(life.workflow_id, set()).add(name.job_id)
        else:
            refused[f"job {name.job_id}: refused: {why_not}"] = None
    return chosen, list(refused)


def _reset_one(
    db: sqlite3.Connection, workflow_id: int, named: set[int], *, force: bool, show: Callable[[str], None]
) -> list[Record]:
    lives = _lives(db, jobstate.below(db, named))
    affected = {job_id: life for job_id, life in lives.items() if life.status != states.DISABLED}
    show(_preview(affected, named))
    if not force:
        _refuse_active(affected)
        _refuse_held(db, workflow_id, affected)
    run_id = jobstate.run_of(db, workflow_id)[0] + 1
    moves = resetting.settled(affected, jobstate.parents(db, affected))
    _journal(db, workflow_id, affected, named, moves)
    jobstate.start_over(db, workflow_id, run_id, moves)
    order = sorted(moves, key=lambda job_id: (job_id not in named, job_id))
    return [_record(run_id, job_id, affected[job_id], moves[job_id], job_id in named) for job_id in order]


def _lives(db: sqlite3.Connection, job_ids: Iterable[int]) -> dict[int, Life]:
    return {row["job_id"]: Life(*tuple(row)[1:]) for row in jobstate.lives(db, job_ids)}


def _preview(affected: dict[int, Life], named: set[int]) -> str:
    """Write what a person should know before: '2 job(s) named, 3 dependent(s) run again: a, b, c'."""
    others = [life.job_name for job_id, life in affected.items() if job_id not in named]
    line = f"{len(named)} job(s) named, {len(others)} dependent(s) would run again"
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"{line}: {', '.join(others[:SHOWN])}{more}" if others else line


def _refuse_active(affected: dict[int, Life]) -> None:
    active = [(job_id, life) for job_id, life in affected.items() if life.status in states.ACTIVE]
    if active:
        job_id, life = active[0]
        more = f" and {len(active) - 1} more" if len(active) > 1 else ""
        raise Failure(
            exits.DATA,
            f"job {job_id} ({life.job_name}) is {states.NAMES[life.status]}{more}: nothing was reset (--force does it)",
        )


def _refuse_held(db: sqlite3.Connection, workflow_id: int, affected: dict[int, Life]) -> None:
    """Refuse jobs that a living worker has in its manifest: it would run them as they were, and the next again.

    Beside Slurm allocations nothing is reset: a new run would make all of them leave.
    """
    held = [(job_id, life) for job_id, life in affected.items() if life.status in states.WAITING]
    for worker in holders.local(db, workflow_id)[:1] if held else ():
        job_id, life = held[0]
        raise Failure(
            exits.TEMPORARY,
            f"job {job_id} ({life.job_name}) is {states.NAMES[life.status]} and {holders.name(worker)}"
            " may run it: nothing was reset (--force does it)",
        )
    for allocation in allocations.working(db, workflow_id)[:1] if affected else ():
        raise Failure(
            exits.TEMPORARY,
            f"{holders.name(allocation)} is there for workflow {workflow_id}, and a reset would make it leave:"
            " nothing was reset (--force does it)",
        )


def _journal(
    db: sqlite3.Connection, workflow_id: int, affected: dict[int, Life], named: set[int], moves: dict[int, int]
) -> None:
    run_id, canceled = jobstate.run_of(db, workflow_id)
    before: Record = {"run_id": run_id, "is_canceled": canceled}
    after: Record = {"run_id": run_id + 1, "is_canceled": False}
    changes = [Change("workflow", workflow_id, {"reset": sorted(named)}, before, after)]
    for job_id, status in moves.items():
        life = affected[job_id]
        before = {
            "status": states.NAMES[life.status],
            "run_id": life.run_id,
            "attempt_id": life.attempt_id,
            "worker": life.worker,
        }
        after = {"status": states.NAMES[status], "run_id": run_id + 1, "attempt_id": 1, "worker": None}
        why = {"reset": "named" if job_id in named else "dependent"}
        changes.append(Change("job", job_id, why, before, after))
    journal.record(db, workflow_id, COMMAND, changes)


def _record(run_id: int, job_id: int, life: Life, status: int, is_named: bool) -> Record:
    return {
        "type": "reset",
        "workflow_id": life.workflow_id,
        "run_id": run_id,
        "job_id": job_id,
        "job_name": life.job_name,
        "because": "named" if is_named else "dependent",
        "previous_status": states.NAMES[life.status],
        "status": states.NAMES[status],
        "attempt_id": 1,
        "dry_run": False,
    }
