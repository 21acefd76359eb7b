"""The user's own schedulers and actions: which of them, if any, the allocations of a job are made with."""

from collections.abc import Sequence

from torc_tools.core.allocating_facts import Action, Facts, Job, Scheduler, Size, headroom_s
from torc_tools.core.allocating_shape import gpus_of

_START, _READY, _COMPLETE = "on_workflow_start", "on_jobs_ready", "on_jobs_complete"


class Assignment:
    """Finds the scheduler and, in a workflow that has not run yet, the action that a job's allocations come from."""

    def __init__(self, facts: Facts) -> None:
        """Read the actions that lead to allocations; others have no jobs to run, or none any more."""
        self._facts = facts
        self._head = headroom_s(facts)
        known = [each for each in facts.actions if each.slurm_scheduler_id in facts.schedulers]
        self._actions = [each for each in known if each.trigger in (_START, _READY, _COMPLETE)]
        self._used: set[int] = set()  # actions that have jobs
        self._served: set[int] = set()  # schedulers that have jobs

    def of(self, job: Job) -> tuple[Scheduler | None, Action | None]:
        """Give what a job's allocations are made with: (None, None) where the user wrote nothing that concerns it."""
        user = self._facts.schedulers.get(job.slurm_scheduler_id or 0)
        action = self._action(job, user)
        if user is None and action is not None:
            user = self._facts.schedulers[action.slurm_scheduler_id]
        if user is None:
            return None, None
        self._served.add(user.slurm_scheduler_id)
        if action is None or not self._facts.fresh:
            return user, None
        self._used.add(action.action_id)
        return user, action

    def idle(self) -> list[tuple[Action, Scheduler]]:
        """Give the actions that no job was assigned to although jobs of their scheduler are pending, if they count."""
        rest = [each for each in self._actions if each.action_id not in self._used] if self._facts.fresh else []
        served = [each for each in rest if each.slurm_scheduler_id in self._served]
        return [(each, self._facts.schedulers[each.slurm_scheduler_id]) for each in served]

    def _action(self, job: Job, user: Scheduler | None) -> Action | None:
        """Give the action that a job's allocations come from: one that names it, that starts all, that follows it."""
        mine = [each for each in self._actions if user is None or each.slurm_scheduler_id == user.slurm_scheduler_id]
        above = self._facts.parents.get(job.job_id, ())
        ready = (each for each in mine if each.trigger == _READY and job.job_id in each.job_ids)
        start = (each for each in mine if each.trigger == _START and (user is not None or self._fits(job.size, each)))
        below = (each for each in mine if each.trigger == _COMPLETE and not each.job_ids.isdisjoint(above))
        return next(ready, None) or next(start, None) or next(below, None)

    def _fits(self, size: Size, action: Action) -> bool:
        """Say whether a job that names no scheduler could run in an action's allocations."""
        user = self._facts.schedulers[action.slurm_scheduler_id]
        return (
            size.num_nodes <= user.nodes
            and (not user.memory_bytes or (size.memory_bytes or 0) <= user.memory_bytes)
            and (user.walltime_s is None or (size.runtime_s or 0) + self._head <= user.walltime_s)
            and (user.gres is None or size.num_gpus <= gpus_of(user.gres))
        )


def awaited(action: Action | None, jobs: Sequence[int], facts: Facts) -> set[int]:
    """Give the jobs whose allocations have to be over before those of a group start: the parents, mostly."""
    if action is None:
        return {parent for job in jobs for parent in facts.parents.get(job, ())}
    if action.trigger == _COMPLETE:
        return set(action.job_ids)
    if action.trigger == _READY:
        return {parent for job in action.job_ids for parent in facts.parents.get(job, ())}
    return set()
