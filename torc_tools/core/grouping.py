"""Putting jobs that need very different amounts into groups, each with a request of its own."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

SAVED_PERCENT = 20  # of what one request for all costs: what another group has to save
MOST_GROUPS = 4


class Level(NamedTuple):
    """Neighbours, in order of what they need, that would ask for the same; `hours` is for how long they do."""

    request: int
    begin: int
    end: int
    hours: float


class Groups(NamedTuple):
    """Where each group begins and ends in the order of need, and how many percent all cost less than one for all."""

    spans: list[tuple[int, int]]
    saved_percent: float


def grouped(needs: Iterable[tuple[int, float]], least: int = 0) -> Groups | None:
    """Group (request, hours) pairs that are in order of request; None where one request for all is as good.

    A group asks for the most that one of it needs, for the hours of all: what that costs is what counts. Groups are cut
    in two always where it saves most, as long as that is a fifth of what one request for all costs, and as the requests
    of the two differ by more than `least`.
    """
    levels = list(_levels(needs))
    cuts = _cuts(levels, least)
    if len(cuts) < 3:
        return None
    parts = [levels[begin:end] for begin, end in pairwise(cuts)]
    cost = sum(part[-1].request * sum(level.hours for level in part) for part in parts)
    spans = [(part[0].begin, part[-1].end) for part in parts]
    return Groups(spans, 100 - 100 * cost / _cost_of_one(levels))


def _levels(needs: Iterable[tuple[int, float]]) -> Iterator[Level]:
    begin = end = request = 0
    hours = 0.0
    for wanted, time in needs:
        if wanted != request and end > begin:
            yield Level(request, begin, end, hours)
            begin, hours = end, 0.0
        request, end, hours = wanted, end + 1, hours + time
    if end > begin:
        yield Level(request, begin, end, hours)


def _cost_of_one(levels: Sequence[Level]) -> float:
    return levels[-1].request * sum(level.hours for level in levels)


def _cuts(levels: Sequence[Level], least: int) -> list[int]:
    """Choose where to cut the levels, both ends included."""
    cuts = [0, len(levels)] if levels else [0]
    while 1 < len(cuts) <= MOST_GROUPS:
        saved, where = max(_best(levels[begin:end], begin, least) for begin, end in pairwise(cuts))
        if not where or saved * 100 < _cost_of_one(levels) * SAVED_PERCENT:
            break
        cuts = sorted([*cuts, where])
    return cuts


def _best(part: Sequence[Level], begin: int, least: int) -> tuple[float, int]:
    """Give what the best cut in a part saves, and where it is, the part starting at `begin`; (0, 0): there is none."""
    best, hours = (0.0, 0), 0.0
    for index, level in enumerate(part[:-1], begin + 1):
        hours += level.hours
        less = part[-1].request - level.request
        if less > least:
            best = max(best, (less * hours, index))
    return best
