"""Stages and cycles, on random graphs."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from torc_tools.core import graph

EDGES = st.integers(1, 12).flatmap(
    lambda count: st.lists(st.sets(st.integers(0, count - 1), max_size=3).map(sorted), min_size=count, max_size=count)
)


def reachable(parents: list[list[int]], start: int) -> set[int]:
    found: set[int] = set()
    todo = list(parents[start])
    while todo:
        job = todo.pop()
        if job not in found:
            found.add(job)
            todo += parents[job]
    return found


@given(EDGES)
def test_a_stage_is_one_more_than_the_highest_of_the_parents(parents: list[list[int]]) -> None:
    stage = graph.stages(parents)
    bad = {job for job in range(len(parents)) if job in reachable(parents, job)}
    for job, level in enumerate(stage):
        if bad & ({job} | reachable(parents, job)):
            assert level == 0
        else:
            assert level == 1 + max((stage[parent] for parent in parents[job]), default=0)


@given(EDGES)
def test_cycles_are_cycles_and_none_is_missed(parents: list[list[int]]) -> None:
    found = graph.cycles(parents, graph.stages(parents))
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert all(after in parents[job] for job, after in pairwise(cycle))
        assert len(set(cycle)) == len(cycle) - 1
    assert bool(found) == any(job in reachable(parents, job) for job in range(len(parents)))


def test_cycles_are_limited() -> None:
    parents = [[job] for job in range(50)]
    assert len(graph.cycles(parents, graph.stages(parents), most=7)) == 7
