"""What attempts used beside what they had been given: `violation` and `resource_violation` records, as torc has them.

A `violation` is one resource of one result: memory, CPU or run time. A `resource_violation` is a failed attempt with
the flags that recovery asks for; its `likely_oom` and `likely_timeout` are the verdicts of torc-diagnose, so that the
report and what recovery does never disagree. What was not measured, or not limited, is never a violation.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from torc_tools import units
from torc_tools.core import diagnosis, slurmvalues, slurmverdicts
from torc_tools.records import Record

VIOLATION = ("job_id", "job_name", "resource_type", "specified", "peak_used", "over_utilization")
CPU_NOISE_PERCENT = 1  # of a peak of CPU use: the clocks are not finer
_ALWAYS = (
    "job_id", "job_name", "return_code", "exec_time_minutes", "configured_memory", "configured_runtime",
    "configured_cpus",
)  # fmt: skip
_WHERE_SET = (
    "peak_memory_bytes", "peak_memory_formatted", "likely_oom", "memory_violation", "oom_reason",
    "memory_over_utilization", "likely_timeout", "timeout_reason", "runtime_utilization", "likely_cpu_violation",
    "likely_runtime_violation", "peak_cpu_percent",
)  # fmt: skip
_IDS = ("workflow_id", "job_id", "job_name", "run_id", "attempt_id", "status")


class Use(NamedTuple):
    """One resource of one result: how much of which limit was used, both in `unit`."""

    resource_type: str  # Memory, CPU, Runtime
    unit: str
    used: float
    limit: int

    def over_percent(self) -> float:
        """Give by how many percent of the limit the use was above it; below 0: it was within."""
        return (self.used - self.limit) * 100 / self.limit

    def shown(self) -> tuple[str, str]:
        """Write the limit and the use as torc's reports do."""
        if self.unit == "percent":
            return f"{self.limit}% ({self.limit // 100} cores)", f"{self.used:.1f}%"
        if self.unit == "seconds":
            return units.human_seconds(self.limit), units.human_seconds(self.used)
        return units.human_bytes(self.limit), units.human_bytes(int(self.used))


def uses(result: Record) -> Iterator[Use]:
    """Give each resource of a result that was both measured and limited."""
    peak, memory = result["peak_memory_bytes"], result["memory_bytes"]
    if _known(peak, memory):
        yield Use("Memory", "bytes", peak, memory)
    cpu, cpus = result["peak_cpu_percent"], result["num_cpus"]
    if _known(cpu, cpus):
        yield Use("CPU", "percent", cpu, cpus * 100)
    ran, runtime = result["exec_time_s"], result["runtime_s"]
    if _known(ran, runtime):
        yield Use("Runtime", "seconds", ran, runtime)


def violations(result: Record, least_percent: float = 1.0, *, everything: bool = False) -> Iterator[Record]:
    """Give a `violation` for each resource of a result that was over its limit by `least_percent` or more.

    `everything` gives all others, too, `is_over` being false; within the limit the percentage is negative.
    """
    for use in uses(result):
        percent = use.over_percent()
        is_over = use.used > use.limit and percent >= least_percent
        if is_over or everything:
            specified, peak_used = use.shown()
            yield {
                "type": "violation",
                **{key: result[key] for key in _IDS},
                "resource_type": use.resource_type,
                "specified": specified,
                "peak_used": peak_used,
                "over_utilization": signed(percent),
                "is_over": is_over,
                "over_percent": round(percent, 3),
                "unit": use.unit,
                "limit": use.limit,
                "used": use.used,
            }


def failure(result: Record) -> Record:
    """Give the `resource_violation` of a failed or terminated result, flags or none: `facts` are its worker's."""
    why = diagnosis.diagnose(result)
    by_kind = {use.resource_type: use for use in uses(result)}
    memory, cpu, runtime = (by_kind.get(kind) for kind in ("Memory", "CPU", "Runtime"))
    peak, ran = result["peak_memory_bytes"], result["exec_time_s"]
    is_oom, is_late = why["likely_oom"], why["likely_timeout"]
    return {
        "type": "resource_violation",
        **{key: result[key] for key in _IDS},
        "return_code": result["return_code"],
        "exec_time_s": ran,
        "exec_time_minutes": None if ran is None else ran / 60,
        "configured_memory": None if result["memory_bytes"] is None else units.format_memory(result["memory_bytes"]),
        "configured_runtime": None if result["runtime_s"] is None else units.format_duration(result["runtime_s"]),
        "configured_cpus": result["num_cpus"],
        "peak_memory_bytes": peak,
        "peak_memory_formatted": None if peak is None else units.human_bytes(peak),
        "likely_oom": is_oom,
        "memory_violation": is_oom,
        "oom_reason": _oom_reason(result, memory) if is_oom else None,
        "memory_over_utilization": signed(memory.over_percent()) if memory and _over(memory) else None,
        "likely_timeout": is_late,
        "timeout_reason": _timeout_reason(result) if is_late else None,
        "runtime_utilization": tenths(100 + runtime.over_percent()) if runtime else None,
        "likely_cpu_violation": cpu is not None and cpu.over_percent() >= CPU_NOISE_PERCENT,
        "likely_runtime_violation": _over(runtime),
        "peak_cpu_percent": result["peak_cpu_percent"],
        "cause": why["cause"],
        "certainty": why["certainty"],
    }


def torc_violation(record: Record) -> Record:
    """Give a `violation` as torc's JSON has it."""
    return {key: record[key] for key in VIOLATION}


def torc_failure(record: Record) -> Record:
    """Give a `resource_violation` as torc's JSON has it: flags that are false and facts not known are left out."""
    kept = {key: record[key] for key in _ALWAYS}
    return kept | {key: record[key] for key in _WHERE_SET if record[key] is not None and record[key] is not False}


def signed(percent: float) -> str:
    """Write by how much a use was over ('+31.3%') or under ('-12.0%') its limit; halves go away from zero."""
    return f"{'+' if percent > 0 else '-'}{tenths(abs(percent))}"


def tenths(percent: float) -> str:
    """Write a percentage from 0 on with one decimal, halves up: 31.25 is '31.3%'."""
    return f"{math.floor(percent * 10 + 0.5) / 10:.1f}%"


def _known(used: float | None, limit: int | None) -> bool:
    """Say whether a use and its limit are numbers to compare; a limit of 0 is none."""
    return used is not None and math.isfinite(used) and limit is not None and limit > 0


def _over(use: Use | None) -> bool:
    return use is not None and use.used > use.limit


def _oom_reason(result: Record, memory: Use | None) -> str:
    """Say what an out-of-memory verdict rests on, with torc's two words where they fit."""
    if _over(memory):
        return "memory_exceeded"
    if result["return_code"] == 137:
        return "sigkill_137"
    facts = result["facts"]
    said = slurmvalues.bare(facts.get("slurm_state")), facts.get("slurm_exit_code")
    return "slurm_out_of_memory" if "OUT_OF_MEMORY" in said or slurmverdicts.OOM_MARK in said else "log"


def _timeout_reason(result: Record) -> str | None:
    if result["return_code"] == 152:
        return "sigxcpu_152"
    return "slurm_timeout" if slurmvalues.bare(result["facts"].get("slurm_state")) == "TIMEOUT" else None
