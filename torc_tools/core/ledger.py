"""Worker events to changes of the store: what a `started` or `ended` line means for its job. Pure; flows.fold writes.

An event speaks of one attempt of one run. It moves the job only if the job is still in that run and not past that
attempt, so folding a line twice, or a late line after a reset, changes nothing. Its result is kept in any case.
"""

from collections.abc import MutableMapping
from typing import Any

from torc_tools import states
from torc_tools.records import Record

_TOO_LARGE = 1 << 63  # SQLite's integers are signed and have 64 bits
Life = tuple[int, int, int]  # status, run_id, attempt_id
Move = tuple[int, int, str | None]  # status, attempt_id, worker

_END_OF_TIME = 253_402_300_799  # the last second that dates can tell
_WHOLE = frozenset(("peak_memory_bytes", "avg_memory_bytes", "memory_bytes", "num_cpus"))
_LARGEST = {
    "started_at": _END_OF_TIME,
    "ended_at": _END_OF_TIME,
    "exec_time_s": _END_OF_TIME,
    "peak_memory_bytes": _TOO_LARGE - 1,
    "avg_memory_bytes": _TOO_LARGE - 1,
    "peak_cpu_percent": 10**9,
    "avg_cpu_percent": 10**9,
    "memory_bytes": _TOO_LARGE - 1,
    "runtime_s": _END_OF_TIME,
    "num_cpus": 10**6,
}
MEASURED = tuple(_LARGEST)
_COLUMNS = {"type", "event", "at", "workflow_id", "job_id", "run_id", "attempt_id", "status", "return_code", *MEASURED}


class Ledger:
    """Collects what the events of one workflow change; `lives` is kept up to date as they are taken in."""

    def __init__(self, lives: MutableMapping[int, Life]) -> None:
        """Take the present life of every job of the workflow by id."""
        self.lives = lives
        self.moves: dict[int, Move] = {}
        self.results: list[tuple[Any, ...]] = []  # job_id run_id attempt_id status return_code *MEASURED worker facts
        self.workers: dict[str, Record] = {}  # worker name -> columns of its row that changed
        self.actions: list[tuple[int, int]] = []  # run_id, action_id
        self.rejected = 0

    def take(self, event: Record, worker: str) -> None:
        """Take one event of `worker` in; one that is not of the known form is counted in `rejected`."""
        try:
            kind = event["event"]
            if kind == "started":
                self._started(event, worker)
            elif kind == "ended":
                self._ended(event, worker)
            elif kind == "action":
                self.actions.append((_integer(event, "run_id"), _integer(event, "action_id")))
            self._seen(event, kind, worker)
        except (KeyError, TypeError, ValueError):
            self.rejected += 1

    def _started(self, event: Record, worker: str) -> None:
        job, run, attempt = _life_of(event)
        life = self.lives.get(job)
        if life is not None and life[1] == run and life[2] <= attempt and not (life[2] == attempt and life[0] in _OVER):
            self._move(job, run, (states.RUNNING, attempt, worker))

    def _ended(self, event: Record, worker: str) -> None:
        job, run, attempt = _life_of(event)
        status, code = states.NUMBERS[event["status"]], _integer(event, "return_code")
        life = self.lives.get(job)
        if life is None:
            raise KeyError(job)
        measured = [_measure(key, event.get(key)) for key in MEASURED]
        facts = {key: value for key, value in event.items() if key not in _COLUMNS and value is not None}
        self.results.append((job, run, attempt, status, code, *measured, worker, facts))
        if life[1] == run and life[2] <= attempt:
            again = event.get("next") in ("retry", "requeue")
            self._move(job, run, (states.READY, attempt + 1, None) if again else (status, attempt, None))

    def _move(self, job: int, run: int, move: Move) -> None:
        self.lives[job] = (move[0], run, move[1])
        self.moves[job] = move

    def _seen(self, event: Record, kind: str, worker: str) -> None:
        """Note when the worker was last heard of, and who it is."""
        row = self.workers.setdefault(worker, {})
        row["heartbeat_at"] = max(float(event["at"]), row.get("heartbeat_at") or 0.0)
        if kind == "worker_started":
            row.update((key, _kind(event.get(key), kinds)) for key, kinds in _WHO.items())
            row["started_at"] = float(event["at"])
        row["ended_at"] = float(event["at"]) if kind == "worker_ended" else None  # one given up may be heard again


_WHO = {"allocation_id": (int,), "slurm_job_id": (str, int), "hostname": (str,), "pid": (int,), "pid_start": (int,)}
_OVER = states.DONE | {states.PENDING_FAILED}


def _life_of(event: Record) -> tuple[int, int, int]:
    return _integer(event, "job_id"), _integer(event, "run_id"), _integer(event, "attempt_id")


def _integer(event: Record, key: str) -> int:
    value = event[key]
    if type(value) is not int:
        raise TypeError(key)
    return int(_kind(value, (int,)))


def _measure(key: str, value: Any) -> Any:
    """Give a figure; None for one that cannot be: any job can write to the file, and its end counts all the same."""
    if _kind(value, (int, float)) is None or not 0 <= value <= _LARGEST[key]:
        return None
    return round(value) if key in _WHOLE else value


def _kind(value: Any, kinds: tuple[type, ...]) -> Any:
    """Give `value` back, None included. Raises TypeError or ValueError for what no column of the store can hold."""
    if value is not None and not isinstance(value, kinds):
        raise TypeError(value)
    if isinstance(value, int) and not -_TOO_LARGE <= value < _TOO_LARGE:
        raise ValueError(value)
    return value
