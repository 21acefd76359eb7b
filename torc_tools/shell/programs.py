"""A program of the user's, as an option names it: its command line, as a shell would make it, and its end."""

import contextlib
import os
import shlex
import signal
from typing import TYPE_CHECKING

from torc_tools import exits
from torc_tools.exits import Failure

if TYPE_CHECKING:
    import subprocess


def words(command: str, what: str) -> list[str]:
    """Split a command as a shell would, without one; a program of this directory needs no './'.

    `what` names it in messages: 'recovery hook'. Raises Failure(2) for bad quoting and for nothing, Failure(66) where
    there is no such program.
    """
    import shutil

    try:
        split = shlex.split(command)
    except ValueError:
        raise Failure(exits.USAGE, f"Invalid quoting in {what} command: {command}") from None
    if not split:
        raise Failure(exits.USAGE, f"{what[:1].upper()}{what[1:]} command is empty")
    if "/" not in split[0] and os.path.isfile(split[0]):
        split[0] = f"./{split[0]}"
    if shutil.which(split[0]) is None:
        raise Failure(exits.NO_INPUT, f"cannot run {what} '{split[0]}': no such program")
    return split


def end(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """End a program that leads a process group, and what it started: politely, and after `grace_s` with SIGKILL."""
    import subprocess

    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
