"""The other commands as processes joined by pipes: what the documentation shows is what production does.

A stage is a list of words, ["torc-diagnose", "42"]. It runs as this interpreter on the module of that command, so that
it needs no PATH. Data goes in and out as bytes of JSON Lines.
"""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record

if TYPE_CHECKING:
    import subprocess
    import threading

    Child = subprocess.Popen[bytes]

Stage = Sequence[str]
Hear = Callable[[str], None]


class Ran(NamedTuple):
    """What a pipe of stages came to: the last one's output, the status of the first that failed, and its name."""

    stdout: bytes
    status: int
    stage: str

    def checked(self) -> bytes:
        """Give the output. Raises Failure with the status of the stage that failed (its own words are on stderr)."""
        if self.status:
            raise Failure(self.status, f"'{self.stage}' failed with exit code {self.status}")
        return self.stdout


def argv(stage: Sequence[object]) -> list[str]:
    """Give the argument list that starts a stage of this installation, whatever PATH and the current folder hold."""
    module = str(stage[0]).removeprefix("torc-").replace("-", "_")
    return [sys.executable, "-P", "-m", f"torc_tools.commands.{module}", *map(str, stage[1:])]


def text(*stages: Stage) -> str:
    """Write stages as a line that a person can paste into a shell."""
    return " | ".join(shlex.join(stage) for stage in stages)


def records(raw: bytes) -> list[Record]:
    """Read the records of a stream that a command of ours wrote, its frame left out."""
    import orjson  # who reads no stream here need not wait for it

    found = [record for line in raw.splitlines() if isinstance(record := orjson.loads(line), dict)]
    return [record for record in found if record.get("type") not in ("begin", "end")]


def run(*stages: Stage, data: bytes | None = None, hear: Hear | None = None) -> Ran:
    """Run stages joined by pipes to their end, `data` (None: nothing) on the first one's standard input.

    stderr goes through, or line by line to `hear`.
    """
    return Pipe(*stages, feed=data is not None, hear=hear).finish(data)


class Pipe:
    """Stages that were started together; they may wait for input that is not there yet."""

    def __init__(self, *stages: Stage, feed: bool = False, hear: Hear | None = None) -> None:
        """Start `stages`; with `feed` the first one reads what `finish` gives it, else nothing."""
        import subprocess

        self._names = [stage[0] for stage in stages]
        self._ear = _Ear(hear) if hear else None
        self._processes: list[Child] = []
        source: int | IO[bytes] | None = subprocess.PIPE if feed else subprocess.DEVNULL
        for stage in stages:
            process = subprocess.Popen(
                argv(stage), stdin=source, stdout=subprocess.PIPE, stderr=self._ear.fd if self._ear else None
            )
            if self._processes and self._processes[-1].stdout:
                self._processes[-1].stdout.close()  # the reader alone holds it, so that the writer learns of its end
            self._processes.append(process)
            source = process.stdout

    def finish(self, data: bytes | None = None) -> Ran:
        """Feed `data`, read the output to its end, and wait for every stage; on an interrupt stop them all."""
        try:
            writer = self._feed(data)
            output = self._processes[-1].stdout
            with output or contextlib.nullcontext():
                stdout = output.read() if output else b""
            statuses = [process.wait() for process in self._processes]
            if writer:
                writer.join()
        except BaseException:
            self.stop()
            raise
        if self._ear:
            self._ear.close()
        return Ran(stdout, *_verdict(self._names, statuses))

    def stop(self) -> None:
        """Stop every stage that still runs."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            for end in (process.stdin, process.stdout):
                if end:
                    with contextlib.suppress(OSError, ValueError):
                        end.close()
            process.wait()
        if self._ear:
            self._ear.close()

    def _feed(self, data: bytes | None) -> "threading.Thread | None":
        stdin = self._processes[0].stdin
        if stdin is None:
            return None
        import threading

        def write() -> None:
            with contextlib.suppress(OSError):  # a stage that fails stops reading; its status says so
                stdin.write(data or b"")
            with contextlib.suppress(OSError):
                stdin.close()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        return thread


class _Ear:
    """Passes what stages write to stderr on, line by line."""

    def __init__(self, hear: Hear) -> None:
        import threading

        reader, self.fd = os.pipe()
        self._open = True
        self._thread = threading.Thread(target=_listen, args=(reader, hear), daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.fd)
            self._thread.join(5)


def _listen(reader: int, hear: Hear) -> None:
    with open(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            hear(line.rstrip("\n"))


def _verdict(names: Sequence[str], statuses: Sequence[int]) -> tuple[int, str]:
    """Give (status, name) of the first stage that failed of itself, not because a later one stopped reading."""
    plain = [exits.as_shell(status) for status in statuses]
    for wanted in (lambda status: status not in (exits.OK, exits.PIPE), bool):
        for name, status in zip(names, plain, strict=True):
            if wanted(status):
                return status, name
    return exits.OK, ""


def foreground(stage: Stage) -> int:
    """Run one stage with our own stdin, stdout and stderr; give its status.

    Ctrl-C reaches the stage as it reaches us: its end is awaited, then KeyboardInterrupt is raised. SIGTERM is
    passed on to it, with the same end.
    """
    import subprocess

    process = subprocess.Popen(argv(stage))
    before = signal.signal(signal.SIGTERM, lambda number, _: _pass_on(process, number))
    interrupted = False
    try:
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    finally:
        signal.signal(signal.SIGTERM, before)
    if interrupted:
        raise KeyboardInterrupt
    return exits.as_shell(status)


def _pass_on(process: "Child", number: int) -> None:
    process.send_signal(number)
    raise KeyboardInterrupt


def background(stage: Stage, log: int) -> "Child":
    """Start one stage in a session of its own, so that no terminal ends it; what it says goes to descriptor `log`."""
    import subprocess

    nothing = subprocess.DEVNULL
    return subprocess.Popen(argv(stage), stdin=nothing, stdout=nothing, stderr=log, start_new_session=True)
