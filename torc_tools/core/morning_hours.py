"""The work of the night: what stands, what was lost and why, what a recovery did not have to do again."""

from collections.abc import Mapping
from typing import NamedTuple

from torc_tools.core.morning import Night


class Hours(NamedTuple):
    """The work that went into the attempts, in core-seconds, and how long nothing ran, in seconds."""

    useful: float  # of attempts whose outcome stands
    lost: Mapping[str, float]  # by cause; "redone": had completed, and was done again
    lost_attempts: int
    kept: float  # of the useful work what was done before the last recovery, and not done again
    idle_s: float  # between the first start and the last end
    held: float  # by Slurm's allocations, jobs or no jobs

    @property
    def lost_s(self) -> float:
        """Give the work of attempts that came to nothing."""
        return sum(self.lost.values())

    @property
    def all_s(self) -> float:
        """Give all work."""
        return self.useful + self.lost_s


def hours(night: Night) -> Hours:
    """Add up the work: what stands, what was lost and why, what a recovery did not have to do again."""
    useful = kept = 0.0
    lost: dict[str, float] = {}
    last_run = max([each.run_id for each in night.attempts], default=1)
    lost_attempts = 0
    for attempts in night.by_job.values():
        for place, each in enumerate(attempts, 1):
            if each.is_good and place == len(attempts):
                useful += each.core_s
                kept += each.core_s if each.run_id < last_run else 0.0
                continue
            cause = "redone" if each.is_good else night.cause(each)
            lost[cause] = lost.get(cause, 0.0) + each.core_s
            lost_attempts += 1
    by_cause = {cause: core_s for cause, core_s in sorted(lost.items(), key=lambda each: -each[1]) if core_s > 0}
    held = sum(max(0.0, end - start) * num_cpus for start, end, num_cpus in night.facts.allocations)
    return Hours(useful, by_cause, lost_attempts, kept, _idle(night), held)


def _idle(night: Night) -> float:
    """Add up the time between the first start and the last end in which no attempt ran."""
    spans = sorted((e.started_at, e.ended_at) for e in night.attempts if e.started_at is not None and e.ended_at)
    idle, reached = 0.0, night.start
    for start, end in spans:
        idle += max(0.0, start - reached)
        reached = max(reached, end)
    return idle
