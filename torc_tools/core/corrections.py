"""What a correction of requests came to: torc's report of it, and lines for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from torc_tools.records import Record

KINDS = ("memory", "runtime", "cpu")
_VALUES = {"memory": "memory", "runtime": "runtime", "cpu": "cpus"}  # as in original_memory, new_cpus
_PEAKS = ("max_peak_memory_bytes", "max_peak_cpu_percent")
_COUNTED = (
    ("memory_corrections", "Memory corrections"),
    ("runtime_corrections", "Runtime corrections"),
    ("cpu_corrections", "CPU corrections"),
    ("downsize_memory_corrections", "Memory downsized"),
    ("downsize_runtime_corrections", "Runtime downsized"),
    ("downsize_cpu_corrections", "CPUs downsized"),
)


def report(head: Record, applied: Iterable[Record]) -> Record:
    """Give the `correction` of some `applied` records: one adjustment for each requirement and direction.

    `head` is what stands before the counts: status, workflow_id, what was asked for, jobs_analyzed. The records are
    taken one at a time: there may be very many.
    """
    counts = dict.fromkeys((key for key, _ in _COUNTED), 0)
    changes: dict[tuple[Any, ...], Record] = {}
    made: set[int] = set()
    for each in applied:
        if each["already"]:
            continue
        key = each["direction"] != "upscale", each["previous_resource_requirements_id"]
        _join(changes.setdefault((*key, each["resource_requirements_id"]), _start(each)), each)
        made.add(each["resource_requirements_id"])
        for kind in KINDS:
            prefix = "" if each["direction"] == "upscale" else "downsize_"
            counts[f"{prefix}{kind}_corrections"] += bool(each[f"{kind}_adjusted"])
    rest = {key: value for key, value in head.items() if key != "jobs_analyzed"}
    return {
        "type": "correction",
        **rest,
        "resource_requirements_updated": len(made),
        "jobs_analyzed": head["jobs_analyzed"],
        **counts,
        "adjustments": [_adjustment(changes[key]) for key in sorted(changes)],
    }


def _start(applied: Record) -> Record:
    """Begin a change: what its first job says of it, and no jobs yet."""
    return {**applied, "job_ids": [], "job_names": []}


def _join(change: Record, applied: Record) -> None:
    """Add a job to a change: all jobs with the same requirement before and after."""
    change["job_ids"] += applied["job_ids"]
    change["job_names"] += applied["job_names"]
    for peak in _PEAKS:
        known = [each for each in (change[peak], applied[peak]) if each is not None]
        change[peak] = max(known, default=None)


def _adjustment(change: Record) -> Record:
    """Give one change in torc's form; a copy of the requirement, for some of its jobs, is named beside it."""
    made: Record = {
        "resource_requirements_id": change["previous_resource_requirements_id"],
        "direction": change["direction"],
        "job_ids": change["job_ids"],
        "job_names": change["job_names"],
    }
    for kind in KINDS:
        made |= _change(change, kind)
        peak = {"memory": _PEAKS[0], "cpu": _PEAKS[1]}.get(kind)
        if peak and change[peak] is not None:
            made[peak] = change[peak]
    if change["copied"] and not change["dry_run"]:
        made["new_resource_requirements_id"] = change["resource_requirements_id"]
    return made


def _change(applied: Record, kind: str) -> Record:
    """Give what a change does to one resource; torc says nothing of CPUs that stay."""
    if not applied[f"{kind}_adjusted"]:
        return {} if kind == "cpu" else {f"{kind}_adjusted": False}
    value = _VALUES[kind]
    return {
        f"{kind}_adjusted": True,
        f"original_{value}": applied[f"original_{value}"],
        f"new_{value}": applied[f"new_{value}"],
    }


def lines(correction: Mapping[str, Any]) -> list[str]:
    """Write a `correction` for people: torc's summary, the counts that are not 0."""
    said = [
        "Resource Correction Summary:",
        f"  Workflow: {correction['workflow_id']}",
        f"  Jobs with violations: {correction['jobs_analyzed']}",
        f"  Resource requirements updated: {correction['resource_requirements_updated']}",
        *(f"  {text}: {correction[key]} job(s)" for key, text in _COUNTED if correction[key]),
    ]
    if message := correction.get("message"):
        said.append(f"  {message}")
    if correction["dry_run"]:
        said.append("  (dry-run mode - changes not applied)")
    return said


def rows(correction: Mapping[str, Any]) -> list[Record]:
    """Give the adjustments of a `correction` as rows for a table: memory '8g -> 12g', runtime, cpus."""
    return [
        {
            "requirements": each.get("new_resource_requirements_id") or each["resource_requirements_id"],
            "direction": each["direction"],
            "memory": _arrow(each, "memory"),
            "runtime": _arrow(each, "runtime"),
            "cpus": _arrow(each, "cpus"),
            "jobs": len(each["job_ids"]),
            "names": ", ".join(map(str, each["job_names"][:3])) + (", ..." if len(each["job_names"]) > 3 else ""),
        }
        for each in correction["adjustments"]
    ]


def _arrow(adjustment: Record, value: str) -> str | None:
    new = adjustment.get(f"new_{value}")
    return None if new is None else f"{adjustment[f'original_{value}']} -> {new}"
