"""Tables for people: whole where there is room, else closer together, else the widest columns cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools.shell import table

HEADERS = ("job_id", "status", "peak")
ROWS = (("1", "terminated", "1.0 MB"), ("20000", "failed", "-"))


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (None, ["job_id  status      peak", "1       terminated  1.0 MB", "20000   failed      -"]),
        (26, ["job_id  status      peak", "1       terminated  1.0 MB", "20000   failed      -"]),
        (25, ["job_id status     peak", "1      terminated 1.0 MB", "20000  failed     -"]),
        (22, ["job_id status   peak", "1      termina… 1.0 MB", "20000  failed   -"]),
        (3, ["… … …", "1 … …", "… … -"]),
    ],
)
def test_a_table_takes_the_room_there_is(room: int | None, expected: list[str]) -> None:
    assert list(table.lines(HEADERS, ROWS, room)) == expected


LONG = ("number_of_all", "name", "at"), (("1", "n" * 30, "2026-11-22 10:45"),)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (59, "number_of_all nnnnnnnnnnnnnnnnnnnnnnnnnnn… 2026-11-22 10:45"),
        (49, "number_of_all nnnnnnnnnnnnnnnnn… 2026-11-22 10:45"),
        (45, "number_o… nnnnnnnnnnnnnnnnn… 2026-11-22 10:45"),
        (42, "numbe… nnnnnnnnnnnnnnnnn… 2026-11-22 10:45"),
        (41, "numbe… nnnnnnnnnnnnnnnn… 2026-11-22 10:45"),
    ],
)
def test_a_header_is_cut_before_a_time_and_after_a_name_that_is_long(room: int, expected: str) -> None:
    header, row = table.lines(*LONG, room)
    name, other, at = expected.split(" ", 2)
    assert header.split() == [name, "name", "at"]
    assert row.split(maxsplit=2) == ["1", other, at]
    assert len(row) == room


def test_wide_and_combining_characters_count_as_they_show() -> None:
    assert list(table.lines(("name", "x"), (("日本", "1"), ("e\u0301", "2")), None)) == [
        "name  x", "日本  1", "e\u0301     2",
    ]  # fmt: skip
    assert list(table.lines(("n", "x"), (("日本日本", "1"),), 7)) == ["n     x", "日本… 1"]


@given(st.lists(st.tuples(st.text(), st.text("ab日"), st.text("xyz")), max_size=5), st.integers(6, 60))
def test_no_line_is_longer_than_the_room(rows: list[tuple[str, str, str]], room: int) -> None:
    found = list(table.lines(HEADERS, rows, room))
    assert len(found) == len(rows) + 1
    assert all(table.columns(line) <= room for line in found)
