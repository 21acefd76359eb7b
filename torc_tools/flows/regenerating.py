"""Planning for a workflow of the store: what the store says, as facts; the plan's names; whose account it is."""

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torc_tools import exits, states
from torc_tools.core import allocating, allocating_facts
from torc_tools.core.allocating import Planned
from torc_tools.core.allocating_facts import Facts, Job, Limits, Options, Size, Tried
from torc_tools.core.profiles import Profile
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import allocations, pending, queries, slurm

NOTHING = Tried()
_STUCK = frozenset({states.DISABLED, states.PENDING_FAILED})


def plan(
    db: sqlite3.Connection, workflow_id: int, options: Options, profile: Profile, tried: Tried = NOTHING
) -> Planned:
    """Plan the allocations of a workflow as if what was `tried` were so; each record gets its token.

    Raises Failure(66) for a job of `tried` that the workflow does not have, and Failure(2) where no account is known.
    """
    facts = gather(db, workflow_id, profile, tried)
    if options.retries:
        again = pending.retries(db, workflow_id)
        facts = facts._replace(jobs=[job for job in facts.jobs if job.job_id in again], beside=True)
    made = allocating.plan(facts, options, profile)
    account = _Account(options)
    records = [_named(record, account) for record in made.records]
    name = os.urandom(8).hex()
    tokens = ((record, os.urandom(16).hex()) for record in records)
    return made._replace(
        records=[
            record if record["status"] == "unplannable" else {**record, "token": token, "plan": name}
            for record, token in tokens
        ]
    )


def gather(db: sqlite3.Connection, workflow_id: int, profile: Profile, tried: Tried = NOTHING) -> Facts:
    """Read what planning starts from. Raises Failure(66) for a job of `tried` that the workflow does not have."""
    more = tried.jobs
    workflow = queries.workflow(db, workflow_id)
    workflow["is_canceled"] = workflow["is_canceled"] and not more  # a reset starts it again
    if more and (absent := pending.missing(db, workflow_id, more)):
        raise Failure(exits.NO_INPUT, f"no such job in workflow {workflow_id}: '{absent[0]}'")
    sizes: dict[tuple[Any, ...], Size] = {}  # jobs share few sizes
    jobs = [_job(_as_tried(row, more), sizes) for row in pending.jobs(db, workflow_id, more)]
    waiting = {job.job_id for job in jobs}
    rows = _rows(db, workflow_id, tried.over)
    schedulers = {
        each: allocating_facts.scheduler(each, config) for each, config in pending.schedulers(db, workflow_id)
    }
    actions = (allocating_facts.action(each, config) for each, config in pending.actions(db, workflow_id))
    over = states.DONE
    return Facts(
        workflow=workflow,
        jobs=jobs,
        parents=_parents(queries.edges(db, workflow_id), waiting),
        active={row[0]: (Size(*row[2:]), row[1]) for row in pending.active(db, workflow_id)},
        stuck=frozenset(pending.ids(db, workflow_id, _STUCK) - waiting),
        schedulers=schedulers,
        actions=[each for each in actions if each is not None],
        allocations=rows,
        fresh=not any(row["status"] in allocations.LIVE for row in rows)
        and pending.ids(db, workflow_id, over | states.ACTIVE) <= waiting,
        now=time.time(),
        default_account=_earlier_account(workflow, schedulers.values(), rows) or profile.default_account,
    )


def _rows(db: sqlite3.Connection, workflow_id: int, over: frozenset[int]) -> list[Record]:
    """Give the allocations; one that its workers have left takes no more jobs, although Slurm still ends it."""
    working = {row["allocation_id"] for row in allocations.working(db, workflow_id)} - over
    rows = allocations.of_workflow(db, workflow_id)
    return [
        {**row, "status": "complete"}
        if row["status"] in allocations.LIVE and row["allocation_id"] not in working
        else row
        for row in rows
    ]


def _as_tried(row: pending.Row, more: Mapping[int, Limits]) -> pending.Row:
    """Give a job the limits that it would get."""
    memory, runtime = more.get(row[0], (None, None))
    if memory is None and runtime is None:
        return row
    return (*row[:4], row[4] if memory is None else memory, *row[5:7], row[7] if runtime is None else runtime)


def _job(row: pending.Row, sizes: dict[tuple[Any, ...], Size]) -> Job:
    content = row[3:]
    if content not in sizes:
        sizes[content] = Size(*content)
    return Job(row[0], sizes[content], row[1], row[2])


def _parents(edges: Iterable[tuple[int, int]], waiting: Collection[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for job, parent in edges:
        if job in waiting:
            found.setdefault(job, []).append(parent)
    return found


def _earlier_account(
    workflow: Record, schedulers: Iterable[allocating_facts.Scheduler], rows: Iterable[Record]
) -> str | None:
    """Give the account that the workflow names: in slurm_defaults, in a scheduler, in its last allocation."""
    defaults = workflow["config"].get("slurm_defaults") or {}
    named = [str(defaults["account"])] if defaults.get("account") else []
    named += [each.account for each in schedulers if each.account]
    named += [row["config"]["account"] for row in reversed(list(rows)) if row["config"].get("account")]
    return next(iter(named), None)


class _Account:
    """The user's default account in Slurm, asked for once, when a record needs it."""

    def __init__(self, options: Options) -> None:
        self._known = options.account

    def get(self) -> str:
        if self._known is None:
            try:
                self._known = slurm.default_account()
            except slurm.Unavailable as problem:
                raise _no_account(f" (Slurm does not tell yours: {problem.message})") from None
        if self._known is None:
            raise _no_account("")
        return self._known


def _no_account(why: str) -> Failure:
    return Failure(exits.USAGE, f"no account: give --account, or 'account' in the workflow's slurm_defaults{why}")


def _named(record: Record, account: _Account) -> Record:
    if record["status"] == "unplannable" or record["account"] is not None:
        return record
    return {**record, "account": account.get()}
