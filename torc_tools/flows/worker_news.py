"""What others tell a worker: its siblings through their events, torc-cancel and torc-sync through lines for all."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from torc_tools import states
from torc_tools.core import outcome
from torc_tools.core.board import Board
from torc_tools.flows.worker_jobs import Attempt
from torc_tools.records import Record
from torc_tools.shell.claims import Claims
from torc_tools.shell.events import Siblings

if TYPE_CHECKING:
    from torc_tools.flows.worker_allocation import FormerLife


class Others(NamedTuple):
    """What a worker shares with others: the claims, their events, what its own former life left."""

    claims: Claims
    siblings: Siblings | None
    former: "FormerLife | None"


class News:
    """The news that reach one worker. `take_in` is called with each event of a sibling, `settle` after other news."""

    def __init__(
        self,
        board: Board,
        running: Mapping[int, Attempt],
        others: tuple[Claims, Siblings | None],
        calls: tuple[Callable[[Record], None], Callable[[], None]],
    ) -> None:
        """Take what the news may change, where they come from, and who is called."""
        self._board, self._running = board, running
        self._claims, self._siblings = others
        self._take_in, self._settle = calls

    def read(self) -> None:
        """Take in all there is."""
        self._cancel_jobs()
        self._lost_jobs()
        self.read_siblings()

    def read_siblings(self) -> None:
        """Take in the new events of siblings."""
        for event in self._siblings.news() if self._siblings else ():
            try:
                self._take_in(event)
            except (KeyError, TypeError):
                continue  # not a line of ours: whoever folds it counts it

    def _cancel_jobs(self) -> None:
        """End the attempts that torc-cancel names; one that has not started counts as canceled from now on."""
        for job_id, run_id, attempt_id in self._claims.canceled_jobs():
            attempt = self._running.get(job_id)
            if attempt is not None and (attempt.job["run_id"], attempt.attempt_id) == (run_id, attempt_id):
                attempt.stop(outcome.CANCELED)
            elif attempt is None and self._board.startable(job_id):
                self._board.end(job_id, run_id, attempt_id, states.CANCELED, again=False)
                self._settle()

    def _lost_jobs(self) -> None:
        """Take in what torc-sync made of jobs whose worker is gone; `ready` means: as the next attempt."""
        for life, status in self._claims.lost_jobs():
            if status in states.NUMBERS and life[0] not in self._running:
                self._board.end(*life, states.NUMBERS[status], again=status == "ready")
                self._settle()
