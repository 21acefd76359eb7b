"""What a step leaves behind of its end, for the case that its worker dies before it could say how the job ended.

The note is written by a shell around the job. Accounting knows of a good end, too, but not whether a trap made it of
a signal: the note says whether one came before. That shell's own words, which it says of a child that a signal killed,
go into the note as well and not into the job's output.
"""

import contextlib
import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from torc_tools.shell import layout

Life = tuple[int, int, int]  # job, run, attempt


# Slurm sends a signal of a step to its first process alone, which is this shell: the job is to hear it as if it were
# the first, in a group of its own. `wait` says the code of a child as often as it is asked; it returns at once when a
# signal comes, and when the child is stopped (`wait -f` would not, but that of bash 5.2 may turn for ever). No name
# here is one that a job may have in its environment.
_AROUND = """set -m
_torc_pid= _torc_told= _torc_early=
_torc_hear() {
  _torc_told=told _torc_again=1
  if [ "$_torc_pid" ]; then kill -s "$1" "$_torc_pid"; else _torc_early=$1; fi
}
for _torc_name in HUP INT QUIT USR1 USR2 ALRM TERM XCPU; do trap "_torc_hear $_torc_name" "$_torc_name"; done
"$@" 2>&3 3>&- &
_torc_pid=$!
if [ "$_torc_early" ]; then kill -s "$_torc_early" "$_torc_pid"; fi
_torc_again=1
while [ "$_torc_again" ]; do
  _torc_again=
  wait "$_torc_pid"
  _torc_code=$?
  while [ "$_torc_code" -gt 128 ] && [ "$(jobs -ps)" ]; do _torc_again=1; sleep 0.5; done
done
echo "end $_torc_code $_torc_told" >&2
exit "$_torc_code"
"""


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
    script = f"{place}\n{_AROUND}"
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
    return Note(code, words[1:] == [b"told"], code > 128 and bool(said.strip()) and not _exited(said, code))


def _exited(said: bytes, code: int) -> bool:
    """Say whether the shell's words on a child's end, in any language, name its code and not a signal."""
    return re.search(rb'\b%d\s+"\$@"' % code, said) is not None


def drop(note: str) -> None:
    """Take a note away, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(note)
