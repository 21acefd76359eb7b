"""What an event line means for its job: once or twice, early or late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools import states
from torc_tools.core.ledger import MEASURED, Ledger


def started(job=1, run=1, attempt=1):
    return {"type": "event", "event": "started", "at": 1.0, "job_id": job, "run_id": run, "attempt_id": attempt}


def ended(job=1, run=1, attempt=1, status="completed", code=0, then=None):
    event = {"type": "event", "event": "ended", "at": 2.0, "job_id": job, "run_id": run, "attempt_id": attempt}
    return {**event, "status": status, "return_code": code, "next": then}


def taken(lives, *events):
    ledger = Ledger(dict(lives))
    for event in events:
        ledger.take(event, "w")
    return ledger


def test_a_start_and_an_end():
    ledger = taken({1: (states.READY, 1, 1)}, started(), ended())
    assert ledger.moves == {1: (states.COMPLETED, 1, None)}
    assert ledger.results[0][:5] == (1, 1, 1, states.COMPLETED, 0)


def test_a_retry_is_the_next_attempt_and_leaves_a_result():
    ledger = taken({1: (states.READY, 1, 1)}, started(), ended(status="failed", code=10, then="retry"))
    assert ledger.moves == {1: (states.READY, 2, None)}
    assert len(ledger.results) == 1


def test_a_late_line_of_an_older_run_moves_nothing_but_leaves_its_result():
    ledger = taken({1: (states.READY, 2, 1)}, started(), ended())
    assert ledger.moves == {}
    assert len(ledger.results) == 1


def test_a_start_read_after_its_end_does_not_bring_the_job_back():
    ledger = taken({1: (states.COMPLETED, 1, 1)}, started())
    assert ledger.moves == {}


def test_rubbish_is_counted_and_skipped():
    lines = [{}, {"event": "ended"}, {**ended(), "job_id": "1"}, {**ended(), "status": "great"}, ended(job=99)]
    ledger = taken({1: (states.READY, 1, 1)}, *lines)
    assert ledger.rejected == len(lines)
    assert ledger.moves == {}


@pytest.mark.parametrize(
    "bad",
    [
        {**ended(), "return_code": 1 << 64},
        {**ended(), "attempt_id": 1 << 63},
        {**ended(), "started_at": {}},
        {**ended(), "memory_bytes": "8g"},
        {"event": "worker_started", "at": 1, "slurm_job_id": {}},
        {"event": "worker_started", "at": 1, "pid": []},
        {"event": "action", "at": 1, "run_id": 1, "action_id": 1 << 63},
    ],
)
def test_what_no_column_can_hold_is_rubbish_too(bad):
    """It would stop every fold from then on."""
    ledger = taken({1: (states.READY, 1, 1)}, bad)
    assert ledger.rejected == 1
    assert (ledger.moves, ledger.results, ledger.actions) == ({}, [], [])


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("started_at", 1e308, None),
        ("started_at", -(1 << 63), None),
        ("ended_at", (1 << 63) - 1, None),
        ("exec_time_s", 1e308, None),
        ("exec_time_s", -1, None),
        ("exec_time_s", 0.25, 0.25),
        ("peak_cpu_percent", 1e308, None),
        ("num_cpus", (1 << 63) - 1, None),
        ("peak_memory_bytes", 2.0**63, None),
        ("peak_memory_bytes", 1e-320, 0),
        ("peak_memory_bytes", 1 << 40, 1 << 40),
    ],
)
def test_a_figure_that_cannot_be_is_not_known_and_the_end_counts(key, value, kept):
    """It would stop every report from then on."""
    ledger = taken({1: (states.RUNNING, 1, 1)}, {**ended(), key: value})
    (row,) = ledger.results
    assert (ledger.rejected, ledger.lives[1][0]) == (0, states.COMPLETED)
    assert row[5 + MEASURED.index(key)] == kept


event_lists = st.lists(
    st.one_of(
        st.builds(started, st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)),
        st.builds(
            ended,
            st.integers(1, 3),
            st.integers(1, 2),
            st.integers(1, 3),
            st.sampled_from(["completed", "failed", "terminated", "canceled"]),
            st.integers(0, 255),
            st.sampled_from([None, "retry", "requeue"]),
        ),
    ),
    max_size=12,
)


@given(event_lists)
def test_taking_the_same_lines_twice_in_a_row_changes_nothing_more(events):
    """A job never goes back to an older attempt or to another run."""
    lives = dict.fromkeys((1, 2, 3), (states.READY, 1, 1))
    ledger = taken(lives, *events)
    for job, life in ledger.lives.items():
        assert life[1] == 1
        assert life[2] >= lives[job][2]
        if job in ledger.moves:
            assert ledger.moves[job][0] == life[0]
