"""The one transition rule against a naive fixed point, on random graphs and histories."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from reach import dependents

from torc_tools.core.transitions import Unblocker
from torc_tools.states import (
    BAD,
    BLOCKED,
    CANCELED,
    COMPLETED,
    DISABLED,
    DONE,
    FAILED,
    PENDING_FAILED,
    READY,
    RUNNING,
    TERMINATED,
)

Graph = dict[int, set[int]]  # job: parents

STATE = st.sampled_from([BLOCKED, READY, RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED, DISABLED, PENDING_FAILED])


@st.composite
def workflows(draw: st.DrawFn) -> tuple[Graph, dict[int, int], set[int]]:
    """Give a graph without cycles, a status for each job, and the jobs that cancel on a parent's failure."""
    count = draw(st.integers(1, 12))
    parents = {job: draw(st.sets(st.integers(0, job - 1), max_size=4)) if job else set() for job in range(count)}
    status = {job: draw(STATE) for job in range(count)}
    return parents, status, draw(st.sets(st.integers(0, count - 1)))


def naive(parents: Graph, status: Mapping[int, int], cancels: set[int]) -> dict[int, int]:
    """Apply the rule as it is worded until nothing moves."""
    now = dict(status)
    while moves := {
        job: CANCELED if job in cancels and any(now[p] in BAD for p in parents[job]) else READY
        for job in parents
        if now[job] == BLOCKED and all(now[p] in DONE for p in parents[job])
    }:
        now.update(moves)
    return now


def unblocker(parents: Graph, status: Mapping[int, int], cancels: set[int]) -> Unblocker:
    return Unblocker({job: parents[job] for job in parents if status[job] == BLOCKED}, status, cancels)


@given(workflows())
def test_settling_is_the_naive_fixed_point(case: tuple[Graph, dict[int, int], set[int]]) -> None:
    parents, status, cancels = case
    moves = unblocker(parents, status, cancels).settle()
    assert len(moves) == len({job for job, _ in moves}), "a job moves once"
    assert {**status, **dict(moves)} == naive(parents, status, cancels)


@given(workflows(), st.data())
def test_one_end_after_another_is_the_naive_fixed_point(
    case: tuple[Graph, dict[int, int], set[int]], data: st.DataObject
) -> None:
    parents, status, cancels = case
    rule = unblocker(parents, status, cancels)
    status = {**status, **dict(rule.settle())}
    running = [job for job in status if status[job] in (READY, RUNNING)]
    while running:
        job = running.pop(data.draw(st.integers(0, len(running) - 1)))
        end = data.draw(st.sampled_from([COMPLETED, FAILED, CANCELED, TERMINATED]))
        status[job] = end
        expected = naive(parents, status, cancels)
        for moved, state in rule.finish(job, end):
            assert status[moved] == BLOCKED
            status[moved] = state
            running += [moved] if state == READY else []
        assert status == expected
    assert [job for job in parents if status[job] == BLOCKED and all(status[p] in DONE for p in parents[job])] == []


@given(workflows())
def test_no_job_that_cancels_becomes_ready_over_a_bad_parent(case: tuple[Graph, dict[int, int], set[int]]) -> None:
    parents, status, cancels = case
    moves = dict(unblocker(parents, status, cancels).settle())
    end = {**status, **moves}
    assert [
        job for job in moves if moves[job] == READY and job in cancels and any(end[p] in BAD for p in parents[job])
    ] == []


def test_a_diamond_below_a_failure_is_canceled_to_its_end() -> None:
    parents = {1: set(), 2: {1}, 3: {1}, 4: {2, 3}}
    rule = Unblocker({2: {1}, 3: {1}, 4: {2, 3}}, {1: RUNNING, 2: BLOCKED, 3: BLOCKED}, set(parents))
    assert sorted(rule.finish(1, FAILED)) == [(2, CANCELED), (3, CANCELED), (4, CANCELED)]


def test_a_job_that_does_not_cancel_runs_after_a_failure() -> None:
    rule = Unblocker({2: {1}}, {1: RUNNING}, set())
    assert rule.finish(1, FAILED) == [(2, READY)]


@given(workflows(), st.sets(st.integers(0, 11)))
def test_dependents_are_what_can_be_reached(case: tuple[Graph, dict[int, int], set[int]], roots: set[int]) -> None:
    parents, _, _ = case
    children: Graph = {}
    for job, ups in parents.items():
        for up in ups:
            children.setdefault(up, set()).add(job)
    found = dependents(roots, children)
    reached = set(roots)
    for _ in parents:
        reached |= {job for job, ups in parents.items() if ups & reached}
    assert found == reached - roots
