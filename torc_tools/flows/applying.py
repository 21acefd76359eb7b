"""Writing adjustments into the store: guarded, copy-on-write, all in one transaction, every change journaled."""

import sqlite3

from torc_tools.core import adjusting
from torc_tools.core.adjusting import Key, Life, Plan
from torc_tools.flows import finality
from torc_tools.records import Record
from torc_tools.shell import journal, requirements, store
from torc_tools.shell.journal import Change

COMMAND = "torc-apply"


def apply(db: sqlite3.Connection, found: list[Record], *, dry_run: bool) -> tuple[list[Record], list[str]]:
    """Apply the adjustments among checked records (adjusting.check); give what to write, and a line for each refused.

    Adjustments become `applied`; those that are held or refused and all strangers are passed on, in order.
    """
    with store.transaction(db):
        plan = Plan(_lives(db, found))
        for record in found:
            plan.take(record)
        ledger = _Ledger(db, plan)
        ledger.write()
    for record in plan.out:
        if record["type"] == "applied":
            record.update(ledger.effect(record["job_ids"][0], record), dry_run=dry_run)
    return plan.out, plan.refused


def _lives(db: sqlite3.Connection, found: list[Record]) -> dict[int, Life]:
    named = {job_id for record in found if record["type"] == "adjustment" for job_id in record["job_ids"]}
    return {row["job_id"]: Life(*tuple(row)[1:]) for row in requirements.lives(db, named)}


class _Ledger:
    """Writes a plan, and remembers which changes touched which job."""

    def __init__(self, db: sqlite3.Connection, plan: Plan) -> None:
        self._db, self._plan = db, plan
        self._changes: dict[int, list[Change]] = {}  # by workflow
        self._touched: dict[int, list[int]] = {}  # job -> places of its changes among those of its workflow
        self._rows: dict[int, int] = {}  # job -> the row made for it
        self._first: dict[int, int] = {}  # workflow -> id of its first change
        self._names: dict[int, dict[int, str]] = {}
        self._taken: dict[int, set[str]] = {}

    def write(self) -> None:
        """Change or copy the rows, point the jobs at their copies, journal it all."""
        self._finish()
        workflows = {self._plan.before[job_id].workflow_id for job_id in self._plan.granted}
        for key, job_ids, copied in self._plan.groups(requirements.users(self._db, workflows)):
            (self._copy if copied else self._change)(key, job_ids)
        for workflow_id, changes in self._changes.items():
            journal.record(self._db, workflow_id, COMMAND, changes)
            (last,) = self._db.execute("SELECT max(change_id) FROM change").fetchone()
            self._first[workflow_id] = last - len(changes) + 1

    def _finish(self) -> None:
        """Call jobs failed for good; what that moves below them is journaled behind it."""
        together: dict[int, list[int]] = {}
        for job_id in self._plan.final:
            together.setdefault(self._plan.before[job_id].workflow_id, []).append(job_id)
        for workflow_id, job_ids in together.items():
            changes = self._changes.setdefault(workflow_id, [])
            self._touched.update((job_id, [place]) for place, job_id in enumerate(job_ids, len(changes)))
            whys = {job_id: self._plan.why[job_id] for job_id in job_ids}
            changes += finality.make(self._db, workflow_id, whys)

    def effect(self, job_id: int, record: Record) -> Record:
        """Give what the write did to a job, as fields of its `applied` record."""
        if record["already"] or job_id not in self._touched:
            return {}
        first = self._first[self._plan.before[job_id].workflow_id]
        return {
            "resource_requirements_id": self._rows.get(job_id, record["resource_requirements_id"]),
            "copied": job_id in self._rows,
            "change_ids": [first + place for place in self._touched[job_id]],
        }

    def _copy(self, key: Key, job_ids: list[int]) -> None:
        """Give some jobs a row of their own; the old one stays as it is."""
        row, memory, runtime, cpus = key
        workflow_id = self._plan.before[job_ids[0]].workflow_id
        name = self._name(workflow_id, row, job_ids[0])
        made = requirements.copy(self._db, workflow_id, row, name, (memory, runtime, cpus))
        requirements.point(self._db, job_ids, made)
        after = {"name": name, "copy_of": row, "memory_bytes": memory, "runtime_s": runtime}
        if cpus != self._plan.before[job_ids[0]].cpus:
            after["num_cpus"] = cpus
        self._note(job_ids, "resource_requirements", made, None, after)
        for job_id in job_ids:
            moved = {"resource_requirements_id": row}, {"resource_requirements_id": made}
            self._note([job_id], "job", job_id, *moved)
            self._rows[job_id] = made

    def _change(self, key: Key, job_ids: list[int]) -> None:
        """Change a row where it stands: every job that uses it is among `job_ids`."""
        row, memory, runtime, cpus = int(key[0] or 0), *key[1:]
        life = self._plan.before[job_ids[0]]
        requirements.change(self._db, row, memory, runtime, cpus or 1)
        before = {"memory_bytes": life.memory, "runtime_s": life.runtime}
        after = {"memory_bytes": memory, "runtime_s": runtime}
        if cpus != life.cpus:
            before["num_cpus"], after["num_cpus"] = life.cpus, cpus
        self._note(job_ids, "resource_requirements", row, before, after)

    def _name(self, workflow_id: int, row: int | None, job_id: int) -> str:
        """Name a copy, apart from every name of the workflow."""
        if workflow_id not in self._names:
            self._names[workflow_id] = requirements.names(self._db, workflow_id)
            self._taken[workflow_id] = set(self._names[workflow_id].values())
        base = "default" if row is None else self._names[workflow_id][row]
        name = adjusting.copy_name(base, job_id, self._taken[workflow_id])
        self._taken[workflow_id].add(name)
        return name

    def _note(self, job_ids: list[int], subject: str, subject_id: int, before: Record | None, after: Record) -> None:
        """Keep one change for the journal, with the failure of the first job it is for as the reason."""
        changes = self._changes.setdefault(self._plan.before[job_ids[0]].workflow_id, [])
        for job_id in job_ids:
            self._touched.setdefault(job_id, []).append(len(changes))
        changes.append(Change(subject, subject_id, self._plan.why[job_ids[0]], before, after))
