"""The loop of torc-watch: look, ask core/pace what is next, do it, wait. What it knows is stored at each step."""

import sqlite3
import time
from typing import Any

from torc_tools import exits
from torc_tools.core import pace, recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.exits import Failure
from torc_tools.flows import (
    recovery_hooks,
    recovery_limits,
    recovery_stages,
    recovery_steps,
    recovery_submit,
    watch_end,
    watch_look,
)
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.watch_look import View
from torc_tools.flows.watcher import Ended, Pause, Watch, keep, load, memory_of
from torc_tools.shell import lease, liveness, pipeline, waking

PLAN_ANEW = 20  # while Slurm refuses a plan, and nothing else has changed, it is made anew every so many times
LATE_S = 300.0  # so long after the last job accounting may still say why it failed


def watch(watcher: Watch) -> int:
    """Watch a workflow to its end; give the exit status: 0 only where every job is completed."""
    state = load(watcher)
    header(watcher)
    try:
        with watcher.notices.errors(state), watcher.metrics.of(state, once=False) as ends:
            return ends(_steps(watcher, state))
    except KeyboardInterrupt:
        left = f"Leaving workflow {watcher.request.workflow_id}: its workers go on."
        watcher.log.say(f"{left} The same command comes back to it.")
        raise


def once(watcher: Watch) -> int:
    """Take one step, for cron: 75 while work goes on; silent unless something was done or became known."""
    state = load(watcher)
    with watcher.notices.errors(state), watcher.metrics.of(state, once=True) as ends:
        following = _step(watcher, state)
        status = ends(following.status if isinstance(following, Ended) else exits.TEMPORARY)
    watcher.notices.finish(state)
    return status


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


def _steps(watcher: Watch, state: dict[str, Any]) -> int:
    """Take steps until it is over; give the exit status."""
    news = watch_look.News(watcher.request)
    while True:
        news.begin()  # what is written during the step is news, too
        following = _step_safely(watcher, state)
        if isinstance(following, Ended):
            watcher.notices.finish(state)
            return following.status
        watcher.metrics.write()
        _sleep(watcher, state, following, news)


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
    pending = _sync(watcher, state)
    view = watch_look.look(watcher.request, state, accounting_pending=pending)
    watcher = watcher._replace(request=watcher.request._replace(engine=view.engine))
    if watcher.show_counts:
        watcher.log.say(recovery_text.counts_line(view.seen.counts))
    watch_end.tell_held(watcher, state, view.held)
    memory = memory_of(state)
    watcher.showing.look(view, memory)
    step = pace.decide(watcher.policy, view.seen, memory)
    if isinstance(step, pace.Done | pace.GiveUp):
        return watch_end.end(watcher, state, step, view.seen)
    if isinstance(step, pace.Recover):
        return _recover(watcher, state, step, view)
    if isinstance(step, pace.Start):
        if watch_end.still_nowhere(watcher, state, view.seen):
            return Ended(exits.EMPTY)
        watcher.log.say(f"{'Auto-schedule: ' if watcher.policy.auto_schedule else ''}{step.why}")
        return _start_or_recover(watcher, state, view)
    keep(watcher, state)
    return Pause(step.seconds, view.processes, view.allocations)


def _start_or_recover(watcher: Watch, state: dict[str, Any], view: View) -> Pause | Ended:
    """Let the workflow go on; where what is ready fits nowhere, recover what failed beside it."""
    memory, seen = memory_of(state), view.seen
    if seen.capacity and not seen.unsent:  # beside what runs, only retries are worth more
        more = (*watcher.request.plan_options, "--retries")
        watcher = watcher._replace(request=watcher.request._replace(plan_options=more))
    try:
        return _start(watcher, state, pace.started(memory, seen), rest=seen.capacity and seen.unsent > 0)
    except Failure as failure:
        step = pace.ended(watcher.policy, seen, memory)
        if failure.status != exits.EMPTY or not isinstance(step, pace.Recover) or not _runs_again(watcher):
            if failure.status == exits.EMPTY:
                watch_end.nothing_fits(watcher, state, seen)
            raise
        return _recover(watcher, state, step, view)


def _sync(watcher: Watch, state: dict[str, Any]) -> bool:
    """Run torc-sync; say whether accounting answers and has not told all yet. A warning is said once in a row."""
    heard: list[str] = []
    voice = watcher.voice._replace(hear=heard.append)
    try:
        found = recovery_steps.sync(watcher.request, voice)
    finally:
        say_all(watcher.log.say, [line for line in heard if line not in state.get("warned", ())])
        state["warned"] = heard
    return found


def _sleep(watcher: Watch, state: dict[str, Any], pause: Pause, news: watch_look.News) -> None:
    """Wait, in slices that keep the lease alive, until the time is over or the workers have ended.

    The end of a worker of this machine wakes us; that of others is looked for in the event files.
    """
    deadline = time.monotonic() + pause.seconds
    slice_s = watcher.showing.slice_s(watch_look.LOOK_S if pause.allocations else lease.BEAT_S)
    watcher.showing.wait(pause.seconds, memory_of(state))
    while (left := deadline - time.monotonic()) > 0:
        told = watcher.notices.go_on(state)
        ended = waking.wait(min(left, watch_look.LOOK_S if told else slice_s), pause.processes)
        watcher.held.renew(after_s=lease.BEAT_S)
        watcher.showing.tick()
        if ended or (pause.allocations and news.all_left()):
            return


def _hear_of_children(watcher: Watch) -> None:
    """Say so where a torc-run of ours failed itself, which is another thing than that jobs failed in it."""
    for process in [each for each in watcher.children if each.poll() is not None]:
        watcher.children.remove(process)
        if process.returncode not in (exits.OK, exits.EMPTY):
            watcher.log.say(
                f"torc-run ended with exit code {process.returncode}: its words are in '{watcher.log.path}'"
            )


def _start(
    watcher: Watch, state: dict[str, Any], memory: pace.Memory, *, verb: str = "Starting", rest: bool = False
) -> Pause:
    """Let the workflow go on: on Slurm by new allocations, here by torc-run in a session of its own, which outlives us.

    `memory` is what is known once that is done; `rest` submits only what was planned before.
    """
    if watcher.request.engine == "slurm":
        return _submit(watcher, state, memory, rest=rest)
    watcher.log.say(f"{verb} the workflow here...")
    (stage,) = recovery_stages.go_on(watcher.request)
    process = pipeline.background(stage, watcher.log.fd)
    watcher.children.append(process)
    child = (liveness.me()[0], process.pid, liveness.start_ticks(process.pid))
    state["child"] = child
    keep(watcher, state, memory)
    return Pause(watcher.policy.poll_s, [child])


def _submit(watcher: Watch, state: dict[str, Any], memory: pace.Memory, *, rest: bool) -> Pause:
    """Submit allocations. Slurm may be down: then that is said, and the next look tries it again."""
    watcher.log.say("Regenerating Slurm schedulers and submitting...")
    plan = [pipeline.text(*recovery_stages.go_on(watcher.request)), memory.started_progress]
    times = state["unsent"][1] if state.get("unsent", (None,))[0] == plan else 0
    voice = watcher.voice._replace(hear=watch_end.Hearing(watcher, state))
    sent = recovery_submit.send(watcher.request, voice, rest=rest or times % PLAN_ANEW > 0)
    failure = sent.failure
    state["unsent"] = [plan, times + 1] if failure and recovery_submit.is_planned(watcher.request) else [None, 0]
    if failure and failure.status not in recovery_submit.AGAIN:
        raise failure
    if failure:
        watcher.log.say(f"torc-watch: {failure.message}; trying again at the next poll")
    elif sent.allocations and watcher.policy.auto_schedule:
        watcher.log.say("Auto-schedule: Successfully submitted new allocations")
    keep(watcher, state, None if failure else memory)
    return Pause(watcher.policy.poll_s, (), allocations=not failure)


def _recover(watcher: Watch, state: dict[str, Any], step: pace.Recover, view: View) -> Pause | Ended:
    """Recover once, and let the workflow go on."""
    say, request, seen = watcher.log.say, watcher.request, view.seen
    if _still_nothing(watcher, state, seen):
        return Ended(exits.EMPTY)
    watcher.showing.doing(f"the recovery to be made (attempt {step.attempt})")
    if pace.at_rest(seen.counts):
        say(f"Workflow {request.workflow_id} is complete")
        say_all(say, recovery_text.failures(seen.counts))
    say_all(say, ["", recovery_text.attempt(step.attempt, watcher.policy.max_retries), ""])
    request = recovery_limits.capped(request)
    raw = recovery_hooks.planned(_asking(request, state, seen), watcher.voice)
    found = recovery_steps.adjustments(raw)
    counts = recovery_text.plan(found)
    state["capped"] = recovery_text.capped(found)  # for torc-report --html
    state["held_jobs"] = counts.held + counts.unknown_held
    say_all(say, recovery_text.proposals(found, dry_run=False))
    memory = memory_of(state)
    if counts.final and not counts.again:
        _carry_out(watcher, raw)
    if not counts.again and not recovery_steps.look(request).counts["ready"]:  # the hook may have reset jobs itself
        return _nothing(watcher, state, counts, seen)
    undo = watcher.notices.recovery(state, step.attempt, counts, recovery_text.proposals(found, dry_run=False)[1:])
    keep(watcher, state, pace.recovered(memory, seen))  # it counts, even if we are killed before it is done
    if counts.again:
        try:
            _carry_out(watcher, raw)
        except Failure:
            undo()
            keep(watcher, state, memory)
            raise
    pause = _start(watcher, state, pace.started(memory_of(state), seen), verb="Restarting")
    say_all(say, ["", "Recovery initiated. Resuming monitoring..."])
    if not watcher.once:
        say("")
        header(watcher)
    return pause


def _asking(request: Request, state: dict[str, Any], seen: pace.Seen) -> Request:
    """Give the request for a plan: while accounting is awaited a hook is asked once about the same failures."""
    return request._replace(hook_json=None) if state.pop("asked", None) == seen.progress else request


def _nothing(watcher: Watch, state: dict[str, Any], counts: recovery_text.Plan, seen: pace.Seen) -> Pause | Ended:
    """End where no failed job can be recovered; while accounting may still say why they failed, look again first."""
    if seen.unheard and seen.rested_s < LATE_S:
        watcher.log.say("Slurm's accounting has not told all yet: looking again at the next poll")
        state["asked"] = seen.progress
        keep(watcher, state)
        return Pause(watcher.policy.poll_s)
    workflow_id = watcher.request.workflow_id
    lines = recovery_text.nothing_recoverable(workflow_id, counts)
    lines += recovery_text.awaiting(workflow_id, recovery_steps.look(watcher.request).counts)
    say_all(watcher.log.say, lines)
    return watch_end.stop(watcher, state, "nothing", seen, lines)


def _still_nothing(watcher: Watch, state: dict[str, Any], seen: pace.Seen) -> bool:
    """Say whether a step before has told that nothing is recoverable, and that still holds."""
    return watch_end.was_told(watcher, state, "nothing", seen) and not _runs_again(watcher)


def _runs_again(watcher: Watch) -> bool:
    """Say whether a plan made now would run any failed job again."""
    request = recovery_limits.capped(watcher.request)
    raw = pipeline.run(*recovery_stages.plan(request), hear=watcher.voice.hear).checked()
    return recovery_steps.counted(raw).again > 0


def _carry_out(watcher: Watch, raw: bytes) -> None:
    """Apply a plan and reset its jobs."""
    again = recovery_steps.counted(raw).again
    if again:
        say_all(watcher.log.say, ["", "Resetting failed jobs..."])
    done = recovery_steps.carry_out(watcher.request, watcher.voice, raw)
    if again:
        watcher.log.say(f"  Reset {done.named} job(s)")
