"""What a worker does because it is in an allocation.

It makes sure that it is the only one, takes over from its own former life after a requeue, starts a little later than
its siblings, and cancels those that are no more needed.
"""

import time
from collections.abc import Iterator, Mapping

from torc_tools import states
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import endnotes, former, layout, stream
from torc_tools.shell.claims import Claims

Life = tuple[int, int, int]  # job, run, attempt


def alone(claims: Claims, facts: Record) -> bool:
    """Claim the allocation for this Slurm job; False, with a line, where another Slurm job has it."""
    allocation_id, slurm_job_id = facts["allocation_id"], facts["slurm_job_id"]
    if slurm_job_id is None or allocation_id is None or claims.take(layout.allocation_claim(allocation_id)):
        return True
    holder = claims.holder(layout.allocation_claim(allocation_id)).get("slurm_job_id")
    if holder in (None, slurm_job_id):
        return True  # a former life of this job, or another of its nodes
    stream.say(f"torc-work: Slurm job {holder} works for allocation {allocation_id}: nothing to do here")
    return False


def delay_s(claims: Claims, first_id: int | None, allocation_id: int | None) -> float:
    """Give how long to wait before the first job, so that the allocations of one submission do not start at once.

    `first_id` is the first allocation of the submission: one that starts long after it need not wait.
    """
    if allocation_id is None or first_id is None:
        return 0.0
    from torc_tools.core import steps

    numbers = sorted({number for number, _ in claims.allocations() if number >= first_id} | {allocation_id})
    wait = steps.delay_s(numbers.index(allocation_id), len(numbers))
    return max(0.0, wait - claims.age_s(layout.allocation_claim(numbers[0]))) if wait else 0.0


def cancel_queued(claims: Claims, slurm_job_id: str, workflow_id: int) -> None:
    """Cancel the allocations that still wait: nothing is left that they could run. Those that run see it themselves.

    An id that Slurm has given to a job that is not called as ours are is left alone.
    """
    from torc_tools.core import slurmtext
    from torc_tools.shell import slurm

    others = list(dict.fromkeys(job for _, job in claims.allocations() if job != slurm_job_id))
    if not others:
        return
    try:
        found = [row for row in slurmtext.queue(slurm.squeue(others)) if row.name.startswith(f"torc_wf{workflow_id}_")]
        slurm.scancel([row.job_id for row in found if row.kind == "queued"], pending_only=True)
    except Failure as failure:
        stream.say(f"torc-work: cannot cancel the allocations that still wait: {failure}")


def other_schedulers(jobs: list[Record], scheduler_id: int | None) -> dict[int, str]:
    """Give the jobs that name another scheduler than this allocation's, with the reason why they do not run here."""
    reason = "belongs to the allocations of scheduler {}"
    return {
        job["job_id"]: reason.format(job["slurm_scheduler_id"])
        for job in jobs
        if job["slurm_scheduler_id"] not in (None, scheduler_id)
    }


class FormerLife:
    """What the lives of this Slurm job before its last requeue left behind. `waiting` until that is certain."""

    def __init__(self, workflow: Record, name: str, facts: Record) -> None:
        """Take the workflow, the name of this worker and what it is."""
        self._workflow, self._now = workflow, facts
        self._lives: list[former.Life] = []
        if facts["restart_count"] and facts["slurm_job_id"]:
            self._lives = former.lives(workflow, facts["slurm_job_id"], name)

    @property
    def waiting(self) -> bool:
        """Say whether one of them may still be at work."""
        return bool(self._lives)

    def news(self, jobs: Mapping[int, Record]) -> Iterator[Record]:
        """Give an `ended` event for every attempt that a life left running which is over now; `jobs` are by id."""
        for life in list(self._lives):
            if life.look(self._now["restart_count"]):
                self._lives.remove(life)
                for job_id, run_id, attempt_id in sorted(life.running(layout.claims_dir(self._workflow))):
                    if run_id == self._workflow["run_id"]:
                        given = jobs.get(job_id, {})
                        known = {key: given.get(key) for key in ("memory_bytes", "runtime_s", "num_cpus")}
                        yield self._lost(job_id, run_id, attempt_id) | known

    def _lost(self, job_id: int, run_id: int, attempt_id: int) -> Record:
        """Make the end of an attempt that was cut off, or that only its worker had no time to tell of."""
        now = time.time()
        where = self._workflow["output_dir"], self._workflow["workflow_id"]
        done = endnotes.read(endnotes.path(*where, (job_id, run_id, attempt_id))).is_good
        measured = ("exec_time_s", "peak_memory_bytes", "avg_memory_bytes", "peak_cpu_percent", "avg_cpu_percent")
        return {
            "type": "event",
            "event": "ended",
            "at": now,
            "workflow_id": self._workflow["workflow_id"],
            "job_id": job_id,
            "run_id": run_id,
            "attempt_id": attempt_id,
            "status": "completed" if done else "failed",
            "return_code": 0 if done else states.LOST_CODE,
            "ended_at": now,
            "reason": None if done else "lost",
            **dict.fromkeys((*measured, "signal", "log_tail")),
            "next": None if done else "requeue",
            "slurm_job_id": self._now["slurm_job_id"],
        }
