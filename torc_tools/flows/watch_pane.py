"""What torc-watch shows on a terminal below its lines: one block about the workflow, kept up to date while it waits."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from torc_tools.core import pace
from torc_tools.exits import Failure
from torc_tools.flows import fold, watch_look
from torc_tools.flows.recovery_stages import Request
from torc_tools.shell import holders, queries, stream, watchstate

if TYPE_CHECKING:
    from torc_tools.core.watch_board import Board
    from torc_tools.shell.pane import Pane

TICK_S = 1.0  # how often the block is drawn anew while we wait
PATIENCE = 20  # the store is asked for one part in so many of the time, at most


def terminal() -> IO[str] | None:
    """Give the terminal that a block can be shown on; None where what is said goes elsewhere, or it is a dumb one."""
    to = stream.voice()
    if to is None or not to.isatty():
        return None
    from torc_tools.shell import progress

    return to if progress.moves() else None


class Showing:
    """The block of one watch; where there is no terminal that can show it nothing is asked and nothing is drawn."""

    def __init__(self, request: Request, policy: pace.Policy) -> None:
        """Show nothing yet."""
        self._request, self._policy = request, policy
        self._pane: Pane | None = None
        self._board: Board | None = None
        self._events = watch_look.Events(request)
        self._ask_at = 0.0
        self._since = time.time()

    @contextlib.contextmanager
    def on(self, terminal: IO[str] | None) -> Iterator[None]:
        """Show the block on a terminal while the block of code runs (None: nowhere)."""
        if terminal is None:
            yield
            return
        from torc_tools.shell import pane

        with pane.shown(terminal, self._lines) as made:
            self._pane = made
            yield
        self._pane = None

    def look(self, view: watch_look.View, memory: pace.Memory) -> None:
        """Take over what was seen, before anything is done about it."""
        if self._pane is None:
            return
        from torc_tools.core.watch_board import Board

        self._bring(Board({}, self._policy, view.seen, memory, (), None, self._since, 0.0, None))
        self._pane.refresh()

    def doing(self, what: str | None) -> None:
        """Say what is done now, until something else is, or we wait."""
        if self._pane is not None and self._board is not None:
            self._board = self._board._replace(doing=what)
            self._pane.refresh()

    def wait(self, seconds: float, memory: pace.Memory) -> None:
        """Say that we wait so long, `memory` being what is known by now: capacity that was started counts."""
        if self._pane is None or self._board is None:
            return
        started = memory.started_at != self._board.memory.started_at
        seen = self._board.seen._replace(capacity=self._board.seen.capacity or started)
        self._bring(self._board._replace(doing=None, until=time.time() + seconds, memory=memory, seen=seen))
        self._pane.refresh()

    def slice_s(self, most_s: float) -> float:
        """Give how long to wait before `tick` is called: less than `most_s` where something is shown."""
        return most_s if self._pane is None else min(most_s, TICK_S)

    def tick(self) -> None:
        """Draw anew, with what the workers have written since; a store that is locked now is asked later."""
        if self._pane is None or self._board is None:
            return
        began = time.monotonic()
        if began >= self._ask_at and self._events.changed():
            self._bring(self._board)
            ended = time.monotonic()
            self._ask_at = ended + (ended - began) * PATIENCE
        self._pane.refresh()

    def _bring(self, board: "Board") -> None:
        """Show a board, brought up to date; where the store cannot be read now, the one before stays."""
        workflow_id = self._request.workflow_id
        with (
            contextlib.suppress(sqlite3.OperationalError, Failure),
            contextlib.closing(fold.opened(self._request.store, workflow_id)) as db,
        ):
            self._board = board._replace(
                workflow=queries.workflow(db, workflow_id),
                seen=board.seen._replace(counts=queries.counts(db, workflow_id)),
                holders=holders.all_of(db, workflow_id),
                last=watchstate.last_ended(db, workflow_id),
            )

    def _lines(self, _room: int) -> list[str]:
        from torc_tools.core import watch_board

        return watch_board.lines(self._board, time.time()) if self._board else []
