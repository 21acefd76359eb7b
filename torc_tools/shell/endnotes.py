"""What a step leaves behind of its end, for the case that its worker dies before it could say how the job ended.

The note is written by a shell around the job. Accounting knows of a good end, too, but not whether a trap made it of
a signal: the note says whether one came before. That shell's own words, which it says of a child that a signal killed,
go into the note as well and not into the job's output.
"""

import contextlib
import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from torc_tools.shell import layout

Life = tuple[int, int, int]  # job, run, attempt


def path(output_dir: str, workflow_id: int, life: Life) -> str:
    """Give the path of the note of an attempt."""
    return layout.stdio_path(output_dir, (workflow_id, *life), "end")


class Note(NamedTuple):
    """What a note says: the code, whether a signal came before the end, whether one ended the job."""

    code: int | None = None
    told: bool = False
    by_signal: bool = False

    @property
    def is_good(self) -> bool:
        """Say whether the job ended well by itself."""
        return self.code == 0 and not self.told


def noting(words: Sequence[str], note: str, bash: str = "bash", *, private: bool = True) -> list[str]:
    """Give words that run `words` and leave a note of how that ended; without a place for it they just run.

    `bash` is the shell for it. When `private`, that reads no BASH_ENV and takes over no functions, and hands both on:
    they are for the job's own shell, once.
    """
    place = f"exec 3>&2; command exec 2> {shlex.quote(note)} || exec 2> /dev/null"
    told = "trap told=told HUP INT QUIT USR1 USR2 ALRM TERM XCPU"
    script = f'{place}; {told}; "$@" 2>&3 3>&-; code=$?; echo "end $code $told" >&2; exit $code'
    return [bash, *["-p"] * private, "-c", script, "torc", *words]


def read(note: str) -> Note:
    """Read a note; one that is not there, or not whole, says nothing."""
    try:
        with open(note, "rb") as file:
            said, _, last = file.read().rpartition(b"end ")
    except OSError:
        return Note()
    words = last.split()
    if not last.endswith(b"\n") or not words or not words[0].isdigit():
        return Note()
    code = int(words[0])
    return Note(code, words[1:] == [b"told"], code > 128 and bool(said.strip()))


def drop(note: str) -> None:
    """Take a note away, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(note)
