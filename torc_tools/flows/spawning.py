"""Jobs that a job spawned, taken into the store when the end of its attempt is folded; workers are told of it.

Who may say what: the job writes lines, the worker marks the file when the job has ended well, the fold alone judges it
and gives ids. Until a verdict is told, the job that spawned is not over for any worker.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from torc_tools import states
from torc_tools.core.ledger import Life
from torc_tools.records import Record
from torc_tools.shell import jobstate, journal, manifest, spawnfile, stopping, store
from torc_tools.shell import spawning as rows
from torc_tools.shell.spawning import Place, Spawner

if TYPE_CHECKING:
    from torc_tools.core.spawning import Batch

COMMAND = "torc-work"  # on whose word jobs are added, whoever folds it
REFUSED = "spawn_refused"


class Spawns:
    """Judges what the attempts of one workflow spawned, in the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, workflow: Record, lives: MutableMapping[int, Life]) -> None:
        """Take the present life of every job; those that are added join them."""
        self._db, self._workflow, self._lives = db, workflow, lives
        self._there: Place | None = None

    def heard(self, event: Record) -> Record:
        """Give an event as it counts: the end of a job whose spawned jobs are refused is a failure.

        An attempt that is not the present one of its job spawns nothing: the one after it does.
        """
        marked = event.get("spawned")
        if not isinstance(marked, dict):
            return event
        event = {key: value for key, value in event.items() if key != "spawned"}
        ids = [event.get(key) for key in ("job_id", "run_id", "attempt_id")]
        if event.get("status") != "completed" or not all(type(each) is int for each in ids):
            return event
        if any(type(marked.get(key)) is not kind for key, kind in spawnfile.MARK.items()):
            return event
        spawner = Spawner(*ids)  # type: ignore[arg-type]  # checked above
        life = self._lives.get(spawner.job_id)
        if life is None or life[1] != spawner.run_id or life[2] > spawner.attempt_id:
            return event
        return self._judged(event, spawner, marked)

    def _judged(self, event: Record, spawner: Spawner, marked: dict[str, Any]) -> Record:
        workflow_id = self._workflow["workflow_id"]
        depth = rows.generation(self._db, spawner.job_id) + 1
        found = self._batch(spawner, marked, depth)
        if isinstance(found, list):
            rows.judge(self._db, workflow_id, spawner, states.FAILED, ())
            tail = "\n".join(["what it spawned was refused, all of it:", *found, ""])
            return {**event, "status": "failed", "return_code": 1, "reason": REFUSED, "log_tail": tail}
        added = self._add(spawner, found, depth)
        rows.judge(self._db, workflow_id, spawner, states.COMPLETED, added)
        return {**event, "spawned": len(added)}

    def _batch(self, spawner: Spawner, marked: dict[str, Any], depth: int) -> "Batch | list[str]":
        """Read and check the lines of an attempt; give the batch, or what is wrong with it."""
        from torc_tools.core import spawning  # most workflows spawn nothing

        text = spawnfile.read(self._workflow, spawner, marked)
        if isinstance(text, str):
            return [text]
        there = self._there = self._there or rows.place(self._db, self._workflow["workflow_id"])
        known = spawning.Known(
            jobs=there.names["jobs"],
            digests=there.digests,
            requirements=there.names["requirements"],
            handlers=there.names["handlers"],
            schedulers=there.names["schedulers"],
            files=there.names["files"],
            user_data=there.names["user_data"],
            outputs=there.outputs,
        )
        from torc_tools.shell import regexes  # few jobs spawn any

        found = spawning.batch(text, known, regexes.bounded)
        deep = spawning.too_deep(depth, self._workflow["config"])
        return found.problems or ([deep] if deep and found.digests else found)

    def _add(self, spawner: Spawner, found: "Batch", depth: int) -> list[int]:
        """Store the new jobs, which wait for the one that spawned them like its other dependents."""
        there, plan, first = self._there, found.plan, found.first
        if there is None or not found.digests:
            return []
        own = there.ids["jobs"].index(spawner.job_id)
        plan.parents[first:] = [tuple({*parents, own}) for parents in plan.parents[first:]]
        mark = {"by": spawner.job_id, "generation": depth, "at": round(time.time(), 3)}
        marks = [{**mark, "digest": digest} for digest in found.digests]
        new = self._new()
        added = rows.add(self._db, new, there, plan, marks)
        names = plan.names[first:]
        there.digests.update(zip(names, found.digests, strict=True))
        there.ids["jobs"] += added
        there.names["jobs"] += names
        for what, links in (("files", plan.files), ("data", plan.data)):
            written = enumerate(links["output"][first:], first)
            there.outputs[what] += [(job, item) for job, items in written for item in items]
        self._lives.update((job_id, (new["status"], new["run_id"], 1)) for job_id in added)
        self._journal(spawner, new, zip(added, names, strict=True))
        return added

    def _new(self) -> Record:
        """Give what new jobs have in common: the run of now; in a workflow that is canceled, so are they."""
        workflow_id = self._workflow["workflow_id"]
        run_id, is_canceled = jobstate.run_of(self._db, workflow_id)
        status = states.CANCELED if is_canceled else states.BLOCKED
        return {"workflow_id": workflow_id, "run_id": run_id, "status": status}

    def _journal(self, spawner: Spawner, new: Record, added: Iterable[tuple[int, str]]) -> None:
        why = {"spawned_by": spawner.job_id, "run_id": spawner.run_id, "attempt_id": spawner.attempt_id}
        after = {"status": states.NAMES[new["status"]], "run_id": new["run_id"], "attempt_id": 1}
        changes = (journal.Change("job", job_id, why, None, {"name": name, **after}) for job_id, name in added)
        journal.record(self._db, self._workflow["workflow_id"], COMMAND, changes)


def tell(db: sqlite3.Connection, workflow: Record) -> None:
    """Tell workers of the verdicts that they have not heard, with the jobs that were added; outside a transaction.

    A full disk costs only their patience: it is tried again at the next fold.
    """
    with contextlib.suppress(OSError):
        if waiting := rows.untold(db, workflow["workflow_id"]):
            stopping.tell_spawned(workflow, [_verdict(db, workflow, row) for row in waiting])
            with store.transaction(db):
                rows.told(db, [row["spawn_id"] for row in waiting])


def _verdict(db: sqlite3.Connection, workflow: Record, row: sqlite3.Row) -> Record:
    ids = range(row["first_id"], row["first_id"] + row["count"])
    said = {key: row[key] for key in ("spawn_id", "job_id", "run_id", "attempt_id")}
    lines = list(manifest.jobs(db, workflow["workflow_id"], ids))
    return {**said, "status": states.NAMES[row["status"]], "jobs": lines}
