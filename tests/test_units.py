"""Bytes, seconds, thousandths: tables for the forms, properties for all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools import exits, units
from torc_tools.exits import Failure

K, M, G, T = 2**10, 2**20, 2**30, 2**40
AMOUNT = st.integers(1, 2**61)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512), ("512b", 512), ("1k", K), ("8g", 8 * G), ("1.5g", 3 * G // 2), ("8GiB", 8 * G), ("8 GB", 8 * G),
        ("8G", 8 * G), (" 2m ", 2 * M), ("1t", T), ("1p", 1024 * T), (4096, 4096), ("0.1k", 103), ("1.0001b", 2),
        ("1.000000000000000000000000000001g", G + 1),
    ],
)  # fmt: skip
def test_memory_is_binary_and_rounds_up(text: str | int, size: int) -> None:
    assert units.parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "g", "8x", "-8g", "0", "0g", "8 g g", "1e9", "8bb", "8bib", "1,5g", "8g\n8g", "٣g", True, None, "5000000000p"],
)
def test_rubbish_is_no_memory_size(text: object) -> None:
    with pytest.raises(Failure) as caught:
        units.parse_memory(text)  # type: ignore[arg-type]
    assert caught.value.status == exits.DATA
    assert "memory size" in caught.value.message


@given(AMOUNT)
def test_memory_comes_back_as_it_was_written(size: int) -> None:
    assert units.parse_memory(units.format_memory(size)) == size


@given(AMOUNT)
def test_rounding_memory_up_never_loses_and_adds_less_than_one_unit(size: int) -> None:
    rounded = units.round_up_memory(size)
    unit = G if size >= G else M if size >= M else K if size >= K else 1
    assert size <= rounded < size + unit
    assert rounded % unit == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT2H30M", 9000), ("P1DT12H", 129600), ("PT0.5S", 1), ("PT1.000001S", 2), ("P1W", 604800), ("PT90M", 5400),
        ("pt1h", 3600), ("02:30:00", 9000), ("1-00:00:00", 86400), ("2-12", 216000), ("1-06:30", 109800),
        ("100:00:00", 360000), (" PT1S ", 1), ("P0.5D", 43200), ("PT1.5H", 5400),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1",
        "1h",
        "30",
        "2:30",
        "02:60:00",
        "P1Y",
        "P1M",
        "PT-1S",
        "PT0S",
        "00:00:00",
        "PT1..5S",
        "1-",
        30,
    ],
)
def test_rubbish_is_no_duration(text: object) -> None:
    with pytest.raises(Failure) as caught:
        units.parse_duration(text)  # type: ignore[arg-type]
    assert caught.value.status == exits.DATA


@given(AMOUNT)
def test_durations_come_back_as_they_were_written(seconds: int) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@given(st.integers(1, 10**9))
def test_factors_come_back_as_they_were_written(milli: int) -> None:
    assert units.parse_factor(units.format_factor(milli)) == milli


@pytest.mark.parametrize(("text", "milli"), [("1.5", 1500), ("2", 2000), ("1.05", 1050), ("1.0010", 1001)])
def test_factors(text: str, milli: int) -> None:
    assert units.parse_factor(text) == milli


@pytest.mark.parametrize("text", ["", "x", "1.0001", "-1", "0", "1e3", "nan", "inf", "1."])
def test_rubbish_is_no_factor(text: str) -> None:
    with pytest.raises(Failure):
        units.parse_factor(text)


@given(AMOUNT, st.integers(1000, 100_000))
def test_scaling_by_one_or_more_never_shrinks_and_is_exact(amount: int, milli: int) -> None:
    scaled = units.scale(amount, milli)
    assert scaled >= amount
    assert (scaled - 1) * 1000 < amount * milli <= scaled * 1000


def test_scaling_has_no_floating_point_in_it() -> None:
    assert units.scale(3600, 1100) == 3960
    assert units.scale(5400, 1400) == 7560


@pytest.mark.parametrize(
    ("size", "text"), [(512 * M, "512.0 MB"), (G, "1.00 GB"), (21 * G // 2, "10.50 GB"), (0, "0.0 MB")]
)
def test_bytes_for_people(size: int, text: str) -> None:
    assert units.human_bytes(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(1.1, "1.1s"), (2700, "45m 0s"), (3654, "1h 0m 54s"), (59.96, "60.0s")])
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert units.human_seconds(seconds) == text
