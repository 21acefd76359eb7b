"""Whether an adjustment still fits the job it was planned for, and which requirement rows have to be copied for it.

An adjustment names the attempt it is for and the value it starts from. Where the store has moved on, it is refused;
where the store already holds the new value, it was applied before and nothing is left to do.
"""

from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

from torc_tools import states, units
from torc_tools.exits import DATA, Failure
from torc_tools.records import Record, may, need, need_ids

ACTIONS = ("adjust", "retry", "hold", "fail")
DIRECTIONS = ("upscale", "downscale")
MOST_CPUS = 2**31 - 1


class Life(NamedTuple):
    """What the store holds about a job: its attempt and its requirement row (None: it has none)."""

    workflow_id: int
    job_name: str
    run_id: int
    attempt_id: int
    row: int | None
    memory: int | None
    runtime: int | None
    cpus: int | None = None
    status: int = states.FAILED


class Wish(NamedTuple):
    """One adjustment for one job, read: new values in bytes, seconds and CPUs, None where nothing is asked."""

    job_id: int
    memory: int | None
    runtime: int | None
    record: Record
    cpus: int | None = None


Key = tuple[int | None, int | None, int | None, int | None]  # requirement row, new memory, new runtime, new CPUs


def check(record: Record) -> None:
    """Check an `adjustment` record; leave every other alone. Raises Failure(65) naming the field."""
    if record["type"] != "adjustment":
        return
    need_ids(record, "job_ids")
    for key in ("workflow_id", "run_id", "attempt_id"):
        may(record, key, int)
    action = may(record, "action", str) or "adjust"
    if action not in ACTIONS:
        raise Failure(DATA, f"adjustment: 'action' is '{action}', expected one of {', '.join(ACTIONS)}")
    direction = may(record, "direction", str)
    if direction not in (None, *DIRECTIONS):
        raise Failure(DATA, f"adjustment: 'direction' is '{direction}', expected one of {', '.join(DIRECTIONS)}")
    for key in ("reason", "held", "override"):
        may(record, key, str)
    memory, runtime = _new_memory(record), _new_runtime(record)
    for key, parse in (("original_memory", units.parse_memory), ("original_runtime", units.parse_duration)):
        if may(record, key, str) is not None:
            parse(record[key])
    _original_cpus(record)
    if action == "adjust" and memory is None and runtime is None and _new_cpus(record) is None:
        need(record, "new_memory", str)
    may(record, "because", dict)


def wishes(record: Record) -> list[Wish]:
    """Give what a checked `adjustment` asks for, job by job."""
    acts = record.get("action") not in ("retry", "fail")
    memory, runtime = (_new_memory(record), _new_runtime(record)) if acts else (None, None)
    cpus = _new_cpus(record) if acts else None
    return [Wish(job_id, memory, runtime, record, cpus) for job_id in record["job_ids"]]


def refusal(wish: Wish, life: Life | None, *, named: bool = False) -> str | None:
    """Say why a wish may not be granted to a job with this `life`; None where it may (or already was).

    `named` says that the same stream has changed the job before.
    """
    record = wish.record
    if life is None:
        return "no such job"
    if record.get("workflow_id") not in (None, life.workflow_id):
        return f"not of workflow {record['workflow_id']}"
    if fulfilled(wish, life) and not (named and is_final(record)):
        return None
    if named:
        return "named twice, with different values"
    planned = (record.get("run_id"), record.get("attempt_id"))
    for word, want, have in zip(("run", "attempt"), planned, (life.run_id, life.attempt_id), strict=True):
        if want not in (None, have):
            return f"planned for {word} {want}, the store has {have}"
    return _unfit(life) if is_final(record) else _moved(wish, life) or _falls(wish, life)


def _unfit(life: Life) -> str | None:
    """Say why a job cannot be called failed for good."""
    pending = life.status == states.PENDING_FAILED
    return None if pending else f"{states.NAMES[life.status]}, and only a failed job fails for good"


def is_final(record: Record) -> bool:
    """Say whether an adjustment calls a failure final: the job is not run again."""
    return record.get("action") == "fail"


def fulfilled(wish: Wish, life: Life) -> bool:
    """Say whether the store already holds what a wish asks for; a plain retry asks for nothing."""
    if is_final(wish.record):
        return life.status in states.FOR_GOOD
    pairs = (wish.memory, life.memory), (wish.runtime, life.runtime), (wish.cpus, _had_cpus(life))
    asked = [pair for pair in pairs if pair[0] is not None]
    return bool(asked) and all(want == have for want, have in asked)


def for_people(record: Record) -> Record:
    """Add to an adjustment (or an applied one) what a table shows: job, name, memory '8g -> 12g', runtime, cpus."""
    return {
        **record,
        "job": ", ".join(map(str, record.get("job_ids") or ())),
        "name": ", ".join(str(name) for name in record.get("job_names") or () if name is not None) or None,
        "memory": _arrow(record, "memory"),
        "runtime": _arrow(record, "runtime"),
        "cpus": _arrow(record, "cpus"),
    }


def _arrow(record: Record, what: str) -> str | None:
    before, after = record.get(f"original_{what}"), record.get(f"new_{what}")
    return f"{before or 'none'} -> {after}" if after else None


class Plan:
    """What a stream of adjustments comes to: `out` is what to pass on, `refused` lines for people, `granted` by job."""

    def __init__(self, lives: Mapping[int, Life]) -> None:
        """Take the present life of every job that is named."""
        self.before = lives
        self._lives = dict(lives)
        self.out: list[Record] = []
        self.refused: list[str] = []
        self.granted: dict[int, Key] = {}
        self.final: dict[int, None] = {}  # jobs to be called failed, in order
        self._again: set[int] = set()  # jobs that may run again
        self.why: dict[int, Record] = {}

    def take(self, record: Record) -> None:
        """Grant, refuse or pass on one checked record; an adjustment of several jobs is one of each."""
        if record["type"] != "adjustment" or record.get("action") == "hold":
            self.out.append(record)
            return
        for wish in wishes(record):
            life = self._lives.get(wish.job_id)
            named = wish.job_id in (self._again if is_final(record) else self.granted.keys() | self.final.keys())
            why_not = refusal(wish, life, named=named)
            if why_not is None and life is not None:
                self._grant(wish, life)
            else:
                self.refused.append(f"job {wish.job_id}: refused: {why_not}")
                self.out.append({**record, "job_ids": [wish.job_id], "refused": why_not})

    def _grant(self, wish: Wish, life: Life) -> None:
        already = fulfilled(wish, life)
        self.out.append(_applied(wish, self.before[wish.job_id], already))
        if is_final(wish.record):
            self._finish(wish, life, already=already)
            return
        self._again.add(wish.job_id)
        if not already and (wish.memory, wish.runtime, wish.cpus) != (None, None, None):
            memory = life.memory if wish.memory is None else wish.memory
            runtime = life.runtime if wish.runtime is None else wish.runtime
            cpus = life.cpus if wish.cpus is None else wish.cpus
            self.granted[wish.job_id] = (life.row, memory, runtime, cpus)
            self.why[wish.job_id] = wish.record.get("because") or {}
            self._lives[wish.job_id] = life._replace(memory=memory, runtime=runtime, cpus=cpus)

    def _finish(self, wish: Wish, life: Life, *, already: bool) -> None:
        if not already:
            self.final[wish.job_id] = None
            self.why[wish.job_id] = wish.record.get("because") or {}
            self._lives[wish.job_id] = life._replace(status=states.FAILED)

    def groups(self, users: Mapping[int, int]) -> list[tuple[Key, list[int], bool]]:
        """Give (row and new values, jobs, copy): jobs that share both; copy where others use the row as well.

        `users` is how many jobs use a row. A row is changed where it stands only if every job that uses it gets the
        same new values; a job that has none (None) always needs one.
        """
        together: dict[Key, list[int]] = {}
        for job_id, key in self.granted.items():
            together.setdefault(key, []).append(job_id)
        return [(key, jobs, key[0] is None or users.get(key[0], 0) > len(jobs)) for key, jobs in together.items()]


def copy_name(name: str, job_id: int, taken: Container[str]) -> str:
    """Name the copy of a requirement row after the first job it is for: 'medium_j107', with a number where taken."""
    base = f"{name}_j{job_id}"
    number, made = 1, base
    while made in taken:
        number += 1
        made = f"{base}_{number}"
    return made


def _applied(wish: Wish, life: Life, already: bool) -> Record:
    """Make the `applied` record of a wish; what depends on the write is filled in after it."""
    record = wish.record
    grows, lasts = wish.memory is not None, wish.runtime is not None
    return {
        "type": "applied",
        **{key: value for key, value in record.items() if key != "type"},
        "workflow_id": life.workflow_id,
        "action": "fail" if is_final(record) else "adjust" if grows or lasts or wish.cpus is not None else "retry",
        "job_ids": [wish.job_id],
        "job_names": [life.job_name],
        "run_id": record.get("run_id") or life.run_id,
        "attempt_id": record.get("attempt_id") or life.attempt_id,
        "direction": record.get("direction") or "upscale",
        "memory_adjusted": grows,
        "original_memory": record.get("original_memory")
        or (_text(units.format_memory, life.memory) if grows else None),
        "new_memory": record.get("new_memory") if grows else None,
        "runtime_adjusted": lasts,
        "original_runtime": record.get("original_runtime")
        or (_text(units.format_duration, life.runtime) if lasts else None),
        "new_runtime": record.get("new_runtime") if lasts else None,
        **_applied_cpus(wish, life),
        "previous_resource_requirements_id": life.row,
        "resource_requirements_id": life.row,
        "copied": False,
        "already": already,
        "change_ids": [],
        "dry_run": False,
    }


def _applied_cpus(wish: Wish, life: Life) -> Record:
    """Give the fields about CPUs: none where the adjustment says nothing of them."""
    if wish.cpus is None:
        return {"cpu_adjusted": False} if "cpu_adjusted" in wish.record else {}
    before = wish.record.get("original_cpus") or _had_cpus(life)
    return {"cpu_adjusted": True, "original_cpus": before, "new_cpus": wish.cpus}


def _had_cpus(life: Life) -> int:
    return life.cpus or 1  # a job without a requirement gets one


def _text(write: Callable[[int], str], value: int | None) -> str | None:
    return None if value is None else write(value)


def _moved(wish: Wish, life: Life) -> str | None:
    """Compare the values that the plan started from with the store's."""
    record = wish.record
    if wish.memory is not None and record.get("original_memory") is not None:
        before = units.parse_memory(record["original_memory"])
        if before != life.memory:
            return f"planned from memory {record['original_memory']}, the store has {_memory(life.memory)}"
    if wish.runtime is not None and record.get("original_runtime") is not None:
        before = units.parse_duration(record["original_runtime"])
        if before != life.runtime:
            return f"planned from runtime {record['original_runtime']}, the store has {_runtime(life.runtime)}"
    if wish.cpus is not None and _original_cpus(record) not in (None, _had_cpus(life)):
        return f"planned from {record['original_cpus']} CPUs, the store has {_had_cpus(life)}"
    return None


def _falls(wish: Wish, life: Life) -> str | None:
    """Refuse to lower a request, unless the adjustment says that it is meant to."""
    if wish.record.get("direction") == "downscale":
        return None
    if wish.memory is not None and life.memory is not None and wish.memory < life.memory:
        return f"memory would fall from {_memory(life.memory)} to {_memory(wish.memory)}"
    if wish.runtime is not None and life.runtime is not None and wish.runtime < life.runtime:
        return f"runtime would fall from {_runtime(life.runtime)} to {_runtime(wish.runtime)}"
    if wish.cpus is not None and wish.cpus < _had_cpus(life):
        return f"CPUs would fall from {_had_cpus(life)} to {wish.cpus}"
    return None


def _memory(size: int | None) -> str:
    return "none" if size is None else units.format_memory(size)


def _runtime(seconds: int | None) -> str:
    return "none" if seconds is None else units.format_duration(seconds)


def tried(record: Record) -> tuple[int | None, int | None]:
    """Give the memory and the runtime that an `applied` record sets; None: as it was. Raises Failure(65)."""
    return _new_memory(record), _new_runtime(record)


def _new_memory(record: Record) -> int | None:
    text = may(record, "new_memory", str)
    return None if text is None else units.parse_memory(text)


def _new_runtime(record: Record) -> int | None:
    text = may(record, "new_runtime", str)
    return None if text is None else units.parse_duration(text)


def _new_cpus(record: Record) -> int | None:
    return _cpus(record, "new_cpus")


def _original_cpus(record: Record) -> int | None:
    return _cpus(record, "original_cpus")


def _cpus(record: Record, key: str) -> int | None:
    value = may(record, key, int)
    if value is not None and not 0 < value <= MOST_CPUS:
        raise Failure(DATA, f"adjustment: '{key}' is {value}, not a number of CPUs")
    return None if value is None else int(value)
