"""Event files as the store's side reads them: new full lines by byte offset; a torn last line waits for its rest."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator

import orjson

from torc_tools.records import Record
from torc_tools.shell import layout

CHUNK = 1 << 20


def news(db: sqlite3.Connection, workflow: Record) -> list[tuple[str, str, int]]:
    """Give (worker, path, offset) of each event file of the workflow that holds more than was folded."""
    folder = layout.events_dir(workflow["output_dir"])
    prefix = f"wf{workflow['workflow_id']}_"
    try:
        with os.scandir(folder) as entries:
            sizes = {
                e.name[:-6]: e.stat().st_size
                for e in entries
                if e.name.startswith(prefix) and e.name.endswith(".jsonl") and e.is_file()
            }
    except (FileNotFoundError, NotADirectoryError):
        return []
    rows = db.execute("SELECT name, offset FROM worker WHERE workflow_id = ?", (workflow["workflow_id"],))
    known = {row[0]: row[1] for row in rows}
    return [
        (name, os.path.join(folder, f"{name}.jsonl"), known.get(name, 0))
        for name, size in sorted(sizes.items())
        if size > known.get(name, 0)
    ]


def size(files: Iterable[tuple[str, str, int]]) -> int:
    """Give how many bytes `news` has found."""
    total = 0
    for _, path, offset in files:
        with contextlib.suppress(OSError):
            total += max(0, os.stat(path).st_size - offset)
    return total


def first(workflow: Record, worker: str) -> Record:
    """Give the first line of a worker's event file, which says who it is and what it holds; {} where it has none."""
    try:
        with open(os.path.join(layout.events_dir(workflow["output_dir"]), f"{worker}.jsonl"), "rb") as file:
            return _event(file.readline()) or {}
    except OSError:
        return {}


def read(path: str, offset: int, token: str) -> Iterator[tuple[Record | None, int]]:
    """Give (event, offset after it) for each full line from `offset` on; a line that is no object gives None.

    A file whose first line does not carry the workflow's token belongs to another store's workflow: it gives nothing.
    """
    with open(path, "rb") as file:
        if not _ours(file.readline(), token):
            return
        file.seek(offset)
        rest = b""
        while chunk := file.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                offset += len(line) + 1
                yield _event(line), offset


def _ours(line: bytes, token: str) -> bool:
    event = _event(line) if line.endswith(b"\n") else None
    return event is not None and event.get("workflow_token") == token


def _event(line: bytes) -> Record | None:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None
