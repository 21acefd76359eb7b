"""Fewer points that look the same: the lowest and the highest of each stretch of time, so that no peak is ever lost."""

import math
from array import array
from collections.abc import Iterable, Sequence

Column = Sequence[float]


def extremes(times: Column, values: Column, most: int) -> "tuple[array[float], array[float]]":
    """Give at most `most` (from 4 on) of the points, in their order: the first, the last, each bucket's two extremes.

    A bucket is a run of as many points as the next. nan is passed over, and kept where a bucket has nothing else.
    """
    count = len(values)
    if count <= most:
        return array("d", times), array("d", values)
    buckets = (most - 2) // 2
    kept = [0]
    for number in range(buckets):
        first, last = (1 + (count - 2) * each // buckets for each in (number, number + 1))
        kept += _two(values[first:last], first)
    kept.append(count - 1)
    return array("d", map(times.__getitem__, kept)), array("d", map(values.__getitem__, kept))


def _two(part: Column, first: int) -> Iterable[int]:
    """Give the places of the lowest and the highest of a bucket, in order; of one place where they are the same."""
    low, high = min(part), max(part)
    if math.isnan(low) or math.isnan(high) or math.isnan(sum(part)):
        known = [value for value in part if not math.isnan(value)]
        if not known:
            return (first,)
        low, high = min(known), max(known)
    return sorted({first + part.index(low), first + part.index(high)})


def columns(times: Column, values: Column, width: float, count: int) -> list[float]:
    """Give the highest value in each of `count` columns of time, `width` wide, from 0 on; nan after the last point.

    A column in which nothing was measured has the value before it.
    """
    highest = [math.nan] * count
    if not len(times):
        return highest
    last = min(count - 1, int(times[-1] / width))
    for at, value in zip(times, values, strict=True):
        place = min(last, max(0, int(at / width)))
        if not value <= highest[place] and not math.isnan(value):
            highest[place] = value
    for place in range(1, last + 1):
        if math.isnan(highest[place]):
            highest[place] = highest[place - 1]
    return highest


def bands(rows: Iterable[Column], percents: Sequence[int]) -> list[list[float]]:
    """Give for each percent the percentile of each column over all rows, nan where no row has a value.

    It is the nearest value that is there: none is made up between two.
    """
    found: list[list[float]] = [[] for _ in percents]
    for column in zip(*rows, strict=True):
        known = sorted(value for value in column if not math.isnan(value))
        for percent, out in zip(percents, found, strict=True):
            out.append(known[(percent * (len(known) - 1) + 50) // 100] if known else math.nan)
    return found
