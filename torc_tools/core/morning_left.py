"""What the night left for a person: the failed jobs by what can be done about them, and the commands for it."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torc_tools import states, units
from torc_tools.core import morning_words, recovery_text, unknowns, ways
from torc_tools.core.morning import Night, Verdict
from torc_tools.core.morning_failures import said
from torc_tools.exits import Failure
from torc_tools.records import Record

UNKNOWN = "nothing says that more memory or time would help: see what it wrote, mend it, then run it again"
MOST_IDS = 20  # in a command that names jobs
_STOPPED = (states.CANCELED, states.BLOCKED)


class Command(NamedTuple):
    """A line for a shell, and what it is for."""

    label: str
    line: str


class Left(NamedTuple):
    """Jobs that are failed now and share what can be done: why they were left, and what would go on with them."""

    cause: str
    job_ids: Sequence[int]
    reason: str
    words: Sequence[tuple[str, int]]  # what their logs say, the most frequent first, and how often
    waiting: Sequence[int]  # jobs that could not run because of these alone or among others
    commands: Sequence[Command]


def left(night: Night) -> list[Left]:
    """Give what is left: the failed jobs by what can be done about them, the largest group first."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    holds = _holds(night)
    for each in night.facts.adjustments:
        job_id = each["job_ids"][0]
        plan = _held(each, holds.get(job_id))
        head = "adjust" if plan["action"] == "adjust" else str(plan["reason"]).partition(":")[0]
        key = recovery_text.cause(plan) or "unknown", head, _override(plan).partition(" ")[0]
        groups.setdefault(key, []).append(plan)
    found = [_left(night, key[0], plans) for key, plans in groups.items()]
    return sorted(found, key=lambda each: (-len(each.job_ids), each.job_ids))


def _holds(night: Night) -> dict[int, Record]:
    """Give, by job, the holds of the last watch that are about the attempt that the job is at."""
    latest = {job_id: attempts[-1].key for job_id, attempts in night.by_job.items()}
    found = {}
    for each in night.facts.watched.get("capped") or ():
        for job_id, run_id, attempt_id in each["attempts"]:
            if latest.get(job_id) == (job_id, run_id, attempt_id):
                found[job_id] = each
    return found


def _held(adjustment: Record, hold: Record | None) -> Record:
    """Give the plan for a job: what the last watch held stays held, by the limits that it had."""
    if hold is None:
        return adjustment
    return {**adjustment, "action": "hold", "reason": hold["reason"], "override": hold["override"]}


def _override(plan: Record) -> str:
    """Give what would override a hold; '' where torc-recover alone goes on."""
    return str(plan["override"] or "") if plan["action"] == "hold" else ""


def _reason(plans: Sequence[Record]) -> str:
    """Say why jobs are left."""
    first = plans[0]
    if first["action"] == "hold":
        return UNKNOWN if first["reason"] == unknowns.UNKNOWN else unknowns.detail(first) or str(first["reason"])
    if first["action"] == "retry":
        return f"not recovered yet; {first['reason']}"
    they = "it" if len(plans) == 1 else "they"
    return f"not recovered yet; {they} would get {' and '.join(_grown(plans))}"


def _grown(plans: Sequence[Record]) -> list[str]:
    """Say what a recovery would give: 'memory 48 MB → 125 MB', with 'up to' where jobs would get different sizes."""
    found = []
    for what, key, parse, write in (
        ("memory", "memory", units.parse_memory, morning_words.size),
        ("time", "runtime", units.parse_duration, morning_words.span),
    ):
        sizes = {(each[f"original_{key}"], each[f"new_{key}"]) for each in plans if each[f"new_{key}"] is not None}
        most = max((parse(new) for _, new in sizes), default=0)
        old = {parse(original) if original is not None else None for original, _ in sizes}
        if len(sizes) == 1:
            found.append(f"{what} {write(old.pop())} → {write(most)}")
        elif sizes:
            found.append(f"up to {write(most)} of {what}")
    return found


def _left(night: Night, cause: str, plans: Sequence[Record]) -> Left:
    job_ids = [each["job_ids"][0] for each in plans]
    words = said(verdict.words for job_id in job_ids if (verdict := _verdict(night, job_id)))
    return Left(
        cause,
        job_ids,
        _reason(plans),
        words[:3],
        sorted(_below(night, job_ids)),
        _commands(night, job_ids, plans),
    )


def _verdict(night: Night, job_id: int) -> Verdict | None:
    attempts = night.by_job.get(job_id)
    return night.facts.verdicts.get(attempts[-1].key) if attempts else None


def _commands(night: Night, job_ids: Sequence[int], plans: Sequence[Record]) -> list[Command]:
    """Give the commands for a group: look, override, and the same for these jobs alone."""
    facts = night.facts
    workflow_id, store = facts.workflow["workflow_id"], facts.options
    overrides = [_override(each) for each in plans]
    found = [Command("What it wrote", f"torc-jobs{store} --logs {job_ids[0]}")]
    option = overrides[0].partition(" ")[0]
    if option and not option.startswith("--"):  # a command of its own, for one job
        return [*found, Command("Run it again", overrides[0])]
    most = _most(overrides) if " " in overrides[0] else option
    recover = f"torc-recover{store} {most} {workflow_id}" if most else f"torc-recover{store} {workflow_id}"
    found.append(Command("Override" if most else "Recover", recover))
    if option == "--retry-unknown" and len(job_ids) <= MOST_IDS:
        ids = ",".join(str(job_id) for job_id in job_ids)
        go_on = ways.go_on(workflow_id, store, is_slurm=facts.engine == "slurm")
        found.append(Command("These alone", f"torc-reset{store} --job-ids {ids} && {go_on}"))
    return found


def _most(overrides: Iterable[str]) -> str:
    """Give the override that is enough for all: the largest size, time or factor."""
    return max(overrides, key=_amount)


def _amount(override: str) -> int:
    option, _, value = override.partition(" ")
    parse = {"--max-memory": units.parse_memory, "--max-runtime": units.parse_duration}.get(option, units.parse_factor)
    try:
        return parse(value)
    except Failure:
        return 0


def _below(night: Night, job_ids: Iterable[int]) -> set[int]:
    """Give the jobs that did not run because they wait for these, directly or through others."""
    children = _children(night.facts.edges)
    found: set[int] = set()
    todo = deque(job_ids)
    while todo:
        for child in children.get(todo.popleft(), ()):
            if child not in found and child in night.jobs and night.jobs[child].status in _STOPPED:
                found.add(child)
                todo.append(child)
    return found


def _children(edges: Iterable[tuple[int, int]]) -> Mapping[int, list[int]]:
    children: dict[int, list[int]] = {}
    for job_id, parent in edges:
        children.setdefault(parent, []).append(job_id)
    return children
