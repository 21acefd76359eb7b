"""A recovery hook: a program of the user's that mends what this program cannot, before anything is changed."""

import contextlib
import math
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torc_tools import exits, units
from torc_tools.exits import Failure
from torc_tools.shell import liveness, programs

if TYPE_CHECKING:
    import subprocess

BEAT_S = 60.0  # how often the caller hears that the hook still runs
POLL_S = 0.2  # how often its end is looked for where the kernel cannot wake us
GRACE_S = 5.0  # between SIGTERM and SIGKILL for a hook that is out of time
MOST_ANSWER = 1 << 28  # bytes that a hook may answer with
MOST_LINE = 1 << 13  # bytes of one line that are said together
_CHUNK = 1 << 16
_FULL_PIPE = 1 << 20  # what a pipe holds, at most


def words(command: str) -> list[str]:
    """Split a hook command as `programs.words` does, with its Failures."""
    return programs.words(command, "recovery hook")


class Hook(NamedTuple):
    """A hook as it will be started: its words with its arguments, and what is added to the environment.

    One that is `asked` something has it on standard input, and its standard output is the answer.
    """

    command: str
    words: Sequence[str]
    environment: Mapping[str, str]
    limit_s: float
    asked: bytes | None = None


def run(hook: Hook, say: Callable[[str], None], beat: Callable[[], None]) -> bytes:
    """Run a hook to its end in its own process group, its output line by line through `say`; give its answer.

    It finds our commands on its PATH, `torc` among them. Of one that is asked only standard error is said.
    `beat` is called at least once a minute. Raises Failure(1) where it cannot be started, exits with another status
    than 0, answers without end, or runs longer than `limit_s` seconds. SIGTERM and SIGHUP end it as Ctrl-C does.
    """
    from torc_tools.shell import onpath, waking

    with onpath.ours(os.environ.get("PATH")) as path, waking.interruptible():
        return _run(hook._replace(environment={"PATH": path, **hook.environment}), say, beat)


def _run(hook: Hook, say: Callable[[str], None], beat: Callable[[], None]) -> bytes:
    from torc_tools.shell import waking

    process: subprocess.Popen[bytes] | None = None
    lines, answer = _Lines(say), _Answer(hook.command)
    try:
        with waking.held():
            process = _start(hook)
        ended = _follow(
            process, [answer if hook.asked is not None else lines, lines], time.monotonic() + hook.limit_s, beat
        )
    except BaseException:
        if process:
            programs.end(process, GRACE_S)
        raise
    finally:
        for pipe in (process.stdout, process.stderr) if process else ():
            if pipe:
                pipe.close()
    lines.end()
    if not ended:
        programs.end(process, GRACE_S)
        allowed = units.format_duration(math.ceil(hook.limit_s))
        raise Failure(exits.EMPTY, f"Recovery hook '{hook.command}' ran longer than {allowed} and was stopped")
    status = process.wait()
    if status:
        code = exits.as_shell(status)
        raise Failure(exits.EMPTY, f"Recovery hook '{hook.command}' failed with exit code {code}")
    return bytes(answer.found)


def _start(hook: Hook) -> "subprocess.Popen[bytes]":
    import subprocess

    try:
        with _given(hook.asked) as given:
            return subprocess.Popen(
                list(hook.words),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if hook.asked is None else subprocess.PIPE,
                env={**os.environ, **hook.environment},
                process_group=0,
            )
    except OSError as error:
        raise Failure(exits.EMPTY, f"cannot run recovery hook '{hook.command}': {error.strerror}") from None


@contextlib.contextmanager
def _given(asked: bytes | None) -> Iterator[int]:
    """Give what a hook has as standard input: a file, so that it may read all of it, or some, or nothing."""
    import subprocess
    import tempfile

    if asked is None:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile(prefix="torc-hook-") as file:
        file.write(asked)
        file.seek(0)
        yield file.fileno()


class _Lines:
    """Says what a hook writes for people, line by line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._rest = say, b""

    def take(self, chunk: bytes) -> None:
        """Say the full lines; one without end is said in pieces."""
        *full, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_LINE:
            full, self._rest = [*full, self._rest], b""
        for line in (each[at : at + MOST_LINE] for each in full for at in range(0, len(each) or 1, MOST_LINE)):
            self._say(f"  [hook] {line.decode(errors='replace')}")

    def end(self) -> None:
        """Say the last line, where it has no end."""
        if self._rest:
            self.take(b"\n")


class _Answer:
    """Keeps what a hook answers."""

    def __init__(self, command: str) -> None:
        self._command, self.found = command, bytearray()

    def take(self, chunk: bytes) -> None:
        """Keep more of it. Raises Failure(1) where it has no end."""
        self.found += chunk
        if len(self.found) > MOST_ANSWER:
            most = units.human_bytes(MOST_ANSWER)
            raise Failure(
                exits.EMPTY, f"Recovery hook '{self._command}' answered with more than {most} and was stopped"
            )


def _follow(
    process: "subprocess.Popen[bytes]", sinks: Sequence[_Lines | _Answer], deadline: float, beat: Callable[[], None]
) -> bool:
    """Pass on what it writes until the hook's own process ends; say whether it did so in time.

    What the hook left in the background may hold the pipes open and write on: it is not waited for.
    """
    pipes = {pipe.fileno(): sink for pipe, sink in zip((process.stdout, process.stderr), sinks, strict=True) if pipe}
    end = liveness.end_of(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0:
            watched = [*pipes, *([] if end is None else [end])]
            readable, _, _ = select.select(watched, [], [], min(left, BEAT_S if end is not None else POLL_S))
            beat()
            ended = process.poll() is not None
            if ended:
                readable, _, _ = select.select([*pipes], [], [], 0)
            for pipe in pipes.keys() & set(readable):
                chunk = os.read(pipe, _FULL_PIPE if ended else _CHUNK)
                pipes[pipe].take(chunk)
                if not chunk:
                    del pipes[pipe]  # it closed its output and goes on
            if ended:
                return True
        return False
    finally:
        if end is not None:
            os.close(end)
