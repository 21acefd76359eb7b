"""Standard output of the worker, which must not wait for its reader: what cannot be written yet waits in memory."""

import os
import select

from torc_tools.shell import stream
from torc_tools.shell.loop import Loop

_PIECE = 4096  # a pipe that is ready takes this much without blocking (PIPE_BUF)


class NonblockingOutput:
    """Writes lines to standard output as its reader takes them. `error` says why it is no longer written."""

    def __init__(self, loop: Loop) -> None:
        """Raise Failure(74) where standard output is closed."""
        self._fd = stream.stdout().fileno()
        self._loop = loop
        self._ready = select.poll()
        self._ready.register(self._fd, select.POLLOUT)
        self._waiting = bytearray()
        self.error: OSError | None = None

    def write(self, line: bytes) -> None:
        """Write a line now or as soon as the reader takes it."""
        if self.error is None:
            self._waiting += line
            self._flush()

    def drain(self) -> None:
        """Wait until the reader has taken everything; raise what went wrong. Only for a worker that is done."""
        while self._waiting and self.error is None:
            self._piece()
        if self.error is not None:
            raise self.error

    def _flush(self) -> None:
        while self._waiting and self._ready.poll(0):
            self._piece()
        self._loop.writable(self._fd, self._flush if self._waiting else None)

    def _piece(self) -> None:
        try:
            del self._waiting[: os.write(self._fd, self._waiting[:_PIECE])]
        except OSError as error:
            self.error = error
            self._waiting.clear()
