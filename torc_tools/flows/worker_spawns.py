"""Spawned jobs as a worker sees them: the mark at the end of the job that spawned, the verdict, the jobs to run."""

from collections.abc import Callable

from torc_tools import states
from torc_tools.core.board import Board
from torc_tools.exits import Failure
from torc_tools.flows import worker_manifest
from torc_tools.flows.worker_desk import Desk
from torc_tools.records import Record
from torc_tools.shell import spawnfile
from torc_tools.shell.claims import Claims

PATIENCE_S = 60.0  # so long at least a worker that holds no allocation waits for a verdict
LOOKS_S = 0.05, 1.0  # how often it looks for one: soon, and then less often

Foreign = Callable[[list[Record]], dict[int, str]]


class Spawns:
    """Adds jobs to the board of one worker, once whoever folds has judged them."""

    def __init__(self, desk: Desk, board: Board, claims: Claims, settle: Callable[[], None]) -> None:
        """Take where jobs go, where verdicts are told, and who is called after news."""
        self._desk, self._board, self._claims, self._settle = desk, board, claims, settle
        self._known: int = desk.workflow.get("spawns_known") or 0  # the manifest holds what came of those up to this
        self._heard: set[int] = set()
        self.foreign: Foreign = lambda _: {}  # gives the jobs that are for other allocations, with the reason

    def mark(self, ended: Record) -> None:
        """Note in the end of an attempt that went well what it left to be judged."""
        if ended["status"] == "completed" and self._desk.log.file is not None:
            life = (ended["job_id"], ended["run_id"], ended["attempt_id"])
            ended |= spawnfile.mark(self._desk.workflow, life)

    def holds(self, event: Record) -> bool:
        """Say whether the job of an `ended` event is not over yet, because what it spawned is not judged."""
        if not event.get("spawned") or event["status"] != "completed":
            return False
        looks = bool(self._board.judged)
        self._board.await_verdict(event["job_id"], event["run_id"], event["attempt_id"])
        if not looks and self._board.judged:
            self._look_in(LOOKS_S[0])
        return True

    def patience_s(self) -> float:
        """Give how long a worker with nothing else to do waits at least."""
        return PATIENCE_S if self._board.judged and not self._desk.in_allocation else 0.0

    def read(self) -> None:
        """Take in the verdicts told since the last call."""
        for verdict in self._claims.spawned():
            spawn_id = verdict.get("spawn_id")
            if not isinstance(spawn_id, int) or spawn_id <= self._known or spawn_id in self._heard:
                continue
            self._heard.add(spawn_id)
            try:
                jobs = worker_manifest.added(verdict["jobs"])
                life = (verdict["job_id"], verdict["run_id"], verdict["attempt_id"])
                status = states.NUMBERS[verdict["status"]]
            except (KeyError, TypeError, Failure):
                continue  # not a line of ours
            self._board.refused.update(self.foreign(jobs))
            self._board.add(jobs)
            self._board.end(*life, status, again=False)
            self._settle()

    def _look_in(self, wait_s: float) -> None:
        def look() -> None:
            self.read()
            if self._board.judged:
                self._look_in(min(wait_s * 1.5, LOOKS_S[1]))

        self._desk.loop.later(wait_s, look)
