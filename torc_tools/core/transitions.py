"""The one rule by which a job's end moves other jobs; used by the fold, by workers and by reset.

A blocked job whose parents are all done becomes ready, or canceled when a parent failed, was canceled or was
terminated and the job has cancel_on_blocking_job_failure. The rule looks at the parents' status, whatever run it
comes from. pending_failed and disabled parents hold their dependents back.
"""

from collections.abc import Collection, Iterable, Mapping

from torc_tools.states import BAD, CANCELED, DONE, READY


class Unblocker:
    """Keeps, for the blocked jobs of a workflow, how many parents are not done; each edge is looked at once."""

    def __init__(
        self, waiting: Mapping[int, Iterable[int]], status: Mapping[int, int], cancels: Collection[int]
    ) -> None:
        """Take blocked jobs with their parents' ids, the status of the parents, and the ids that cancel on failure."""
        self._cancels: set[int] = set()
        self._dependents: dict[int, list[int]] = {}
        self._missing: dict[int, int] = {}
        self._doomed: set[int] = set()
        self._free: list[int] = []
        self.extend(waiting, status, cancels)

    def extend(self, waiting: Mapping[int, Iterable[int]], status: Mapping[int, int], cancels: Collection[int]) -> None:
        """Take more blocked jobs, as at the start; `settle` gives the moves of those that need not wait."""
        self._cancels.update(cancels)
        for job, parents in waiting.items():
            self._add(job, parents, status)

    def _add(self, job: int, parents: Iterable[int], status: Mapping[int, int]) -> None:
        missing = 0
        for parent in parents:
            state = status.get(parent)
            if state in DONE:
                if state in BAD:
                    self._doomed.add(job)
            else:
                missing += 1
                self._dependents.setdefault(parent, []).append(job)
        self._missing[job] = missing
        if not missing:
            self._free.append(job)

    def settle(self) -> list[tuple[int, int]]:
        """Give the moves, as (job, new status), of blocked jobs whose parents were all done from the start."""
        free, self._free = self._free, []
        return [move for job in free for move in self._release(job)]

    def finish(self, job: int, status: int) -> list[tuple[int, int]]:
        """Give the moves that follow when `job` ends in `status` (a member of states.DONE)."""
        moves: list[tuple[int, int]] = []
        ended = [(job, status)]
        while ended:
            parent, state = ended.pop()
            for child in self._dependents.pop(parent, ()):
                if state in BAD:
                    self._doomed.add(child)
                self._missing[child] -= 1
                if not self._missing[child]:
                    moved = self._verdict(child)
                    moves.append((child, moved))
                    if moved == CANCELED:
                        ended.append((child, CANCELED))
        return moves

    def _release(self, job: int) -> list[tuple[int, int]]:
        moved = self._verdict(job)
        return [(job, moved), *(self.finish(job, moved) if moved == CANCELED else ())]

    def _verdict(self, job: int) -> int:
        return CANCELED if job in self._doomed and job in self._cancels else READY
