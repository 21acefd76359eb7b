"""Fewer points that look the same: what holds for every series."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools.core import downsampling, tracks
from torc_tools.series import Request, Series

VALUES = st.lists(st.one_of(st.floats(allow_infinity=False), st.just(math.nan), st.just(0.0)), max_size=200)
MOST = st.integers(4, 40)
CLEAN = st.lists(st.floats(0, 1e12), min_size=1, max_size=200)


def known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


@given(VALUES, MOST)
def test_every_point_that_is_kept_was_there_and_in_its_order(values: list[float], most: int) -> None:
    times, kept = downsampling.extremes(range(len(values)), values, most)
    assert len(times) == len(kept) <= max(most, 0)
    assert list(times) == sorted(set(times))
    assert all(value == values[int(at)] or math.isnan(values[int(at)]) for at, value in zip(times, kept, strict=True))


@given(VALUES, MOST)
def test_the_ends_the_lowest_and_the_highest_are_kept(values: list[float], most: int) -> None:
    times, kept = downsampling.extremes(range(len(values)), values, most)
    if values:
        assert (times[0], times[-1]) == (0, len(values) - 1)
    assert max(known(kept), default=None) == max(known(values), default=None)
    assert min(known(kept), default=None) == min(known(values), default=None)


@given(VALUES, MOST)
def test_a_short_series_stays_whole(values: list[float], most: int) -> None:
    _, kept = downsampling.extremes(range(len(values)), values, most)
    if len(values) <= most:
        assert repr(list(kept)) == repr(values)


@pytest.mark.parametrize("at", [0, 1, 4_999, 9_998, 9_999])
def test_one_high_sample_among_many_is_seen(at: int) -> None:
    values = [5.0] * 10_000
    values[at] = 9.0
    _, kept = downsampling.extremes(range(10_000), values, 100)
    assert list(kept).count(9.0) == 1


def test_a_gap_stays_a_gap() -> None:
    values = [1.0] * 400 + [math.nan] * 400 + [2.0] * 400
    _, kept = downsampling.extremes(range(1200), values, 60)
    assert any(map(math.isnan, kept))
    assert known(kept)[0] == 1.0
    assert known(kept)[-1] == 2.0


@given(CLEAN, st.integers(1, 50))
def test_columns_keep_the_highest_and_end_with_the_series(values: list[float], count: int) -> None:
    times = [3.0 * place for place in range(len(values))]
    found = downsampling.columns(times, values, 2.0, count)
    assert len(found) == count
    reached = int(times[-1] / 2)
    if reached < count:
        assert max(known(found)) == max(values)
    assert all(math.isnan(value) == (place > reached) for place, value in enumerate(found))


@given(st.lists(st.lists(st.floats(0, 1e9), min_size=3, max_size=3), min_size=1, max_size=30))
def test_bands_are_values_in_order(rows: list[list[float]]) -> None:
    low, middle, high = downsampling.bands(rows, (10, 50, 90))
    for place, column in enumerate(zip(*rows, strict=True)):
        assert low[place] <= middle[place] <= high[place]
        assert {low[place], middle[place], high[place]} <= set(column)


def test_bands_of_a_hundred() -> None:
    rows = [[float(number), math.nan] for number in range(101)]
    (low, none), (high, _) = downsampling.bands(rows, (10, 90))
    assert (low, high) == (10.0, 90.0)
    assert math.isnan(none)


def series(values: Sequence[float], *, began: float | None = None, **more: object) -> Series:
    from array import array

    times = array("d", (100.0 + place for place in range(len(values))))
    column = array("d", values)
    asked = None if began is None else Request(1, 1, 1.0, began)
    return Series(7, "n", 1, "h", times, column, column, column, asked)._replace(**more)  # type: ignore[arg-type]


def test_the_figures_are_those_of_all_samples() -> None:
    values = [1.0] * 50_000
    values[777] = 1001.0
    made = tracks.track(series(values), "x.db")
    assert (made.memory.peak, made.memory.mean, made.samples) == (1001.0, 1.02, 50_000)
    assert len(made.memory.values) <= tracks.POINTS
    assert max(made.memory.values) == 1001.0


def test_what_is_not_known_has_no_figures() -> None:
    made = tracks.track(series([math.nan, math.inf]), "x.db")
    assert (made.cpu.peak, made.cpu.mean) == (None, None)
    assert all(map(math.isnan, made.cpu.values))


@pytest.mark.parametrize(
    ("began", "start"), [(None, 100.0), (97.5, 97.5), (100.5, 100.0), (math.nan, 100.0), (-math.inf, 100.0)]
)
def test_time_runs_from_the_start_of_the_attempt(began: float | None, start: float) -> None:
    """A start that is after the first sample, or is none, is not believed."""
    made = tracks.track(series([1.0, 2.0], began=began), "x.db")
    assert (made.started_at, made.memory.times[0], made.duration_s) == (start, 100.0 - start, 101.0 - start)


def test_attempts_are_told_apart_by_as_little_as_does() -> None:
    one = tracks.track(series([1.0]), "a.db")
    two = one._replace(attempt_id=2)
    assert tracks.labels([one, two]) == ["attempt 1", "attempt 2"]
    other = one._replace(hostname="g")
    assert tracks.labels([one, other]) == ["attempt 1 on h", "attempt 1 on g"]
    again = one._replace(origin="b.db")
    assert tracks.labels([one, again]) == ["attempt 1, a.db", "attempt 1, b.db"]
    runs = [one._replace(origin=f"resource_metrics_h_7_{run}{job}.db") for run, job in ((1, ""), (2, "_99"))]
    assert tracks.labels(runs) == ["run 1, attempt 1", "run 2, attempt 1"]
    assert tracks.labels([one, one]) == ["attempt 1, a.db (1)", "attempt 1, a.db (2)"]
    assert tracks.job_labels([one, two, one._replace(job_id=8)]) == ["7 (attempt 1) n", "7 (attempt 2) n", "8 n"]
