"""The checked reader of records, framing, pass-through."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools import exits, records
from torc_tools.exits import Failure

RECORD = st.fixed_dictionaries({"type": st.sampled_from(["diagnosis", "job", "note"]), "n": st.integers()})


def test_need_gives_the_value() -> None:
    assert records.need({"type": "job", "job_id": 7}, "job_id", int) == 7
    assert records.need({"type": "job", "x": 1.5}, "x", (int, float)) == 1.5
    assert records.need({"is_canceled": False}, "is_canceled", bool) is False


@pytest.mark.parametrize(
    ("record", "kind", "message"),
    [
        ({"type": "job"}, int, "job: 'job_id' is missing, expected an integer"),
        ({"type": "job", "job_id": None}, int, "job: 'job_id' is None, expected an integer"),
        ({"type": "job", "job_id": True}, int, "job: 'job_id' is True, expected an integer"),
        ({"type": "job", "job_id": "7"}, int, "job: 'job_id' is '7', expected an integer"),
        ({"job_id": []}, (int, str), "record: 'job_id' is [], expected an integer or a string"),
    ],
)
def test_need_names_record_field_and_kind(record: records.Record, kind: type, message: str) -> None:
    with pytest.raises(Failure) as caught:
        records.need(record, "job_id", kind)
    assert (caught.value.status, caught.value.message) == (exits.DATA, message)


def test_a_long_wrong_value_is_cut() -> None:
    with pytest.raises(Failure) as caught:
        records.need({"x": "y" * 10_000}, "x", int)
    assert len(caught.value.message) < 200


def test_may_takes_absence_and_null_for_none() -> None:
    assert records.may({}, "x", int) is None
    assert records.may({"x": None}, "x", int) is None
    assert records.may({"x": 0}, "x", int) == 0
    with pytest.raises(Failure):
        records.may({"x": "0"}, "x", int)


@pytest.mark.parametrize("value", [[], None, "7", [7, "8"], [True], [1.0]])
def test_ids_are_a_list_of_integers(value: object) -> None:
    with pytest.raises(Failure):
        records.need_ids({"type": "adjustment", "job_ids": value}, "job_ids")


def test_ids() -> None:
    assert records.need_ids({"job_ids": [7, 8]}, "job_ids") == [7, 8]


def test_framing_counts() -> None:
    assert list(records.framed("torc-x", 42, [{"type": "job"}, {"type": "job"}])) == [
        {"type": "begin", "stage": "torc-x", "v": 1, "workflow_id": 42},
        {"type": "job"},
        {"type": "job"},
        {"type": "end", "stage": "torc-x", "count": 2},
    ]


def test_framing_writes_begin_before_the_first_record_is_made() -> None:
    made = records.framed("torc-x", None, (1 / 0 for _ in range(1)))  # type: ignore[misc]
    assert next(made)["type"] == "begin"


@given(st.lists(RECORD))
def test_replacing_passes_strangers_on_unchanged_and_in_order(given_records: list[records.Record]) -> None:
    out = list(records.replace(given_records, "diagnosis", lambda r: [{"type": "adjustment", "n": r["n"]}]))
    assert [r["n"] for r in out] == [r["n"] for r in given_records]
    assert [r for r in out if r["type"] != "adjustment"] == [r for r in given_records if r["type"] != "diagnosis"]


def test_a_number_is_asked_for_as_int_or_float() -> None:
    assert math.isclose(records.need({"x": 1}, "x", (int, float)), 1.0)
