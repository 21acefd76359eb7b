"""The output files of a job: found, read from their end, followed while they grow."""

import os
import time
from collections.abc import Callable, Iterator, Sequence

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import layout, plainfile

CHUNK = 1 << 16
LOOK_S = 0.2  # how long a follower waits before it looks at the files again
ASK_S = 1.0  # how long before it asks again whether the job has ended

Ids = tuple[int, int, int, int]  # workflow, job, run, attempt


def named(output_dir: str, ids: Ids, wanted: Sequence[str]) -> list[str]:
    """Give the paths of what may hold the `wanted` streams ('stdout', 'stderr') of an attempt, there or not."""
    suffixes = {"stdout": "o", "stderr": "e"}
    return [layout.stdio_path(output_dir, ids, suffix) for suffix in ("log", *map(suffixes.__getitem__, wanted))]


def existing(paths: Sequence[str]) -> list[str]:
    """Give those of `paths` that are there."""
    return [path for path in paths if os.path.exists(path)]


def need(paths: Sequence[str], job_id: int) -> list[str]:
    """Give those of `paths` that are there; Failure(66) names the last one where none is."""
    found = existing(paths)
    if not found:
        raise Failure(exits.NO_INPUT, f"job {job_id} has no output: no such file '{paths[-1]}'")
    return found


def read(path: str, offset: int) -> Iterator[bytes]:
    """Give the bytes of a file from `offset` on, in pieces."""
    with plainfile.opened(path) as file:
        file.seek(offset)
        while piece := file.read(CHUNK):
            yield piece


def tail_offset(path: str, lines: int | None) -> int:
    """Give where the last `lines` lines of a file begin; 0 for None. Reads backwards, no more than it must."""
    if lines is None:
        return 0
    with plainfile.opened(path) as file:
        end = at = file.seek(0, os.SEEK_END)
        left = lines
        while at > 0:
            start = max(0, at - CHUNK)
            file.seek(start)
            piece = file.read(at - start)
            if at == end and piece.endswith(b"\n"):
                piece = piece[:-1]
            position = len(piece)
            while (position := piece.rfind(b"\n", 0, position)) >= 0:
                left -= 1
                if left <= 0:
                    return start + position + 1
            at = start
    return 0


def follow(
    paths: Sequence[str], lines: int | None, ended: Callable[[], bool], show: Callable[[str, bytes], None]
) -> None:
    """Show the bytes of the files at `paths` as they come, until the job has `ended`; what it wrote last is shown, too.

    Files that are not there yet are waited for. Each piece goes to `show`, with the path it is from.
    """
    offsets: dict[str, int] = {}
    over, asked = ended(), time.monotonic()
    while True:
        for path in existing(paths):
            if path not in offsets:
                offsets[path] = tail_offset(path, lines)
            for piece in read(path, offsets[path]):
                offsets[path] += len(piece)
                show(path, piece)
        if over:
            return
        time.sleep(LOOK_S)
        if time.monotonic() - asked >= ASK_S:
            over, asked = ended(), time.monotonic()
