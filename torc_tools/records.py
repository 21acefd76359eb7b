"""Records: plain dicts on the wire, read inside through one checked reader.

A record is one JSON object a line with the key `type`. `schemas/` and torc-records(5) say what each type holds.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torc_tools.exits import DATA, Failure

Record = dict[str, Any]

_MOST = 2**63  # what SQLite's integers hold

VERSION = 1  # of the stream: bumped when the meaning of any field changes


def need(record: Record, key: str, kind: type | tuple[type, ...]) -> Any:
    """Give record[key] checked to be of `kind` (bool is no int). Raises Failure(65) naming the record and the key.

    Integers of more than 64 bits are refused: the store cannot hold them.
    """
    value: Any = record.get(key)
    if _plain(value, kind):
        return value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool) or _too_large(value):
        raise Failure(
            DATA, f"{record.get('type', 'record')}: '{key}' is {_shown(record, key)}, expected {_kinds(kind)}"
        )
    return value


def may(record: Record, key: str, kind: type | tuple[type, ...]) -> Any:
    """Give record[key] checked as `need` does, or None where it is absent or null."""
    value: Any = record.get(key)
    return value if value is None or _plain(value, kind) else need(record, key, kind)


def need_ids(record: Record, key: str) -> list[int]:
    """Give a list of ids, checked to be a non-empty list of positive integers."""
    values = need(record, key, list)
    if not values or not all(type(value) is int and 0 < value < _MOST for value in values):
        raise Failure(DATA, f"{record.get('type', 'record')}: '{key}' is not a list of ids")
    return list(values)


def begin(stage: str, workflow_id: int | None) -> Record:
    """Make the line that a source writes first."""
    return {"type": "begin", "stage": stage, "v": VERSION, "workflow_id": workflow_id}


def framed(stage: str, workflow_id: int | None, records: Iterable[Record]) -> Iterator[Record]:
    """Put `records` between the begin and the end line of `stage`; the end line counts them."""
    yield begin(stage, workflow_id)
    count = 0
    for record in records:
        count += 1
        yield record
    yield {"type": "end", "stage": stage, "count": count}


def replace(records: Iterable[Record], kind: str, change: Callable[[Record], Iterable[Record]]) -> Iterator[Record]:
    """Replace each record of type `kind` by what `change` makes of it; pass every other on, unchanged and in order."""
    for record in records:
        if record["type"] == kind:
            yield from change(record)
        else:
            yield record


def _plain(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Say whether a value is of exactly this one kind: so are nearly all, and it is quick to tell."""
    exact = type(value) is kind
    return exact and (kind is not int or -_MOST <= value < _MOST)


def _too_large(value: Any) -> bool:
    return isinstance(value, int) and not -_MOST <= value < _MOST


def _shown(record: Record, key: str) -> str:
    return repr(record[key])[:80] if key in record else "missing"


def _kinds(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    words = {
        int: "an integer",
        str: "a string",
        list: "a list",
        dict: "an object",
        float: "a number",
        bool: "true or false",
    }
    return " or ".join(words[each] for each in kinds)
