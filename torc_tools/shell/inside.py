"""Files of a folder that others write in, read without ever leaving it: no link is followed, no '..', no device.

Each part of a name is opened in the folder that the part before it opened, so that nothing can be put in between.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import IO, NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure

MOST_SCANNED = 64 * 2**20  # bytes of a file that a search looks at: its last ones
MOST_LINE = 2000  # bytes of one line that a search gives


class Part(NamedTuple):
    """Some lines of a file: their bytes, and whether the file has others that were asked for too."""

    data: bytes
    size: int  # of the whole file
    truncated: bool


class Found(NamedTuple):
    """The last lines that hold a text, each with its number where that is known, and how many lines do."""

    lines: list[tuple[int | None, bytes]]
    matches: int
    size: int


@contextlib.contextmanager
def opened(folder: str, name: str) -> Iterator[IO[bytes]]:
    """Open the plain file `name` below `folder`.

    Raises Failure(66) where there is none, and Failure(65) where the name leads out, or to anything but a plain file
    that has this name alone.
    """
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise _outside(name)
    try:
        number = _walk(folder, parts)
    except FileNotFoundError:
        raise Failure(exits.NO_INPUT, f"no such file in the output directory: '{name}'") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Failure(
                exits.DATA, f"'{name}' in the output directory is a link, or behind one: it is not read"
            ) from None
        raise Failure(exits.DATA, f"cannot open '{name}' in the output directory: {error.strerror}") from None
    seen = os.fstat(number)
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink > 1:
        os.close(number)
        what = "has other names, too" if stat.S_ISREG(seen.st_mode) else "is no plain file"
        raise Failure(exits.DATA, f"'{name}' in the output directory {what}: it is not read")
    with open(number, "rb") as file:
        yield file


def _walk(folder: str, parts: list[str]) -> int:
    """Give the descriptor of the last part. The folder itself is the user's own word, and may be a link."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in the place of a file would wait for its writer
    at = os.open(folder, flags | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, flags | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _outside(name: str) -> Failure:
    return Failure(exits.DATA, f"'{name}' is no name of a file in the output directory: it is not read")


def part(file: IO[bytes], lines: int, most: int, *, head: bool) -> Part:
    """Give the last `lines` lines of a file, or its first with `head`, and at most `most` bytes of whole lines."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0 if head else max(0, size - most - 1))
    data = file.read(most + 1)
    cut = len(data) > most
    if cut:
        data = _whole(data, most, head=head)
    pieces = _lines(data)
    kept = pieces[:lines] if head else pieces[-lines:]
    return Part(b"".join(kept), size, cut or len(kept) < len(pieces))


def _whole(data: bytes, most: int, *, head: bool) -> bytes:
    """Take the line out that was cut at the far end, unless it is all there is."""
    if head:
        at = data[:most].rfind(b"\n")
        return data[: at + 1] if at >= 0 else data[:most]
    at = data.find(b"\n")
    return data[at + 1 :] if 0 <= at < len(data) - 1 else data[-most:]


def _lines(data: bytes) -> list[bytes]:
    """Break after newlines alone: what redraws a line with carriage returns wrote one line."""
    pieces = data.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def search(file: IO[bytes], text: str, lines: int, most: int) -> Found:
    """Give the last `lines` lines that hold `text`, in any case; at most `most` bytes of them."""
    size = file.seek(0, os.SEEK_END)
    numbered = size <= MOST_SCANNED
    file.seek(0 if numbered else size - MOST_SCANNED)
    wanted, count = text.lower(), 0
    kept: list[tuple[int | None, bytes]] = []
    for number, line in enumerate(_bounded(file, size - file.tell()), 1):
        if wanted in line.decode(errors="replace").lower():
            count += 1
            kept.append((number if numbered else None, line.rstrip(b"\r\n")[:MOST_LINE]))
            if len(kept) > 2 * lines:
                del kept[:-lines]
    kept = kept[-lines:]
    while len(kept) > 1 and sum(len(line) for _, line in kept) > most:
        kept = kept[1:]
    return Found(kept, count, size)


def _bounded(file: IO[bytes], left: int) -> Iterator[bytes]:
    """Give the lines of the next `left` bytes of a file, which may be growing faster than it is read."""
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line
