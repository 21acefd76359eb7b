"""The few lines about a watched workflow that stay on a terminal: what runs, what is waited for, what is next."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torc_tools import units
from torc_tools.core import holds, pace, standing
from torc_tools.records import Record
from torc_tools.texts import visible

_LABEL = 13  # columns of the words on the left
_ENDED = ("completed", "failed", "terminated", "canceled", "disabled", "pending_failed")
_GOING = ("running", "pending", "ready", "blocked", "uninitialized")
_NAMED = 3  # allocations that are named in one group


class Board(NamedTuple):
    """What is known at one moment; times in Unix seconds.

    holders: who may run jobs, as rows. last: the attempt that ended last (job_id, name, status, return_code, ended_at).
    doing: what is done now; None while we wait until `until`.
    """

    workflow: Mapping[str, object]
    policy: pace.Policy
    seen: pace.Seen
    memory: pace.Memory
    holders: Sequence[Record]
    last: Record | None
    since: float
    until: float
    doing: str | None


def lines(board: Board, now: float) -> list[str]:
    """Give the lines, the most important first; control characters are visible."""
    workflow = board.workflow
    title = f"workflow {workflow['workflow_id']} ({workflow['name']}), run {workflow['run_id']}"
    parts = [
        ("jobs", jobs(board.seen.counts)),
        ("waiting for", board.doing or waiting(board, now)),
        ("next look", _next(board, now)),
        ("so far", ended(board.seen.counts)),
        ("allocations" if board.seen.can_add else "workers", holders(board.holders, now)),
        ("last ended", last(board.last, now)),
    ]
    shown = [f"{label:{_LABEL}}{text}" for label, text in parts if text]
    return [visible(line) for line in (f"-- {title}, watched for {_span(now - board.since)} --", *shown)]


def jobs(counts: Mapping[str, int]) -> str:
    """Count jobs: '44 of 100 ended, 3 running, 53 ready'."""
    number = sum(counts[name] for name in _ENDED)
    return ", ".join([f"{number} of {sum(counts.values())} ended", *_counted(counts, _GOING)])


def ended(counts: Mapping[str, int]) -> str:
    """Count the jobs that have ended: '40 completed, 4 failed'; in a line of its own, so that 80 columns show both."""
    return ", ".join(_counted(counts, _ENDED))


def _counted(counts: Mapping[str, int], names: Sequence[str]) -> list[str]:
    return [f"{counts[name]} {name.replace('_', ' ')}" for name in names if counts[name]]


def waiting(board: Board, now: float) -> str:
    """Say what a watch waits for, and why, after the words 'waiting for'."""
    seen = board.seen
    counts = seen.counts
    if pace.at_rest(counts, is_canceled=seen.is_canceled) or standing.outcome(counts)["is_success"]:
        if seen.capacity:
            return "the last workers to leave: nothing is left to run"
        return "Slurm's accounting, which has not told all yet" if seen.unheard else "nothing: all jobs have ended"
    active = counts["running"] + counts["pending"]
    if not seen.capacity:
        return _nobody(board, active, now)
    queued = [row for row in board.holders if row["status"] != "active"]
    if active:
        return f"{active} running job{_s(active)} to end"
    if queued and len(queued) == len(board.holders):
        return f"Slurm to start {_allocations(len(queued))}{_why(queued)}"
    return f"a worker to take {counts['ready']} ready job{_s(counts['ready'])}"


def _nobody(board: Board, active: int, now: float) -> str:
    """Say what is waited for where no worker is known to live."""
    policy, memory, seen = board.policy, board.memory, board.seen
    if active and not seen.counts["ready"]:
        left = max(0.0, policy.stranded_s - (now - memory.since))
        return f"a sign of life: no worker has the {active} running job{_s(active)} (given up in {_span(left)})"
    ready = seen.counts["ready"] + seen.counts["uninitialized"]
    if memory.started_at is not None and seen.progress == memory.started_progress:
        left = max(0.0, policy.cooldown_s - (now - memory.started_at))
        return (
            f"the cooldown: the last start moved nothing, {ready} ready job{_s(ready)} (next in {_span(left)} or more)"
        )
    return f"a worker: {ready} ready job{_s(ready)}, and nobody runs them"


def _next(board: Board, now: float) -> str:
    made, most = board.memory.recoveries, board.policy.max_retries
    how = "recovery off"
    if board.policy.recover:
        how = f"recoveries: {made}{'' if most is None else f' of {most}'}"
    when = "now" if board.doing or board.until <= now else f"in {_span(board.until - now)}"
    return f"{when}; {how}{'; auto-schedule on' if board.policy.auto_schedule else ''}"


def holders(rows: Sequence[Record], now: float) -> str:
    """Name who may run jobs, grouped: '2 active (7, 8; first ends in 45m 0s), 3 queued (Priority)'."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for row in sorted(rows, key=lambda row: row["status"] != "active"):
        groups.setdefault(_group(row), []).append(row)
    return ", ".join(_named(status, why, group, now) for (status, why), group in groups.items()) or "none"


def _group(row: Record) -> tuple[str, str]:
    """Give the status that a row is counted under, and Slurm's reason."""
    if row["kind"] != "slurm" or row["status"] == "active":
        return "active", ""
    held = holds.is_held(row["slurm_state"], row["slurm_reason"])
    return "held" if held else str(row["status"]), str(row["slurm_reason"] or "")


def _named(status: str, why: str, group: Sequence[Record], now: float) -> str:
    names = [_name(row) for row in group]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    ends = min((row["ends_at"] for row in group if row.get("ends_at")), default=None) if status == "active" else None
    parts = [why, shown] if why else [shown]
    parts += [f"{'first ' * (len(group) > 1)}ends in {_span(max(0.0, ends - now))}"] if ends else []
    return f"{len(group)} {status} ({'; '.join(parts)})"


def _name(row: Record) -> str:
    if row["kind"] == "slurm":
        return str(row["slurm_job_id"] or f"allocation {row['allocation_id']}")
    return f"pid {row['pid']} on {row['hostname']}"


def _why(rows: Sequence[Record]) -> str:
    """Give Slurm's reasons, each once."""
    reasons = dict.fromkeys(str(row["slurm_reason"]) for row in rows if row.get("slurm_reason"))
    return f" ({', '.join(reasons)})" if reasons else ""


def last(ended: Record | None, now: float) -> str:
    """Name the attempt that ended last: 'job 12: failed with 3, 5s ago (train)'; a long name is cut, and no more."""
    if ended is None:
        return ""
    code = f" with {ended['return_code']}" if ended["return_code"] else ""
    ago = "" if ended["ended_at"] is None else f", {_span(max(0.0, now - ended['ended_at']))} ago"
    return f"job {ended['job_id']}: {ended['status']}{code}{ago} ({ended['name']})"


def _allocations(number: int) -> str:
    return f"{number} allocation{_s(number)}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _span(seconds: float) -> str:
    return f"{max(0, round(seconds))}s" if seconds < 59.5 else units.human_seconds(seconds)
