"""What the Slurm jobs of a workflow took: the steps that accounting knows as records, and their sum. Pure."""

from collections.abc import Iterable

from torc_tools import units
from torc_tools.core import accounts
from torc_tools.core.slurmtext import Step
from torc_tools.records import Record


def steps(workflow_id: int, found: Iterable[Step]) -> list[Record]:
    """Give a `slurm_step` record for each row of accounting; `job_step` is null for a job itself."""
    return [_record(workflow_id, step) for step in found]


def summary(workflow_id: int, found: Iterable[Step]) -> Record:
    """Give the `summary` of what the jobs held, from start to end: node time and CPU time, whether used or not."""
    jobs = [step for step in found if step.step is None]
    node_s = sum((step.nodes or 0) * (step.elapsed_s or 0) for step in jobs)
    cpu_s = sum((step.cpus or 0) * (step.elapsed_s or 0) for step in jobs)
    return {
        "type": "summary",
        "workflow_id": workflow_id,
        "total_slurm_jobs": len({step.job_id_raw for step in jobs}),
        "total_nodes": sum(step.nodes or 0 for step in jobs),
        "total_node_time": units.human_seconds(node_s),
        "total_node_time_seconds": node_s,
        "total_cpu_time": units.human_seconds(cpu_s),
        "total_cpu_time_seconds": cpu_s,
        "errors": [],
    }


def _record(workflow_id: int, step: Step) -> Record:
    return {
        "type": "slurm_step",
        "workflow_id": workflow_id,
        "slurm_job_id": step.job_id_raw,
        "job_step": step.step,
        "name": step.name,
        "state": step.state,
        "exit_code": accounts.exit_code(step),
        "elapsed_s": step.elapsed_s,
        "max_rss_bytes": step.max_rss_bytes,
        "total_cpu_seconds": step.total_cpu_s,
        "nodes": step.nodes,
        "num_cpus": step.cpus,
        "node_list": step.node_list,
    }
