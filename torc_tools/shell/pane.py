"""Some lines that stay at the bottom of a terminal and change in place, below everything that is said meanwhile.

The cursor rests at their end: whatever else writes there (an echoed ^C) is wiped with them.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from torc_tools.shell import progress, stream, table, waking

_WIPE, _UP = "\x1b[2K", "\x1b[A"  # row by row: tmux keeps a copy of a whole screen that is wiped at once
_SPARE = 3  # columns at the end of the last line for an echoed ^C
Draw = Callable[[int], Sequence[str]]  # gives the lines for a width in columns


class Pane:
    """The lines and where they are; `draw` gives them anew whenever something was said above or `refresh` is called."""

    def __init__(self, to: IO[str], draw: Draw) -> None:
        """Show nothing yet. `to` is a terminal that knows cursor movements."""
        self._to, self._draw = to, draw
        self._shown: list[int] = []  # the columns of each line that is on the screen
        self._lock = threading.RLock()
        self._bold = not os.environ.get("NO_COLOR")

    def refresh(self) -> None:
        """Draw the lines again, in the place of those that are there."""
        with self._lock:
            self._write(self._wiped() + self._drawn())

    def above(self, line: str) -> None:
        """Write a line above, where it scrolls away as in any terminal."""
        with self._lock:
            self._write(f"{self._wiped()}{line}\n{self._drawn()}")

    def clear(self) -> None:
        """Take the lines away."""
        with self._lock:
            self._write(self._wiped())

    def forget(self) -> None:
        """Let what is on the screen be: we were stopped, and a shell has written below it."""
        self._shown = []

    def _wiped(self) -> str:
        """Give what wipes the lines. A terminal that became narrower has broken them into more rows."""
        if not self._shown:
            return ""
        width = self._size().columns
        rows = sum(max(1, -(-columns // width)) for columns in self._shown)
        self._shown = []
        return "\r" + _UP.join([_WIPE] * rows)

    def _drawn(self) -> str:
        """Give the lines for the size that the terminal has now: at most half of it, and none in the background."""
        size = self._size()
        room = max(1, size.columns - _SPARE)
        if not self._is_ours():
            return ""
        lines = [table.fitted(line, room) for line in self._draw(room)][: max(1, size.lines // 2)]
        self._shown = [table.columns(line) for line in lines]
        if lines and self._bold:
            lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
        return "\n".join(lines)

    def _size(self) -> os.terminal_size:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._to.fileno())
            return os.terminal_size((size.columns or 80, size.lines or 24))
        return os.terminal_size((80, 24))

    def _is_ours(self) -> bool:
        """Say whether we are in the foreground of the terminal, as far as it has one."""
        try:
            return os.tcgetpgrp(self._to.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return True

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._to.write(text)
            self._to.flush()


@contextlib.contextmanager
def shown(to: IO[str], draw: Draw) -> Iterator[Pane]:
    """Keep the lines that `draw` gives on the terminal `to` while the block runs, and everything said above them."""
    pane = Pane(to, draw)
    with waking.catching((signal.SIGCONT,), lambda *_: pane.forget()), stream.above(pane.above), progress.only():
        try:
            yield pane
        finally:
            pane.clear()
