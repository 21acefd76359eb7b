"""What torc-watch says about a workflow on a terminal: which jobs, who runs them, what is waited for and why."""

from typing import Any

import pytest

from torc_tools import states
from torc_tools.core import pace
from torc_tools.core.watch_board import Board, lines

POLICY = pace.Policy(poll_s=60, recover=True, max_retries=3)


def counts(**some: int) -> dict[str, int]:
    return {**dict.fromkeys(states.NAMES, 0), **some}


def allocation(number: int, status: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    base = {"kind": "slurm", "allocation_id": number, "slurm_job_id": str(100 + number), "status": status}
    return {**base, "slurm_state": None, "slurm_reason": reason, "ends_at": None, **more}


def board(number: dict[str, int], *rows: dict[str, Any], capacity: bool = True, **more: Any) -> Board:
    seen = pace.Seen(now=1000, counts=number, capacity=capacity, can_add=True, progress="p")
    made = Board(
        workflow={"workflow_id": 1, "name": "w", "run_id": 2}, policy=POLICY, seen=seen, memory=pace.Memory(since=0),
        holders=rows, last=None, since=0, until=1023, doing=None,
    )  # fmt: skip
    return made._replace(**more)


def shown(made: Board, label: str) -> str:
    (found,) = [line[13:] for line in lines(made, 1000) if line[:13].strip() == label]
    return found


def test_the_whole_block() -> None:
    last = {"job_id": 12, "name": "a\x1b\nb", "status": "failed", "return_code": 3, "ended_at": 995.0}
    rows = [
        allocation(1, "active", ends_at=4600.0),
        allocation(2, "queued", "Priority"),
        allocation(3, "queued", "Priority"),
        allocation(4, "queued", "JobHeldUser"),
        allocation(5, "submitting", slurm_job_id=None),
    ]
    made = board(counts(completed=40, failed=4, running=3, pending_failed=1), *rows, last=last)
    held = "1 held (JobHeldUser; 104), 1 submitting (allocation 5)"
    assert lines(made, 1000) == [
        "-- workflow 1 (w), run 2, watched for 16m 40s --",
        "jobs         45 of 48 ended, 3 running",
        "waiting for  3 running jobs to end",
        "next look    in 23s; recoveries: 0 of 3",
        "so far       40 completed, 4 failed, 1 pending failed",
        f"allocations  1 active (101; ends in 1h 0m 0s), 2 queued (Priority; 102, 103), {held}",
        r"last ended   job 12: failed with 3, 5s ago (a\x1b\nb)",
    ]


def test_the_counts_of_all_states_fit_80_columns() -> None:
    made = board(
        counts(completed=9000, failed=700, canceled=10, pending_failed=50, running=200, ready=1000, blocked=2000)
    )
    assert all(len(line) <= 80 for line in lines(made, 1000))


QUEUED = (allocation(1, "queued", "Resources"), allocation(2, "queued", "Priority"), allocation(3, "queued"))
STARTED = pace.Memory(since=0, started_at=900.0, started_progress="p")


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (board(counts(ready=2), *QUEUED), "Slurm to start 3 allocations (Resources, Priority)"),
        (board(counts(ready=1), allocation(1, "active")), "a worker to take 1 ready job"),
        (board(counts(completed=2), allocation(1, "active")), "the last workers to leave: nothing is left to run"),
        (board(counts(ready=2), capacity=False), "a worker: 2 ready jobs, and nobody runs them"),
        (
            board(counts(running=2), capacity=False),
            "a sign of life: no worker has the 2 running jobs (given up in 1h 43m 20s)",
        ),
        (
            board(counts(ready=2), capacity=False, memory=STARTED),
            "the cooldown: the last start moved nothing, 2 ready jobs (next in 28m 20s or more)",
        ),
        (board(counts(failed=2), capacity=False), "nothing: all jobs have ended"),
        (board(counts(running=1), doing="the recovery to be made (attempt 2)"), "the recovery to be made (attempt 2)"),
    ],
)
def test_what_is_waited_for(made: Board, what: str) -> None:
    assert shown(made, "waiting for") == what


def test_accounting_is_waited_for() -> None:
    made = board(counts(failed=2), capacity=False)
    unheard = made._replace(seen=made.seen._replace(unheard=True))
    assert shown(unheard, "waiting for") == "Slurm's accounting, which has not told all yet"


def test_a_canceled_workflow_waits_for_its_workers() -> None:
    made = board(counts(ready=2))
    canceled = made._replace(seen=made.seen._replace(is_canceled=True))
    assert shown(canceled, "waiting for") == "the last workers to leave: nothing is left to run"


def test_what_is_next() -> None:
    assert shown(board(counts(running=1), until=900), "next look") == "now; recoveries: 0 of 3"
    off = POLICY._replace(recover=False, auto_schedule=True)
    assert shown(board(counts(running=1), policy=off), "next look") == "in 23s; recovery off; auto-schedule on"


def test_many_allocations_are_counted_and_here_workers_are_named() -> None:
    rows = [allocation(number, "queued", "Priority") for number in range(1, 9)]
    assert shown(board(counts(ready=2), *rows), "allocations") == "8 queued (Priority; 101, 102, 103 and 5 more)"
    ends = [allocation(1, "queued"), allocation(2, "active", ends_at=1100.0), allocation(3, "active", ends_at=1050.0)]
    assert shown(board(counts(running=2), *ends), "allocations") == (
        "2 active (102, 103; first ends in 50s), 1 queued (101)"
    )
    made = board(counts(running=2), {"kind": "local", "status": "active", "pid": 7, "hostname": "n1", "ends_at": None})
    made = made._replace(seen=made.seen._replace(can_add=False))
    assert shown(made, "workers") == "1 active (pid 7 on n1)"
    assert shown(made._replace(holders=()), "workers") == "none"
