"""The names of what belongs to a workflow: event files, claims, manifests, logs, marks. Nothing is created here."""

import functools
import os

from torc_tools.records import Record


def events_dir(output_dir: str) -> str:
    """Give the folder of the event files."""
    return os.path.join(output_dir, "events")


def worker_name(workflow_id: int, run_id: int, slurm_job_id: str | None, pid: int) -> str:
    """Give a worker's name, which is the stem of its event file; each process has its own."""
    return f"wf{workflow_id}_r{run_id}_{os.uname().nodename}_{slurm_job_id or 'local'}_{pid}"


@functools.lru_cache(maxsize=1024)
def node_of(worker: str | None) -> str | None:
    """Give the node in a worker's name; None where it is no such name."""
    parts = (worker or "").split("_", 2)  # the name of a node may hold any character
    rest = parts[2].rsplit("_", 2) if len(parts) == 3 else ()
    return rest[0] if len(rest) == 3 else None


def claims_dir(workflow: Record) -> str:
    """Give the folder of the claims of a workflow; the token keeps workflows of other stores apart."""
    return os.path.join(workflow["output_dir"], "claims", f"wf{workflow['workflow_id']}_{workflow['token'][:8]}")


def claim_name(job_id: int, run_id: int, attempt_id: int) -> str:
    """Give the file name of the claim on one attempt of a job."""
    return f"{job_id}.r{run_id}.a{attempt_id}"


def allocation_claim(allocation_id: int) -> str:
    """Give the file name of the claim on an allocation: its maker's Slurm job is the one that works for it."""
    return f"allocation{allocation_id}"


def job_mark(token: str, job_id: int, run_id: int, attempt_id: int) -> str:
    """Give what TORC_JOB_MARK holds in the environment of every process of one attempt of a job."""
    return f"{token}.{claim_name(job_id, run_id, attempt_id)}"


def stdio_path(output_dir: str, ids: tuple[int, int, int, int], suffix: str) -> str:
    """Give the path of a job's output; ids are workflow, job, run, attempt; suffix is 'o', 'e' or 'log'."""
    workflow_id, job_id, run_id, attempt_id = ids
    return os.path.join(output_dir, "job_stdio", f"job_wf{workflow_id}_j{job_id}_r{run_id}_a{attempt_id}.{suffix}")


def manifest_path(workflow: Record, allocation_id: int) -> str:
    """Give the path of the job lines that the worker of an allocation reads."""
    name = f"wf{workflow['workflow_id']}_r{workflow['run_id']}_a{allocation_id}.jsonl"
    return os.path.join(workflow["output_dir"], "manifests", name)


def watch_log(output_dir: str, workflow_id: int) -> str:
    """Give the path of torc-watch's log."""
    return os.path.join(output_dir, f"watch_{os.uname().nodename}_{workflow_id}.log")


def script_path(workflow: Record, allocation_id: int) -> str:
    """Give the path of the script that sbatch is given for an allocation."""
    return os.path.join(workflow["output_dir"], "slurm_scripts", f"wf{workflow['workflow_id']}_a{allocation_id}.sh")


def slurm_output_stem(workflow: Record) -> str:
    """Give the path of what Slurm writes of an allocation, up to its job id; '.o' or '.e' follow it."""
    return os.path.join(workflow["output_dir"], f"slurm_output_wf{workflow['workflow_id']}_sl")


def submitted_path(workflow: Record) -> str:
    """Give the path of the lines that tell workers which allocations were submitted."""
    return os.path.join(claims_dir(workflow), "allocations.jsonl")
