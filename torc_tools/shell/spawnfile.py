"""The file to which a job writes what it spawns: marked by the worker when the job has ended, read by whoever folds."""

import errno
import os
import stat
from typing import Any

from torc_tools.records import Record
from torc_tools.shell import layout

MAX_BYTES = 64 << 20  # that one attempt may write
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOR_GOOD = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG}  # a link or a socket in its place
MARK = {"bytes": int, "sha256": str}  # what a mark holds


def path(workflow: Record, life: tuple[int, int, int]) -> str:
    """Give the path of the file of an attempt: job, run, attempt."""
    return layout.stdio_path(workflow["output_dir"], (workflow["workflow_id"], *life), "spawn")


def mark(workflow: Record, life: tuple[int, int, int]) -> dict[str, Any]:
    """Give what the end of an attempt that went well says of what it spawned; nothing where it spawned nothing.

    That is the length of its file and its digest; what is no file, cannot be read or is too long has no digest.
    """
    try:
        text, size = _read(path(workflow, life))
    except OSError:
        return {"spawned": {"bytes": -1, "sha256": ""}} if os.path.lexists(path(workflow, life)) else {}
    if not size:
        return {}
    return {"spawned": {"bytes": size, "sha256": "" if text is None else _digest(text)}}


def read(workflow: Record, life: tuple[int, int, int], marked: dict[str, Any]) -> bytes | str:
    """Give the text of a file that was marked, or words that say why it cannot be had.

    Raises OSError for trouble of the disk, which may pass.
    """
    if marked["bytes"] > MAX_BYTES:
        return f"its file has {marked['bytes']} bytes, more than {MAX_BYTES}"
    try:
        text, _ = _read(path(workflow, life))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        return f"its file cannot be read: {error.strerror}"
    except OSError as error:
        if marked["bytes"] < 0 or error.errno in _FOR_GOOD:
            return "its file cannot be read"
        raise
    if text is None or len(text) != marked["bytes"] or _digest(text) != marked["sha256"]:
        return "its file has changed since the job ended"
    return text


def drop(file: str) -> None:
    """Take away what an attempt of the same number left, of which nobody had heard."""
    try:
        os.unlink(file)
    except OSError:
        return  # nearly always there is none; what is no file is told of when the job has ended


def _read(name: str) -> tuple[bytes | None, int]:
    """Give the text, None where it is too long, and the size. Raises OSError for what is no regular file."""
    fd = os.open(name, _FLAGS)
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise IsADirectoryError(name)
        text = file.read(MAX_BYTES + 1) if found.st_size <= MAX_BYTES else None
        if text is None or len(text) > MAX_BYTES:  # somebody may still be writing
            return None, max(found.st_size, MAX_BYTES + 1)
        return text, len(text)


def _digest(text: bytes) -> str:
    import hashlib  # most jobs spawn nothing

    return hashlib.sha256(text).hexdigest()
