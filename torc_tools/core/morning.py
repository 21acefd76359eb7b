"""The morning after: the facts that the shell has collected of a workflow, and what became of each job and attempt.

Judgements on them are in morning_{headline,hours,failures,left,story,usage}, as values; morning_page puts the sections
together, which morning_{causes,telling,tables} make of them as markup; morning_data packs what the page's script draws.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torc_tools import states
from torc_tools.core import morning_words
from torc_tools.core.morning_words import Clock, Offset
from torc_tools.records import Record

OK, CURED, RUNNING, WAITING, FAILED, CANCELED, DISABLED = (
    "completed", "cured", "running", "waiting", "failed", "canceled", "disabled",
)  # fmt: skip
FATES = {  # fate -> what the page calls it; as a bar shows them, from left to right
    OK: "completed",
    CURED: "completed after a failure",
    RUNNING: "running",
    WAITING: "waiting",
    DISABLED: "disabled",
    CANCELED: "could not run, or canceled",
    FAILED: "failed",
}

_FATE = {
    states.FAILED: FAILED,
    states.TERMINATED: FAILED,
    states.PENDING_FAILED: FAILED,
    states.CANCELED: CANCELED,
    states.DISABLED: DISABLED,
    **dict.fromkeys(states.ACTIVE, RUNNING),
    **dict.fromkeys(states.WAITING, WAITING),
}


class Job(NamedTuple):
    """A job as it is now; `status` is torc's integer."""

    job_id: int
    job_name: str
    status: int
    resource_requirements_id: int | None


class Attempt(NamedTuple):
    """One attempt that has ended: times in Unix seconds, sizes in bytes, what it had been given at its end."""

    job_id: int
    run_id: int
    attempt_id: int
    status: int
    return_code: int
    started_at: float | None
    ended_at: float | None
    exec_time_s: float | None
    peak_memory_bytes: int | None
    avg_cpu_percent: float | None
    memory_bytes: int | None
    runtime_s: int | None
    num_cpus: int | None
    worker: str | None

    @property
    def key(self) -> tuple[int, int, int]:
        """Name the attempt: job, run, attempt."""
        return self[:3]

    @property
    def is_good(self) -> bool:
        """Say whether it completed."""
        return self.status == states.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Say whether it failed; one that somebody canceled neither completed nor failed."""
        return self.status in states.RECOVERABLE

    @property
    def seconds(self) -> float:
        """Give how long it ran, 0 where nobody knows."""
        if self.exec_time_s is not None:
            return self.exec_time_s
        known = self.started_at is not None and self.ended_at is not None
        return max(0.0, (self.ended_at or 0.0) - (self.started_at or 0.0)) if known else 0.0

    @property
    def core_s(self) -> float:
        """Give the work it took: seconds times CPUs."""
        return self.seconds * (self.num_cpus or 1)


class Verdict(NamedTuple):
    """Why an attempt failed, in short: cause, certainty, and the line of its log or the fact that says it best."""

    cause: str
    certainty: str
    words: str


class Facts(NamedTuple):
    """What is known of a workflow.

    summary: core/standing's. adjustments: what torc-recover would do now about each job that is failed. watched: what
    the last torc-watch kept. changes: the journal, `why before after` decoded.
    options: what our commands need in order to find the store. now: Unix seconds.
    """

    workflow: Record
    summary: Record
    jobs: Sequence[Job]
    attempts: Sequence[Attempt]  # in order of job, run, attempt
    requirements: Mapping[int, Record]
    verdicts: Mapping[tuple[int, int, int], Verdict]  # of every attempt that failed
    adjustments: Sequence[Record]
    watched: Record
    changes: Sequence[Record]
    edges: Sequence[tuple[int, int]]  # (job, the job that it waits for), where something was held back
    allocations: Sequence[tuple[float, float, int]]  # of Slurm: (start, end, CPUs)
    engine: str  # what runs it: local, slurm
    options: str
    now: float
    offset: Offset


class Night:
    """The facts, sorted: attempts by job, the fate of each job, the span of it all."""

    def __init__(self, facts: Facts) -> None:
        """Sort the facts; nothing is judged that they do not say."""
        self.facts = facts
        self.jobs = {job.job_id: job for job in facts.jobs}
        self.attempts = [each for each in facts.attempts if each.job_id in self.jobs]
        self.by_job: dict[int, list[Attempt]] = {}
        for attempt in self.attempts:
            self.by_job.setdefault(attempt.job_id, []).append(attempt)
        self.fates = {job.job_id: self._fate(job) for job in facts.jobs}
        self.counts = Counter(self.fates.values())
        starts = [each.started_at for each in self.attempts if each.started_at is not None]
        ends = [each.ended_at for each in self.attempts if each.ended_at is not None]
        self.start = min(starts, default=facts.workflow["created_at"])
        self.end = max(ends, default=self.start)
        self.clock = Clock(self.start, max(self.end, self.start), facts.offset)

    def _fate(self, job: Job) -> str:
        if job.status != states.COMPLETED:
            return _FATE[job.status]
        return CURED if any(each.is_failed for each in self.by_job.get(job.job_id, ())) else OK

    def cause(self, attempt: Attempt) -> str:
        """Give why an attempt that is not good ended."""
        verdict = self.facts.verdicts.get(attempt.key)
        return verdict.cause if verdict else "canceled" if attempt.status == states.CANCELED else "unknown"

    def kind(self, attempt: Attempt) -> str:
        """Give the kind of an attempt's end, which is its colour: completed, memory, time, place, canceled, other."""
        return "completed" if attempt.is_good else morning_words.kind(self.cause(attempt))

    def failed(self) -> list[Attempt]:
        """Give the attempts that failed."""
        return [each for each in self.attempts if each.is_failed]

    def names(self, job_ids: Iterable[int]) -> list[str]:
        """Give the names of jobs."""
        return [self.jobs[job_id].job_name for job_id in job_ids if job_id in self.jobs]

    def next(self, attempt: Attempt) -> Attempt | None:
        """Give the attempt of the same job that followed, None where there was none."""
        mine = self.by_job[attempt.job_id]
        place = mine.index(attempt) + 1
        return mine[place] if place < len(mine) else None
