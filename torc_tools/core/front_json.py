"""The JSON that torc's scripts read, made of our records: `id` and `name` beside our own keys. Pure.

A list is an array; torc 1.0 has it in {"items": [...]}, which TORC_JSON=items asks for.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from torc_tools import units
from torc_tools.core import front_json_slurm
from torc_tools.core.front import Called
from torc_tools.core.front_parts import each, entry, first, of, one, workflow_id
from torc_tools.records import Record


def make(shape: str, called: Called) -> Any:
    """Give the JSON value of a shape."""
    return SHAPES[shape](called)


def _sizes(record: Record) -> Record:
    """Give memory and runtime as torc writes them; null for no limit."""
    memory, runtime = record.get("memory_bytes"), record.get("runtime_s")
    return {
        "memory": None if memory is None else units.format_memory(memory),
        "runtime": None if runtime is None else units.format_duration(runtime),
    }


def _job(record: Record) -> Record:
    if not record:
        return {}
    origin = {"origin": "spawn"} if (record.get("config") or {}).get("spawned") else {}
    return {**entry(record, id=record.get("job_id"), name=record.get("job_name")), **origin}


def _requirement(record: Record) -> Record:
    ids = {"id": record.get("resource_requirements_id"), "name": record.get("name")}
    return entry(record, **ids, **_sizes(record)) if record else {}


def _workflow(record: Record) -> Record:
    if not record:
        return {}
    return {**entry(record, id=record["workflow_id"], name=record["name"]), "timestamp": _time(record["created_at"])}


def _time(at: float | None) -> str | None:
    """Write Unix seconds as torc does: UTC, ISO 8601, milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _minutes(record: Record) -> float | None:
    seconds = record.get("exec_time_s")
    return None if seconds is None else seconds / 60


def _result(record: Record) -> Record:
    if not record:
        return {}
    ends = {"exec_time_minutes": _minutes(record), "completion_time": _time(record["ended_at"])}
    return {**entry(record, id=record["result_id"]), **ends, "compute_node_id": None}


def _status(called: Called) -> Record:
    found = first(of(called, "summary"))
    if not found:
        return {}
    torcs = {"id": found["workflow_id"], "is_archived": False, "has_detected_need_to_run_completion_script": False}
    counts = {"total_jobs": found["total"], "jobs_by_status": found["counts"]}
    return {**torcs, **entry(found), **counts}


def _is_complete(called: Called) -> Record:
    found = first(of(called, "summary"))
    canceled = found.get("is_canceled")
    return {
        "is_canceled": canceled,
        "is_complete": bool(found.get("is_complete") or canceled),
        "needs_to_run_completion_script": False,
    }


def _summary(called: Called) -> Record:
    """Give what torc's `reports summary` does: counts, time that jobs took, and time from first start to last end."""
    found = first(of(called, "summary"))
    results = [record for record in called.others.get("results", ()) if record["type"] == "result"]
    minutes = sum(filter(None, map(_minutes, results)))
    starts = [record["started_at"] for record in results if record["started_at"] is not None]
    ends = [record["ended_at"] for record in results if record["ended_at"] is not None]
    wall = max(ends) - min(starts) if starts and ends else 0.0
    places = [place["status"] for place in found.get("allocations", ())]
    return {
        **_named(called),
        "total_jobs": found.get("total"),
        "jobs_by_status": found.get("counts"),
        "total_exec_time_minutes": minutes,
        "total_exec_time_formatted": units.human_seconds(minutes * 60),
        "active_compute_nodes": sum(len(place["hostnames"]) for place in found.get("allocations", ())),
        "pending_scheduled_nodes": sum(status in ("planned", "submitting", "queued") for status in places),
        "active_scheduled_nodes": places.count("active"),
        "is_complete": found.get("is_complete"),
        "is_canceled": found.get("is_canceled"),
        "walltime_seconds": wall,
        "walltime_formatted": units.human_seconds(wall),
    }


def _named(called: Called) -> Record:
    found = first(record for record in called.others.get("workflows", ()) if record["type"] == "workflow")
    return {
        "workflow_id": found.get("workflow_id", workflow_id(called)),
        "workflow_name": found.get("name"),
        "workflow_user": found.get("user"),
    }


def _report_results(called: Called) -> Record:
    found = [_result(record) for record in of(called, "result")]
    return {
        **_named(called),
        "all_runs": "--all-runs" in called.given,
        "total_results": len(found),
        "results": [{**each, "status": each["status"].title().replace("_", "")} for each in found],
    }


def _created(called: Called) -> Record:
    made = first(of(called, "workflow"))
    if made:
        message = f"Workflow created successfully with ID: {made['workflow_id']}"
        return {"message": message, "status": "success", "workflow_id": made["workflow_id"]}
    found = entry(first(of(called, "validation")))
    found.pop("workflow_id", None)
    verdict = {key: found.pop(key, None) for key in ("valid", "errors", "warnings")}
    names = {"workflow_name": found.pop("name", None), "workflow_description": found.pop("description", None)}
    jobs = [job["job_name"] for job in of(called, "job")]
    return {**verdict, "summary": {**names, **({"job_names": jobs} if jobs else {}), **found}}


def _deleted(called: Called) -> Record:
    gone = [record["workflow_id"] for record in of(called, "workflow")]
    return {"status": "success", "workflow_id": gone[0] if gone else None, "deleted": gone}


def _sync(called: Called) -> Record:
    found = entry(first(of(called, "summary")))
    if not found.get("failed_job_details"):
        found.pop("failed_job_details", None)
    return found


def _reset_status(called: Called) -> Record:
    """Give the answer of `workflows reset-status`; our reset begins a run of its own, so it has reinitialized."""
    jobs = of(called, "reset")
    named = [record["job_id"] for record in jobs if record["because"] == "named"]
    again = any(name in called.given for name in ("-r", "--reinitialize", "--reinit"))
    return {
        "failed_only": "--failed-only" in called.given,
        "messages": [f"Reset {len(named)} job(s) and {len(jobs) - len(named)} dependent(s)"],
        "operations": {"job_reset": True, "reinitialize": True if again else None, "workflow_reset": True},
        "reset_count": len(named),
        "reset_job_ids": named,
        "status": "success",
        "workflow_id": workflow_id(called),
    }


def _reset_jobs(called: Called) -> Record:
    jobs = of(called, "reset")
    named = [record["job_id"] for record in jobs if record["because"] == "named"]
    below = [entry(record, id=record["job_id"], name=record["job_name"]) for record in jobs]
    again = any(name in called.given for name in ("-r", "--reinitialize", "--reinit"))
    return {
        "workflow_id": workflow_id(called) if jobs else None,
        "dry_run": any(record["dry_run"] for record in jobs),
        "reset_count": len(named),
        "requested_job_ids": [int(word) for word in called.operands if word.isdigit()],
        "reset_job_ids": named,
        "downstream_jobs": [record for record in below if record["because"] == "dependent"],
        "failures": [],
        "next_steps": [],
        "reinit": {"requested": again, "applied": bool(jobs), "error": None},
    }


def _reinit(called: Called) -> Record:
    jobs = [entry(record, id=record["job_id"], name=record["job_name"]) for record in of(called, "reset")]
    return {"status": "success", "safe": True, "workflow_id": workflow_id(called), "reset_jobs": jobs}


def _recovery(called: Called) -> Record:
    """Give the report of `recover`: what was done, or would be."""
    applied = [record for record in called.records if record["type"] in ("applied", "adjustment")]
    causes: dict[str, list[int]] = {}
    for record in applied:
        causes.setdefault(_cause(record), []).extend(record["job_ids"])
    named = [record["job_id"] for record in of(called, "reset") if record["because"] == "named"]
    grown = [record for record in applied if record.get("new_memory") or record.get("new_runtime")]
    unknown = sorted(set(causes.get("unknown", ())))
    return {
        "workflow_id": workflow_id(called),
        "dry_run": any(name in called.given for name in ("-n", "--dry-run")),
        "memory_multiplier": float(called.given.get("--memory-multiplier") or 1.5),
        "runtime_multiplier": float(called.given.get("--runtime-multiplier") or 1.4),
        "result": {
            "oom_fixed": len(set(causes.get("oom", ()))),
            "timeout_fixed": len(set(causes.get("timeout", ()))),
            "unknown_retried": len([job for job in unknown if job in named]),
            "other_failures": len(unknown),
            "jobs_to_retry": named,
            "adjustments": [_adjustment(record) for record in grown],
        },
    }


def recovery_failed(operands: list[str], given: dict[str, str], error: str) -> Record:
    """Give what torc writes where a recovery fails."""
    number = operands[0] if operands else ""
    dry_run = any(name in given for name in ("-n", "--dry-run"))
    return {
        "dry_run": dry_run,
        "error": error,
        "workflow_id": int(number) if number.isascii() and number.isdigit() else None,
    }


def _cause(record: Record) -> str:
    if record.get("new_memory"):
        return "oom"
    return "timeout" if record.get("new_runtime") else "unknown"


def _adjustment(record: Record) -> Record:
    changed = {"memory_adjusted": bool(record.get("new_memory")), "runtime_adjusted": bool(record.get("new_runtime"))}
    return {"direction": "upscale", **changed, **entry(record)}


SHAPES: dict[str, Callable[[Called], Any]] = {
    **front_json_slurm.SHAPES,
    "jobs": each("job", _job),
    "job": one("job", _job),
    "requirements": each("requirement", _requirement),
    "requirement": one("requirement", _requirement),
    "workflows": each("workflow", _workflow),
    "workflow": one("workflow", _workflow),
    "results": each("result", _result),
    "result": one("result", _result),
    "status": _status,
    "is_complete": _is_complete,
    "summary": _summary,
    "report_results": _report_results,
    "created": _created,
    "deleted": _deleted,
    "sync": _sync,
    "reset_status": _reset_status,
    "reset_jobs": _reset_jobs,
    "reinit": _reinit,
    "recovery": _recovery,
}
