"""What torc-create --dry-run shows of a plan: its `job` lines, and the stages of its graph."""

from collections import Counter
from collections.abc import Iterator

from torc_tools import states
from torc_tools.core.plan import Plan
from torc_tools.records import Record


def records(plan: Plan) -> Iterator[Record]:
    """Give a `job` record for each job, ids from 1, with the names it depends on; then a `summary` for each stage."""
    for number in range(len(plan.names)):
        yield _job(plan, number)
    for stage, count in sorted(Counter(plan.stages).items()):
        yield {"type": "summary", "workflow_id": 0, "stage": stage, "job_count": count}


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
