"""The JSON that torc's scripts read of Slurm, clusters, logs and plans: see core/front_json. Pure."""

from collections.abc import Callable
from typing import Any

from torc_tools import units
from torc_tools.core.front import Called
from torc_tools.core.front_parts import each, entry, first, of, workflow_id
from torc_tools.records import Record

_MIB = 2**20


def _allocation(record: Record) -> Record:
    return entry(record, id=record["allocation_id"], scheduler_type=record["kind"])


def _canceled(called: Called) -> Record:
    slurm = [
        int(each["slurm_job_id"]) if str(each["slurm_job_id"]).isdigit() else each["slurm_job_id"]
        for each in called.others.get("allocations", ())
        if each["type"] == "allocation" and each["status"] == "canceled" and each["slurm_job_id"]
    ]
    return {
        "canceled_slurm_jobs": slurm,
        "errors": None,
        "status": "success",
        "workflow_id": workflow_id(called),
        "dry_run": bool(first(of(called, "summary")).get("dry_run")),
    }


def _items(kind: str) -> Callable[[Called], Record]:
    """Give {"items": [...]}, as torc 0.21 does of Slurm's statistics alone; what is not known is null."""
    return lambda called: {"items": [entry(record) for record in of(called, kind)]}


def _partition(record: Record) -> Record:
    return {
        **entry(record),
        "cpus": record["cpus_per_node"],
        "memory_mb": record["memory_bytes"] // _MIB,
        "max_walltime_secs": record["max_walltime_s"],
        "explicit": record["requires_explicit_request"],
    }


def _profile(record: Record) -> Record:
    return {**entry(record), "display": record["display_name"], "partitions": record["partition_count"]}


def _shown(called: Called) -> Record:
    found = first(of(called, "profile"))
    partitions = [_partition(each) for each in of(called, "partition")]
    return {**entry(found), "partitions": partitions or found["partitions"]}


def _match(called: Called) -> Record:
    given, fits = called.given, [_partition(each) for each in of(called, "partition")]
    memory, walltime = given.get("--memory"), given.get("--walltime")
    return {
        "requirements": {
            "cpus": int(given.get("--cpus") or 0),
            "memory_mb": units.parse_memory(memory) // _MIB if memory else None,
            "walltime_secs": units.parse_duration(walltime) if walltime else None,
            "gpus": int(given.get("--gpus") or 0),
        },
        "matching_partitions": fits,
        "best_partition": next((each for each in fits if each["is_best"]), None),
    }


def _regenerated(called: Called) -> Record:
    """Give what torc says of a plan, or of what was submitted of one."""
    planned = of(called, "allocation")
    sent = [record for record in of(called, "submission") if record["slurm_job_id"]]
    groups: dict[str, Record] = {}
    for record in [*planned, *of(called, "submission")]:
        groups.setdefault(str(record.get("group")), record)
    schedulers = [_scheduler(name, record) for name, record in groups.items()]
    return {
        "workflow_id": workflow_id(called),
        "dry_run": any(name in called.given for name in ("-n", "--dry-run")),
        "pending_jobs": sum(record["job_count"] or 0 for record in schedulers),
        "planned_schedulers": schedulers,
        "schedulers_created": schedulers if sent else [],
        "total_allocations": len(planned) or len(sent),
        "allocations_submitted": len(sent),
        "allocations_deferred": sum(bool(record.get("deferred")) for record in planned),
        "submitted": bool(sent),
        "would_submit": bool(planned),
        "submissions": [entry(record) for record in sent],
        "warnings": [],
    }


def _scheduler(name: str, record: Record) -> Record:
    keys = ("account", "partition", "walltime", "nodes", "num_allocations", "job_count", "job_ids")
    waits = bool(record.get("deferred") or record.get("after_groups"))
    return {"id": None, "name": name, **{key: record.get(key) for key in keys}, "has_dependencies": waits}


def _sacct(called: Called) -> Record:
    rows = [entry(record) for record in of(called, "slurm_step")]
    jobs = {row["slurm_job_id"] for row in rows}
    found: Record = {"workflow_id": workflow_id(called), "total_slurm_jobs": len(jobs), "summary": rows, "errors": []}
    return found if rows else {"message": "No Slurm scheduled compute nodes found", **found}


def _usage(called: Called) -> Record:
    return entry(first(of(called, "summary")))


def _log_issues(called: Called) -> Record:
    issues = [entry(record) for record in of(called, "log_issue")]
    total = entry(first(of(called, "summary")))
    return {**total, "total_issues": len(issues), "issues": issues}


def _plan(called: Called) -> Record:
    return {"events": [_event(record) for record in of(called, "stage")]}


def _event(record: Record) -> Record:
    """Give an event of torc's execution plan: what happens, and which jobs become ready then."""
    waits = record["waits_for"]
    said = f"When jobs complete: {', '.join(waits)}" if waits else "Workflow start"
    return {
        "id": record["event"],
        "trigger": {"type": "JobsComplete", "data": {"jobs": waits}} if waits else {"type": "WorkflowStart"},
        "trigger_description": said,
        "scheduler_allocations": [],
        "jobs_becoming_ready": record["job_names"],
        "depends_on_events": record["depends_on"],
        "unlocks_events": record["unlocks"],
    }


def _bundled(called: Called) -> Record:
    return entry(first(of(called, "summary")))


SHAPES: dict[str, Callable[[Called], Any]] = {
    "allocations": each("allocation", _allocation),
    "profiles": each("profile", _profile),
    "profile": _shown,
    "shown": _shown,
    "partitions": each("partition", _partition),
    "match": _match,
    "canceled": _canceled,
    "stats": _items("slurm_stats"),
    "regenerated": _regenerated,
    "sacct": _sacct,
    "usage": _usage,
    "log_issues": _log_issues,
    "plan": _plan,
    "bundled": _bundled,
}
