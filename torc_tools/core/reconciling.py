"""What Slurm's answers mean for allocations and their workers: a judgement on facts that the shell has collected.

squeue is the truth about what lives, sacct about what has ended; neither says more than it knows. A query that failed
is None here, and nothing is concluded from it. A word that this program does not know ends nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools.core import holds, slurmtext
from torc_tools.core.sbatch import Mark
from torc_tools.core.slurmtext import QueueRow, Step
from torc_tools.core.slurmvalues import bare

Marks = Mapping[str, Sequence[Mark]]  # by Slurm's id, how the allocations that are known by it are recognized

NO_MARKS: Marks = {}
AGAIN = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REQUEUED", "REVOKED"})  # it may be queued again at once
FAR = frozenset({"NODE_FAIL", "BOOT_FAIL", "REVOKED"})  # processes may live on where Slurm cannot see them
SKEW_S = 20.0  # how far a node's clock is behind the controller's, as a rule
MOST_SKEW_S = 300.0  # munge lets no more through


class Life(NamedTuple):
    """One life of a Slurm job in accounting: the line of the job, and those of its steps by name."""

    job: Step
    steps: Mapping[str, Step]


class Answers(NamedTuple):
    """What Slurm said, by job id; None: it gave no answer."""

    queue: Mapping[str, QueueRow] | None
    lives: Mapping[str, Sequence[Life]] | None  # the oldest life first


class Verdict(NamedTuple):
    """What is known of a Slurm job now; a `status` of None leaves the allocation's as it is.

    gone: what is known of the workers of its last life. 'sure': their processes are gone; 'silent': gone where they
    have been silent for long; 'no': they may live.
    """

    status: str | None = None
    state: str | None = None  # Slurm's word, 'CANCELLED by 0' included
    reason: str | None = None
    started_at: float | None = None
    ends_at: float | None = None
    gone: str = "no"
    is_held: bool = False  # queued, and Slurm will not start it by itself
    nodes: str | None = None


class Worker(NamedTuple):
    """A worker that has not said its end: its Slurm job, which life of that it is of, when it was heard of."""

    name: str
    slurm_job_id: str
    restart_count: int | None
    started_at: float | None
    heartbeat_at: float | None
    is_dead: bool  # its process is known to be gone on this machine


NOTHING = Verdict()


def queue(text: str | None, marks: Marks = NO_MARKS) -> dict[str, QueueRow] | None:
    """Read squeue's answer, by job id, without jobs of others that have been given an id of ours."""
    if text is None:
        return None
    return {row.job_id: row for row in slurmtext.queue(text) if is_ours(row, marks.get(row.job_id))}


def lives(text: str | None, marks: Marks = NO_MARKS) -> dict[str, list[Life]] | None:
    """Read sacct's answer: the lives of each job, the oldest first; a step is of the job line before it.

    Jobs of others that have, or once had, an id of ours are left out.
    """
    if text is None:
        return None
    found: dict[str, list[Life]] = {}
    last: dict[str, Life] = {}
    for row in slurmtext.accounting(text):
        job_id = row.job_id_raw
        if row.step is None:
            last[job_id] = Life(row, {})
            found.setdefault(job_id, []).extend([last[job_id]] if is_ours(row, marks.get(job_id)) else [])
        elif job_id in last:
            steps: Any = last[job_id].steps
            steps[row.name if row.step.isdigit() else row.step] = row
    return {job_id: sorted(mine, key=_age) for job_id, mine in found.items()}


def is_ours(row: QueueRow | Step, marks: Sequence[Mark] | None) -> bool:
    """Say whether a Slurm job is one of the allocations with these marks; without any, it is taken for ours."""
    return not marks or any(mark.fits(row.name, row.comment) for mark in marks)


def _age(life: Life) -> tuple[float, float]:
    return life.job.submit_s or 0.0, life.job.start_s or float("inf")


def said(job: Step) -> str:
    """Write the state of a job as sacct does: 'CANCELLED by 1000'."""
    return job.state if job.by_uid is None else f"{job.state} by {job.by_uid}"


def is_over(state: str | None) -> bool:
    """Say whether a state is one that Slurm never leaves by itself."""
    return bool(bare(state)) and slurmtext.classify(bare(state)) == "over"


def is_closed(job: Step) -> bool:
    """Say whether accounting has the end of this life of a job, whatever came after it."""
    return job.requeued or is_over(job.state)


def judge(row: Mapping[str, Any], answers: Answers, now: float, silent_s: float) -> Verdict:
    """Judge the allocation `row` (slurm_job_id, submitted_at, created_at, perhaps its mark) at the time `now`."""
    job_id, marks = row["slurm_job_id"], [row["mark"]] if row.get("mark") else None
    past = [life for life in (answers.lives or {}).get(job_id, []) if is_ours(life.job, marks)]
    if answers.queue is None:
        return _by_accounting_alone(past)
    queued = answers.queue.get(job_id)
    if queued is not None and is_ours(queued, marks):
        return _by_queue(queued, past)
    if past and is_over(past[-1].job.state):
        return _ended(said(past[-1].job), past[-1].job, None)
    if now - (row["submitted_at"] or row["created_at"]) < silent_s:
        return NOTHING  # the controller may have been asked before it knew
    return Verdict("lost", past[-1].job.state if past else None, "Slurm does not know it any more", gone="silent")


def _by_accounting_alone(past: Sequence[Life]) -> Verdict:
    """Judge while the controller does not answer: only an end that nothing follows is believed, and only in silence."""
    last = past[-1].job if past else None
    if last is None or not is_over(last.state) or bare(last.state) in AGAIN:
        return NOTHING
    return _ended(said(last), last, None)._replace(gone="silent")


def _by_queue(row: QueueRow, past: Sequence[Life]) -> Verdict:
    kind = slurmtext.classify(bare(row.state))
    held = holds.is_held(bare(row.state), row.reason)
    if kind == "queued" or (held and kind != "over"):  # one that is canceled keeps the reason why it was held
        why = row.reason if row.reason and row.reason != "None" else None
        return Verdict("queued", row.state, why or (row.state if held else None), gone="silent", is_held=held)
    if kind == "active":
        return Verdict("active", row.state, None, row.start_s, row.end_s, nodes=row.node_list)
    if kind == "over":
        last = past[-1].job if past else None
        same = last is not None and bare(last.state) == bare(row.state)
        return _ended(said(last) if last is not None and same else row.state, last if same else None, row)
    return Verdict(None, row.state, row.reason)


def _ended(state: str, job: Step | None, row: QueueRow | None) -> Verdict:
    """Make the verdict on an allocation that is over, by accounting's line, squeue's, or both."""
    reason = (job.reason if job else None) or (row.reason if row else None)
    started = (job.start_s if job else None) or (row.start_s if row else None)
    ended = (job.end_s if job else None) or (row.end_s if row else None)
    status = "canceled" if bare(state) == "CANCELLED" else "complete"
    gone = "silent" if bare(state) in FAR else "sure"
    return Verdict(status, state, None if reason == "None" else reason, started, ended, gone)


def gone(
    workers: Iterable[Worker], verdicts: Mapping[str, Verdict], answers: Answers, now: float, silent_s: float
) -> dict[str, bool]:
    """Give the workers that are gone, by name, each with whether its allocation goes on in a new life."""
    found = {}
    for worker in workers:
        verdict = verdicts.get(worker.slurm_job_id, NOTHING)
        former = _is_former(worker, verdict, answers)
        is_silent = now - (worker.heartbeat_at or worker.started_at or now) >= silent_s
        if former or verdict.gone == "silent" or (verdict.gone == "no" and worker.is_dead and verdict.status):
            if is_silent:
                found[worker.name] = former and verdict.status in ("queued", "active")
        elif verdict.gone == "sure" and (is_silent or not lags(worker, answers)):
            found[worker.name] = False
    return found


def lags(worker: Worker, answers: Answers) -> bool:
    """Say whether accounting answers but does not have the end of a worker's allocation and all its steps yet.

    It tells the causes, and which jobs ended well that their worker could not tell of any more.
    """
    if answers.lives is None:
        return False
    life = life_of(worker, answers.lives.get(worker.slurm_job_id, []))
    return life is None or not is_closed(life.job) or not all(is_over(step.state) for step in life.steps.values())


def _is_former(worker: Worker, verdict: Verdict, answers: Answers) -> bool:
    """Say whether Slurm has given the worker's job back to the queue since, or started it anew."""
    if verdict.status == "queued":
        return True
    past = (answers.lives or {}).get(worker.slurm_job_id, [])
    count, last = worker.restart_count, len(past) - 1
    if count is not None and past and count <= last:
        begun = verdict.status == "active" and bare(verdict.state) != "COMPLETING"
        return count < last or (begun and _may_follow(past[last].job))
    began = verdict.started_at if verdict.status == "active" else None
    return began is not None and worker.started_at is not None and worker.started_at < began - MOST_SKEW_S


def _may_follow(job: Step) -> bool:
    """Say whether a job that runs may be in a life after this one; after any other end squeue's word is the older."""
    return job.requeued or bare(job.state) in AGAIN


def life_of(worker: Worker, past: Sequence[Life]) -> Life | None:
    """Give the life of its job that a worker was in: by its restart count, else by the time, else the last."""
    if not past:
        return None
    if worker.restart_count is not None and worker.restart_count < len(past):
        return past[worker.restart_count]
    begun = [life for life in past if (life.job.start_s or 0) - SKEW_S <= (worker.started_at or 0)]
    return begun[-1] if begun else past[-1]
