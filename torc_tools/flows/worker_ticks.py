"""The tick of a worker: all running attempts that are due are looked at together; and the machine they run on.

Nothing is looked at, and no timer set, while nothing is to be watched. Times are of time.monotonic().
"""

import math
import time
from collections.abc import Callable
from typing import Protocol

from torc_tools.flows.worker_manifest import Policy
from torc_tools.shell.census import Census
from torc_tools.shell.loop import Loop
from torc_tools.shell.series import SeriesFile

MEMORY_LOOKS_S = (0.25, 0.5, 1.0)  # how often memory is compared with the limit: the more is left, the less often
_GROWTH = 4 << 30  # bytes a second: no job grows faster for long
YOUNG_LOOKS_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # ages at which a young job is sampled, before the interval takes over
_FIRST_LOOK_S = 0.05
_GRID_S = 0.05
_SLACK_S = 0.02  # what is due so soon is not worth a tick of its own
NEVER = math.inf


class Watched(Protocol):
    """What a tick knows of an attempt. `look_at` and `sample_at` are set here."""

    began: float
    limit: int | None  # of its memory
    look_at: float
    sample_at: float

    def find(self) -> None:
        """Bring up to date what is found but now and then."""

    def look(self, now: float, *, sample: bool) -> None:
        """Look at what it uses, and take a sample if asked to."""

    def spare(self) -> int:
        """Give how much memory it had left at the last look."""


class Ticks:
    """Who is to be looked at, and when."""

    def __init__(self, policy: Policy, loop: Loop, census: Census, prepare: Callable[[], None]) -> None:
        """Begin with nobody; `prepare` is called before anybody is looked at."""
        self._policy, self._loop, self._census, self._prepare = policy, loop, census, prepare
        self._watched: dict[int, Watched] = {}
        self._next = NEVER

    def watch_machine(self, series: SeriesFile) -> None:
        """Look at the machine from now on, at every interval, and put what is seen into a series."""
        from torc_tools.shell.nodes import Node  # most workers need none

        node = Node()

        def look() -> None:
            series.node(node.sample(), keep=self._policy.node_series)
            self._loop.at(_after(time.monotonic(), self._policy.interval_s), look)

        look()

    def watch(self, attempt: Watched, *, began: float) -> None:
        """Look at an attempt from now on: at its memory if it has a limit, at all it uses where jobs are monitored."""
        self._watched[id(attempt)] = attempt
        attempt.look_at = began + _FIRST_LOOK_S if attempt.limit else NEVER
        attempt.sample_at = began + YOUNG_LOOKS_S[0] if self._policy.monitor else NEVER
        self._set(min(attempt.look_at, attempt.sample_at))

    def forget(self, attempt: Watched) -> None:
        """Look at an attempt no more."""
        self._watched.pop(id(attempt), None)

    def _set(self, when: float) -> None:
        if when < self._next:
            self._next = when
            self._loop.at(when, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return  # an earlier timer that was overtaken
        self._next = NEVER
        soon = now + _SLACK_S
        due = [attempt for attempt in self._watched.values() if min(attempt.look_at, attempt.sample_at) <= soon]
        if due:
            self._prepare()
            for attempt in due:
                attempt.find()
            self._census.look()
        for attempt in due:
            self._look(attempt, now, soon)
        if self._watched:
            self._set(min(min(attempt.look_at, attempt.sample_at) for attempt in self._watched.values()))

    def _look(self, attempt: Watched, now: float, soon: float) -> None:
        sample = attempt.sample_at <= soon
        attempt.look(now, sample=sample)
        if attempt.limit:
            attempt.look_at = _after(now, patience_s(attempt.spare()))
        if sample:
            interval = self._policy.interval_s
            later = (attempt.began + look for look in YOUNG_LOOKS_S if look < interval)
            young = next((_after(when - _GRID_S, _GRID_S) for when in later if when > soon), NEVER)
            attempt.sample_at = min(_after(now, interval), young)


def patience_s(spare: int) -> float:
    """Give how long a job that has `spare` bytes left may be left alone."""
    return max((wait for wait in MEMORY_LOOKS_S if wait <= spare / _GROWTH), default=MEMORY_LOOKS_S[0])


def _after(now: float, interval: float) -> float:
    """Give the next of the moments that are whole multiples of an interval: the same for all, so one tick does."""
    return (math.floor((now + _SLACK_S) / interval) + 1) * interval
