"""torc-watch's brain: tables of states, and what must hold for any of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools import states
from torc_tools.core import pace, recovery_text
from torc_tools.core.pace import Done, GiveUp, Memory, Policy, Recover, Seen, Start, Wait

PLAIN = Policy()
RECOVER = Policy(recover=True)
AUTO = Policy(auto_schedule=True)
FRESH = Memory(since=1000.0)


def counts(**some: int) -> dict[str, int]:
    return {name: some.get(name, 0) for name in states.NAMES}


def seen(*, now: float = 1000.0, capacity: bool = False, retries: int = 0, progress: str = "p", **some: int) -> Seen:
    return Seen(now=now, counts=counts(**some), capacity=capacity, retries=retries, progress=progress)


@pytest.mark.parametrize(
    ("policy", "look", "memory", "step"),
    [
        (PLAIN, seen(completed=3), FRESH, Done(3)),
        (PLAIN, seen(completed=3, disabled=2), FRESH, Done(3)),
        (PLAIN, seen(), FRESH, Done(0)),
        (PLAIN, seen(completed=3, capacity=True), FRESH, Wait(1.0)),
        (PLAIN, seen(completed=3, failed=1), FRESH, GiveUp("disabled")),
        (RECOVER, seen(completed=3, failed=1), FRESH, Recover(1)),
        (RECOVER, seen(terminated=1, canceled=4), FRESH, Recover(1)),
        (RECOVER, seen(failed=1, blocked=1), FRESH, Recover(1)),
        (RECOVER, seen(completed=3, failed=1, capacity=True), FRESH, Wait(1.0)),
        (RECOVER, seen(failed=1, running=1, capacity=True), FRESH, Wait(60)),
        (RECOVER, seen(failed=1), Memory(since=0, recoveries=4), Recover(5)),
        (Policy(recover=True, max_retries=3), seen(failed=1), Memory(since=0, recoveries=2), Recover(3)),
        (Policy(recover=True, max_retries=3), seen(failed=1), Memory(since=0, recoveries=3), GiveUp("retries")),
        (Policy(recover=True, max_retries=0), seen(failed=1), FRESH, GiveUp("retries")),
        (RECOVER, seen(completed=1, canceled=1), FRESH, GiveUp("failures")),
        (RECOVER, seen(completed=1, pending_failed=1), FRESH, Recover(1)),
        (PLAIN, seen(completed=1, pending_failed=1), FRESH, GiveUp("disabled")),
        (RECOVER, seen(blocked=1, disabled=1), FRESH, GiveUp("stuck")),
        (PLAIN, seen(ready=1), FRESH, GiveUp("stuck")),
        (PLAIN, seen(ready=1, capacity=True), FRESH, Wait(60)),
        (PLAIN, seen(running=1), FRESH, Wait(60)),
        (PLAIN, seen(running=1, now=1000 + 7200), FRESH, GiveUp("stuck")),
        (RECOVER, seen(ready=1), Memory(since=0, started_at=990, started_progress="p"), GiveUp("stuck")),
        (AUTO, seen(ready=1), Memory(since=0, started_at=990, started_progress="p"), Wait(60)),
        (AUTO, seen(ready=1), Memory(since=0, started_at=990, started_progress="p", fruitless=2), GiveUp("stuck")),
        (PLAIN, Seen(0, counts(ready=3), capacity=False, is_canceled=True), FRESH, GiveUp("canceled")),
        (RECOVER, Seen(0, counts(failed=3), capacity=True, is_canceled=True), FRESH, Wait(1.0)),
    ],
)
def test_step(policy: Policy, look: Seen, memory: Memory, step: pace.Step) -> None:
    assert pace.decide(policy, look, memory) == step


@pytest.mark.parametrize("policy", [RECOVER, AUTO])
def test_ready_jobs_without_capacity_start_at_once_whatever_the_cooldown(policy: Policy) -> None:
    step = pace.decide(policy, seen(ready=2, retries=1), FRESH)
    assert step == Start("No schedulers available but 2 ready jobs found (1 retries)")


@pytest.mark.parametrize(
    ("retries", "last", "stranded", "starts"),
    [
        (5, 1799, 0, None),
        (5, 1800, 0, "5 retry jobs waiting (threshold: 5), scheduling more nodes..."),
        (9, 90000, 90000, "9 retry jobs waiting (threshold: 5), scheduling more nodes..."),
        (4, 90000, 7199, None),
        (4, 1799, 7200, None),
        (4, 1800, 7201, "4 retry jobs stranded for 7201s (timeout: 7200s), scheduling..."),
        (0, 90000, 90000, None),
    ],
)
def test_capacity_is_added_to_capacity_by_threshold_cooldown_and_stranded_time(
    retries: int, last: float, stranded: float, starts: str | None
) -> None:
    """`last` seconds after the last submission, `stranded` after the oldest retry became ready."""
    look = seen(ready=9, running=1, capacity=True, retries=retries, now=100000)
    look = look._replace(can_add=True, stranded_s=stranded, submitted_at=100000 - last)
    step = pace.decide(AUTO, look, FRESH)
    assert step == (Start(starts) if starts else Wait(60))
    assert pace.decide(AUTO, look._replace(can_add=False), FRESH) == Wait(60)
    assert pace.decide(RECOVER, look, FRESH) == Wait(60)


@pytest.mark.parametrize(
    ("since", "submitted", "started", "starts"),
    [(0, None, None, True), (1000, None, None, False), (0, 1000, None, False), (0, 0, 1000, False), (0, 0, 0, True)],
)
def test_the_cooldown_counts_from_the_newest_submission_whoever_made_it(
    since: float, submitted: float | None, started: float | None, starts: bool
) -> None:
    look = seen(ready=9, capacity=True, retries=9, now=2000)._replace(can_add=True, submitted_at=submitted)
    step = pace.decide(AUTO, look, Memory(since=since, started_at=started))
    assert isinstance(step, Start) is starts


@pytest.mark.parametrize(("fruitless", "starts"), [(0, True), (1, True), (2, False)])
@pytest.mark.parametrize("policy", [RECOVER, AUTO])
def test_an_allocation_that_came_to_nothing_is_followed_by_another_but_not_for_ever(
    policy: Policy, fruitless: int, starts: bool
) -> None:
    memory = Memory(since=0, started_at=999, started_progress="p", fruitless=fruitless)
    step = pace.decide(policy, seen(ready=2)._replace(can_add=True), memory)
    assert step == (Start("No schedulers available but 2 ready jobs found (0 retries)") if starts else GiveUp("stuck"))
    assert pace.decide(PLAIN, seen(ready=2)._replace(can_add=True), memory) == GiveUp("stuck")


def test_what_was_planned_and_not_submitted_is_sent_beside_what_runs() -> None:
    look = seen(ready=2, running=1, capacity=True)._replace(can_add=True, unsent=3)
    assert pace.decide(RECOVER, look, FRESH) == Start("3 planned allocation(s) were not submitted")
    assert pace.decide(PLAIN, look, FRESH) == Wait(60)


@pytest.mark.parametrize(
    ("some", "rested", "step"),
    [
        ({"completed": 3}, 7.9, Wait(1.0)),
        ({"completed": 3}, 10.0, Done(3)),
        ({"failed": 1}, 7.9, Wait(1.0)),
        ({"failed": 1}, 10.0, Recover(1)),
        ({"ready": 1}, 0.0, Start("No schedulers available but 1 ready jobs found (0 retries)")),
    ],
)
def test_the_end_is_judged_when_accounting_has_told_all_or_had_its_time(
    some: dict[str, int], rested: float, step: pace.Step
) -> None:
    assert pace.decide(RECOVER, seen(**some)._replace(can_add=True, unheard=True, rested_s=rested), FRESH) == step


@pytest.mark.parametrize(("rested", "seconds"), [(0, 1.0), (8, 1.0), (80, 10.0), (8000, 60)])
def test_the_end_of_allocations_is_awaited_with_waits_that_become_longer(rested: float, seconds: float) -> None:
    look = seen(failed=1, capacity=True)._replace(can_add=True, rested_s=rested)
    assert pace.decide(RECOVER, look, FRESH) == Wait(seconds)
    assert pace.decide(RECOVER, look._replace(can_add=False), FRESH) == Wait(1.0)


@pytest.mark.parametrize(("waited", "starts"), [(10, False), (1799, False), (1800, True)])
def test_a_start_that_moved_nothing_is_made_again_after_the_cooldown(waited: float, starts: bool) -> None:
    memory = Memory(since=0, started_at=1000, started_progress="p")
    step = pace.decide(AUTO, seen(ready=9, retries=5, now=1000 + waited), memory)
    assert isinstance(step, Start) is starts
    if isinstance(step, Wait):
        assert step.seconds <= 1800 - waited


def test_threshold_0_cannot_start_without_retries() -> None:
    policy = AUTO._replace(threshold=0, cooldown_s=0)
    look = seen(ready=9, running=1, capacity=True, now=9000)._replace(can_add=True)
    assert pace.decide(policy, look, Memory(since=8999)) == Wait(60)


def test_memory_counts_fruitless_starts_and_forgets_them_when_something_moved() -> None:
    memory = FRESH
    for number in range(3):
        memory = pace.started(memory, seen(progress="same", now=2000 + number))
        assert memory.fruitless == number
    assert memory.since == memory.started_at == 2002
    assert pace.started(memory, seen(progress="other")).fruitless == 0
    assert pace.recovered(memory, seen(now=3000))[:2] == (3000, 1)


NUMBERS = st.fixed_dictionaries({name: st.integers(0, 3) for name in states.NAMES})
LOOKS = st.builds(
    Seen,
    now=st.floats(0, 1e6),
    counts=NUMBERS,
    capacity=st.booleans(),
    retries=st.integers(0, 9),
    progress=st.sampled_from("ab"),
    can_add=st.booleans(),
    is_canceled=st.booleans(),
    rested_s=st.floats(0, 1e6),
    stranded_s=st.floats(0, 1e6),
    submitted_at=st.none() | st.floats(0, 1e6),
    unsent=st.integers(0, 2),
)
MEMORIES = st.builds(
    Memory,
    since=st.floats(0, 1e6),
    recoveries=st.integers(0, 5),
    started_at=st.none() | st.floats(0, 1e6),
    started_progress=st.sampled_from("ab"),
    fruitless=st.integers(0, 3),
)
POLICIES = st.builds(
    Policy,
    poll_s=st.floats(1, 1e4),
    recover=st.booleans(),
    max_retries=st.none() | st.integers(0, 5),
    auto_schedule=st.booleans(),
)


@given(POLICIES, LOOKS, MEMORIES)
def test_whatever_is_seen(policy: Policy, look: Seen, memory: Memory) -> None:
    step = pace.decide(policy, look, memory)
    fine = all(not number for name, number in look.counts.items() if name not in ("completed", "disabled"))
    assert isinstance(step, Done) == (fine and not look.capacity)
    if isinstance(step, Wait):
        assert 0 < step.seconds <= policy.poll_s
    if isinstance(step, Recover):
        assert policy.recover
        assert not look.capacity
        assert policy.max_retries is None or step.attempt <= policy.max_retries
    if isinstance(step, Start):
        assert policy.recover or policy.auto_schedule
        assert sum(look.counts[name] for name in ("ready", "uninitialized", "blocked"))
    if isinstance(step, GiveUp):
        assert not look.capacity


def adjustment(job: int, cause: str, **more: object) -> dict[str, object]:
    made = {"type": "adjustment", "action": "adjust", "job_ids": [job], "job_names": [f"j_{job}"]}
    return {**made, "because": {"cause": cause}, **more}


def test_the_lines_of_a_plan_are_those_torc_documents() -> None:
    found = [
        adjustment(107, "oom", original_memory="8g", new_memory="12g"),
        adjustment(9, "timeout", original_runtime="PT1H", new_runtime="PT1H24M"),
        adjustment(3, "unknown", action="hold", reason="unknown failure cause"),
        adjustment(4, "oom", action="hold", reason="at cap: memory 8g may not grow", override="--max-memory 12g"),
        adjustment(5, "node_fail", action="retry", reason="node fail: not the job's doing"),
        {"type": "adjustment", "job_ids": [6], "new_memory": "1g"},
    ]
    assert recovery_text.proposals(found, dry_run=False) == [
        "Applying recovery heuristics...",
        "  Job 107 (j_107): OOM detected, increasing memory 8g -> 12g",
        "  Job 9 (j_9): Timeout detected, increasing runtime PT1H -> PT1H24M",
        "  Job 4 (j_4): held: at cap: memory 8g may not grow (to override: --max-memory 12g)",
        "  Job 5 (j_5): node fail: not the job's doing; retrying as it is",
        "  Job 6: OOM detected, increasing memory unlimited -> 1g",
        "  Applied fixes: 2 OOM, 1 timeout",
        "  1 job(s) with unknown failure cause (skipped, use --retry-unknown to include)",
    ]
    counted = recovery_text.plan(found)
    assert counted == recovery_text.Plan(2, 1, 4, 0, 1, 1, 3)
    assert recovery_text.summary(42, counted, 4, "Workflow restarted here.") == [
        "",
        "Recovery complete for workflow 42",
        "  - 2 job(s) had memory increased",
        "  - 1 job(s) had runtime increased",
        "Reset 4 job(s). Workflow restarted here.",
    ]


def test_the_lines_of_a_watch_are_those_torc_documents() -> None:
    text = recovery_text.watching(60, recover=True, max_retries=None, show_counts=True)
    assert text == "poll interval: 60s, recover enabled, unlimited retries, job counts enabled"
    line = recovery_text.counts_line(counts(running=10, blocked=90))
    assert line == "  completed=0, running=10, pending=0, failed=0, blocked=90"
    assert recovery_text.failures(counts(failed=5, completed=95)) == [
        "",
        "Workflow completed with failures:",
        "  - Failed: 5",
        "  - Canceled: 0",
        "  - Terminated: 0",
        "  - Completed: 95",
    ]
    assert recovery_text.attempt(1, None) == "Attempting automatic recovery (attempt 1)"
    assert recovery_text.attempt(1, 3) == "Attempting automatic recovery (attempt 1/3)"
    assert recovery_text.retries_exceeded(42, 3, 7) == [
        "Max retries (3) exceeded. Manual intervention required.",
        "Use the Torc MCP server with your AI assistant to investigate.",
        "Or look yourself: 'torc-diagnose 42' says why, 'torc-jobs --logs 7' what job 7 wrote.",
    ]
    assert recovery_text.nothing_recoverable(42, recovery_text.Plan(0, 0, 0, 0, 2, 0, 7)) == [
        "",
        "No recoverable jobs found. 2 job(s) failed with unknown causes.",
        "Use --retry-unknown to retry jobs with unknown failure causes.",
        "Or use the Torc MCP server with your AI assistant to investigate.",
        "Or look yourself: 'torc-diagnose 42' says why, 'torc-jobs --logs 7' what job 7 wrote.",
    ]


def test_malformed_adjustments_are_left_to_the_sinks() -> None:
    found = [{"type": "adjustment"}, {"type": "adjustment", "job_ids": ["x", 1], "job_names": None, "because": 3}]
    assert recovery_text.plan(found).again == 1
    assert recovery_text.proposals(found, dry_run=True)[1:] == ["  Job 1: named by hand; retrying as it is"]
