"""Changes in a person's words: 'job 2 (hog)', 'memory 48m -> 111m, status failed -> ready'."""

from collections.abc import Iterable
from typing import Any

from torc_tools import units
from torc_tools.records import Record

_FIRST = ("status", "memory_bytes", "runtime_s")
_WORDS = {"resource_requirements": "requirements", "resource_requirements_id": "requirements"}
_FORMS = {"memory_bytes": ("memory", units.format_memory), "runtime_s": ("runtime", units.format_duration)}


def subject(record: Record) -> str:
    """Name the subject of a `change` or `undone` record."""
    kind = _WORDS.get(record["subject"], record["subject"])
    name = f" ({record['job_name']})" if record.get("job_name") else ""
    return f"{kind} {record['subject_id']}{name}"


def change(record: Record) -> str:
    """Say what became of the subject: only the fields that differ, as it was and is."""
    before, after = record["before"], record["after"]
    if before is None or after is None:
        verb, state = ("made", after or {}) if before is None else ("gone", before)
        return f"{verb}: " + ", ".join(f"{_word(key)} {_told(key, state[key])}" for key in _ordered(state))
    keys = _ordered(key for key in after if before.get(key) != after[key])
    return ", ".join(f"{_word(key)} {_told(key, before.get(key))} -> {_told(key, after[key])}" for key in keys)


def why(record: Record) -> str | None:
    """Say why a change was made, and by which other it was taken back."""
    said, undone_by = _reason(record.get("why")), record.get("undone_by")
    return f"undone by {undone_by}" + (f"; {said}" if said else "") if undone_by else said


def _reason(reason: Any) -> str | None:
    """Give a reason, the cause of a failure, or the changes that were taken back."""
    if not isinstance(reason, dict):
        return None
    if "undo" in reason:
        return f"takes back {', '.join(map(str, reason['undo']))}"
    if isinstance(reason.get("reset"), list):
        return f"reset of {', '.join(map(str, reason['reset']))}"
    words = next((str(reason[key]) for key in ("reason", "cause", "reset", "slurm_state") if reason.get(key)), None)
    return f"{words}, {reason['certainty']}" if words and reason.get("certainty") else words


def _ordered(keys: Iterable[str]) -> list[str]:
    """Give keys with those first that a person looks for, as a narrow table cuts the rest."""
    return sorted(keys, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))


def _word(key: str) -> str:
    return _FORMS[key][0] if key in _FORMS else _WORDS.get(key, key)


def _told(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _FORMS[key][1](value) if key in _FORMS and isinstance(value, int) else str(value)
