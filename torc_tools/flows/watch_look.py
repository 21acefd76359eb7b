"""How torc-watch looks at a workflow: what core/pace decides on, and the cheap look in between at who has left."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torc_tools.core import holds, pace
from torc_tools.exits import Failure
from torc_tools.flows import fold
from torc_tools.flows.recovery_stages import Request
from torc_tools.records import Record
from torc_tools.shell import allocations, holders, layout, liveness, queries, waking, watchstate

LOOK_S = 1.0  # how often the event files of Slurm's workers are looked at while we wait
QUIET_S = 60.0  # a planned allocation that is so old is submitted by nobody


class View(NamedTuple):
    """One look: what `pace` decides on, and whose end is awaited."""

    seen: pace.Seen
    processes: list[waking.Process]
    engine: str
    allocations: bool  # Slurm allocations are there that may run jobs
    held: list[Record]  # of these, those that Slurm does not start before they are released


def look(request: Request, state: Mapping[str, Any], *, accounting_pending: bool) -> View:
    """Look at the workflow as torc-sync left it; a torc-run that we started counts before it has said anything."""
    workflow_id = request.workflow_id
    child: waking.Process = tuple(state.get("child") or (None, None, None))
    with contextlib.closing(fold.opened(request.store, workflow_id)) as db:
        local = [(row["hostname"], row["pid"], row["pid_start"]) for row in holders.local(db, workflow_id)]
        slurm = allocations.working(db, workflow_id)
        engine = allocations.engine(db, workflow_id)
        seen = pace.Seen(
            now=time.time(),
            counts=queries.counts(db, workflow_id),
            capacity=bool(local or slurm) or bool(liveness.alive(*child)),
            retries=watchstate.retries(db, workflow_id),
            progress=watchstate.progress(db, workflow_id),
            can_add=engine == "slurm",
            is_canceled=bool(queries.workflow(db, workflow_id)["is_canceled"]),
            unheard=accounting_pending,
        )
        return View(_timed(db, workflow_id, seen), [*local, child], engine, bool(slurm), _held(slurm))


def _held(rows: Iterable[Record]) -> list[Record]:
    queued = (row for row in rows if row["status"] == "queued")
    return [row for row in queued if holds.is_held(row["slurm_state"], row["slurm_reason"])]


def _timed(db: sqlite3.Connection, workflow_id: int, seen: pace.Seen) -> pace.Seen:
    """Add how long things have been as they are."""
    if not seen.can_add:
        return seen
    ended, ready = watchstate.last_ended_at(db, workflow_id), watchstate.retry_ready_at(db, workflow_id)
    submitted_at, unsent = watchstate.submissions(db, workflow_id, seen.now, QUIET_S)
    return seen._replace(
        rested_s=max(0.0, seen.now - (ended or 0.0)),
        stranded_s=0.0 if ready is None else max(0.0, seen.now - ready),
        submitted_at=submitted_at,
        unsent=unsent,
    )


class Events:
    """Notices that the workers have written something, from the sizes of their event files."""

    def __init__(self, request: Request) -> None:
        """Know of nothing yet: the first look finds something new."""
        self._request = request
        self._folder: str | None = None
        self._sizes: dict[str, int] = {}

    def changed(self) -> bool:
        """Say whether anything was written since the last call."""
        before, self._sizes = self._sizes, self._look()
        return self._sizes != before

    def _look(self) -> dict[str, int]:
        try:
            self._folder = self._folder or _events_dir(self._request)
            with os.scandir(self._folder) as entries:
                prefix = f"wf{self._request.workflow_id}_"
                return {entry.name: entry.stat().st_size for entry in entries if entry.name.startswith(prefix)}
        except (OSError, sqlite3.OperationalError, Failure):  # nothing is there, or the store is locked
            return {}


def _events_dir(request: Request) -> str:
    with contextlib.closing(fold.opened(request.store, request.workflow_id, read_only=True)) as db:
        return layout.events_dir(str(queries.workflow(db, request.workflow_id)["output_dir"]))


class News:
    """Notices that the last worker of Slurm's allocations has left, from what they write, without asking Slurm."""

    def __init__(self, request: Request) -> None:
        """Know of nothing yet: `begin` says from when on something is news."""
        self._request = request
        self._events = Events(request)

    def begin(self) -> None:
        """Remember how the event files are now."""
        self._events.changed()

    def all_left(self) -> bool:
        """Say whether, by what was written since the last call, every allocation's workers have ended."""
        if not self._events.changed():
            return False
        try:
            with contextlib.closing(fold.opened(self._request.store, self._request.workflow_id)) as db:
                return not allocations.attended(db, self._request.workflow_id)
        except sqlite3.OperationalError:  # locked: the next poll sees it
            return False
