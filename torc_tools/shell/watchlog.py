"""The log of torc-watch: every line that a person reads there is kept, whatever becomes of the terminal."""

import contextlib
import os
import time
from collections.abc import Iterator

from torc_tools.exits import Failure
from torc_tools.shell import liveness, stream
from torc_tools.texts import visible


class WatchLog:
    """Writes lines to stderr and appends them to a file that is never cut."""

    def __init__(self, path: str, *, lazy: bool = False) -> None:
        """Open the log at `path`, with a dated line for this start; `lazy` writes that with the first other line."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._dated = False
        self._trouble: str | None = None  # what kept the last line from being written
        if not lazy:
            self._date()

    def say(self, line: str) -> None:
        """Write one line for people, control characters made visible, to stderr and to the log."""
        self.note(line)
        stream.say(line)

    def note(self, line: str) -> None:
        """Write one line to the log alone; a full disk costs the line and not the watch."""
        self._date()
        self._write((visible(line) + "\n").encode(errors="replace"))

    def _date(self) -> None:
        if not self._dated:
            self._dated = True
            host, pid, _ = liveness.me()
            at = time.strftime("%Y-%m-%d %H:%M:%S %z")
            self._write(f"--- {at} torc-watch on {host} (pid {pid})\n".encode())

    def _write(self, line: bytes) -> None:
        try:
            os.write(self.fd, line)
            self._trouble = None
        except OSError as error:
            if error.strerror != self._trouble:
                stream.say(f"torc-watch: cannot write '{self.path}': {error.strerror}")
            self._trouble = error.strerror

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Note the message of a Failure that ends the block; stderr has it from stream.run."""
        try:
            yield
        except Failure as failure:
            self.note(f"torc-watch: {failure.message}")
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)
