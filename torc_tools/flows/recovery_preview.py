"""The preview of a recovery, torc-recover --dry-run: the street without its sinks, on copies of the store in memory."""

from typing import NamedTuple

from torc_tools import exits
from torc_tools.core import pace, recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.exits import Failure
from torc_tools.flows import recovery_hooks, recovery_once, recovery_stages, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Done, Look, Voice
from torc_tools.records import Record
from torc_tools.shell import lease, pipeline, stream


class Tried(NamedTuple):
    """What the stages said: torc-sync's output, and what torc-apply and torc-reset tried (None: there was no need)."""

    summary: bytes
    done: Done | None


class Planned(NamedTuple):
    """What torc-regenerate would plan: the lines of its records, those records, and its exit status."""

    lines: list[bytes]
    allocations: list[Record]
    status: int = exits.OK


def preview(request: Request, *, restart: bool) -> int:
    """Say what a recovery would do; the store stays as it is, byte for byte. The stages start at once.

    The status is that of the recovery, as far as what is not done lets it be known. Raises Failure as the recovery
    would: 75 where another has the workflow, 1 where it is not at rest, the status of a stage that fails.
    """
    recovery_hooks.check(request)
    lease.check(request.store, request.workflow_id)
    heard: list[str] = []
    sync = pipeline.Pipe(recovery_stages.sync(request))
    plan = pipeline.Pipe(*recovery_stages.plan(request))
    change = recovery_steps.Changing(request, heard.append)
    raw, done = b"", None
    try:
        summary = sync.finish().checked()
        seen = _as_synced(recovery_steps.look(request), recovery_steps.over(summary))
        lost = recovery_steps.tell_sync(request, Voice(), summary)
        if lost and not seen.live and not pace.failed(seen.counts):
            return exits.OK
        verdict = recovery_steps.judge(seen)
        if verdict == "nothing":
            stream.say(recovery_text.nothing(seen.workflow))
            return exits.OK
        if verdict == "recover":
            stream.say("Diagnosing failures...")
            raw = plan.finish().checked()
            _proposed(request, recovery_steps.adjustments(raw))
            done = change.finish(raw)
    finally:
        for each in (sync, plan, change):
            each.stop()
        say_all(stream.say, heard)
    return _tell(request, seen, raw, Tried(summary, done), restart=restart)


def _as_synced(seen: Look, over: set[int]) -> Look:
    """Give a look as it will be once torc-sync has written what it found: these allocations are over."""
    return seen._replace(live=[row for row in seen.live if row["allocation_id"] not in over])


def _proposed(request: Request, found: list[Record]) -> None:
    say_all(stream.say, recovery_text.proposals(found, dry_run=True))
    unknown = recovery_text.plan(found).unknown_again if request.hook else 0
    if unknown:
        stream.say(f"  {unknown} job(s) with unknown failure cause (would run recovery hook)")
    asked = sum(len(recovery_text.job_ids(each)) for each in found if recovery_text.is_unknown(each))
    if request.hook_json and asked:
        stream.say(f"  {asked} job(s) with unknown failure cause (would ask recovery hook; its answer is not known)")


def _tell(request: Request, seen: Look, raw: bytes, tried: Tried, *, restart: bool) -> int:
    """Say what would be changed and how the workflow would go on; write the records of it, where there are any."""
    counts, ready = recovery_steps.counted(raw), seen.counts["ready"]
    slurm = restart and request.engine == "slurm"
    goes_on = not counts.again and (ready > 0 or tried.done is None)
    planned = _planned(request, tried) if slurm and (goes_on or counts.again) else Planned([], [])
    schedulers = recovery_text.schedulers(planned.allocations) if slurm else []
    if goes_on:
        stream.say(f"[DRY RUN] {recovery_text.goes_on(ready, request.engine)} would go on")
        say_all(stream.say, schedulers)
    else:
        ending = "regenerate Slurm schedulers" if slurm else "restart the workflow here" if restart else ""
        say_all(stream.say, recovery_text.dry_summary(request.workflow_id, counts, ending, schedulers))
    lines = [*(tried.done.lines if tried.done else ()), *planned.lines]
    written = recovery_once.receipt(request, lines) if lines else exits.OK
    if planned.status:
        text = f"no Slurm allocation could be planned (exit code {planned.status}): nothing would be changed"
        raise Failure(planned.status, text)
    return written or (exits.OK if counts.again or goes_on else exits.EMPTY)


def _planned(request: Request, tried: Tried) -> Planned:
    """Plan for the jobs that would be reset, with the limits that they would get, and for those that are pending."""
    stage, fed = recovery_stages.preview(request), None
    done = tried.done.lines if tried.done else []
    if any(line.startswith(b'{"type":"reset"') for line in done):
        fed = recovery_steps.framed(request.workflow_id, [*recovery_steps.unframed(tried.summary), *done])
    else:
        stage = [*stage, str(request.workflow_id)]
    heard: list[str] = []
    ran = pipeline.run(stage, data=fed, hear=heard.append)
    say_all(stream.say, heard)
    lines = [line for line in recovery_steps.unframed(ran.stdout) if line.startswith(b'{"type":"allocation"')]
    made = [record for line in lines for record in recovery_steps.parse(line)]
    return Planned(lines, made, ran.status if ran.status != exits.PIPE else exits.SOFTWARE)
