"""Slurm jobs that are held: they wait in the queue, and Slurm starts none of them before somebody releases it."""

from collections.abc import Iterable

STATES = frozenset({"REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
_REASON = "held"  # JobHeldUser, "job requeued in held state", "launch failure limit exceeded requeued held"


def is_held(state: str | None, reason: str | None) -> bool:
    """Say whether a Slurm job is held, by the long word of its state and the reason that squeue gives."""
    return state in STATES or _REASON in (reason or "").lower()


def release(slurm_job_ids: Iterable[str | None]) -> str:
    """Give the command that releases Slurm jobs; an administrator's hold only an administrator can release."""
    return f"scontrol release {','.join(each for each in slurm_job_ids if each)}"
