"""Ask another program one thing: with a deadline, a limit on what it may say, and nothing of it left behind."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torc_tools.shell import liveness

if TYPE_CHECKING:
    import subprocess

MOST = 256 << 20  # bytes that a program may answer
MISSING = 127  # the status of a program that could not be started, as in a shell
_CHUNK = 1 << 16
_POLL_S = 0.05  # how often the end is looked for where the kernel cannot wake us


class Answer(NamedTuple):
    """What a program answered. `returncode` is None where it did not end by itself: it was out of time, or endless.

    `returncode` is negative where a signal killed it, and 127 where there is no such program.
    """

    returncode: int | None
    stdout: str
    stderr: str


def ask(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Answer:
    """Run a program to its end, or kill it and all that it started when `timeout_s` seconds are over.

    What it left running in the background after its end is neither waited for nor killed.
    """
    import subprocess

    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        return Answer(MISSING, "", f"{argv[0]}: {error.strerror}\n")
    try:
        said, in_time = _listen(process, time.monotonic() + timeout_s)
    except BaseException:
        _kill(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if not in_time:
        _kill(process)
    stdout, stderr = (bytes(part).decode(errors="replace") for part in said)
    return Answer(process.wait() if in_time else None, stdout, stderr)


def _listen(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[tuple[bytearray, bytearray], bool]:
    """Collect what a process says until it ends; say whether it did so in time and in measure."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  ask() made the pipes
    said = (bytearray(), bytearray())
    pipes = {process.stdout.fileno(): said[0], process.stderr.fileno(): said[1]}
    end = liveness.end_of(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0 and sum(map(len, said)) <= MOST:
            if not pipes:
                return said, _over(process, left)
            watched = [*pipes] if end is None else [*pipes, end]
            readable, _, _ = select.select(watched, [], [], min(left, _POLL_S) if end is None else left)
            over = process.poll() is not None
            for pipe in [pipe for pipe in readable if pipe != end]:
                chunk = os.read(pipe, _CHUNK)
                pipes[pipe] += chunk
                if not chunk:
                    del pipes[pipe]
            if over and not [pipe for pipe in readable if pipe != end]:
                return said, True  # what it left behind may hold the pipes open for ever
        return said, False
    finally:
        if end is not None:
            os.close(end)


def _over(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    import subprocess

    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    return process.returncode is not None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
