"""How a watch of a workflow ends, and what it says once: allocations that are held, groups that fit nowhere."""

import contextlib
from collections.abc import Sequence
from typing import Any

from torc_tools import exits, states
from torc_tools.core import allocating_text, pace, recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.flows import fold, recovery_stages, recovery_steps
from torc_tools.flows.watcher import Ended, Watch, keep
from torc_tools.records import Record
from torc_tools.shell import jobedit, pipeline

HELPED = ("no_allocation", "not_submitted")  # reasons why a ready job waits that more allocations would end


def tell_held(watcher: Watch, state: dict[str, Any], held: Sequence[Record]) -> None:
    """Say which allocations Slurm holds, each once: they would be waited for in silence, and for ever."""
    told = state.get("held", ())
    say_all(watcher.log.say, [recovery_text.held_allocation(row) for row in held if row["allocation_id"] not in told])
    state["held"] = [row["allocation_id"] for row in held]


class Hearing:
    """Passes on what the stages of a submission say, but what fits nowhere only where that was not said before."""

    def __init__(self, watcher: Watch, state: dict[str, Any]) -> None:
        """Take what was said before from the state of the watch, where what is said now takes its place."""
        self._say, self._known, self._state = watcher.log.say, state.get("nowhere", []), state
        self._now: list[str] = []

    def __call__(self, line: str) -> None:
        """Hear a line."""
        if allocating_text.NOWHERE in line:
            self._now.append(line)
            self._state["nowhere"] = self._now
        if line not in self._known:
            self._say(line)


def was_told(watcher: Watch, state: dict[str, Any], what: str, seen: pace.Seen) -> bool:
    """Say whether a step before ended with the same word, and nothing has moved since: with --once it is told once."""
    key = [what, seen.progress]
    return watcher.once and state.get("told") == key and watcher.notices.is_told(state, key)


def stop(watcher: Watch, state: dict[str, Any], what: str, seen: pace.Seen, lines: Sequence[str]) -> Ended:
    """End in vain, as `was_told` will know it; `lines` say why."""
    watcher.notices.end(state, what, seen.progress, lines)
    state["told"] = [what, seen.progress]
    keep(watcher, state)
    return Ended(exits.EMPTY)


def nothing_fits(watcher: Watch, state: dict[str, Any], seen: pace.Seen) -> Ended:
    """End where no job that is ready fits anywhere, as `still_nowhere` will know it."""
    return stop(watcher, state, "nowhere", seen, state.get("nowhere", ()))


def still_nowhere(watcher: Watch, state: dict[str, Any], seen: pace.Seen) -> bool:
    """Say whether a step before has told that nothing fits, and that still holds."""
    if not was_told(watcher, state, "nowhere", seen):
        return False
    heard: list[str] = []
    ran = pipeline.run([*recovery_stages.go_on(watcher.request)[0], "--read-only"], hear=heard.append)
    return ran.status == exits.EMPTY and [x for x in heard if allocating_text.NOWHERE in x] == state.get("nowhere")


def end(watcher: Watch, state: dict[str, Any], step: pace.Done | pace.GiveUp, seen: pace.Seen) -> Ended:
    """Say how it ended; with --once the same end is said once."""
    what = step.why if isinstance(step, pace.GiveUp) else "done"
    if not was_told(watcher, state, what, seen):
        lines = _ending(watcher, step, seen)
        say_all(watcher.log.say, lines)
        watcher.notices.end(state, what, seen.progress, lines)
    state["told"] = [what, seen.progress]
    if isinstance(step, pace.Done):
        state["recoveries"] = state["held_jobs"] = 0
    keep(watcher, state)
    return Ended(exits.OK if isinstance(step, pace.Done) else exits.EMPTY)


def _ending(watcher: Watch, step: pace.Done | pace.GiveUp, seen: pace.Seen) -> list[str]:
    workflow_id = watcher.request.workflow_id
    complete = [f"Workflow {workflow_id} is complete"]
    if isinstance(step, pace.Done):
        return [*complete, "", f"Workflow completed successfully ({step.completed} jobs)"]
    failed = _failed(watcher)
    if step.why == "stuck":
        reasons = _reasons(watcher)
        texts = [f"  {reason.get('text')}" for reason in reasons]
        return [
            f"Workflow {workflow_id} is stuck:",
            *texts,
            *_look(workflow_id, failed),
            *_advice(watcher, seen, reasons),
        ]
    if step.why == "canceled":
        return [recovery_text.canceled(workflow_id)]
    lines = [*complete, *recovery_text.failures(seen.counts), *recovery_text.awaiting(workflow_id, seen.counts)]
    if step.why == "disabled":
        look = recovery_text.look(workflow_id, next(iter(failed), None))
        return [*lines, "", look, "Recovery disabled. To enable, use --recover flag."]
    if step.why == "retries":
        job_id = next(iter(failed), None)
        return [*lines, "", *recovery_text.retries_exceeded(workflow_id, watcher.policy.max_retries or 0, job_id)]
    return lines


def _failed(watcher: Watch) -> dict[int, int]:
    """Give the failed and terminated jobs by id, with their status."""
    with contextlib.closing(fold.opened(watcher.request.store, watcher.request.workflow_id, read_only=True)) as db:
        return jobedit.in_states(db, watcher.request.workflow_id, states.RECOVERABLE)


def _look(workflow_id: int, failed: dict[int, int]) -> list[str]:
    """Say in a workflow that is stuck which jobs failed, and how to look at them."""
    found = [(states.NAMES[each], list(failed.values()).count(each)) for each in sorted(states.RECOVERABLE)]
    shown = ", ".join(f"{count} {name}" for name, count in found if count)
    return [f"  {shown}: {recovery_text.look(workflow_id, next(iter(failed)))}"] if shown else []


def _reasons(watcher: Watch) -> list[Record]:
    """Ask torc-status why nothing moves."""
    request = watcher.request
    stage = ["torc-status", *request.store_options, "--format", "jsonl", str(request.workflow_id)]
    ran = pipeline.run(stage, hear=watcher.voice.hear)
    summaries = [each for each in recovery_steps.parse(ran.stdout) if each["type"] == "summary"]
    return [reason for each in summaries for reason in each.get("reasons") or ()]


def _advice(watcher: Watch, seen: pace.Seen, reasons: Sequence[Record]) -> list[str]:
    """Say where more allocations, or a worker, would help, and which option asks for them."""
    helped = any(reason["reason"] in HELPED for reason in reasons)
    ready = seen.counts["ready"]
    if helped and ready and not (watcher.policy.recover or watcher.policy.auto_schedule):
        nobody = [recovery_text.NO_NODES] if watcher.request.engine == "slurm" else []
        return [*nobody, f"{ready} ready jobs with no schedulers. Use --auto-schedule to regenerate."]
    return []
