"""What a step leaves behind of its own good end, for the case that its worker dies before it could say so.

The note is a file that the job's own shell makes when it ends with code 0 while its worker lives: accounting would
know of the good end, too, but not whether the job had been told to end before, which a trap may turn into code 0.
"""

import contextlib
import os
import shlex

from torc_tools.shell import layout

Life = tuple[int, int, int]  # job, run, attempt


def path(output_dir: str, workflow_id: int, life: Life) -> str:
    """Give the path of the note of an attempt."""
    return layout.stdio_path(output_dir, (workflow_id, *life), "done")


def noting(line: str, note: str, worker_pid: int) -> str:
    """Give a command line that leaves `note` at its good end, if process `worker_pid` of this machine lives then."""
    test = f"[ $? = 0 ] && [ -d /proc/{worker_pid} ] && : > {shlex.quote(note)}"
    return f"trap {shlex.quote(test)} EXIT; {line}"


def drop(note: str) -> None:
    """Take a note away, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(note)
