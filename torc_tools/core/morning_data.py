"""The numbers of the page's drawings and lists, packed in columns: ten thousand jobs are a small file."""

import heapq
from collections.abc import Sequence
from typing import Any

from torc_tools import states
from torc_tools.core import morning, morning_story, morning_words
from torc_tools.core.morning import Attempt, Night
from torc_tools.records import Record
from torc_tools.texts import visible

KINDS = {  # kind of an end -> what the legend of the drawing calls it, in its order
    "completed": "completed",
    "memory": "out of memory",
    "time": "out of time",
    "place": "lost with its place",
    "other": "failed otherwise",
    "canceled": "canceled",
}


def data(night: Night) -> Record:
    """Give what the script of the page reads.

    Starts and marks are ticks (of so many seconds) since `start`; lists that rise are given as steps. -1 is unknown.
    A job names its requirement, an attempt its job, its cause and its words by their place in a list.
    """
    causes, words, requirements = _Index(), _Index(), _Index()
    attempts = _attempts(night, causes, words)
    fates = list(morning.FATES)
    return {
        "start": night.start,
        "tick": _tick(night),
        "end": night.end,
        "zone": _zone(night),
        "marks": [_ticks(night, each.at) for each in morning_story.story(night) if each.kind == "change"],
        "fates": fates,
        "fates_called": list(morning.FATES.values()),
        "kinds": list(KINDS),
        "kinds_called": list(KINDS.values()),
        "jobs": {
            "id": _steps([job.job_id for job in night.facts.jobs]),
            "name": [visible(job.job_name) for job in night.facts.jobs],
            "fate": [fates.index(night.fates[job.job_id]) for job in night.facts.jobs],
            "status": [job.status for job in night.facts.jobs],
            "asked": [requirements.of(_asked(night, job.resource_requirements_id)) for job in night.facts.jobs],
        },
        "states": list(states.NAMES),
        "asked": requirements.kept,
        "attempts": attempts,
        "causes": causes.kept,
        "called": [morning_words.cause(word) for word in causes.kept],
        "words": words.kept,
    }


class _Index:
    """A list in which each thing stands once."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._at: dict[Any, int] = {}

    def of(self, thing: Any) -> int:
        """Give the place of a thing; what is new is put at the end."""
        if thing not in self._at:
            self._at[thing] = len(self.kept)
            self.kept.append(thing)
        return self._at[thing]


def _attempts(night: Night, causes: _Index, words: _Index) -> Record:
    """Give the columns of the attempts, in order of start; where that is unknown it is -1, as the lane is."""
    place = {job.job_id: at for at, job in enumerate(night.facts.jobs)}
    attempts = sorted(night.attempts, key=lambda each: (each.started_at or 0.0, each.job_id, each.attempt_id))
    limits, kinds = _Index(), list(KINDS)
    begins = [_ticks(night, each.started_at) for each in attempts]
    verdicts = [night.facts.verdicts.get(each.key) for each in attempts]
    return {
        "job": [place[each.job_id] for each in attempts],
        "run": [each.run_id for each in attempts],
        "attempt": [each.attempt_id for each in attempts],
        "start": _steps(begins),
        "took": [round(each.seconds * 1000) for each in attempts],  # milliseconds
        "lane": lanes(attempts),
        "kind": [kinds.index(night.kind(each)) for each in attempts],
        "cause": [-1 if each.is_good else causes.of(night.cause(each)) for each in attempts],
        "words": [words.of(visible(verdict.words)) if verdict else -1 for verdict in verdicts],
        "code": [each.return_code for each in attempts],
        "peak": [-1 if each.peak_memory_bytes is None else each.peak_memory_bytes >> 10 for each in attempts],  # KB
        "cpu": [-1 if each.avg_cpu_percent is None else round(each.avg_cpu_percent) for each in attempts],
        "limits": [limits.of((each.memory_bytes, each.runtime_s, each.num_cpus)) for each in attempts],
        "given": limits.kept,
    }


def lanes(attempts: Sequence[Attempt]) -> list[int]:
    """Give each attempt, in order of start, the lowest lane that is free at its start; -1 where its time is unknown."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []  # (end, lane)
    found = []
    for each in attempts:
        if each.started_at is None:
            found.append(-1)
            continue
        while busy and busy[0][0] <= each.started_at:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (each.started_at + each.seconds, lane))
        found.append(lane)
    return found


def _tick(night: Night) -> float:
    """Give the step in which starts are told, in seconds: fine enough for a drawing to be looked at closely."""
    return 0.01 if night.end - night.start < 3600 else 0.1


def _ticks(night: Night, at: float | None) -> int:
    return -1 if at is None else max(0, round((at - night.start) / _tick(night)))


def _steps(values: Sequence[int]) -> list[int]:
    """Give the first value and then by how much each is more than the one before."""
    return [value - before for value, before in zip(values, [0, *values], strict=False)]


def _asked(night: Night, row: int | None) -> tuple[Any, ...]:
    asked = night.facts.requirements.get(row, {}) if row is not None else {}
    return asked.get("name"), asked.get("memory_bytes"), asked.get("runtime_s"), asked.get("num_cpus", 1)


def _zone(night: Night) -> list[list[float]]:
    """Give local time's distance from UTC: [since when, seconds], one for each change between start and end."""
    step = max(900.0, (night.end - night.start) / 2000)
    found: list[list[float]] = []
    at = night.start
    while at <= night.end + step:
        ahead = night.facts.offset(at)
        if not found or found[-1][1] != ahead:
            found.append([at, ahead])
        at += step
    return found
