"""The ends of the log files of an attempt, for rules: bounded, with the number of the first line where it is asked."""

from typing import NamedTuple

from torc_tools.shell import layout, plainfile

MOST = 1 << 16  # bytes of one file that rules look at: its end
COUNTED = 1 << 30  # bytes that are read to count lines
_CHUNK = 1 << 20


class End(NamedTuple):
    """The end of a file: its path, the text, the byte at which it begins."""

    path: str
    text: str
    offset: int


def paths(output_dir: str, ids: tuple[int, int, int, int]) -> list[str]:
    """Give where the logs of an attempt may lie; ids are workflow, job, run, attempt."""
    return [layout.stdio_path(output_dir, ids, suffix) for suffix in ("log", "e", "o")]


def read(path: str, most: int = MOST) -> End | None:
    """Give the end of a file, from the beginning of a line on where it is cut; None where it cannot be read."""
    try:
        raw, offset = plainfile.last(path, most)
    except OSError:
        return None
    if offset:
        cut = raw.find(b"\n") + 1
        offset, raw = offset + cut, raw[cut:]
    return End(path, raw.decode(errors="replace"), offset)


def ending_with(path: str, tail: str) -> End | None:
    """Give the end of a file where it is `tail`, as a record kept it; None where the file is gone or is another."""
    size = len(tail.encode(errors="replace"))
    try:
        raw, offset = plainfile.last(path, size)
    except OSError:
        return None
    return End(path, tail, offset) if raw.decode(errors="replace") == tail else None


def line_at(end: End) -> int | None:
    """Give the number, from 1 on, of the line at which an end begins; None where too much would have to be read."""
    if end.offset > COUNTED:
        return None
    count, left = 1, end.offset
    try:
        with plainfile.opened(end.path) as file:
            while left > 0 and (piece := file.read(min(left, _CHUNK))):
                count += piece.count(b"\n")
                left -= len(piece)
    except OSError:
        return None
    return count
