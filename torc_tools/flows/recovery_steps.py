"""One recovery, step by step, as torc-recover and torc-watch make it: each step is another command, run as a process.

sync, look, diagnose | heuristics, hook, apply | reset, restart. Nothing changes before the plan is whole, and whatever
is interrupted is gone on with by the same command.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from torc_tools import exits, records
from torc_tools.core import pace, recovery_text, ways
from torc_tools.core.recovery_text import Plan
from torc_tools.exits import Failure
from torc_tools.flows import fold, recovery_stages
from torc_tools.flows.recovery_stages import Request
from torc_tools.records import Record
from torc_tools.shell import allocations, holders, pipeline, queries, stream


class Voice(NamedTuple):
    """How a recovery speaks: lines for people, what stages write to stderr (None: it goes through), a sign of life."""

    say: Callable[[str], None] = stream.say
    hear: Callable[[str], None] | None = None
    beat: Callable[[], None] = lambda: None


class Look(NamedTuple):
    """One look at a workflow."""

    workflow: Record
    counts: dict[str, int]
    live: list[Record]  # who may run its jobs: a worker has it, or an allocation waits for it
    engine: str = "local"
    asked: bool = False  # Slurm was asked for an allocation before, or was about to be


class Done(NamedTuple):
    """What was carried out: how many named jobs were reset, and the records to write, as lines."""

    named: int
    lines: list[bytes]


def look(request: Request) -> Look:
    """Look at the workflow; nothing on disk is changed. Raises Failure(66) where there is none."""
    db = fold.opened(request.store, request.workflow_id, read_only=True)
    with contextlib.closing(db):
        workflow_id = request.workflow_id
        return Look(
            workflow=queries.workflow(db, workflow_id),
            counts=queries.counts(db, workflow_id),
            live=holders.all_of(db, workflow_id),
            engine=allocations.engine(db, workflow_id),
            asked=bool(allocations.of_workflow(db, workflow_id)),
        )


def judge(seen: Look) -> str:
    """Say what there is to do: 'recover', 'run' (a recovery was interrupted before its end) or 'nothing'.

    Where nobody has the workflow, ready jobs are what an interrupted recovery or run left: nobody else will run them.
    Raises Failure(1) with torc's words where the workflow still moves by itself, and Failure(69) where it is not known
    whether it does: Slurm has not said what became of a submission.
    """
    at_rest = pace.at_rest(seen.counts, is_canceled=bool(seen.workflow["is_canceled"]))
    if seen.live:
        raise _busy(seen, at_rest=at_rest)
    active = seen.counts["running"] + seen.counts["pending"]
    if seen.engine == "slurm" and active and not at_rest:
        hint = f"{active} job(s) ran where Slurm has ended the allocation: whether they still do is known in 2 minutes"
        raise Failure(exits.EMPTY, recovery_text.NOT_COMPLETE, hint)
    if pace.failed(seen.counts):
        return "recover"
    if at_rest:
        return "nothing"
    if seen.workflow["run_id"] > 1 or (seen.engine == "slurm" and seen.asked):
        return "run"
    workflow_id = seen.workflow["workflow_id"]
    does = ways.go_on(workflow_id, is_slurm=seen.engine == "slurm")
    raise Failure(exits.EMPTY, recovery_text.NOT_COMPLETE, f"no worker runs it: '{does}' does")


def _busy(seen: Look, *, at_rest: bool) -> Failure:
    """Say who has the workflow."""
    kinds = [(row["kind"], row["status"]) for row in seen.live]
    names = ", ".join(map(holders.name, seen.live[:3]))
    more = f" and {len(seen.live) - 3} more" if len(seen.live) > 3 else ""
    if {status for _, status in kinds} == {"submitting"}:
        text = f"Slurm has not said yet what became of {names}{more}"
        return Failure(exits.UNAVAILABLE, f"{text}: run torc-recover again when it answers")
    return Failure(exits.EMPTY, recovery_text.busy(kinds, at_rest=at_rest), f"there is {names}{more}")


def sync(request: Request, voice: Voice) -> bool:
    """Clean up orphans, and say so where there were any; say whether Slurm's accounting has still to tell of jobs.

    Raises Failure where torc-sync fails.
    """
    output = pipeline.run(recovery_stages.sync(request), hear=voice.hear).checked()
    tell_sync(request, voice, output)
    return any(each.get("accounting_pending") and _asked(each) for each in _summaries(output))


def _summaries(output: bytes) -> list[Record]:
    return [each for each in parse(output) if each["type"] == "summary"]


def over(output: bytes) -> set[int]:
    """Give the allocations that torc-sync found to be over."""
    found = (entry for each in _summaries(output) for entry in each.get("allocations") or ())
    return {entry["allocation_id"] for entry in found if entry.get("status") in allocations.OVER}


def _asked(summary: Record) -> bool:
    """Say whether Slurm's accounting answered."""
    slurm = summary.get("slurm")
    return isinstance(slurm, dict) and slurm.get("sacct") == "ok"


def tell_sync(request: Request, voice: Voice, output: bytes) -> int:
    """Say what torc-sync did, from its output; give how many jobs it has failed, or would."""
    count = sum(
        int(each.get(key) or 0) for each in _summaries(output) for key in ("running_jobs_failed", "slurm_jobs_failed")
    )
    if count:
        verb = "[DRY RUN] Orphan cleanup would fail" if request.dry_run else "Orphan cleanup failed"
        voice.say(f"{verb} {count} job(s) whose worker is gone")
    if count and request.dry_run:
        voice.say(f"[DRY RUN] They would be recovered, too: after 'torc-sync {request.workflow_id}' this shows how")
    return count


def edited(request: Request, raw: bytes) -> tuple[bytes, str]:
    """Let the user edit the adjustments of a plan; give what came back, and the path of the file.

    Comment lines become empty ones, so that line numbers in messages are those of the file. Once it is known to be
    right it gets its frame: if we are killed while we pass it on, half of it is not applied. Raises Failure(65).
    """
    from torc_tools.shell import editor

    lines = [orjson.dumps(each).decode() for each in adjustments(raw)]
    text = "\n".join([*recovery_text.edit_header(request.workflow_id), *lines, ""])
    back, path = editor.edit(text, f"torc-recover-{request.workflow_id}-")
    kept = ["" if line.lstrip().startswith("#") else line for line in back.split("\n")]
    try:
        data = "\n".join([*kept, ""]).encode()
        parse(data)
    except Failure as failure:
        raise Failure(failure.status, f"{failure.message}: nothing was changed, the text is kept in '{path}'") from None
    return _framed_as_it_is(request.workflow_id, data), path


def _framed_as_it_is(workflow_id: int, data: bytes) -> bytes:
    """Put a frame around a plan; its begin takes the place of an empty first line: no line gets another number."""
    begin = orjson.dumps(records.begin("torc-recover", workflow_id)) + b"\n"
    end = orjson.dumps({"type": "end", "stage": "torc-recover"}) + b"\n"
    return begin + data.removeprefix(b"\n") + end


class Changing:
    """torc-apply and torc-reset, started together; each reads all it is given before it changes anything."""

    def __init__(self, request: Request, hear: Callable[[str], None] | None) -> None:
        """Start both."""
        apply, reset = recovery_stages.change(request)
        self._apply = pipeline.Pipe(apply, feed=True, hear=hear)
        self._reset = pipeline.Pipe(reset, feed=True, hear=hear)

    def finish(self, raw: bytes) -> Done:
        """Apply a plan, then reset its jobs. Where applying fails, nothing is reset. Raises Failure with its status."""
        applied = self._apply.finish(raw).checked()
        return _done(applied, self._reset.finish(applied).checked())

    def stop(self) -> None:
        """Stop what still runs."""
        self._apply.stop()
        self._reset.stop()


def carry_out(request: Request, voice: Voice, raw: bytes) -> Done:
    """Apply a plan and reset its jobs; give what was done. Raises Failure with the status of the stage that failed."""
    changing = Changing(request, voice.hear)
    try:
        return changing.finish(raw)
    finally:
        changing.stop()


def _done(applied: bytes, reset: bytes) -> Done:
    """Join what the two stages wrote: the `applied` records, then what was reset and what was passed on."""
    mine = b'{"type":"applied"'
    lines = [line for line in applied.splitlines() if line.startswith(mine)]
    lines += [line for line in unframed(reset) if not line.startswith(mine)]
    return Done(reset.count(b'"because":"named"'), lines)


def unframed(raw: bytes) -> list[bytes]:
    """Give the lines of a stream without those of its frame."""
    return [line for line in raw.splitlines() if not line.startswith((b'{"type":"begin"', b'{"type":"end"'))]


def framed(workflow_id: int, lines: Sequence[bytes]) -> bytes:
    """Make a stream of torc-recover of some lines."""
    begin = orjson.dumps(records.begin("torc-recover", workflow_id))
    end = orjson.dumps({"type": "end", "stage": "torc-recover", "count": len(lines)})
    return b"\n".join([begin, *lines, end]) + b"\n"


def adjustments(raw: bytes) -> list[Record]:
    """Give the adjustments among the records of a plan."""
    return [each for each in parse(raw) if each["type"] == "adjustment"]


def counted(raw: bytes) -> Plan:
    """Count what a plan comes to."""
    return recovery_text.plan(adjustments(raw))


def parse(raw: bytes) -> list[Record]:
    """Read records from bytes. Raises Failure(65) with the number of a bad line."""
    found = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Failure(exits.DATA, f"line {number}: not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("type"), str):
            raise Failure(exits.DATA, f"line {number}: not a record: no object with a string 'type'")
        found.append(record)
    return found
