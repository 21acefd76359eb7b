"""A recovery hook: a program of the user's that mends what this program cannot, before anything is changed."""

import contextlib
import math
import os
import select
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torc_tools import exits, units
from torc_tools.exits import Failure
from torc_tools.shell import liveness

if TYPE_CHECKING:
    import subprocess

BEAT_S = 60.0  # how often the caller hears that the hook still runs
POLL_S = 0.2  # how often its end is looked for where the kernel cannot wake us
GRACE_S = 5.0  # between SIGTERM and SIGKILL for a hook that is out of time
_CHUNK = 1 << 16


def words(command: str) -> list[str]:
    """Split a hook command as a shell would, without one; a program of this directory needs no './'.

    Raises Failure(2) for bad quoting and for nothing, Failure(66) where there is no such program.
    """
    import shutil

    try:
        split = shlex.split(command)
    except ValueError:
        raise Failure(exits.USAGE, f"Invalid quoting in recovery hook command: {command}") from None
    if not split:
        raise Failure(exits.USAGE, "Recovery hook command is empty")
    if "/" not in split[0] and os.path.isfile(split[0]):
        split[0] = f"./{split[0]}"
    if shutil.which(split[0]) is None:
        raise Failure(exits.NO_INPUT, f"cannot run recovery hook '{split[0]}': no such program")
    return split


class Hook(NamedTuple):
    """A hook as it will be started: its words with its arguments, and what is added to the environment."""

    command: str
    words: Sequence[str]
    environment: Mapping[str, str]
    limit_s: float


def run(hook: Hook, say: Callable[[str], None], beat: Callable[[], None]) -> None:
    """Run a hook to its end in its own process group, its output line by line through `say`.

    It finds our commands on its PATH, `torc` among them.
    `beat` is called at least once a minute. Raises Failure(1) where it cannot be started, exits with another status
    than 0, or runs longer than `limit_s` seconds.
    """
    from torc_tools.shell import onpath

    with onpath.ours(os.environ.get("PATH")) as path:
        _run(hook._replace(environment={"PATH": path, **hook.environment}), say, beat)


def _run(hook: Hook, say: Callable[[str], None], beat: Callable[[], None]) -> None:
    process = _start(hook)
    try:
        ended = _follow(process, time.monotonic() + hook.limit_s, say, beat)
    except BaseException:
        _end(process)
        raise
    finally:
        if process.stdout:
            process.stdout.close()
    if not ended:
        _end(process)
        allowed = units.format_duration(math.ceil(hook.limit_s))
        raise Failure(exits.EMPTY, f"Recovery hook '{hook.command}' ran longer than {allowed} and was stopped")
    status = process.wait()
    if status:
        code = 128 - status if status < 0 else status
        raise Failure(exits.EMPTY, f"Recovery hook '{hook.command}' failed with exit code {code}")


def _start(hook: Hook) -> "subprocess.Popen[bytes]":
    import subprocess

    try:
        return subprocess.Popen(
            list(hook.words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **hook.environment},
            process_group=0,
        )
    except OSError as error:
        raise Failure(exits.EMPTY, f"cannot run recovery hook '{hook.command}': {error.strerror}") from None


def _follow(
    process: "subprocess.Popen[bytes]", deadline: float, say: Callable[[str], None], beat: Callable[[], None]
) -> bool:
    """Pass on lines until the hook's own process ends; say whether it did so in time.

    What the hook left in the background may hold the pipe open: it is not waited for.
    """
    output = process.stdout.fileno() if process.stdout else -1
    end = liveness.end_of(process.pid)
    watched = [descriptor for descriptor in (output, end) if descriptor is not None]
    rest = b""
    try:
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select(watched, [], [], min(left, BEAT_S if end is not None else POLL_S))
            beat()
            ended = process.poll() is not None
            chunk = os.read(output, _CHUNK) if output in readable else b""
            rest = _lines(rest + chunk, say)
            if ended and not chunk:
                _lines(rest + b"\n" if rest else b"", say)
                return True
            if output in readable and not chunk:
                watched.remove(output)  # it closed its output and goes on
        return False
    finally:
        if end is not None:
            os.close(end)


def _lines(text: bytes, say: Callable[[str], None]) -> bytes:
    """Say the full lines of `text`; give what is left over."""
    *full, rest = text.split(b"\n")
    for line in full:
        say(f"  [hook] {line.decode(errors='replace')}")
    return rest


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the hook and what it started."""
    import subprocess

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
