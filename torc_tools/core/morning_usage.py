"""What was asked for beside what was used, requirement by requirement: the page's table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torc_tools.core import demand
from torc_tools.core.morning import Attempt, Night
from torc_tools.records import Record

MOST_ROWS = 40


class Use(NamedTuple):
    """One resource of one requirement: what was asked for, and how the attempts that completed lie in it."""

    asked: float | None  # None: no limit
    values: Sequence[float]  # sorted; those that were measured
    fits: float | None = None  # what would have been enough, where that is not what was asked for

    def at(self, percent: int) -> float | None:
        """Give the value that so many percent of the attempts do not exceed: the nearest rank, a value that was."""
        return demand.percentile(self.values, percent)


class Row(NamedTuple):
    """One requirement: its jobs, what stands of them, and its three resources."""

    name: str
    copied_from: str | None
    jobs: int
    completed: int
    core_s: float
    memory: Use  # bytes
    time: Use  # seconds
    cpu: Use  # CPUs


def rows(night: Night) -> list[Row]:
    """Give a row for each requirement that jobs have now, that with the most work first."""
    jobs: dict[int | None, list[int]] = {}
    for job in night.facts.jobs:
        jobs.setdefault(job.resource_requirements_id, []).append(job.job_id)
    origins = _origins(night)
    found = [_row(night, row, job_ids, origins) for row, job_ids in jobs.items()]
    return sorted(found, key=lambda each: (-each.core_s, each.name))


def _origins(night: Night) -> dict[int, str]:
    """Give, by requirement row, the name of the row that it was copied from."""
    found = {}
    for change in night.facts.changes:
        origin = (change["after"] or {}).get("copy_of") if change["subject"] == "resource_requirements" else None
        if origin is not None:
            found[change["subject_id"]] = night.facts.requirements.get(origin, {}).get("name", "")
    return found


def _row(night: Night, row: int | None, job_ids: Sequence[int], origins: dict[int, str]) -> Row:
    asked = night.facts.requirements.get(row, {}) if row is not None else {}
    last = [night.by_job[job_id][-1] for job_id in job_ids if job_id in night.by_job]
    good = [each for each in last if each.is_good]
    fits = _fits(asked, good, failed=len(good) < len(job_ids))
    return Row(
        asked.get("name") or "no requirement",
        origins.get(row) if row is not None else None,
        len(job_ids),
        len(good),
        sum(each.core_s for job_id in job_ids for each in night.by_job.get(job_id, ())),
        Use(asked.get("memory_bytes"), _sorted(each.peak_memory_bytes for each in good), fits[0]),
        Use(asked.get("runtime_s"), _sorted(each.exec_time_s for each in good), fits[1]),
        Use(asked.get("num_cpus", 1), _sorted(_cpus(each) for each in good)),
    )


def _fits(asked: Record, good: Sequence[Attempt], *, failed: bool) -> tuple[float | None, float | None]:
    """Give the memory and the time that would have been enough, as torc-report --usage has it, where not asked."""
    used = [
        demand.Used(
            each.job_id,
            job_name="",
            memory=each.peak_memory_bytes,
            cpu=None,
            avg_cpu=each.avg_cpu_percent,
            time=each.exec_time_s,
            memory_limit=each.memory_bytes,
            cpus=each.num_cpus,
        )
        for each in good
    ]
    given = demand.Asked(asked.get("memory_bytes"), None, asked.get("runtime_s"))
    found = demand.fits(given, used, failed=failed)
    return _other(found["fitting_memory_bytes"], given.memory), _other(found["fitting_runtime_s"], given.time)


def _other(fits: int | None, asked: int | None) -> int | None:
    return fits if fits is not None and asked is not None and fits != asked else None


def _cpus(attempt: Attempt) -> float | None:
    return None if attempt.avg_cpu_percent is None else attempt.avg_cpu_percent / 100


def _sorted(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)
