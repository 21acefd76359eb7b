"""What Slurm's accounting adds to results: statistics of the steps, true peaks, and why a job was lost. Pure.

A step is known by its name, wf42_j7_r1_a1. A step's CANCELLED is any death by a signal, never a user's cancel. Once
accounting has the end of an allocation it has all its steps: what is not there then never comes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools import states
from torc_tools.core import reconciling, slurmvalues
from torc_tools.core.reconciling import Life, Verdict
from torc_tools.core.slurmtext import Step
from torc_tools.records import Record

STEP_LAG_S = 10.0  # so long after the end of its allocation may the record of a step still come
LAG_S = 3600.0  # after so long without a record of its allocation an attempt has no accounting
_STATS = ("max_rss_bytes", "max_vm_size_bytes", "max_disk_read_bytes", "max_disk_write_bytes", "node_list")


class Account(NamedTuple):
    """What accounting says of one attempt: facts to add, columns of its result to set, its row of statistics."""

    facts: Record
    columns: Record
    stats: Record | None
    is_oom: bool


def exit_code(step: Step) -> str | None:
    """Write an exit code as sacct does: '0:125'."""
    return None if step.exit_code is None else f"{step.exit_code}:{step.signal or 0}"


def lost(worker_job_id: str, life: Life | None, verdict: Verdict, *, alone: bool, uid: int) -> Record:
    """Give the facts about an allocation that took a job with it. `alone`: it had no other; `uid`: of this user."""
    job = life.job if life and reconciling.is_closed(life.job) else None
    facts = {
        "reason": "lost",
        "slurm_job_id": worker_job_id,
        "allocation_state": (reconciling.said(job) if job else None) or verdict.state,
        "allocation_exit_code": exit_code(job) if job else None,
        "allocation_reason": (job.reason if job and job.reason != "None" else None) or verdict.reason,
        "failed_node": job.failed_node if job else None,
        "canceled_by": canceler(job.by_uid, uid) if job and job.by_uid is not None else None,
        "was_alone": alone,
        "accounting": "pending",
    }
    return {key: value for key, value in facts.items() if value is not None}


def canceler(by_uid: int, uid: int | None = None) -> str:
    """Name who canceled; `uid`, where it is given, is that of this user."""
    name = "root" if by_uid == 0 else f"uid {by_uid}"
    return f"{name} (this user)" if by_uid == uid else name


def why(facts: Mapping[str, Any]) -> str:
    """Say in words how a job was lost with its allocation."""
    state, job_id = slurmvalues.bare(facts.get("allocation_state")), facts.get("slurm_job_id")
    said = _WORDS.get(state)
    if state == "CANCELLED":
        by = facts.get("canceled_by")
        return f"Slurm job {job_id} was canceled" + (f" by {by}" if by else "")
    if state == "NODE_FAIL" and facts.get("failed_node"):
        return f"node {facts['failed_node']} of Slurm job {job_id} failed"
    return f"Slurm job {job_id} {said or (f'ended as {state}' if state else 'is not known to Slurm any more')}"


_WORDS = {
    "TIMEOUT": "ran into its time limit",
    "NODE_FAIL": "lost a node",
    "PREEMPTED": "was preempted",
    "OUT_OF_MEMORY": "ran out of memory",
    "BOOT_FAIL": "could not be started",
    "REQUEUED": "was put back into the queue",
    "RUNNING": "goes on, without this worker",
    "COMPLETED": "ended, and its worker had not said so",
}


def account(attempt: Record, past: Sequence[Life], now: float, uid: int) -> Account | None:
    """Give what accounting has on an attempt; None: nothing final yet. `past` are the lives of its Slurm job.

    `attempt`: workflow_id job_id run_id attempt_id status return_code ended_at exec_time_s peak_memory_bytes
    slurm_job_id restart_count facts.
    """
    key = (attempt["workflow_id"], attempt["job_id"], attempt["run_id"], attempt["attempt_id"])
    life, step = _find(slurmvalues.step_name(*key), attempt, past)
    is_over = life is not None and reconciling.is_closed(life.job)
    if step is not None:
        return _with_step(attempt, life, step, uid) if is_over or reconciling.is_over(step.state) else None
    if not is_over and (past or now - (attempt["ended_at"] or now) < LAG_S):
        return None
    if life is not None and _is_expected(attempt) and now - (life.job.end_s or 0) < STEP_LAG_S:
        return None
    return _without_step(attempt, life, uid)


def out_of_memory(found: Account, code: int) -> Account:
    """Make the account of an attempt that ended well, though Slurm killed in it for memory, that of a failure."""
    columns = {**found.columns, "status": states.FAILED, "return_code": code}
    return found._replace(facts={**found.facts, "reason": "memory_limit"}, columns=columns)


def _find(name: str, attempt: Record, past: Sequence[Life]) -> tuple[Life | None, Step | None]:
    for life in reversed(past):
        if name in life.steps:
            return life, life.steps[name]
    count = attempt["restart_count"]
    if count is not None and count < len(past):
        return past[count], None
    return (past[-1] if past else None), None


def _without_step(attempt: Record, life: Life | None, uid: int) -> Account:
    """Account for an attempt that no step stands for: started directly, or accounting does not have it."""
    facts = {**_of_allocation(attempt, life, uid), "accounting": "unavailable"}
    return Account(facts, {}, _stats(attempt, None) if _is_expected(attempt) else None, is_oom=False)


def _is_expected(attempt: Record) -> bool:
    """Say whether there should be a step: a worker had asked for it, or nobody knows."""
    return bool(attempt["facts"].get("slurm_step_name")) or attempt["return_code"] == states.LOST_CODE


def _with_step(attempt: Record, life: Life | None, step: Step, uid: int) -> Account:
    facts = {
        **_of_allocation(attempt, life, uid),
        "slurm_step_id": f"{step.job_id_raw}.{step.step}",
        "slurm_state": step.state,
        "slurm_exit_code": exit_code(step),
        "accounting": "final",
    }
    if (step.max_rss_bytes or 0) > (attempt["peak_memory_bytes"] or 0):
        facts["peak_source"], facts["peak_missing"] = "slurm", None
    return Account(facts, _columns(attempt, step), _stats(attempt, step), step.out_of_memory)


def _of_allocation(attempt: Record, life: Life | None, uid: int) -> Record:
    """Tell of the allocation what a lost attempt was not told when it was lost: accounting may have been late."""
    if attempt["return_code"] != states.LOST_CODE or life is None or not reconciling.is_closed(life.job):
        return {}
    told = lost(life.job.job_id_raw, life, reconciling.NOTHING, alone=attempt["facts"].get("was_alone", False), uid=uid)
    return {key: told[key] for key in told if key.startswith(("allocation_", "failed_", "canceled_"))}


def _columns(attempt: Record, step: Step) -> Record:
    """Give the columns of the result that Slurm knows better: the larger peak, the CPU time over the run time."""
    found: Record = {}
    sampled, peak = attempt["peak_memory_bytes"] or 0, step.max_rss_bytes or 0
    if peak > sampled:
        found["peak_memory_bytes"] = peak
    elapsed = attempt["exec_time_s"] or step.elapsed_s
    if step.total_cpu_s is not None and elapsed:
        found["avg_cpu_percent"] = round(100 * step.total_cpu_s / elapsed, 3)
    if attempt["exec_time_s"] is None and step.elapsed_s is not None:  # nobody else has measured it
        found.update(exec_time_s=float(step.elapsed_s), started_at=step.start_s, ended_at=step.end_s)
    return found


def _stats(attempt: Record, step: Step | None) -> Record:
    row = {key: attempt[key] for key in ("workflow_id", "job_id", "run_id", "attempt_id", "slurm_job_id")}
    if step is None:
        return row
    return {
        **row,
        "slurm_step_id": f"{step.job_id_raw}.{step.step}",
        "slurm_state": step.state,
        "exit_code": exit_code(step),
        "elapsed_s": step.elapsed_s,
        **{key: getattr(step, key) or None for key in _STATS},  # 0 bytes: it ended before it was looked at
        "ave_cpu_seconds": step.ave_cpu_s,
        "total_cpu_seconds": step.total_cpu_s,
    }
