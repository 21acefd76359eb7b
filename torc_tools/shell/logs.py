"""The output files of a job: found, read from their end, followed while they grow."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import layout

CHUNK = 1 << 16
LOOK_S = 0.2  # how long a follower waits before it looks at the files again
ASK_S = 1.0  # how long before it asks again whether the job has ended

Ids = tuple[int, int, int, int]  # workflow, job, run, attempt


class Log(NamedTuple):
    """One output file of an attempt: its path and what it holds (stdout, stderr, both)."""

    path: str
    holds: str


def named(output_dir: str, ids: Ids, wanted: Sequence[str]) -> list[Log]:
    """Give the files that may hold the `wanted` streams ('stdout', 'stderr') of an attempt, there or not."""
    logs = [Log(layout.stdio_path(output_dir, ids, "log"), "both")]
    suffixes = {"stdout": "o", "stderr": "e"}
    return logs + [Log(layout.stdio_path(output_dir, ids, suffixes[each]), each) for each in wanted]


def existing(logs: Sequence[Log]) -> list[Log]:
    """Give those of `logs` that are there."""
    return [log for log in logs if os.path.exists(log.path)]


def need(logs: Sequence[Log], job_id: int) -> list[Log]:
    """Give those of `logs` that are there; Failure(66) names the last one where none is."""
    found = existing(logs)
    if not found:
        raise Failure(exits.NO_INPUT, f"job {job_id} has no output: no such file '{logs[-1].path}'")
    return found


def read(path: str, offset: int) -> Iterator[bytes]:
    """Give the bytes of a file from `offset` on, in pieces."""
    with open(path, "rb") as file:
        file.seek(offset)
        while piece := file.read(CHUNK):
            yield piece


def tail_offset(path: str, lines: int | None) -> int:
    """Give where the last `lines` lines of a file begin; 0 for None. Reads backwards, no more than it must."""
    if lines is None:
        return 0
    with open(path, "rb") as file:
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
    logs: Sequence[Log], lines: int | None, ended: Callable[[], bool], show: Callable[[Log, bytes], None]
) -> None:
    """Show the bytes of `logs` as they come, until the job has `ended`; what it wrote last is shown, too.

    Files that are not there yet are waited for. Each piece goes to `show`, with the file it is from.
    """
    offsets: dict[str, int] = {}
    over, asked = ended(), time.monotonic()
    while True:
        for log in existing(logs):
            if log.path not in offsets:
                offsets[log.path] = tail_offset(log.path, lines)
            for piece in read(log.path, offsets[log.path]):
                offsets[log.path] += len(piece)
                show(log, piece)
        if over:
            return
        time.sleep(LOOK_S)
        if time.monotonic() - asked >= ASK_S:
            over, asked = ended(), time.monotonic()
