"""What torc-create shows of a spec that it does not store: its jobs and stages, or what it makes in numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torc_tools import states
from torc_tools.core.plan import Plan
from torc_tools.records import Record
from torc_tools.texts import visible


def records(plan: Plan, found: Record | None = None) -> Iterator[Record]:
    """Give a `job` record for each job, ids from 1, with the names it depends on; then a `summary` for each stage.

    Last is the `validation` record, where one is given, without the names that the jobs say themselves.
    """
    for number in range(len(plan.names)):
        yield _job(plan, number)
    for stage, count in sorted(Counter(plan.stages).items()):
        yield {"type": "summary", "workflow_id": 0, "stage": stage, "job_count": count}
    if found:
        yield {key: value for key, value in found.items() if key != "job_names"}


def _job(plan: Plan, number: int) -> Record:
    index, parents = plan.requirement[number], plan.parents[number]
    needs = plan.requirements[index] if index is not None else {}
    priority, cancels, config = plan.settings[number]
    handler, scheduler = plan.handler[number], plan.scheduler[number]
    return {
        "type": "job",
        "job_id": number + 1,
        "workflow_id": 0,
        "job_name": plan.names[number],
        "status": states.NAMES[states.BLOCKED if parents else states.READY],
        "command": plan.commands[number],
        "invocation_script": plan.scripts[number],
        "run_id": 1,
        "attempt_id": 1,
        "priority": priority,
        "cancel_on_blocking_job_failure": cancels,
        "resource_requirements_id": None if index is None else index + 1,
        "resource_requirements": needs.get("name"),
        "num_cpus": needs.get("num_cpus", 1),
        "num_gpus": needs.get("num_gpus", 0),
        "num_nodes": needs.get("num_nodes", 1),
        "memory_bytes": needs.get("memory_bytes"),
        "runtime_s": needs.get("runtime_s"),
        "failure_handler_id": None if handler is None else handler + 1,
        "slurm_scheduler_id": None if scheduler is None else scheduler + 1,
        "worker": None,
        "config": config,
        "depends_on": [plan.names[parent] for parent in sorted(parents)],
    }


def validation(spec: Any, plan: Plan | None, errors: Sequence[str], warnings: Sequence[str]) -> Record:
    """Give the `validation` record of a spec (None: unreadable) and of its plan (None: it has errors)."""
    given = spec if isinstance(spec, dict) else {}
    entries = {name: len(given[name]) if isinstance(given.get(name), list) else 0 for name in ("jobs", "files")}
    made = {
        "type": "validation",
        "workflow_id": 0,
        "valid": plan is not None,
        "name": _text(given.get("name")),
        "description": _text(given.get("description")),
        "errors": list(errors),
        "warnings": list(warnings),
    }
    return made | _counts(plan, entries) if plan is not None else made


def _counts(plan: Plan, entries: dict[str, int]) -> Record:
    return {
        "job_count": len(plan.names),
        "job_count_before_expansion": entries["jobs"],
        "file_count": len(plan.file_names),
        "file_count_before_expansion": entries["files"],
        "user_data_count": len(plan.user_data),
        "resource_requirements_count": len(plan.requirements),
        "failure_handler_count": len(plan.handlers),
        "slurm_scheduler_count": len(plan.schedulers),
        "action_count": len(plan.actions),
        "has_schedule_nodes_action": any(action["action_type"] == "schedule_nodes" for action in plan.actions),
        "dependency_count": sum(map(len, plan.parents)),
        "stage_count": max(plan.stages, default=0),
        "job_names": plan.names,
        "scheduler_names": [scheduler["name"] for scheduler in plan.schedulers],
    }


def lines(found: Record) -> Iterator[str]:
    """Write a `validation` record for people. Its errors are said elsewhere."""
    yield f"Workflow: {visible(found['name'] or '-')}"
    if found["description"]:
        yield f"Description: {visible(' '.join(found['description'].split()))}"
    if not found["valid"]:
        return
    yield ""
    for title, key in _TITLES.items():
        count, before = found[f"{key}_count"], found.get(f"{key}_count_before_expansion")
        yield f"  {title + ':':<23}{count}{f' (from {before} in the spec)' if before not in (None, count) else ''}"
    for title, key in (("Schedulers", "scheduler_names"), ("Warnings", "warnings")):
        if found[key]:
            yield from ("", f"{title}:", *(f"  {visible(each)}" for each in found[key]))
    yield from ("", "The spec is valid.")


_TITLES = {
    "Jobs": "job",
    "Files": "file",
    "User data": "user_data",
    "Resource requirements": "resource_requirements",
    "Failure handlers": "failure_handler",
    "Slurm schedulers": "slurm_scheduler",
    "Actions": "action",
    "Dependencies": "dependency",
    "Stages": "stage",
}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None
