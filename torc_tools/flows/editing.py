"""Editing jobs by hand: limits (a shared requirement row is copied first), command, priority, status; all journaled."""

import argparse
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from torc_tools import exits, states
from torc_tools.core import adjusting
from torc_tools.exits import Failure
from torc_tools.flows import finality, fold, looking
from torc_tools.records import Record, may, need_ids
from torc_tools.shell import holders, jobedit, journal, queries, requirements, store
from torc_tools.shell.journal import Change

SIZES = ("memory", "runtime", "num_cpus", "num_gpus", "num_nodes")
FIELDS = (*SIZES, "command", "priority", "name", "resource_requirements_id")
_COMMAND = "torc-jobs"
_COLUMNS = {"memory": "memory_bytes", "runtime": "runtime_s"}
_WHY = {"reason": "set by hand"}


def check(record: Record) -> None:
    """Check the ids of a record from standard input. Raises Failure(65)."""
    may(record, "job_id", int)
    if record.get("job_ids") is not None:
        need_ids(record, "job_ids")


def named(found: Iterable[Record]) -> list[int]:
    """Give the job ids that records name, in job_id or job_ids, each once and in order."""
    ids = set()
    for record in found:
        if record.get("job_id") is not None:
            ids.add(int(record["job_id"]))
        else:
            ids.update(record.get("job_ids") or ())
    return sorted(ids)


def edit(args: argparse.Namespace, job_ids: Sequence[int]) -> tuple[sqlite3.Connection | None, int | None]:
    """Set what `args` (FIELDS and status) name on some jobs, in one transaction; give the store and the workflow.

    Raises Failure(66) for a job that is missing, Failure(65) where a job's state does not allow the change, and
    Failure(75) where a living worker would run it as it was.
    """
    if not job_ids:
        return None, None
    db, workflow_id = looking.at_jobs(args, job_ids, writes=True)
    with store.transaction(db):
        jobs = list(queries.jobs(db, queries.among("j.job_id", job_ids)))
        _refuse(jobs, args)
        _refuse_strange(db, workflow_id, jobs, args)
        _refuse_held(db, workflow_id, jobs, args)
        changes = _sizes(db, workflow_id, jobs, args)
        for column in ("command", "priority", "name", "resource_requirements_id"):
            changes += _column(db, jobs, column, getattr(args, column))
        if args.status:
            changes += _status(db, workflow_id, jobs, args.status[0])
        journal.record(db, workflow_id, _COMMAND, changes)
    return db, workflow_id


def _refuse(jobs: Sequence[Record], args: argparse.Namespace) -> None:
    if args.status and args.status not in ([states.DISABLED], [states.READY], [states.FAILED]):
        raise Failure(exits.USAGE, "set --status takes disabled, ready or failed; torc-reset runs jobs again")
    for job in jobs:
        if args.command is not None and job["status"] in ("pending", "running"):
            raise Failure(exits.DATA, f"job {job['job_id']} is {job['status']}: its command cannot be changed")
        if args.status and not _allowed(job["status"], args.status[0]):
            name = states.NAMES[args.status[0]]
            raise Failure(exits.DATA, f"job {job['job_id']} is {job['status']}: it cannot be set to {name}")


def _refuse_strange(db: sqlite3.Connection, workflow_id: int, jobs: Sequence[Record], args: argparse.Namespace) -> None:
    """Refuse a name that another job of the workflow has, and requirements of another workflow."""
    row = args.resource_requirements_id
    if row is not None and any(getattr(args, key) is not None for key in SIZES):
        raise Failure(exits.USAGE, "set --resource-requirements-id takes no sizes beside it")
    if row is not None and row not in requirements.names(db, workflow_id):
        raise Failure(exits.NO_INPUT, f"workflow {workflow_id} has no resource requirements {row}")
    if args.name is None:
        return
    names, _ = queries.names_and_states(db, workflow_id)
    taken = [job_id for job_id, name in names.items() if name == args.name and job_id != jobs[0]["job_id"]]
    if len(jobs) > 1 or taken:
        who = f"job {taken[0]} has that name" if taken else f"{len(jobs)} jobs are named"
        raise Failure(exits.DATA, f"cannot name a job '{args.name}': {who}")


def _refuse_held(db: sqlite3.Connection, workflow_id: int, jobs: Sequence[Record], args: argparse.Namespace) -> None:
    """Refuse to disable, or give another command, what a living worker has in its manifest: it runs as it was."""
    if args.command is None and args.status != [states.DISABLED]:
        return
    waiting = [job for job in jobs if states.NUMBERS[job["status"]] in states.WAITING]
    for worker in holders.all_of(db, workflow_id)[:1] if waiting else ():
        who = holders.name(worker)
        job = f"job {waiting[0]['job_id']} ({waiting[0]['job_name']}) is {waiting[0]['status']}"
        raise Failure(exits.TEMPORARY, f"{job} and {who} may run it as it is: nothing was changed")


def _allowed(now: str, wanted: int) -> bool:
    """Say whether a job in state `now` may be set to `wanted`.

    Only what has not started is disabled and taken back; only what waits for somebody's judgement is called failed.
    """
    if wanted == states.FAILED:
        return states.NUMBERS[now] in (states.PENDING_FAILED, states.FAILED)
    return states.NUMBERS[now] in states.WAITING | {states.DISABLED} and not (
        wanted == states.READY and now == "blocked"
    )


def _sizes(db: sqlite3.Connection, workflow_id: int, jobs: Sequence[Record], args: argparse.Namespace) -> list[Change]:
    """Set the limits, row by row; a row that other jobs use, too, is copied for these."""
    wanted = {_COLUMNS.get(key, key): getattr(args, key) for key in SIZES if getattr(args, key) is not None}
    together: dict[int | None, list[int]] = {}
    for job in jobs if wanted else ():
        together.setdefault(job["resource_requirements_id"], []).append(job["job_id"])
    used = requirements.users(db, [workflow_id]) if wanted else {}
    changes: list[Change] = []
    for row, job_ids in together.items():
        before = jobedit.sizes(db, row)
        after = {**before, **wanted}
        if before == after:
            continue
        if row is not None and used[row] == len(job_ids):
            jobedit.resize(db, row, after)
            changes.append(Change("resource_requirements", row, _WHY, before, after))
        else:
            changes += _copied(db, workflow_id, row, job_ids, after)
    return changes


def _copied(
    db: sqlite3.Connection, workflow_id: int, row: int | None, job_ids: Sequence[int], sizes: dict[str, Any]
) -> list[Change]:
    names = requirements.names(db, workflow_id)
    name = adjusting.copy_name(names[row] if row else "default", job_ids[0], set(names.values()))
    made = jobedit.copy(db, workflow_id, row, name, sizes)
    requirements.point(db, job_ids, made)
    before, after = {"resource_requirements_id": row}, {"resource_requirements_id": made}
    copied = Change("resource_requirements", made, _WHY, None, {"name": name, "copy_of": row, **sizes})
    return [copied, *(Change("job", job_id, _WHY, before, after) for job_id in job_ids)]


def _column(db: sqlite3.Connection, jobs: Sequence[Record], column: str, value: Any) -> list[Change]:
    key = "job_name" if column == "name" else column
    changed = [job for job in jobs if value is not None and job[key] != value]
    jobedit.update(db, column, value, [job["job_id"] for job in changed])
    return [Change("job", job["job_id"], _WHY, {column: job[key]}, {column: value}) for job in changed]


def _status(db: sqlite3.Connection, workflow_id: int, jobs: Sequence[Record], wanted: int) -> list[Change]:
    """Disable jobs, or take them back: they are blocked until the transition rule has looked at their parents.

    Or call them failed, and let what waits for them hear of it.
    """
    before = {job["job_id"]: job["status"] for job in jobs if job["status"] != states.NAMES[wanted]}
    if wanted == states.FAILED:
        return finality.make(db, workflow_id, dict.fromkeys(before, _WHY))
    jobedit.update(db, "status", states.BLOCKED if wanted == states.READY else wanted, list(before))
    after = dict.fromkeys(before, wanted)
    if wanted == states.READY:
        after = {**dict.fromkeys(before, states.BLOCKED), **dict(fold.settle(db, workflow_id))}
    return [
        Change("job", job_id, _WHY, {"status": before.get(job_id, "blocked")}, {"status": states.NAMES[status]})
        for job_id, status in after.items()
    ]
