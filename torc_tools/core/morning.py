"""The morning after: what became of each job of a workflow, of its attempts, and of the work that went into them.

A judgement on facts that the shell has collected; the modules morning_* say the rest and write it down.
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
FATES = (OK, CURED, RUNNING, WAITING, DISABLED, CANCELED, FAILED)  # as a bar shows them, from left to right

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
        return self.status in (states.FAILED, states.TERMINATED)

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


class Headline(NamedTuple):
    """What happened, in one sentence, and how it stands in one word: good, open, bad."""

    text: str
    mood: str
    more: str


def headline(night: Night) -> Headline:
    """Say what happened."""
    words, counts, total = morning_words, night.counts, len(night.jobs)
    done = counts[OK] + counts[CURED]
    summary = night.facts.summary
    if not total:
        return Headline("There are no jobs.", "open", "")
    if summary["is_success"]:
        text = f"All {words.counted(total, 'job')} completed." if total > 1 else "The job completed."
        return Headline(text, "good", _lede(night))
    text = f"{done:,} of {words.counted(total, 'job')} completed"
    parts = [f"{counts[FAILED]:,} failed"] if counts[FAILED] else []
    parts += [f"{counts[CANCELED]:,} could not run" if _held_back(night) else f"{counts[CANCELED]:,} canceled"] * bool(
        counts[CANCELED]
    )
    if not summary["is_complete"]:
        parts += [f"{counts[RUNNING]:,} running"] * bool(counts[RUNNING])
        parts += [f"{counts[WAITING]:,} waiting"] * bool(counts[WAITING])
    mood = "bad" if counts[FAILED] or counts[CANCELED] or summary["is_canceled"] else "open"
    text = f"{text}, {words.listed(parts)}." if parts else f"{text}."
    return Headline(text, mood, _lede(night))


def _held_back(night: Night) -> bool:
    """Say whether jobs that are canceled are so because others failed, and nobody canceled them."""
    return bool(night.counts[FAILED]) and not night.facts.summary["is_canceled"]


def _lede(night: Night) -> str:
    """Say when it ran, and what recovery did about the failures on the way."""
    if not night.attempts:
        return "Nothing has run yet."
    words = morning_words
    started, took = night.clock.day(night.start), words.span(night.end - night.start)
    over = night.facts.summary["is_complete"] or not night.counts[RUNNING]
    text = f"Started {started} and took {took}." if over else f"Started {started}; the last job ended {took} later."
    failed = {each.job_id for each in night.failed()}
    if not failed:
        return f"{text} Nothing failed on the way."
    cured = night.counts[CURED]
    rounds = max(each.run_id for each in night.attempts) - min(each.run_id for each in night.attempts)
    how = f"{words.counted(rounds, 'round')} of recovery" if rounds else "retries"
    text += f" {words.counted(len(failed), 'job')} failed on the way"
    return (
        f"{text}; {how} cured {cured if cured < len(failed) else 'all'} of them."
        if cured
        else f"{text}; none is cured."
    )
