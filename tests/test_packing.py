"""Packing: never more than there is, in the order of the house, and no slower with many jobs of one size."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torc_tools.core.packing import Capacity, Need, Packer

NEEDS = st.builds(Need, st.integers(0, 5), st.integers(0, 6), st.integers(0, 3), st.integers(0, 9), st.just(1))
JOBS = st.lists(st.tuples(st.integers(-1, 2), NEEDS), max_size=30)
ROOM = st.one_of(st.none(), st.integers(0, 8))
CAPACITY = st.builds(Capacity, ROOM, ROOM, ROOM, st.one_of(st.none(), st.integers(1, 5)))


def order(job_id: int, priority: int, need: Need) -> tuple[int, ...]:
    return (-priority, -need.num_gpus, -need.memory_bytes, -need.num_cpus, -need.runtime_s, job_id)


def fits(need: Need, free: list[int | None]) -> bool:
    return all(room is None or want <= room for want, room in zip(need[:3], free, strict=True))


@given(JOBS, CAPACITY, st.data())
def test_the_first_that_fits_is_taken_and_never_too_much(jobs: Any, capacity: Capacity, data: st.DataObject) -> None:
    packer = Packer(capacity)
    wanted = {}
    for job_id, (priority, need) in enumerate(jobs, 1):
        assert (packer.misfit(need) is None) == fits(need, list(capacity[:3]))
        if packer.misfit(need) is None:
            packer.add(job_id, priority, need)
            wanted[job_id] = (priority, need)
    free: list[int | None] = list(capacity[:3])
    running: list[int] = []
    needs = {job_id: need for job_id, (_, need) in wanted.items()}
    while wanted or running:
        first = max((priority for priority, _ in wanted.values()), default=0)
        able = [job for job, (priority, need) in wanted.items() if priority == first and fits(need, free)]
        able = [] if capacity.slots == len(running) else able
        best = min(able, key=lambda job: order(job, *wanted[job]), default=None)
        assert packer.take() == (None if best is None else (best, True))
        if best is not None:
            del wanted[best]
            running.append(best)
            free = [None if room is None else room - want for room, want in zip(free, needs[best][:3], strict=True)]
        if best is None or data.draw(st.booleans()):
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            packer.release(done)
            packer.release(done)
            free = [None if room is None else room + want for room, want in zip(free, needs[done][:3], strict=True)]
        assert len(packer) == len(wanted)


def test_a_job_too_long_for_what_is_left_comes_out_and_holds_nothing() -> None:
    packer = Packer(Capacity(1, None, None, None))
    packer.add(1, 0, Need(1, 0, 0, 100))
    packer.add(2, 0, Need(1, 0, 0, 10))
    assert [packer.take(50), packer.take(50), packer.take(50)] == [(1, False), (2, True), None]


def test_a_large_job_of_high_priority_does_not_starve_behind_small_ones_of_lower() -> None:
    packer = Packer(Capacity(2, None, None, None))
    packer.add(1, 0, Need(1, 0, 0, 0))
    assert packer.take() == (1, True)
    packer.add(2, 5, Need(2, 0, 0, 0))
    packer.add(3, 5, Need(1, 0, 0, 0))
    packer.add(4, 0, Need(1, 0, 0, 0))
    assert [packer.take(), packer.take()] == [(3, True), None]
    packer.release(3)
    assert packer.take() is None
    packer.drop(lambda job: job != 2)
    assert packer.take() == (4, True)


def test_a_size_that_comes_back_is_found_again() -> None:
    packer = Packer(Capacity(2, 8, 0, None))
    assert packer.take() is None
    for job_id in (1, 2, 3):
        packer.add(job_id, 0, Need(2, 8, 0, 0))
        assert packer.take() == (job_id, True)
        packer.add(10 + job_id, 1, Need(1, 1, 0, 0))
        packer.release(job_id)
        assert packer.take() == (10 + job_id, True)
        packer.release(10 + job_id)


def test_taking_looks_at_few_buckets_however_many_wait() -> None:
    """Of 4,096 sizes only the smallest, the last in order, fits: a take follows one path down the tree."""
    packer = Packer(Capacity(None, 5000, None, None))
    for size in range(1, 4097):
        packer.add(size, 0, Need(1, size, 0, 0))
    packer.add(9999, 1, Need(1, 4999, 0, 0))
    assert packer.take() == (9999, True)
    looked = Looks(packer._tree._least)
    packer._tree._least = looked
    assert packer.take() == (1, True)
    assert looked.count < 100


class Looks(list[Any]):
    """A list that counts how often it is looked into."""

    count = 0

    def __getitem__(self, index: Any) -> Any:
        self.count += 1
        return super().__getitem__(index)
