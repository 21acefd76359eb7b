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

    `head` is what stands before the counts: status, workflow_id, what was asked for, jobs_analyzed.
    """
    done = [each for each in applied if not each["already"]]
    adjustments = [_adjustment(group) for group in _grouped(done)]
    analyzed = head["jobs_analyzed"]
    rest = {key: value for key, value in head.items() if key != "jobs_analyzed"}
    return {
        "type": "correction",
        **rest,
        "resource_requirements_updated": len({each["resource_requirements_id"] for each in done}),
        "jobs_analyzed": analyzed,
        **{key: _count(done, key) for key, _ in _COUNTED},
        "adjustments": adjustments,
    }


def _count(done: list[Record], key: str) -> int:
    """Count the jobs that one counter is about: 'downsize_cpu_corrections'."""
    kind = key.removeprefix("downsize_").removesuffix("_corrections")
    direction = "downscale" if key.startswith("downsize_") else "upscale"
    return sum(each["direction"] == direction and bool(each[f"{kind}_adjusted"]) for each in done)


def _grouped(done: list[Record]) -> Iterable[list[Record]]:
    """Put together what is one change: same requirement before and after, what grows before what shrinks."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for each in done:
        key = each["direction"] != "upscale", each["previous_resource_requirements_id"]
        groups.setdefault((*key, each["resource_requirements_id"]), []).append(each)
    return (groups[key] for key in sorted(groups))


def _adjustment(group: list[Record]) -> Record:
    """Give one change in torc's form; a copy of the requirement, for some of its jobs, is named beside it."""
    first = group[0]
    made: Record = {
        "resource_requirements_id": first["previous_resource_requirements_id"],
        "direction": first["direction"],
        "job_ids": [each["job_ids"][0] for each in group],
        "job_names": [each["job_names"][0] for each in group],
    }
    peaks = {key: max((each[key] for each in group if each[key] is not None), default=None) for key in _PEAKS}
    for kind in KINDS:
        made |= _change(first, kind)
        peak = {"memory": _PEAKS[0], "cpu": _PEAKS[1]}.get(kind)
        if peak and peaks[peak] is not None:
            made[peak] = peaks[peak]
    if first["copied"] and not first["dry_run"]:
        made["new_resource_requirements_id"] = first["resource_requirements_id"]
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
