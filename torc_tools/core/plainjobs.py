"""Jobs of plain Slurm accounting, which never were in a workflow, as `result` records for torc-diagnose. Pure.

A job is what sbatch, salloc or srun made; its steps say what killed it, and what it used. The time limit of the job is
its runtime. workflow_id is 0: no store has it, so nothing made of these records can be applied to a job of a store.
"""

from collections.abc import Iterable, Iterator

from torc_tools import states
from torc_tools.core import accounts, reconciling, slurmvalues
from torc_tools.core.slurmtext import Step
from torc_tools.records import Record

_STATUS = {"COMPLETED": "completed", "CANCELLED": "canceled", "TIMEOUT": "terminated", "DEADLINE": "terminated"}
_LOST = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"})  # nobody saw the end of its program
_GIB = 2**30


def results(rows: Iterable[Step]) -> Iterator[Record]:
    """Give a `result` for the last life of each job in sacct's answer, if it is over; in the order of the answer."""
    lives: dict[str, list[list[Step]]] = {}
    for row in rows:
        if row.step is None:
            lives.setdefault(row.job_id_raw, []).append([row])
        elif row.job_id_raw in lives:
            lives[row.job_id_raw][-1].append(row)
    for found in lives.values():
        job, *steps = found[-1]
        if reconciling.is_over(job.state):
            yield _result(job, steps, attempt_id=len(found))


def _result(job: Step, steps: list[Step], attempt_id: int) -> Record:
    killed = next((each for each in [job, *steps] if each.out_of_memory), None)
    word = slurmvalues.bare(job.state)
    peak = max((each.max_rss_bytes or 0 for each in steps), default=0) or None
    cpu_s, elapsed = job.total_cpu_s, job.elapsed_s
    status = "failed" if killed else _STATUS.get(word, "failed")
    return {
        "type": "result",
        "workflow_id": 0,
        "job_id": int(job.job_id_raw),
        "job_name": job.name,
        "run_id": 1,
        "attempt_id": attempt_id,
        "status": status,
        "return_code": 137 if killed else _code(job, word),
        "started_at": job.start_s,
        "ended_at": job.end_s,
        "exec_time_s": None if elapsed is None else float(elapsed),
        "peak_memory_bytes": peak,
        "peak_memory_gb": None if peak is None else peak / _GIB,
        "avg_cpu_percent": round(100 * cpu_s / elapsed, 3) if cpu_s is not None and elapsed else None,
        "memory_bytes": memory(job),
        "runtime_s": job.limit_s,
        "num_cpus": job.cpus,
        "worker": None,
        "facts": {key: value for key, value in _facts(job, killed, peak).items() if value is not None},
    }


def memory(job: Step) -> int | None:
    """Give the bytes that a job asked for on each node; None where Slurm tells none.

    Slurm 21.08 and later write the sum over all nodes; before, '4Gn' was each node's and '2Gc' each CPU's.
    """
    text, nodes = job.requested_memory or "", max(job.nodes or 1, 1)
    size = slurmvalues.size(text)
    if not size:
        return None
    if text.endswith(("n", "N")):
        return size
    return size * (job.cpus or nodes) // nodes if text.endswith(("c", "C")) else size // nodes


def _code(job: Step, word: str) -> int:
    """Give the return code as a worker would tell it."""
    if word == "TIMEOUT":
        return 152
    if word in _LOST:
        return states.LOST_CODE
    return 128 + job.signal if job.signal else job.exit_code or 0


def _facts(job: Step, killed: Step | None, peak: int | None) -> Record:
    return {
        "slurm_job_id": job.array_id or job.job_id_raw,
        "slurm_state": "OUT_OF_MEMORY" if killed else reconciling.said(job),
        "slurm_exit_code": accounts.exit_code(killed or job),
        "allocation_reason": job.reason,
        "canceled_by": None if job.by_uid is None else accounts.canceler(job.by_uid),
        "failed_node": job.failed_node,
        "node_list": job.node_list,
        "peak_source": "slurm" if peak else None,
        "peak_missing": None if peak else "the job ended before accounting looked at its steps",
        "accounting": "final",
    }
