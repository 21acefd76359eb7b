"""The board: which jobs may run, as ends come in from this worker and from others."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torc_tools import states
from torc_tools.core.board import Board
from torc_tools.core.packing import Capacity
from torc_tools.flows.worker_manifest import manifest

ROOM = Capacity(4, 100, 1, None)


def board(*jobs: dict[str, Any], capacity: Capacity = ROOM) -> Board:
    made = Board(manifest([{"type": "job", "command": "true", **job} for job in jobs]).jobs, capacity)
    made.open()
    return made


def taken(made: Board) -> list[int]:
    found = []
    while (job := made.take(None)) is not None:
        found.append(job["job_id"])
    return found


def test_ends_free_children_and_cancel_below_a_failure() -> None:
    made = board({"job_id": 1}, {"job_id": 2, "waits_for": [1]}, {"job_id": 3, "waits_for": [2]})
    assert taken(made) == [1]
    made.end(1, 1, 1, states.FAILED, again=False)
    assert made.news() == ([1], [1, 2, 3])
    assert made.unsettled() == 0
    assert taken(made) == []


def test_a_retry_is_the_next_attempt_and_late_news_changes_nothing() -> None:
    made = board({"job_id": 1}, {"job_id": 2, "waits_for": [1]})
    assert taken(made) == [1]
    made.end(1, 1, 1, states.FAILED, again=True)
    assert (made.attempt[1], taken(made)) == (2, [1])
    made.end(1, 1, 1, states.COMPLETED, again=False)
    made.end(1, 9, 2, states.COMPLETED, again=False)
    made.end(99, 1, 1, states.COMPLETED, again=False)
    assert taken(made) == []
    made.end(1, 1, 2, states.COMPLETED, again=False)
    assert taken(made) == [2]


def test_what_another_worker_has_is_not_taken_and_frees_its_room() -> None:
    made = board({"job_id": 1, "num_cpus": 4}, {"job_id": 2, "num_cpus": 4}, {"job_id": 3, "waits_for": [1]})
    assert made.take(None)["job_id"] == 1  # type: ignore[index]
    made.elsewhere(1)
    assert taken(made) == [2]
    assert made.hopeful()
    made.end(1, 1, 1, states.COMPLETED, again=False)
    made.release(2)
    assert taken(made) == [3]


def test_what_runs_elsewhere_is_worth_an_allocation_only_for_what_it_frees() -> None:
    def hopes(*jobs: dict[str, Any]) -> tuple[bool, bool]:
        made = board(*jobs)
        made.started(1, 1, 1)
        return made.hopeful(), made.hopeful(is_dear=True)

    assert hopes({"job_id": 1}) == (True, False)
    assert hopes({"job_id": 1, "failure_handler_id": 1}) == (True, True)
    assert hopes({"job_id": 1}, {"job_id": 2, "waits_for": [1]}) == (True, True)
    assert hopes({"job_id": 1}, {"job_id": 2, "num_cpus": 5}) == (True, False)


def test_a_job_that_ended_elsewhere_while_it_waited_here_is_skipped() -> None:
    made = board({"job_id": 1}, {"job_id": 2})
    made.end(1, 1, 1, states.COMPLETED, again=False)
    assert taken(made) == [2]


def test_a_parent_that_is_not_in_the_manifest_frees_its_children_when_another_worker_ends_it() -> None:
    made = board({"job_id": 2, "waits_for": [1]}, {"job_id": 3, "waits_for": [9]})
    made.end(1, 1, 1, states.FAILED, again=True)
    assert taken(made) == []
    made.end(1, 1, 2, states.COMPLETED, again=False)
    made.end(9, 1, 1, states.FAILED, again=False)
    assert (taken(made), made.status[3]) == ([2], states.CANCELED)


def test_a_large_job_that_runs_elsewhere_or_lasts_too_long_does_not_hold_up_others() -> None:
    jobs = [{"job_id": 1}, {"job_id": 2, "num_cpus": 4, "priority": 5}, {"job_id": 3}]
    made = board(*jobs)
    made.started(2, 1, 2)
    made.started(2, 2, 1)
    assert taken(made) == [2]
    made = board(*jobs)
    made.started(2, 1, 1)
    assert taken(made) == [1, 3]
    made = board({"job_id": 4, "priority": 7}, {**jobs[1], "runtime_s": 60}, *jobs[::2])
    assert [made.take(None)["job_id"], made.take(50)["job_id"], list(made.unfit)] == [4, 1, [2]]  # type: ignore[index]


def test_a_job_that_could_not_be_started_is_taken_again() -> None:
    made = board({"job_id": 1, "num_cpus": 4})
    assert taken(made) == [1]
    made.put_back(1)
    assert taken(made) == [1]


def test_gates_hold_a_job_until_the_last_is_gone() -> None:
    made = Board(manifest([{"type": "job", "job_id": 1, "command": "true"}]).jobs, ROOM)
    made.gated[1] = 2
    made.open()
    assert made.news() == ([1], [])
    made.ungate(1)
    assert taken(made) == []
    made.ungate(1)
    assert taken(made) == [1]
    made.ungate(1)
    assert taken(made) == []


def test_unfit_jobs_stay_ready_and_say_why() -> None:
    made = board({"job_id": 1, "num_cpus": 5}, {"job_id": 2, "runtime_s": 100}, {"job_id": 3, "waits_for": [1]})
    assert made.take(50) is None
    assert sorted(made.unfit) == [1, 2]
    assert made.status[1] == states.READY
    assert made.unsettled() == 3


def test_a_pending_failed_job_holds_its_children_back() -> None:
    made = board({"job_id": 1}, {"job_id": 2, "waits_for": [1]})
    taken(made)
    made.end(1, 1, 1, states.PENDING_FAILED, again=False)
    assert taken(made) == []
    assert made.unsettled() == 2


def test_nobody_waits_for_what_a_pending_failed_job_holds_back() -> None:
    jobs = {"job_id": 1}, {"job_id": 2, "waits_for": [1, 9]}, {"job_id": 3, "waits_for": [2]}, {"job_id": 4}
    made = board(*jobs)
    assert made.hopeful(is_dear=True)
    taken(made)
    made.end(4, 1, 1, states.COMPLETED, again=False)
    made.end(1, 1, 1, states.PENDING_FAILED, again=False)
    assert not made.hopeful()
    elsewhere = board(*jobs[1:3])
    assert elsewhere.hopeful(is_dear=True)
    elsewhere.end(9, 1, 1, states.PENDING_FAILED, again=False)
    assert not elsewhere.hopeful(is_dear=True)


@given(st.data())
def test_every_job_is_over_in_the_end_and_none_runs_twice(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    jobs = [
        {
            "job_id": job_id,
            "num_cpus": data.draw(st.integers(0, 4)),
            "waits_for": sorted(data.draw(st.sets(st.integers(1, job_id - 1), max_size=3))) if job_id > 1 else [],
            "cancel_on_blocking_job_failure": data.draw(st.booleans()),
        }
        for job_id in range(1, count + 1)
    ]
    made = board(*jobs)
    running: list[int] = []
    ran: list[tuple[int, int]] = []
    while True:
        started = taken(made)
        ran += [(job_id, made.attempt[job_id]) for job_id in started]
        running += started
        assert sum(jobs[job_id - 1]["num_cpus"] for job_id in running) <= 4
        if not running:
            break
        job_id = running.pop(data.draw(st.integers(0, len(running) - 1)))
        again = made.attempt[job_id] < 3 and data.draw(st.booleans())
        status = data.draw(st.sampled_from([states.COMPLETED, states.FAILED]))
        for parent in jobs[job_id - 1]["waits_for"]:
            assert made.status[parent] in states.DONE
            assert made.status[parent] == states.COMPLETED or not jobs[job_id - 1]["cancel_on_blocking_job_failure"]
        made.end(job_id, 1, made.attempt[job_id], status, again=again)
    assert made.unsettled() == 0
    assert len(ran) == len(set(ran))
