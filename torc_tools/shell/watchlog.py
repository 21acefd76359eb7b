"""The log of torc-watch: every line that a person reads there is kept, whatever becomes of the terminal."""

import contextlib
import os
import time
from collections.abc import Iterator

from torc_tools.exits import Failure
from torc_tools.shell import liveness, stream


class WatchLog:
    """Writes lines to stderr and appends them to a file that is never cut."""

    def __init__(self, path: str, *, lazy: bool = False) -> None:
        """Open the log at `path`, with a dated line for this start; `lazy` writes that with the first other line."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._dated = False
        if not lazy:
            self._date()

    def say(self, line: str) -> None:
        """Write one line for people, control characters made visible, to stderr and to the log."""
        self.note(line)
        stream.say(line)

    def note(self, line: str) -> None:
        """Write one line to the log alone."""
        self._date()
        os.write(self.fd, (stream.printable(line) + "\n").encode(errors="replace"))

    def _date(self) -> None:
        if not self._dated:
            self._dated = True
            host, pid, _ = liveness.me()
            at = time.strftime("%Y-%m-%d %H:%M:%S %z")
            os.write(self.fd, f"--- {at} torc-watch on {host} (pid {pid})\n".encode())

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
