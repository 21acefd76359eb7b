"""What torc-recover does with the steps of a recovery: the whole of it, and the restart."""

import contextlib
import os
from typing import NamedTuple

from torc_tools import exits
from torc_tools.core import recovery_text
from torc_tools.core.recovery_text import Plan, say_all
from torc_tools.exits import Failure
from torc_tools.flows import recovery_hooks, recovery_limits, recovery_stages, recovery_steps, recovery_submit
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Done, Voice
from torc_tools.shell import lease, output, pipeline, stream

RESTARTED = "Workflow restarted here."
NOT_RESTARTED = "Not restarted (--no-run): {} does it."


class Outcome(NamedTuple):
    """How a recovery ended, and whether the workflow is to go on now."""

    status: int
    restart: bool = False


def recover(request: Request, held: lease.Lease, *, interactive: bool, restart: bool) -> Outcome:
    """Recover once. Raises Failure(1) where a precondition or the hook stops it, and what a stage fails with."""
    stream.stdout()  # closed: said before anything is done
    voice = Voice(beat=lambda: held.renew(after_s=lease.BEAT_S))
    recovery_steps.sync(request, voice)
    seen = recovery_steps.look(request)
    verdict = recovery_steps.judge(seen)
    if verdict == "nothing":
        stream.say(recovery_text.nothing(seen.workflow))
        return Outcome(exits.OK)
    if verdict == "run":
        return _go_on(request, voice, seen.counts, restart=restart)
    raw, path = recovery_hooks.planned(request, voice), None
    if interactive:
        raw, path = recovery_steps.edited(request, raw)
    return _with_plan(request, voice, raw, path, restart=restart)


def _go_on(request: Request, voice: Voice, counts: dict[str, int], *, restart: bool) -> Outcome:
    """Go on with a recovery that had come as far as the reset."""
    stream.say(f"{recovery_text.goes_on(counts['ready'], request.engine)} goes on.")
    if not restart:
        stream.say(_not_restarted(request))
        return Outcome(exits.OK)
    if request.engine != "slurm":
        return Outcome(exits.OK, restart=True)
    sent = _regenerate(request, voice)
    status = receipt(request, sent.lines)
    if sent.failure:
        raise recovery_submit.unfinished(sent.failure, request.workflow_id)
    say_all(stream.say, ["", recovery_text.REGENERATED])
    return Outcome(status)


def _not_restarted(request: Request) -> str:
    return NOT_RESTARTED.format(pipeline.text(*recovery_stages.go_on(request)))


def _regenerate(request: Request, voice: Voice) -> recovery_submit.Sent:
    stream.say("Regenerating Slurm schedulers...")
    return recovery_submit.send(request, voice)


def _with_plan(request: Request, voice: Voice, raw: bytes, path: str | None, *, restart: bool) -> Outcome:
    """Carry out a plan; `path` is the file that it was edited in."""
    found = recovery_steps.adjustments(raw)
    if path is not None and not found:
        os.unlink(path)
        stream.say("The plan is empty: nothing is recovered.")
        return Outcome(exits.OK)
    counts = recovery_text.plan(found)
    say_all(stream.say, recovery_text.proposals(found, dry_run=False))
    if not counts.again and not counts.final:
        return _nothing(request, voice, counts, path, restart=restart)
    try:
        if restart and request.engine == "slurm":
            recovery_limits.check(request, voice, found)
        if counts.again:
            stream.say(f"Resetting {counts.again} job(s) for retry...")
        done = recovery_steps.carry_out(request, voice, raw)
    except Failure as failure:
        raise Failure(failure.status, failure.message + (f"; the plan is kept in '{path}'" if path else "")) from None
    if not counts.again:
        status = receipt(request, done.lines)
        return _nothing(request, voice, counts, path, restart=restart) if not status else Outcome(status)
    _forget(path)
    stream.say(f"  Reset {done.named} job(s)")
    stream.say("Reinitializing workflow...")
    return _end(request, voice, counts, done, restart=restart)


def _end(request: Request, voice: Voice, counts: Plan, done: Done, *, restart: bool) -> Outcome:
    """Submit where Slurm runs the workflow on, say what the recovery came to, and write its records."""
    lines, failure = done.lines, None
    ending = RESTARTED if restart else _not_restarted(request)
    if restart and request.engine == "slurm":
        sent = _regenerate(request, voice)
        lines, failure, ending = [*lines, *sent.lines], sent.failure, recovery_text.REGENERATED
    if failure is None:
        say_all(stream.say, recovery_text.summary(request.workflow_id, counts, done.named, ending))
    status = receipt(request, lines)
    if failure:
        raise recovery_submit.unfinished(failure, request.workflow_id)
    return Outcome(status, restart=restart and request.engine != "slurm")


def _nothing(request: Request, voice: Voice, counts: Plan, path: str | None, *, restart: bool) -> Outcome:
    """End a recovery that runs no failed job again; jobs that an interrupted one left ready go on all the same."""
    _forget(path)
    now = recovery_steps.look(request).counts
    if now["ready"]:
        return _go_on(request, voice, now, restart=restart)
    say_all(stream.say, recovery_text.nothing_recoverable(request.workflow_id, counts))
    say_all(stream.say, recovery_text.awaiting(request.workflow_id, now))
    return Outcome(exits.EMPTY)


def _forget(path: str | None) -> None:
    if path is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def receipt(request: Request, lines: list[bytes]) -> int:
    """Write the records of what was done, where a program reads them; give the status of that.

    What was carried out goes on, even where the reader has left or the disk is full.
    """
    if output.terminal() or stream.speaks():
        return exits.OK
    try:
        stream.stdout().write(recovery_steps.framed(request.workflow_id, lines))
        stream.stdout().flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return exits.PIPE
        stream.say(f"torc-recover: cannot write standard output: {error.strerror}")
        return exits.IO
    return exits.OK


def restart(request: Request, outcome: Outcome) -> int:
    """Let the workflow go on in the foreground; that jobs fail again is no failure of the recovery."""
    (stage,) = recovery_stages.go_on(request)
    status = pipeline.foreground([*stage, "--format=table"] if stream.speaks() else stage)
    if status in (exits.OK, exits.EMPTY):
        return outcome.status
    stream.say(f"torc-recover: the workflow was recovered but not run: torc-run failed with exit code {status}")
    return status


def show(request: Request, *, restart: bool) -> int:
    """Print the commands of a recovery as a line for a shell."""
    stream.stdout().write((recovery_stages.printed(request, restart=restart) + "\n").encode(errors="surrogateescape"))
    return exits.OK
