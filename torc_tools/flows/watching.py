"""The loop of torc-watch: look, ask core/pace what is next, do it, wait. What it knows is stored at each step."""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from torc_tools import exits
from torc_tools.core import pace, recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.exits import Failure
from torc_tools.flows import fold, recovery_steps
from torc_tools.flows.recovery_steps import Request, Voice
from torc_tools.shell import lease, liveness, pipeline, queries, waking, watchlog, watchstate, workers


class Watch(NamedTuple):
    """One watcher: what was asked for, what it holds, and where it speaks."""

    request: Request
    policy: pace.Policy
    show_counts: bool
    held: lease.Lease
    log: watchlog.WatchLog
    once: bool
    children: list[pipeline.Child]  # those that we started and that have not been seen to end

    @property
    def voice(self) -> Voice:
        """Speak to the terminal and the log."""
        return Voice(self.log.say, self.log.say, lambda: self.held.renew(after_s=lease.BEAT_S))


class View(NamedTuple):
    """One look: what `pace` decides on, and the processes whose end is awaited."""

    seen: pace.Seen
    processes: list[waking.Process]


class Pause(NamedTuple):
    """Wait so long, or until one of these processes ends."""

    seconds: float
    processes: Sequence[waking.Process] = ()


class Ended(NamedTuple):
    """The watch is over, or with --once the step is."""

    status: int


def watch(watcher: Watch) -> int:
    """Watch a workflow to its end; give the exit status: 0 only where every job is completed."""
    state = _state(watcher)
    header(watcher)
    try:
        while True:
            following = _step_safely(watcher, state)
            if isinstance(following, Ended):
                return following.status
            _sleep(watcher, following)
    except KeyboardInterrupt:
        workflow_id = watcher.request.workflow_id
        watcher.log.say(
            f"Leaving workflow {workflow_id}: its workers go on. 'torc-watch {workflow_id}' comes back to it."
        )
        raise


def once(watcher: Watch) -> int:
    """Take one step, for cron: 75 while work goes on; silent unless something was done or became known."""
    following = _step(watcher, _state(watcher))
    return following.status if isinstance(following, Ended) else exits.TEMPORARY


def header(watcher: Watch) -> None:
    """Say what is watched, and how."""
    policy = watcher.policy
    how = recovery_text.watching(
        int(policy.poll_s),
        recover=policy.recover,
        max_retries=policy.max_retries,
        show_counts=watcher.show_counts,
    )
    watcher.log.say(f"Watching workflow {watcher.request.workflow_id} ({how})")
    if policy.auto_schedule:
        times = f"cooldown: {int(policy.cooldown_s)}s, stranded timeout: {int(policy.stranded_s)}s"
        watcher.log.say(f"Auto-schedule enabled (threshold: {policy.threshold} retry jobs, {times})")


def _state(watcher: Watch) -> dict[str, Any]:
    """Load what the last watcher kept; the clock of a watch that lasts starts now."""
    state = watchstate.load(watcher.request.store, watcher.request.workflow_id)
    if not watcher.once or "since" not in state:
        state["since"] = time.time()
    return state


def _memory(state: dict[str, Any]) -> pace.Memory:
    return pace.Memory(**{key: state[key] for key in pace.Memory._fields if key in state})


def _keep(watcher: Watch, state: dict[str, Any], memory: pace.Memory | None = None) -> None:
    state.update((memory or _memory(state))._asdict())
    state["looked_at"] = time.time()
    watchstate.save(watcher.request.store, watcher.request.workflow_id, state)


def _step_safely(watcher: Watch, state: dict[str, Any]) -> Pause | Ended:
    """Take a step; a store that is locked for long, or a stage that says so, is tried again at the next poll."""
    try:
        return _step(watcher, state)
    except lease.Lost:
        raise
    except Failure as failure:
        if failure.status != exits.TEMPORARY:
            raise
        watcher.log.say(f"torc-watch: {failure.message}; trying again at the next poll")
    except sqlite3.OperationalError as error:
        watcher.log.say(f"torc-watch: store: {error}; trying again at the next poll")
    return Pause(watcher.policy.poll_s)


def _step(watcher: Watch, state: dict[str, Any]) -> Pause | Ended:
    """Look and do what is next; give what to wait for then, or how it ended."""
    watcher.held.renew(after_s=lease.BEAT_S)
    _hear_of_children(watcher)
    recovery_steps.sync(watcher.request, watcher.voice)
    view = _look(watcher, state)
    if watcher.show_counts:
        watcher.log.say(recovery_text.counts_line(view.seen.counts))
    memory = _memory(state)
    step = pace.decide(watcher.policy, view.seen, memory)
    if isinstance(step, pace.Done | pace.GiveUp):
        return _end(watcher, state, step, view.seen)
    if isinstance(step, pace.Recover):
        return _recover(watcher, state, step, view.seen)
    if isinstance(step, pace.Start):
        watcher.log.say(f"{'Auto-schedule: ' if watcher.policy.auto_schedule else ''}{step.why}")
        watcher.log.say("Starting the workflow here...")
        return _start(watcher, state, pace.started(memory, view.seen))
    _keep(watcher, state)
    return Pause(step.seconds, view.processes)


def _look(watcher: Watch, state: dict[str, Any]) -> View:
    """Look at the workflow as torc-sync left it; a torc-run that we started counts before it has said anything."""
    request = watcher.request
    child: waking.Process = tuple(state.get("child") or (None, None, None))
    with contextlib.closing(fold.opened(request.store, request.workflow_id)) as db:
        live = [(row["hostname"], row["pid"], row["pid_start"]) for row in workers.live(db, request.workflow_id)]
        seen = pace.Seen(
            now=time.time(),
            counts=queries.counts(db, request.workflow_id),
            capacity=bool(live) or bool(liveness.alive(*child)),
            retries=watchstate.retries(db, request.workflow_id),
            progress=watchstate.progress(db, request.workflow_id),
            is_canceled=bool(queries.workflow(db, request.workflow_id)["is_canceled"]),
        )
    return View(seen, [*live, child])


def _sleep(watcher: Watch, pause: Pause) -> None:
    """Wait, in slices that keep the lease alive, until the time is over or a worker of this machine ends."""
    deadline = time.monotonic() + pause.seconds
    while (left := deadline - time.monotonic()) > 0:
        ended = waking.wait(min(left, lease.BEAT_S), pause.processes)
        watcher.held.renew(after_s=lease.BEAT_S)
        if ended:
            return


def _hear_of_children(watcher: Watch) -> None:
    """Say so where a torc-run of ours failed itself, which is another thing than that jobs failed in it."""
    for process in [each for each in watcher.children if each.poll() is not None]:
        watcher.children.remove(process)
        if process.returncode not in (exits.OK, exits.EMPTY):
            watcher.log.say(
                f"torc-run ended with exit code {process.returncode}: its words are in '{watcher.log.path}'"
            )


def _start(watcher: Watch, state: dict[str, Any], memory: pace.Memory) -> Pause:
    """Let the workflow go on: torc-run in a session of its own, which outlives us."""
    process = pipeline.background(recovery_steps.restart_stage(watcher.request), watcher.log.fd)
    watcher.children.append(process)
    child = (liveness.me()[0], process.pid, liveness.start_ticks(process.pid))
    state["child"] = child
    _keep(watcher, state, memory)
    return Pause(watcher.policy.poll_s, [child])


def _recover(watcher: Watch, state: dict[str, Any], step: pace.Recover, seen: pace.Seen) -> Pause | Ended:
    """Recover once, and let the workflow go on."""
    say, request = watcher.log.say, watcher.request
    if _still_nothing(watcher, state, seen):
        return Ended(exits.EMPTY)
    say(f"Workflow {request.workflow_id} is complete")
    say_all(say, recovery_text.failures(seen.counts))
    say_all(say, ["", recovery_text.attempt(step.attempt, watcher.policy.max_retries), ""])
    raw = recovery_steps.planned(request, watcher.voice)
    found = recovery_steps.adjustments(raw)
    counts = recovery_text.plan(found)
    say_all(say, recovery_text.proposals(found, dry_run=False))
    if not counts.again and not recovery_steps.look(request).counts["ready"]:  # the hook may have reset jobs itself
        say_all(say, recovery_text.nothing_recoverable(request.workflow_id, counts))
        state["told"] = ["nothing", seen.progress]
        _keep(watcher, state)
        return Ended(exits.EMPTY)
    memory = _memory(state)
    _keep(watcher, state, pace.recovered(memory, seen))  # it counts, even if we are killed before it is done
    if counts.again:
        _carry_out(watcher, state, raw, memory)
    say("Restarting the workflow here...")
    pause = _start(watcher, state, pace.started(_memory(state), seen))
    say_all(say, ["", "Recovery initiated. Resuming monitoring..."])
    if not watcher.once:
        say("")
        header(watcher)
    return pause


def _still_nothing(watcher: Watch, state: dict[str, Any], seen: pace.Seen) -> bool:
    """Say whether a step before has told that nothing is recoverable, and that still holds: it is told once."""
    if not watcher.once or state.get("told") != ["nothing", seen.progress]:
        return False
    raw = pipeline.run(*recovery_steps.plan_stages(watcher.request), hear=watcher.voice.hear).checked()
    return not recovery_steps.counted(raw).again


def _carry_out(watcher: Watch, state: dict[str, Any], raw: bytes, memory: pace.Memory) -> None:
    """Apply a plan and reset its jobs; where that fails, `memory` is what is known as before."""
    say_all(watcher.log.say, ["", "Resetting failed jobs..."])
    try:
        done = recovery_steps.carry_out(watcher.request, watcher.voice, raw)
    except Failure:
        _keep(watcher, state, memory)
        raise
    watcher.log.say(f"  Reset {done.named} job(s)")


def _end(watcher: Watch, state: dict[str, Any], step: pace.Done | pace.GiveUp, seen: pace.Seen) -> Ended:
    """Say how it ended; with --once the same end is said once."""
    told = [step.why if isinstance(step, pace.GiveUp) else "done", seen.progress]
    if not (watcher.once and state.get("told") == told):
        say_all(watcher.log.say, _ending(watcher, step, seen))
    state["told"] = told
    if isinstance(step, pace.Done):
        state["recoveries"] = 0
    _keep(watcher, state)
    return Ended(exits.OK if isinstance(step, pace.Done) else exits.EMPTY)


def _ending(watcher: Watch, step: pace.Done | pace.GiveUp, seen: pace.Seen) -> list[str]:
    workflow_id = watcher.request.workflow_id
    complete = [f"Workflow {workflow_id} is complete"]
    if isinstance(step, pace.Done):
        return [*complete, "", f"Workflow completed successfully ({step.completed} jobs)"]
    if step.why == "stuck":
        return [f"Workflow {workflow_id} is stuck:", *_reasons(watcher), *_advice(watcher, seen)]
    if step.why == "canceled":
        return [f"Workflow {workflow_id} is canceled"]
    lines = [*complete, *recovery_text.failures(seen.counts)]
    if step.why == "disabled":
        return [*lines, "", "Recovery disabled. To enable, use --recover flag."]
    if step.why == "retries":
        return [
            *lines,
            "",
            *recovery_text.retries_exceeded(watcher.request.workflow_id, watcher.policy.max_retries or 0),
        ]
    return lines


def _reasons(watcher: Watch) -> list[str]:
    """Ask torc-status why nothing moves."""
    request = watcher.request
    stage = ["torc-status", *request.store_options, "--format", "jsonl", str(request.workflow_id)]
    ran = pipeline.run(stage, hear=watcher.voice.hear)
    summaries = [each for each in recovery_steps.parse(ran.stdout) if each["type"] == "summary"]
    return [f"  {reason.get('text')}" for each in summaries for reason in each.get("reasons") or ()]


def _advice(watcher: Watch, seen: pace.Seen) -> list[str]:
    ready = seen.counts["ready"]
    if ready and not (watcher.policy.recover or watcher.policy.auto_schedule):
        return [f"{ready} ready jobs with no schedulers. Use --auto-schedule to regenerate."]
    return []
