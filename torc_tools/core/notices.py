"""What torc-watch tells a program of the user's: a `notice` record at each recovery and at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

from torc_tools.core import recovery_text
from torc_tools.records import Record
from torc_tools.texts import visible

COMPLETED, GAVE_UP, RECOVERY, ERROR = "completed", "gave_up", "recovery", "error"
_MOST_LINES = 200
_PLAN = {"memory": "memory_fixes", "runtime": "runtime_fixes", "again": "again", "held": "held"}

_WHY = {
    "failures": "jobs failed, none that a recovery runs again",
    "disabled": "jobs failed, and recovery is not enabled",
    "retries": "the recoveries are used up",
    "stuck": "nothing moves any more",
    "canceled": "the workflow is canceled",
    "nothing": "no failed job can be recovered",
    "nowhere": "what is ready fits nowhere",
}


def event(what: str) -> str:
    """Give the event of an end by what the watch calls it: 'done', or the reason why it gave up."""
    return COMPLETED if what == "done" else GAVE_UP


def plan(counts: recovery_text.Plan) -> Record:
    """Give what a recovery does, in jobs."""
    found = counts._asdict()
    held = found["held"] + found["unknown_held"]
    return {name: {**found, "held": held}[key] for key, name in _PLAN.items()}


def text(record: Mapping[str, Any]) -> str:
    """Say in one line what happened: the subject of a mail. What controls a terminal or breaks a line is visible."""
    return visible(_text(record))


def _text(record: Mapping[str, Any]) -> str:
    name = f"workflow {record['workflow_id']} ({record['name']})"
    if record["event"] == RECOVERY:
        limit = "" if record["max_retries"] is None else f"/{record['max_retries']}"
        fixes = record["plan"]
        parts = [
            f"{fixes['again']} job(s) run again",
            f"{fixes['memory_fixes']} OOM",
            f"{fixes['runtime_fixes']} timeout",
        ]
        parts += [f"{fixes['held']} held"] if fixes["held"] else []
        return f"{name}: recovery {record['recoveries']}{limit}: {', '.join(parts)}"
    if record["event"] == ERROR:
        return f"{name}: the watch ended: {' '.join(record['lines'][:1])}"
    counts = {key: number for key, number in record["counts"].items() if number}
    shown = ", ".join(f"{number} {key}" for key, number in counts.items()) or "no jobs"
    if record["event"] == COMPLETED:
        return f"{name}: completed: {shown}"
    return f"{name}: given up ({_WHY.get(record['why'], record['why'])}): {shown}"


def lines_of(lines: Sequence[str]) -> list[str]:
    """Give the lines that the watch said, without those that only part them; not more than a mail may have."""
    return [visible(line) for line in lines if line.strip()][:_MOST_LINES]
