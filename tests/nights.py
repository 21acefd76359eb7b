"""Nights for the page of the morning after: facts by hand, of any size."""

from collections.abc import Sequence
from typing import Any

import orjson
from prepared import execute

from torc_tools import states
from torc_tools.core.morning import Attempt, Facts, Job, Night, Verdict

MIB = 1 << 20
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "'\"><script>alert(2)</script>",
    "two\nlines \x1b[31m",
    "</script>&lt;",
    "\u202eevil",
)
COUNTS = dict.fromkeys(states.NAMES, 0)


def attempt(job_id: int, run_id: int = 1, attempt_id: int = 1, **more: Any) -> Attempt:
    """Give an attempt of one CPU that completed after ten seconds, but for what `more` says."""
    start = more.pop("started_at", 1000.0)
    took = more.pop("exec_time_s", 10.0)
    row: dict[str, Any] = {
        "job_id": job_id, "run_id": run_id, "attempt_id": attempt_id, "status": states.COMPLETED, "return_code": 0,
        "started_at": start, "ended_at": None if start is None else start + (took or 0.0), "exec_time_s": took,
        "peak_memory_bytes": 50 * MIB, "avg_cpu_percent": 80.0, "memory_bytes": 100 * MIB, "runtime_s": 60,
        "num_cpus": 1, "worker": "w",
    }  # fmt: skip
    return Attempt(**(row | more))


def bad(job_id: int, run_id: int = 1, attempt_id: int = 1, **more: Any) -> Attempt:
    """Give an attempt that failed with 137."""
    return attempt(job_id, run_id, attempt_id, **({"status": states.FAILED, "return_code": 137} | more))


def night(jobs: Sequence[Job], attempts: Sequence[Attempt], **more: Any) -> Night:
    """Give a night; `causes` maps (job, run, attempt) to a cause, and every failed attempt else is out of memory."""
    causes = more.pop("causes", {})
    verdicts = {
        each.key: Verdict(*causes.get(each.key, ("oom", "certain", ""))) for each in attempts if not each.is_good
    }
    found = [states.NAMES[job.status] for job in jobs]
    settled = all(states.NUMBERS[name] in states.SETTLED for name in found)
    facts: dict[str, Any] = {
        "workflow": {"workflow_id": 7, "name": "night", "description": None, "created_at": 990.0},
        "summary": {
            "is_complete": settled,
            "is_success": set(found) <= {"completed", "disabled"},
            "is_canceled": False,
            "reasons": [],
        },
        "jobs": jobs, "attempts": sorted(attempts), "verdicts": verdicts, "adjustments": [], "watched": {},
        "requirements": {1: {"name": "small", "memory_bytes": 100 * MIB, "runtime_s": 60, "num_cpus": 1}},
        "changes": [], "edges": [], "allocations": [], "engine": "local", "options": "", "now": 5000.0,
        "offset": lambda _: 0,
    }  # fmt: skip
    return Night(Facts(**(facts | more)))


def job(job_id: int, status: int = states.COMPLETED, name: str | None = None) -> Job:
    """Give a job of the requirement 'small'."""
    return Job(job_id, name or f"job_{job_id}", status, 1)


def large(count: int = 10_000) -> Night:
    """Give a night of many jobs on two hundred lanes: one in ten ran out of memory, of those one in ten for good."""
    jobs, attempts = [], []
    for number in range(1, count + 1):
        start = 1000.0 + number // 200 * 40 + number % 7
        fails = number % 10 == 0
        lost = number % 100 == 0
        jobs.append(
            job(number, states.FAILED if lost else states.COMPLETED, f"tile_{number // 100:03d}_{number % 100}")
        )
        first = {"started_at": start, "exec_time_s": 30 + number % 8, "peak_memory_bytes": (number % 97) * MIB}
        attempts.append((bad if fails else attempt)(number, **first))
        if fails:
            again = {"started_at": start + 9000, "exec_time_s": 31.0, "memory_bytes": 150 * MIB}
            attempts.append((bad if lost else attempt)(number, 2, **again))
    return night(jobs, attempts)


def adjustment(job_id: int, cause: str = "unknown", **more: Any) -> dict[str, Any]:
    """Give what torc-heuristics would say about a job: a hold that --retry-unknown overrides, but for `more`."""
    plan = {
        "action": "hold", "job_ids": [job_id], "reason": "unknown failure cause", "override": "--retry-unknown",
        "held": "unknown", "original_memory": None, "new_memory": None, "original_runtime": None, "new_runtime": None,
        "because": {"cause": cause},
    }  # fmt: skip
    return plan | more


def spoil(path: str) -> None:
    """Give the jobs of a prepared store and what they wrote texts that would be markup, where they were let."""
    quoted = ["'" + text.replace("'", "''") + "'" for text in HOSTILE]
    execute(
        path,
        *(f"UPDATE job SET name = {name} WHERE job_id = {number}" for number, name in enumerate(quoted, 1)),
        f"UPDATE workflow SET name = {quoted[0]}, description = {quoted[1]}",
        f"UPDATE resource_requirements SET name = {quoted[0]} WHERE resource_requirements_id = 1",
    )
    facts = orjson.dumps({"log_tail": "</script><script>alert(3)</script>\n"}).decode()
    execute(path, f"UPDATE result SET facts = '{facts}' WHERE job_id = 4")
