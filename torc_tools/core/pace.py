"""What torc-watch does next: a state of the workflow and a clock value in, one decision out.

The rules are those of torc's auto-recovery and auto-scheduling; a capacity is whatever runs jobs: a worker of this
machine, or an allocation. Nothing is called a success but every job completed (or disabled).
"""

from collections.abc import Mapping
from typing import NamedTuple

from torc_tools import states
from torc_tools.core import standing

_RECOVERABLE = tuple(states.NAMES[each] for each in sorted(states.RECOVERABLE))
MOVING = ("uninitialized", "ready", "pending", "running")  # states that a worker may still move by itself


class Policy(NamedTuple):
    """What the options of torc-watch ask for; times in seconds."""

    poll_s: float = 60
    recover: bool = False
    max_retries: int | None = None
    auto_schedule: bool = False
    threshold: int = 5  # retries that wait before more capacity is worth it
    cooldown_s: float = 1800  # between two starts
    stranded_s: float = 7200  # after which fewer retries than the threshold are enough


class Seen(NamedTuple):
    """One look at a workflow."""

    now: float  # Unix seconds
    counts: Mapping[str, int]  # jobs by state, every state named
    capacity: bool  # a worker lives, or an allocation is queued or runs
    retries: int = 0  # ready jobs in an attempt above the first
    progress: str = ""  # changes whenever anything about the jobs does
    can_add: bool = False  # capacity can be added to capacity: on Slurm (one machine is one allocation)
    is_canceled: bool = False
    rested_s: float = 0.0  # since a job last ended
    stranded_s: float = 0.0  # since the retry that waits longest became ready
    submitted_at: float | None = None  # the newest submission, whoever made it
    unsent: int = 0  # allocations that were planned, and that nobody has submitted for a while
    unheard: bool = False  # Slurm's accounting answers, and has not told all yet of jobs that have ended


class Memory(NamedTuple):
    """What a watcher keeps between two looks, in the store, so that the next watcher goes on with it."""

    since: float  # when the first watcher of this workflow started, or the last start was made
    recoveries: int = 0
    started_at: float | None = None  # the last start of capacity
    started_progress: str = ""  # Seen.progress at that start
    fruitless: int = 0  # starts in a row before which nothing had moved since the one before


FRUITLESS = 2  # so many starts in a row may move nothing
UNHEARD_S = 10.0  # so long accounting is awaited before the end of all jobs is judged


class Wait(NamedTuple):
    """Look again after `seconds`, or when the capacity ends."""

    seconds: float


class Recover(NamedTuple):
    """Diagnose, adjust and reset; this is recovery number `attempt`."""

    attempt: int


class Start(NamedTuple):
    """Start capacity, for the reason given in a line for people."""

    why: str


class Done(NamedTuple):
    """Every job is completed."""

    completed: int


class GiveUp(NamedTuple):
    """Nothing more can be done: 'failures', 'disabled' (no --recover), 'retries', 'stuck', 'canceled'."""

    why: str


Step = Wait | Recover | Start | Done | GiveUp


def moving(counts: Mapping[str, int]) -> int:
    """Count the jobs that a worker may still move."""
    return sum(counts[name] for name in MOVING)


def failed(counts: Mapping[str, int]) -> int:
    """Count the jobs that a recovery may run again."""
    return sum(counts[name] for name in _RECOVERABLE)


def at_rest(counts: Mapping[str, int], *, is_canceled: bool = False) -> bool:
    """Say whether nothing will move any more by itself.

    More than standing's is_complete: blocked and pending_failed jobs rest, too, where nothing is left to free them, and
    so does all of a canceled workflow.
    """
    return is_canceled or not moving(counts)


def decide(policy: Policy, seen: Seen, memory: Memory) -> Step:
    """Give the next step of a watcher."""
    success = standing.outcome(seen.counts)["is_success"]
    if not success and not at_rest(seen.counts, is_canceled=seen.is_canceled):
        return _unfinished(policy, seen, memory)
    if seen.capacity or (seen.unheard and seen.rested_s < UNHEARD_S):
        return Wait(_soon(policy, seen))
    if success:
        return Done(seen.counts["completed"])
    return GiveUp("canceled") if seen.is_canceled else ended(policy, seen, memory)


def _soon(policy: Policy, seen: Seen) -> float:
    """All jobs have ended and the workers are about to: they are awaited, with short waits that become longer."""
    return min(policy.poll_s, max(1.0, seen.rested_s / 8 if seen.can_add else 1.0))


def ended(policy: Policy, seen: Seen, memory: Memory) -> Step:
    """Decide where nothing moves any more and not every job is completed."""
    if not failed(seen.counts):
        return GiveUp("stuck" if seen.counts["blocked"] else "failures")
    if not policy.recover:
        return GiveUp("disabled")
    if policy.max_retries is not None and memory.recoveries >= policy.max_retries:
        return GiveUp("retries")
    return Recover(memory.recoveries + 1)


def _unfinished(policy: Policy, seen: Seen, memory: Memory) -> Step:
    if not seen.capacity:
        return _idle(policy, seen, memory)
    waiting = seen.counts["ready"] + seen.counts["uninitialized"] + seen.counts["blocked"]
    if seen.unsent and waiting and (policy.recover or policy.auto_schedule):
        return Start(f"{seen.unsent} planned allocation(s) were not submitted")
    if policy.auto_schedule and seen.can_add and (why := _more(policy, seen, memory)):
        return Start(why)
    return Wait(policy.poll_s)


def _more(policy: Policy, seen: Seen, memory: Memory) -> str | None:
    """Give the line for more capacity beside what there is, or None.

    Retries are what it is for: enough of them, or fewer that have waited long since they became ready; in both cases
    not so soon after the last submission.
    """
    last = max((at for at in (seen.submitted_at, memory.started_at) if at is not None), default=memory.since)
    if not seen.retries or seen.now - last < policy.cooldown_s:
        return None
    if seen.retries >= policy.threshold:
        return _enough(policy, seen)
    return _stranded(policy, seen, seen.stranded_s) if seen.stranded_s >= policy.stranded_s else None


def _enough(policy: Policy, seen: Seen) -> str:
    return f"{seen.retries} retry jobs waiting (threshold: {policy.threshold}), scheduling more nodes..."


def _stranded(policy: Policy, seen: Seen, waited: float) -> str:
    return f"{seen.retries} retry jobs stranded for {int(waited)}s (timeout: {int(policy.stranded_s)}s), scheduling..."


def _idle(policy: Policy, seen: Seen, memory: Memory) -> Step:
    """Decide where jobs should move and nothing lives that would move them."""
    ready = seen.counts["ready"] + seen.counts["uninitialized"]
    if not ready:
        return Wait(policy.poll_s) if seen.now - memory.since < policy.stranded_s else GiveUp("stuck")
    if not (policy.recover or policy.auto_schedule):
        return GiveUp("stuck")
    if memory.started_at is None or seen.progress != memory.started_progress:
        return Start(_none(seen, ready))
    return _again(policy, seen, memory)


def _again(policy: Policy, seen: Seen, memory: Memory) -> Step:
    """Decide after a start that moved nothing.

    What Slurm took was canceled, or died before it did anything: another may fare better, at once. Here it would fare
    the same until something else has changed, so it is tried again only where that was asked for, and not soon.
    """
    if memory.fruitless >= FRUITLESS or not (seen.can_add or policy.auto_schedule):
        return GiveUp("stuck")
    if seen.can_add:
        return Start(_none(seen, seen.counts["ready"] + seen.counts["uninitialized"]))
    why = _due(policy, seen, memory)
    return Start(why) if why else Wait(min(policy.poll_s, _until(policy, seen, memory)))


def _none(seen: Seen, ready: int) -> str:
    return f"No schedulers available but {ready} ready jobs found ({seen.retries} retries)"


def _due(policy: Policy, seen: Seen, memory: Memory) -> str | None:
    """Give the line for another start here after one that moved nothing, or None."""
    waited = seen.now - (memory.since if memory.started_at is None else memory.started_at)
    if not seen.counts["ready"] or waited < policy.cooldown_s:
        return None
    if seen.retries and seen.retries >= policy.threshold:
        return _enough(policy, seen)
    return _stranded(policy, seen, waited) if waited >= policy.stranded_s else None


def _until(policy: Policy, seen: Seen, memory: Memory) -> float:
    """Give the seconds until a rule of `_due` can change its mind."""
    waited = seen.now - (memory.since if memory.started_at is None else memory.started_at)
    return max(1.0, min(at - waited for at in (policy.cooldown_s, policy.stranded_s, waited + 3600) if at > waited))


def recovered(memory: Memory, seen: Seen) -> Memory:
    """Give the memory after a recovery."""
    return memory._replace(recoveries=memory.recoveries + 1, since=seen.now)


def started(memory: Memory, seen: Seen) -> Memory:
    """Give the memory after a start."""
    again = memory.started_at is not None and memory.started_progress == seen.progress
    return memory._replace(
        since=seen.now,
        started_at=seen.now,
        started_progress=seen.progress,
        fruitless=memory.fruitless + 1 if again else 0,
    )
