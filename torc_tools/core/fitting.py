"""What one job should have asked for, and what the jobs of one requirement may do without.

What is not known is never taken for little. All arithmetic is in integers, factors in thousandths.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from torc_tools import units
from torc_tools.core import heuristics, utilization
from torc_tools.core.adjusting import MOST_CPUS
from torc_tools.core.heuristics import MOST_MEMORY, MOST_RUNTIME
from torc_tools.records import Record

LEAST_MEMORY = 1 << 20  # bytes: no request falls below this
LEAST_RUNTIME = 60  # seconds
WORTH_MEMORY = 1 << 30  # bytes: a request falls by more than this, or not at all
WORTH_RUNTIME = 1800  # seconds
WHOLE_CPU = 100_000  # thousandths of a percent
CPU_NOISE = 1000 * utilization.CPU_NOISE_PERCENT  # the same of each CPU


class Policy(NamedTuple):
    """Factors in thousandths, whether requests may fall, and the jobs to look at (None: all)."""

    memory_milli: int = 1200
    cpu_milli: int = 1200
    runtime_milli: int = 1200
    downsize: bool = True
    job_ids: Collection[int] | None = None


class Use(NamedTuple):
    """What a job asks for now, and its latest attempt: what it had, how it ended and what it used (None: not known).

    Bytes and seconds; CPU in percent, 100 for each CPU. `family` is the requirement that `row` was copied from, through
    any number of copies. `status` is that of the attempt: completed, failed, ...
    """

    job_id: int
    job_name: str
    run_id: int  # of the job as it is now: what torc-apply looks at
    attempt_id: int
    row: int
    family: int
    memory: int | None
    runtime: int | None
    cpus: int
    nodes: int
    had_memory: int | None
    had_runtime: int | None
    had_cpus: int | None
    status: str | None
    return_code: int | None
    exec_s: float | None
    peak_memory: int | None
    peak_cpu: float | None
    was_warned: bool = False  # of its end, by a signal: it may have stopped before its work was done
    diagnosis: Record | None = None


class Want(NamedTuple):
    """New values for a job, None where the request stays; `violated`: it had too little, whatever can be done."""

    memory: int | None = None
    runtime: int | None = None
    cpus: int | None = None
    violated: bool = False

    def changes(self) -> bool:
        """Say whether anything is to change."""
        return (self.memory, self.runtime, self.cpus) != (None, None, None)


def more(use: Use, policy: Policy) -> Want:
    """Give what a job should have had, where it had too little."""
    if use.diagnosis is None and use.status != "completed":
        return Want()
    memory, short_of_memory = _more_memory(use, policy)
    runtime, short_of_time = _more_runtime(use, policy)
    cpus = _more_cpus(use, policy)
    return Want(memory, runtime, cpus, short_of_memory or short_of_time or cpus is not None)


def _more_memory(use: Use, policy: Policy) -> tuple[int | None, bool]:
    """Give the new memory, and whether it was too little."""
    if _failed_of(use, "oom") and (use.memory is None or use.had_memory is not None):
        return _by_heuristics(use, policy, "new_memory", units.parse_memory)
    peak = known(use.peak_memory)
    if use.memory is None or peak is None or peak <= use.memory:
        return None, False
    return _raised(use.memory, min(heuristics.memory_for(peak, policy.memory_milli), MOST_MEMORY)), True


def _more_runtime(use: Use, policy: Policy) -> tuple[int | None, bool]:
    """Give the new runtime, and whether it was too little."""
    if _failed_of(use, "timeout") and (use.runtime is None or use.had_runtime is not None):
        return _by_heuristics(use, policy, "new_runtime", units.parse_duration)
    ran = _whole_seconds(use)
    if use.runtime is None or ran is None or ran <= use.runtime:
        return None, False
    return _raised(use.runtime, min(units.scale(ran, policy.runtime_milli), MOST_RUNTIME)), True


def _more_cpus(use: Use, policy: Policy) -> int | None:
    peak = _cpu_milli(use)
    if peak is None or not _over_cpus(peak, use.cpus):
        return None
    return _raised(use.cpus, _cpus_for(peak, policy))


def _failed_of(use: Use, cause: str) -> bool:
    found = use.diagnosis
    return found is not None and found["cause"] == cause and found["certainty"] != "weak"


def _by_heuristics(use: Use, policy: Policy, key: str, parse: Callable[[str], int]) -> tuple[int | None, bool]:
    """Size a failed job as torc-heuristics does; a request that was raised since its attempt is not too little."""
    sizing = heuristics.Policy(memory_milli=policy.memory_milli, runtime_milli=policy.runtime_milli)
    planned = heuristics.adjust(use.diagnosis or {}, sizing)
    return (parse(planned[key]) if planned[key] else None), planned["action"] != "retry"


def _raised(now: int, new: int) -> int | None:
    return new if new > now else None


def had_enough(use: Use, want: Want) -> bool:
    """Say whether a job is done, and used no more than it asks for now and than its attempt had.

    The latter holds a requirement where it is until its jobs have run with what an earlier correction gave them.
    """
    ran, cpu = _whole_seconds(use), _cpu_milli(use)
    within = (
        (use.had_memory is None or (use.peak_memory or 0) <= use.had_memory)
        and (use.had_runtime is None or (ran or 0) <= use.had_runtime)
        and (use.had_cpus is None or not _over_cpus(cpu or 0, use.had_cpus))
    )
    return use.status == "completed" and use.return_code == 0 and within and not want.violated


def less(uses: Sequence[Use], policy: Policy) -> Want:
    """Give what the jobs of one requirement, all of which had enough, may do without, where that is worth it."""
    return Want(_less_memory(uses, policy), _less_runtime(uses, policy), _less_cpus(uses, policy))


def _less_memory(uses: Sequence[Use], policy: Policy) -> int | None:
    now = uses[0].memory
    peaks = [known(use.peak_memory) for use in uses]
    if now is None or None in peaks or uses[0].nodes > 1:
        return None
    new = max(heuristics.memory_for(max(peak or 0 for peak in peaks), policy.memory_milli), LEAST_MEMORY)
    return new if now - new > WORTH_MEMORY else None


def _less_runtime(uses: Sequence[Use], policy: Policy) -> int | None:
    now = uses[0].runtime
    ran = [None if use.was_warned else _whole_seconds(use) for use in uses]
    if now is None or None in ran:
        return None
    new = max(units.scale(max(each or 0 for each in ran), policy.runtime_milli), LEAST_RUNTIME)
    return new if now - new > WORTH_RUNTIME else None


def _less_cpus(uses: Sequence[Use], policy: Policy) -> int | None:
    now = uses[0].cpus
    peaks = [_cpu_milli(use) for use in uses]
    if None in peaks or uses[0].nodes > 1:
        return None
    new = _cpus_for(max(peak or 0 for peak in peaks), policy)
    return new if new < now else None


def known(peak: int | None) -> int | None:
    """Give a peak of memory; no job uses nothing, so 0 is that of a job which was never looked at."""
    return peak if peak is not None and peak > 0 else None


def _whole_seconds(use: Use) -> int | None:
    if use.exec_s is None or not 0 <= use.exec_s < MOST_RUNTIME:
        return None
    return math.ceil(use.exec_s)


def _cpu_milli(use: Use) -> int | None:
    """Give the CPU use in thousandths of a percent; that of a job that was never looked at is not known."""
    if use.peak_cpu is None or known(use.peak_memory) is None or not 0 <= use.peak_cpu < WHOLE_CPU * MOST_CPUS:
        return None
    return round(use.peak_cpu * 1000)


def _over_cpus(peak_milli: int, cpus: int) -> bool:
    return peak_milli >= cpus * (WHOLE_CPU + CPU_NOISE)


def _cpus_for(peak_milli: int, policy: Policy) -> int:
    return min(max(1, units.ceil_div(peak_milli * policy.cpu_milli, WHOLE_CPU * 1000)), MOST_CPUS)
