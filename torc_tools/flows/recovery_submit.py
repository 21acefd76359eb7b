"""How a recovered workflow goes on under Slurm: torc-regenerate | torc-submit, for torc-recover and torc-watch."""

import contextlib
from typing import NamedTuple

from torc_tools import exits, states
from torc_tools.core import recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.exits import Failure
from torc_tools.flows import fold, recovery_stages, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Voice
from torc_tools.records import Record
from torc_tools.shell import allocations, pipeline

AGAIN = exits.UNAVAILABLE, exits.TEMPORARY, exits.IO  # what the same command may get over when it is run again


class Sent(NamedTuple):
    """What came of a submission: the lines that the stages wrote, how many allocations it brought, what went wrong."""

    lines: list[bytes]
    allocations: int
    failure: Failure | None


def send(request: Request, voice: Voice, *, rest: bool = False) -> Sent:
    """Plan allocations for the jobs that have none, submit them, and say which; `rest` only submits what was planned.

    Nothing is lost where it fails: what was planned is kept, and the same again completes it.
    """
    stages = [_rest_stage(request)] if rest else recovery_stages.go_on(request)
    ran = pipeline.run(*stages, hear=voice.hear)
    lines = recovery_steps.unframed(ran.stdout)
    made = [
        each
        for each in _whole(lines)
        if each["type"] == "submission" and each.get("status") not in (*states.UNSENT, "canceled")
    ]
    if made or not ran.status:
        say_all(voice.say, recovery_text.submitted(made))
    if not ran.status:
        return Sent(lines, len(made), None)
    return Sent(lines, len(made), Failure(ran.status, f"'{ran.stage}' failed with exit code {ran.status}", *_hint(ran)))


def _hint(ran: pipeline.Ran) -> list[str]:
    if (ran.stage, ran.status) != ("torc-regenerate", exits.EMPTY):
        return []
    return ["no job that is ready fits: 'torc-jobs set' lets one ask for less, or takes it out with '-s disabled'"]


def is_planned(request: Request) -> bool:
    """Say whether allocations are planned that were not sent."""
    with contextlib.closing(fold.opened(request.store, request.workflow_id, read_only=True)) as db:
        return bool(allocations.of_workflow(db, request.workflow_id, ("planned",)))


def _rest_stage(request: Request) -> list[str]:
    return ["torc-submit", *request.store_options, "-w", str(request.workflow_id)]


def _whole(lines: list[bytes]) -> list[Record]:
    """Read records; a line that was cut short by the end of its writer is passed over."""
    found: list[Record] = []
    for line in lines:
        try:
            found += recovery_steps.parse(line)
        except Failure:
            continue
    return found


def unfinished(failure: Failure, workflow_id: int) -> Failure:
    """Say that a recovery came as far as the submission, and how it is completed."""
    text = "the jobs are reset, and not every allocation that they need is submitted"
    return Failure(
        failure.status, f"{failure.message}: {text}", f"run torc-recover again: 'torc-recover {workflow_id}'"
    )
