"""Our own commands as processes that another thread may stop at any time, with all that they have started."""

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import pipeline

if TYPE_CHECKING:
    import subprocess

GRACE_S = 1.0  # between SIGTERM and SIGKILL
MOST_SAID = 200  # lines of a command's stderr that are kept, its last ones

_started: "list[pipeline.Child]" = []  # by `start`, and not seen to end


class Ran(NamedTuple):
    """How a command ended: its output, its status, and the lines that it wrote for people."""

    stage: Sequence[str]
    stdout: bytes
    status: int
    said: list[str]
    fed: bool  # whether it was given an input: what the one before it wrote


class Task:
    """What one caller waits for: commands, one after the other. `stop` ends it from any thread, for good."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal may come while the thread that it interrupts holds it
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, stage: pipeline.Stage, data: bytes | None = None) -> Ran:
        """Run a command to its end, with `data` as its input. Raises Failure(130) where the task was stopped."""
        import subprocess

        feed = subprocess.DEVNULL if data is None else subprocess.PIPE
        with self._lock:
            self._go_on()
            try:
                self._process = process = subprocess.Popen(
                    pipeline.argv(stage),
                    stdin=feed,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except ValueError:  # a NUL, or what is no Unicode
                raise Failure(exits.USAGE, f"cannot be an argument: {shlex.join(stage)!a}") from None
        stdout, stderr = process.communicate(data)
        with self._lock:
            self._process = None
            self._go_on()
        status = exits.as_shell(process.returncode)
        said = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
        return Ran(stage, stdout, status, said[-MOST_SAID:], data is not None)

    def stop(self) -> None:
        """End what runs, first politely; nothing more is started. Does not wait."""
        with self._lock:
            self._stopped = True
            if self._process is None:
                return
            self._signal(signal.SIGTERM)
        timer = threading.Timer(GRACE_S, self._kill)
        timer.daemon = True
        timer.start()

    def _kill(self) -> None:
        with self._lock:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _go_on(self) -> None:
        if self._stopped:
            raise Failure(exits.INTERRUPTED, "stopped before it was done")


def start(stage: pipeline.Stage, log: str) -> "pipeline.Child":
    """Start a command that goes on without us; what it says is added to the file `log`. Raises Failure(74)."""
    try:
        os.makedirs(os.path.dirname(log), exist_ok=True)
        number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Failure(exits.IO, f"cannot write '{log}': {error.strerror}") from None
    _started[:] = [each for each in _started if each.poll() is None]  # nobody else waits for them
    try:
        _started.append(pipeline.background(stage, number))
    finally:
        os.close(number)
    return _started[-1]


def last_line(log: str, offset: int) -> str:
    """Give the last line that was written to a log after `offset`; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(offset)
            lines = file.read(1 << 16).decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def soon_over(process: "pipeline.Child", within_s: float) -> int | None:
    """Give the status of a process that ends within this time, else None."""
    import subprocess

    try:
        status = process.wait(within_s)
    except subprocess.TimeoutExpired:
        return None
    return exits.as_shell(status)
