"""Submitting planned allocations to Slurm, each exactly once; going on where a crash, or another, left off.

An allocation is noted as `submitting`, with the process that does it, before sbatch is started. Only a clear success
makes it `queued` at once; after every other answer Slurm is asked for its token.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torc_tools import exits, states
from torc_tools.core import sbatch
from torc_tools.exits import Failure
from torc_tools.flows import intents, sending
from torc_tools.flows.intents import COMMAND
from torc_tools.records import Record
from torc_tools.shell import allocations, queries, slurm, stopping, store, submissions

_LOOK_S = 0.1  # how often another submitter is looked at
_PATIENCE = 2  # times what an sbatch may take: so long one allocation of another submitter is waited for


class Done(NamedTuple):
    """What came of a submission: `submission` records by token, and why it did not come to its end (or None)."""

    records: dict[str, Record]
    trouble: Failure | None


def submit(db: sqlite3.Connection, path: str, wanted: list[Record], *, dry_run: bool) -> Done:
    """Submit what `allocation` records ask for, and what their workflows had left half done.

    `path` is the store's; with dry_run `db` is a copy in memory, and nothing is sent. Raises Failure(65), Failure(75)
    where the plan is refused: nothing is stored then.
    """
    found = intents.note(db, wanted)
    records: dict[str, Record] = {}
    for workflow_id in dict.fromkeys(record["workflow_id"] for record in wanted):
        tokens = [record["token"] for record in wanted if record["workflow_id"] == workflow_id]
        batch = _Batch(db, path, workflow_id, dry_run=dry_run)
        try:
            batch.run()
        except Failure as failure:
            return Done({**records, **batch.records([found[token] for token in tokens])}, failure)
        records |= batch.records([found[token] for token in tokens])
    return Done(records, None)


def complete(db: sqlite3.Connection, path: str, workflow_id: int, *, dry_run: bool) -> Done:
    """Submit what a workflow has planned, and find out what became of what was being submitted."""
    batch = _Batch(db, path, workflow_id, dry_run=dry_run)
    try:
        batch.run()
    except Failure as failure:
        return Done(batch.records([]), failure)
    return Done(batch.records([]), None)


class _Batch:
    """The open allocations of a workflow, taken one by one; others may be at it too."""

    def __init__(self, db: sqlite3.Connection, path: str, workflow_id: int, *, dry_run: bool) -> None:
        self._db, self._path, self._dry_run = db, path, dry_run
        self._workflow = queries.workflow(db, workflow_id)
        rows = allocations.of_workflow(db, workflow_id)
        self._rows: dict[int, Record] = {row["allocation_id"]: row for row in rows}
        self._open = [row["allocation_id"] for row in _ordered(row for row in rows if _is_open(row))]
        self._sent: dict[int, list[str]] = {}  # what we submitted, and what it waits for
        self._sender: sending.Sender | None = None

    def run(self) -> None:
        """Take one allocation after the other. Raises Failure(69), Failure(75) at the first that cannot be had."""
        if not self._open:
            return
        if not self._dry_run:
            self._admit()
            self._tell_again()
        for place, allocation_id in enumerate(self._open):
            after = self._after(allocation_id)
            if self._dry_run:
                self._sent[allocation_id] = after
                continue
            try:
                self._one(allocation_id, after)
            except Failure as failure:
                raise self._explained(failure, len(self._open) - place) from None

    def records(self, allocation_ids: list[int]) -> dict[str, Record]:
        """Give the `submission` records of those named and of those that were open, by token."""
        made = {}
        for allocation_id in dict.fromkeys([*allocation_ids, *self._open]):
            row = submissions.get(self._db, allocation_id)
            already = allocation_id not in self._sent and not _is_open(row)
            record = intents.submission(self._workflow, row, already=already, dry_run=self._dry_run)
            record["depends_on"] = self._sent.get(allocation_id, [])
            record["after_allocations"] = self._earlier(allocation_id)
            made[row["token"]] = record
        return made

    def _one(self, allocation_id: int, after: list[str]) -> None:
        """Bring one allocation to its end, whoever does it."""
        row = self._taken(allocation_id)
        self._rows[allocation_id] = row
        if not _is_open(row):
            return
        if self._sender is None:
            self._sender = sending.Sender(self._db, self._path, self._workflow, self._open[0])
        self._rows[allocation_id] = self._sender.bring(row, after)
        if self._rows[allocation_id]["status"] == "queued":
            self._sent[allocation_id] = after

    def _taken(self, allocation_id: int) -> Record:
        """Give the row, ours to submit; or as another left it. One is submitted at a time in a workflow."""
        limit = slurm.limit_s(slurm.TIMEOUT_S) * _PATIENCE
        busy, since = 0, time.monotonic()
        while True:
            with store.transaction(self._db):
                held = [each for each in submissions.submitting(self._db, self._id) if submissions.held_by_other(each)]
                row = submissions.get(self._db, allocation_id)
                if not _is_open(row) or not held:
                    before = dict(row)
                    if _is_open(row):
                        submissions.take(self._db, row, COMMAND, self._workflow["run_id"])
                    return before
            if held[0]["allocation_id"] != busy:
                busy, since = held[0]["allocation_id"], time.monotonic()
            if time.monotonic() - since > limit:
                who = f"pid {held[0]['pid']} on {held[0]['hostname']}"
                raise Failure(exits.TEMPORARY, f"another torc-submit ({who}) is at it: try again when it has ended")
            time.sleep(_LOOK_S)

    @property
    def _id(self) -> int:
        return int(self._workflow["workflow_id"])

    def _admit(self) -> None:
        """Let workers in, unless the workflow is canceled: a torc-cancel writes its file once the store says so."""
        with store.transaction(self._db):
            self._workflow = queries.workflow(self._db, self._id)
            if self._workflow["is_canceled"]:
                text = f"workflow {self._id} is canceled: 'torc-cancel {self._id}' settles what was being submitted"
                raise Failure(exits.DATA, text)
            stopping.admit(self._workflow)

    def _tell_again(self) -> None:
        """Tell workers of what was submitted when its submitter was killed before it could."""
        known = submissions.told(self._workflow)
        for row in self._rows.values():
            if row["status"] in ("queued", "active") and (row["allocation_id"], row["slurm_job_id"]) not in known:
                submissions.tell_workers(self._workflow, row["allocation_id"], row["slurm_job_id"])

    def _before(self, allocation_id: int) -> Iterator[Record]:
        """Give the allocations that one waits for: those of its `after_groups` that are not over."""
        own = self._rows[allocation_id]["config"]
        groups = set(own.get("after_groups") or ()) - {own["group"]}
        if groups:
            for row in self._rows.values():
                is_open = row["status"] in (*allocations.LIVE, "planned")
                stale = allocations.is_stale(row, self._workflow["run_id"])
                if is_open and not stale and row["config"]["group"] in groups:
                    yield row

    def _after(self, allocation_id: int) -> list[str]:
        """Give the Slurm jobs that one waits for, of those that are submitted already."""
        found = [row["slurm_job_id"] for row in self._before(allocation_id) if row["slurm_job_id"]]
        return sbatch.dependency(self._rows[allocation_id]["config"], found)[1]

    def _earlier(self, allocation_id: int) -> list[int]:
        return [row["allocation_id"] for row in self._before(allocation_id)] if allocation_id in self._rows else []

    def _explained(self, failure: Failure, left: int) -> Failure:
        """Say with the trouble where it happened, what is done and how to go on."""
        done = f"{len(self._sent)} of {len(self._open)} submitted" if len(self._open) > 1 else "not submitted"
        return Failure(failure.status, f"{failure.message} ({done}, {left} left: 'torc-submit -w {self._id}' goes on)")


def _is_open(row: Record) -> bool:
    return row["status"] in states.UNSENT


def _ordered(rows: Iterable[Record]) -> list[Record]:
    """Put allocations behind those of the groups they wait for; where groups wait for each other, in their order."""
    left = {row["allocation_id"]: row for row in rows}
    waits: dict[str, set[str]] = {}
    for row in left.values():
        waits.setdefault(row["config"]["group"], set()).update(row["config"].get("after_groups") or ())
    groups = list(waits)
    place: dict[str, int] = {}
    while groups:
        waited = set().union(*(waits[group] - {group} for group in groups))
        free = [group for group in groups if not (waits[group] - {group}) & set(groups)]
        free = free or [group for group in groups if group in waited][:1]
        place.update({group: len(place) + n for n, group in enumerate(free)})
        groups = [group for group in groups if group not in place]
    return sorted(left.values(), key=lambda row: (place[row["config"]["group"]], row["allocation_id"]))
