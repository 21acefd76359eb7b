"""Taking back what the journal has: which changes, in what order, what each subject goes back to. Pure.

A batch is what one command changed at once. A recovery is a batch of torc-apply with the batch of torc-reset after it.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record

COMMAND = "torc-undo"
UNDOABLE = frozenset({"torc-apply", "torc-reset", "torc-jobs", "torc-requirements"})
Key = tuple[str, int]  # subject, subject_id
State = dict[str, Any]
_COMMENTS = frozenset({"copy_of"})  # told of a copy; no column of it


class Batch(NamedTuple):
    """What one command changed at once: `change` records, oldest first."""

    command: str
    at: float
    rows: list[Record]


def undone(rows: Iterable[Record]) -> dict[int, int]:
    """Give the changes that were taken back, by id, each with the id of the change that did it."""
    made = (row for row in rows if row["command"] == COMMAND)
    return {taken: row["change_id"] for row in made for taken in row["why"].get("undo", ())}


def runs_left(rows: Iterable[Record]) -> set[int]:
    """Give the runs that this command has left the workflow in: it does not go back but on, to a new one each time."""
    made = (row for row in rows if row["command"] == COMMAND and row["subject"] == "workflow")
    return {row["after"]["run_id"] for row in made if "run_id" in (row["after"] or {})}


def batches(rows: Sequence[Record]) -> list[Batch]:
    """Split changes (oldest first) into what can be taken back and has not been, newest batch first."""
    gone = undone(rows)
    found: list[Batch] = []
    for row in rows:
        if row["command"] not in UNDOABLE or row["change_id"] in gone:
            continue
        if found and (found[-1].command, found[-1].at) == (row["command"], row["at"]):
            found[-1].rows.append(row)
        else:
            found.append(Batch(row["command"], row["at"], [row]))
    return found[::-1]


def chosen(rows: Sequence[Record], change_id: int | None) -> list[Record]:
    """Give the changes to take back, newest first: the last recovery, or all from `change_id`'s batch on.

    None are given where there is nothing to take back. Raises Failure(66) where the workflow has no such change, and
    Failure(65) where it is of a kind that cannot be taken back.
    """
    found = batches(rows)
    if change_id is None:
        kept = found[: 2 if [batch.command for batch in found[:2]] == ["torc-reset", "torc-apply"] else 1]
    else:
        places = [place for place, batch in enumerate(found) if _has(batch, change_id)]
        if not places:
            _refuse(rows, change_id)
        kept = found[: places[0] + 1] if places else []
    return [row for batch in kept for row in reversed(batch.rows)]


def _has(batch: Batch, change_id: int) -> bool:
    return any(row["change_id"] == change_id for row in batch.rows)


def _refuse(rows: Sequence[Record], change_id: int) -> None:
    """Refuse a change that is not there or of another kind; one that was taken back before is none to refuse."""
    row = next((row for row in rows if row["change_id"] == change_id), None)
    if row is None:
        raise Failure(exits.NO_INPUT, f"no such change of the workflow: '{change_id}'")
    if row["command"] not in UNDOABLE:
        raise Failure(exits.DATA, f"change {change_id} was made by {row['command']}: that cannot be taken back")


class Reversal:
    """What subjects go back to, worked out change by change from how they are now."""

    def __init__(self, present: Mapping[Key, State], runs: Container[int] = ()) -> None:
        """Take the present state of every subject of the changes, by subject and id; and `runs_left`."""
        self._runs = runs
        self._now = {key: dict(state) for key, state in present.items()}
        self._first = present
        self.gone: list[int] = []  # requirements that were made, and go
        self.changes: dict[Key, list[int]] = {}  # subject -> the changes taken back, newest first

    def take(self, row: Record) -> None:
        """Take back one change; the newest first. Raises Failure(65) where its subject has changed since."""
        key = (row["subject"], row["subject_id"])
        state = self._now.get(key)
        if state is None or key[0] not in ("job", "resource_requirements", "workflow"):
            raise Failure(exits.DATA, f"{_name(key, None)} is gone since change {row['change_id']}{_NOTHING}")
        after = {name: value for name, value in (row["after"] or {}).items() if name not in _COMMENTS}
        if key[0] == "workflow" and "run_id" in after and state["run_id"] in self._runs:
            state["run_id"] = after["run_id"]
        for name, value in after.items():
            if name not in state or state[name] != value:
                raise Failure(exits.DATA, self._since(key, name, row))
        self.changes.setdefault(key, []).append(row["change_id"])
        if row["before"] is None:
            self._now[key] = {}
            self.gone.append(key[1])
        else:
            state.update((name, row["before"][name]) for name in after if name in row["before"])

    def differences(self) -> dict[Key, tuple[State, State]]:
        """Give what each subject is and what it goes back to, where they differ; an empty state: it goes."""
        found = {}
        for key in self.changes:
            now, then = self._first[key], self._now[key]
            names = [name for name in now if now[name] != then.get(name)]
            if names:
                found[key] = {name: now[name] for name in names}, {name: then[name] for name in names if then}
        return found

    def _since(self, key: Key, name: str, row: Record) -> str:
        state = self._first[key]
        if key[0] == "job" and name == "status" and state.get(name) in _RAN:
            return f"{_name(key, state)} has run since change {row['change_id']} ({state[name]}){_NOTHING}"
        now = f"its {name} is {state.get(name)!r} now, and change {row['change_id']} made it {row['after'][name]!r}"
        return f"{_name(key, state)} has changed since: {now}{_NOTHING}"


_NOTHING = ": nothing was taken back"
_RAN = frozenset({"pending", "running", "completed", "failed", "terminated", "pending_failed"})


def _name(key: Key, state: State | None) -> str:
    subject = key[0].replace("_", " ")
    name = (state or {}).get("name")
    return f"{subject} {key[1]}" + (f" ({name})" if name else "")
