"""What the shapes of core/front_json are put together with. Pure."""

from collections.abc import Callable, Iterable
from typing import Any

from torc_tools.core.front import Called
from torc_tools.records import Record


def entry(record: Record, **more: Any) -> Record:
    """Give a record without its type, `more` before the rest."""
    return {**more, **{key: value for key, value in record.items() if key != "type" and key not in more}}


def of(called: Called, kind: str) -> list[Record]:
    """Give the records of a type that the tool wrote."""
    return [record for record in called.records if record["type"] == kind]


def first(records: Iterable[Record]) -> Record:
    """Give the first record; {} where there is none."""
    return next(iter(records), {})


def workflow_id(called: Called) -> int | None:
    """Give the workflow that was asked about."""
    for record in called.records:
        if record.get("workflow_id"):
            return int(record["workflow_id"])
    first = called.operands[0] if called.operands else ""
    return int(first) if first.isascii() and first.isdigit() else None


def each(kind: str, write: Callable[[Record], Record]) -> Callable[[Called], list[Record]]:
    """Make the shape that is an array of what `write` makes of each record of a type."""
    return lambda called: [write(record) for record in of(called, kind)]


def one(kind: str, write: Callable[[Record], Record]) -> Callable[[Called], Record]:
    """Make the shape that is what `write` makes of the first record of a type."""
    return lambda called: write(first(of(called, kind)))
