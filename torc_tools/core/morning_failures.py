"""Why jobs failed in the night, cause by cause, and what was done about it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torc_tools.core import morning, morning_words
from torc_tools.core.morning import Attempt, Night

_DIGITS = re.compile(r"\d+")


class Cause(NamedTuple):
    """One cause of failures: how often, whom it hit, what was done about it and what that came to."""

    cause: str
    attempts: int
    job_ids: Sequence[int]
    cured: int  # of these jobs
    left: int
    lost_s: float  # core-seconds
    steps: Sequence[tuple[str, int]]  # what was changed before the next attempt, and for how many jobs
    words: Sequence[tuple[str, int]]  # what the logs or the facts say, the most frequent first, and how often
    certain: int  # attempts of which somebody who knows said so


def causes(night: Night) -> list[Cause]:
    """Give the causes of all failed attempts, that with the most jobs first."""
    by_cause: dict[str, list[Attempt]] = {}
    for attempt in night.failed():
        by_cause.setdefault(night.cause(attempt), []).append(attempt)
    found = [_cause(night, cause, attempts) for cause, attempts in by_cause.items()]
    return sorted(found, key=lambda each: (-len(each.job_ids), -each.attempts, each.cause))


def _cause(night: Night, cause: str, attempts: Sequence[Attempt]) -> Cause:
    job_ids = list(dict.fromkeys(each.job_id for each in attempts))
    fates = Counter(night.fates[job_id] for job_id in job_ids)
    steps = Counter(step for each in attempts if (step := _step(night, each)))
    verdicts = [night.facts.verdicts[each.key] for each in attempts if each.key in night.facts.verdicts]
    return Cause(
        cause,
        attempts=len(attempts),
        job_ids=job_ids,
        cured=fates[morning.CURED],
        left=fates[morning.FAILED],
        lost_s=sum(each.core_s for each in attempts),
        steps=steps.most_common(),
        words=said(verdict.words for verdict in verdicts),
        certain=sum(verdict.certainty == "certain" for verdict in verdicts),
    )


def said(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Count lines that differ in numbers alone as one; give the first of each kind, the most frequent first."""
    first: dict[str, str] = {}
    count: Counter[str] = Counter()
    for line in lines:
        if line:
            shape = _DIGITS.sub("0", line)
            first.setdefault(shape, line)
            count[shape] += 1
    return [(first[shape], number) for shape, number in count.most_common()]


def _step(night: Night, attempt: Attempt) -> str:
    """Say what the next attempt had that this one had not; '' where there was none."""
    after = night.next(attempt)
    if after is None:
        return ""
    words = morning_words
    changes = []
    if after.memory_bytes != attempt.memory_bytes:
        changes.append(f"memory {words.size(attempt.memory_bytes)} → {words.size(after.memory_bytes)}")
    if after.runtime_s != attempt.runtime_s:
        changes.append(f"time {words.span(attempt.runtime_s)} → {words.span(after.runtime_s)}")
    if changes:
        return ", ".join(changes)
    return "tried again at once" if after.run_id == attempt.run_id else "run again as it was"
