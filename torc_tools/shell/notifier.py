"""A program of the user's that is told of something: it runs beside us for a bounded time, and cannot hold us up."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torc_tools import exits
from torc_tools.shell import onpath, programs, waking

if TYPE_CHECKING:
    import subprocess

LIMIT_S = 30.0  # it may run so long
GRACE_S = 2.0  # between SIGTERM and SIGKILL


class Notifier:
    """A program that is started anew for each text; one runs at a time."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: int) -> None:
        """Take its words, what is added to its environment, and the descriptor that its output goes to."""
        self._words, self._environment, self._log = list(words), dict(environment), log
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.ExitStack()
        self._deadline = 0.0

    def start(self, text: bytes) -> str | None:
        """Start it with `text` on its standard input; give what kept it from starting.

        It has a process group of its own, and finds our commands on its PATH.
        """
        import subprocess
        import tempfile

        try:
            with tempfile.TemporaryFile() as source:
                source.write(text)
                source.seek(0)
                path = self._stack.enter_context(onpath.ours(os.environ.get("PATH")))
                with waking.held():
                    self._process = subprocess.Popen(
                        self._words,
                        stdin=source,
                        stdout=self._log,
                        stderr=self._log,
                        env={**os.environ, "PATH": path, **self._environment},
                        process_group=0,
                    )
        except OSError as error:
            self._stack.close()
            return f"cannot be run: {error.strerror}"
        self._deadline = time.monotonic() + LIMIT_S
        return None

    @property
    def runs(self) -> bool:
        """Say whether one was started whose end was not seen yet."""
        return self._process is not None

    def wait(self) -> None:
        """Wait until it has ended, or is out of time."""
        import subprocess

        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, self._deadline - time.monotonic()))

    def ended(self) -> tuple[bool, str | None]:
        """Say whether it has ended, and what went wrong; out of time it is stopped, and has ended."""
        if self._process is None:
            return True, None
        status = self._process.poll()
        if status is None and time.monotonic() < self._deadline:
            return False, None
        self.stop()
        if status is None:
            return True, f"ran longer than {LIMIT_S:g} s and was stopped"
        code = exits.as_shell(status)
        return True, f"failed with exit code {code}" if code else None

    def stop(self) -> None:
        """End it and what it started; what has ended by itself may leave something in the background."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            programs.end(process, GRACE_S)
        self._stack.close()
