"""How a workflow stands and, for the jobs that do not move, why: a judgement on facts that the shell has collected."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools import states, units
from torc_tools.core import holds, ways
from torc_tools.records import Record

SHOWN = 100  # job ids named in one reason; its count says how many there are

_NONE: Mapping[int, str] = {}
_BLOCKERS = ("disabled", "pending_failed", "uninitialized", "ready", "pending", "running")  # the worst first
_SIZES = (  # field of the job, field of the place, reason, its words, how a value is written
    ("num_cpus", "num_cpus", "cpus", "CPUs", str),
    ("memory_bytes", "memory_bytes", "memory", "memory", units.format_memory),
    ("num_gpus", "num_gpus", "gpus", "GPUs", str),
    ("runtime_s", "left_s", "runtime", "time", units.format_duration),
)


class Facts(NamedTuple):
    """What is known of a workflow: `jobs` are those that have not ended, `status` is the state of every job by name.

    places: live allocations, each with num_cpus, memory_bytes, num_gpus, left_s (None: unknown, or without limit).
    queued: allocations that wait for Slurm, each with `slurm_reason` (or None). machine: this machine, as a place.
    missing: job id to the input files (paths) or user data that it needs, nobody makes and are not there.
    lost: ids of jobs whose worker is known to be dead. planned: how many allocations were never sent to Slurm.
    is_slurm: it runs in Slurm's allocations, not on machines. is_new: nothing of it has run or was submitted yet.
    unfit: job id to why no allocation that Slurm could give takes the job, and what would fit.
    refused: ids of jobs that failed because what they spawned was refused.
    """

    workflow_id: int
    is_canceled: bool
    jobs: Sequence[Record]
    names: Mapping[int, str]
    status: Mapping[int, str]
    parents: Mapping[int, Sequence[int]]
    places: Sequence[Record]
    queued: Sequence[Record]
    machine: Record
    missing: Mapping[int, Sequence[str]]
    lost: frozenset[int]
    planned: int = 0
    is_slurm: bool = False
    is_new: bool = False
    unfit: Mapping[int, str] = _NONE
    refused: Sequence[int] = ()


def outcome(counts: Mapping[str, int]) -> dict[str, bool]:
    """Judge the counts of jobs by state: the one place that says what a workflow's end and its success are.

    is_complete: every job is completed, failed, canceled, terminated or disabled. is_success: completed or disabled.
    """
    found = {states.NUMBERS[name] for name, count in counts.items() if count}
    return {"is_complete": found <= states.SETTLED, "is_success": found <= {states.COMPLETED, states.DISABLED}}


def word(summary: Record) -> str:
    """Say in a word how a workflow stands: completed, failed, canceled or unfinished."""
    if summary["is_complete"]:
        return "completed" if summary["is_success"] else "canceled" if summary["is_canceled"] else "failed"
    return "canceled" if summary["is_canceled"] else "unfinished"


def reasons(facts: Facts) -> list[Record]:
    """Give, for the jobs that have not ended and do not run, why not: one entry a reason, in order of first job.

    Before them those that ended well and failed: the jobs that they spawned are missing.
    """
    found: dict[tuple[Any, ...], Record] = {}
    for job, key, entry in _each(facts):
        kept = found.setdefault(key, {**entry, "count": 0, "job_ids": []})
        kept["count"] += 1
        if len(kept["job_ids"]) < SHOWN:
            kept["job_ids"].append(job)
    return [{**entry, "text": _counted(entry)} for entry in found.values()]


def _counted(entry: Record) -> str:
    """Put the number of jobs before the text: '3 jobs: need 64 CPUs, ...'."""
    one = entry["count"] == 1
    return f"job {entry['job_ids'][0]}: {entry['text']}" if one else f"{entry['count']} jobs: {entry['text']}"


def _each(facts: Facts) -> Iterator[tuple[int, tuple[Any, ...], Record]]:
    """Give (job id, key of its reason, reason) for each job that waits."""
    held = _blockers(facts)
    for job_id in facts.refused:
        why = f"torc-results {facts.workflow_id} --failed --query facts.log_tail"
        text = f"what it spawned was refused: '{why}' tells why"
        yield job_id, ("spawn_refused",), _entry("spawn_refused", text)
    for job in facts.jobs:
        job_id, status = job["job_id"], job["status"]
        if status in ("pending", "running"):
            if job_id in facts.lost:
                yield job_id, ("lost_worker",), _entry("lost_worker", _lost(facts))
        elif facts.missing.get(job_id):
            paths = list(facts.missing[job_id])
            yield job_id, ("missing_input", *paths), _missing(paths)
        elif status == "ready":
            yield job_id, *_ready(job, facts)
        elif status == "blocked":
            yield job_id, *_blocked(held.get(job_id), facts)
        elif status == "pending_failed":
            text = f"awaiting classification: {ways.classify(facts.workflow_id, recovered=False)}"
            yield job_id, ("pending_failed",), _entry("pending_failed", text)
        elif status == "uninitialized":
            yield job_id, ("uninitialized",), _entry("uninitialized", _run("not started yet", facts))


def _entry(reason: str, text: str, **more: Any) -> Record:
    return {"reason": reason, "text": text, **more}


def _run(text: str, facts: Facts) -> str:
    """Name the command that lets a workflow go on; before its first run those of both ways."""
    way = ways.go_on(facts.workflow_id, is_slurm=facts.is_slurm)
    if not facts.is_new:
        return f"{text}: {way}"
    if facts.is_slurm:
        return f"nothing runs it yet: {way}; here: {ways.here(facts.workflow_id)}"
    return f"nothing runs it yet: {way}; on Slurm: torc-run --slurm {facts.workflow_id}"


def _lost(facts: Facts) -> str:
    then = "" if facts.is_slurm else f", then torc-run {facts.workflow_id}"
    return f"the worker that had it is gone: torc-sync {facts.workflow_id}{then}"


def _missing(paths: list[str]) -> Record:
    named = ", ".join(f"'{path}'" for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return _entry("missing_input", f"input that no job makes is missing: {named}{more}", missing=paths[:SHOWN])


def _ready(job: Record, facts: Facts) -> tuple[tuple[Any, ...], Record]:
    """Say why a ready job does not run."""
    if facts.is_canceled:
        text = f"the workflow is canceled: {ways.uncancel(facts.workflow_id)} starts it again"
        return ("canceled",), _entry("canceled", text)
    refused = _too_small(job, facts.places, "every allocation") if facts.places else None
    if facts.places and not (refused and facts.queued):
        return refused or (("waiting_for_room",), _entry("waiting_for_room", "waiting for room in a running worker"))
    if facts.queued:
        return _queued(facts.queued)
    if facts.planned:
        text = f"{facts.planned} allocation(s) are planned but not submitted: torc-submit -w {facts.workflow_id}"
        return ("not_submitted",), _entry("not_submitted", text)
    return _nobody(job, facts)


def _queued(queued: Sequence[Record]) -> tuple[tuple[Any, ...], Record]:
    if all(map(_is_held, queued)):
        return _held(queued)
    why = next((each["slurm_reason"] for each in queued if each.get("slurm_reason")), None)
    text = f"{len(queued)} allocation(s) wait in the queue" + (f" ({why})" if why else "")
    return ("allocation_queued",), _entry("allocation_queued", text, slurm_reason=why)


def _nobody(job: Record, facts: Facts) -> tuple[tuple[Any, ...], Record]:
    """Say of a job that nothing is there to take what would take it, or that nothing could."""
    if facts.is_slurm:
        if job["job_id"] in facts.unfit:
            why = facts.unfit[job["job_id"]]
            return ("unplannable", why), _entry("unplannable", f"fits nowhere: {why} ('torc-jobs set' asks for less)")
        return ("no_allocation",), _entry("no_allocation", _run("no allocation", facts))
    refused = _too_small(job, (facts.machine,), "this machine")
    if refused and facts.is_new:
        key, entry = refused
        return key, {**entry, "text": f"{entry['text']}; on Slurm: torc-run --slurm {facts.workflow_id}"}
    return refused or (("no_allocation",), _entry("no_allocation", _run("no worker runs this workflow", facts)))


def _is_held(allocation: Record) -> bool:
    return holds.is_held(allocation.get("slurm_state"), allocation.get("slurm_reason"))


def _held(queued: Sequence[Record]) -> tuple[tuple[Any, ...], Record]:
    """Say that Slurm starts none of the allocations that wait, and what lets them start."""
    why, ids = queued[0]["slurm_reason"], [each["slurm_job_id"] for each in queued]
    text = f"Slurm holds what waits in its queue ({why}): {holds.release(ids)}"
    return ("allocation_held",), _entry("allocation_held", text, slurm_reason=why)


def _too_small(job: Record, places: Sequence[Record], where: str) -> tuple[tuple[Any, ...], Record] | None:
    """Say what a job needs that no place has; None where it fits into one."""
    for place in places:
        if _lacking(job, place) is None:
            return None
    wanted, has, reason, words, write = _lacking(job, _roomiest(job, places)) or _SIZES[0]
    need, most = job[wanted], _roomiest(job, places)[has]
    text = f"need {write(need)} {words}, more than {where} has ({write(max(0, most))})"
    if reason == "runtime":
        text = f"need {write(need)}, more than is left of {where} ({write(max(0, int(most)))})"
    return (reason, need), _entry(reason, text, needed=need, available=most)


def _roomiest(job: Record, places: Sequence[Record]) -> Record:
    """Give the place that lacks the latest thing in the order of the checks: the nearest to fitting."""
    order = [size[2] for size in _SIZES]
    return max(places, key=lambda place: order.index((_lacking(job, place) or _SIZES[-1])[2]))


def _lacking(job: Record, place: Record) -> tuple[str, str, str, str, Any] | None:
    """Give the first of _SIZES of which the job needs more than the place has; unknown is enough."""
    for size in _SIZES:
        need, most = job.get(size[0]), place.get(size[1])
        if need is not None and most is not None and need > most:
            return size
    return None


def _blocked(blocker: int | None, facts: Facts) -> tuple[tuple[Any, ...], Record]:
    """Say which job holds a blocked one back: the one it waits for in the end, through others."""
    if blocker is None:
        text = f"nothing holds it back any more: torc-sync {facts.workflow_id}"
        return ("unsettled",), _entry("unsettled", text)
    status = facts.status[blocker]
    more = {"parent_status": status, "parent_job_id": blocker, "parent_job_name": facts.names[blocker]}
    text = f"waiting for job {blocker} ({facts.names[blocker]}), which is {status}"
    key = (status, blocker if status in _BLOCKERS[:2] else None)
    if key[1] is None:
        text, more = f"waiting for parents that are {status}", {"parent_status": status}
    return ("parents", *key), _entry("parents", text, **more)


def _blockers(facts: Facts) -> dict[int, int]:
    """Give for each blocked job the job that holds it back: of all it waits for, through others, the worst."""
    children: dict[int, list[int]] = {}
    for job_id, parents in facts.parents.items():
        for parent in parents:
            children.setdefault(parent, []).append(job_id)
    held: dict[int, int] = {}
    for state in _BLOCKERS:
        for root in [job for job in children if facts.status.get(job) == state]:
            _spread(root, children, facts.status, held)
    return held


def _spread(root: int, children: Mapping[int, Iterable[int]], status: Mapping[int, str], held: dict[int, int]) -> None:
    """Mark every blocked job below `root` that nothing holds yet as held by it."""
    todo = deque([root])
    while todo:
        for child in children.get(todo.popleft(), ()):
            if child not in held and status.get(child) == "blocked":
                held[child] = root
                todo.append(child)


def lines(summary: Record) -> Iterator[str]:
    """Write a `summary` for a person: a few lines."""
    counts = summary["counts"]
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no jobs"
    yield f"workflow {summary['workflow_id']} ({summary['name']}), run {summary['run_id']}: {word(summary)}"
    yield f"  {summary['total']} job{'s' * (summary['total'] != 1)}: {parts}"
    for each in summary["allocations"]:
        yield f"  {_allocation(each)}"
    if summary["reasons"]:
        yield "  what does not move, and why:"
    for reason in summary["reasons"]:
        yield f"    {reason['text']}"


def _allocation(each: Record) -> str:
    life = {True: "alive", False: "gone", None: "not known to be alive"}[each["is_alive"]]
    if each["kind"] == "slurm":
        return _slurm_allocation(each, "its workers have left" if each["is_alive"] is False else life)
    where = f" on {each['hostname']}" if each["hostname"] else ""
    pid = f", process {each['pid']}" if each["pid"] else ""
    return f"{each['kind']} allocation{where}{pid}: {each['status']}, {life}"


def _slurm_allocation(each: Record, life: str) -> str:
    name = f"Slurm job {each['slurm_job_id']}" if each["slurm_job_id"] else f"allocation {each['allocation_id']}"
    reason = f" ({each['slurm_reason']})" if each.get("slurm_reason") else ""
    parts = [each["status"], f"{each.get('slurm_state') or ''}{reason}".strip()]
    parts += ["of an earlier run"] if each["status"] != "active" and each["is_alive"] is False else []
    if each["status"] == "queued" and _is_held(each):
        parts.append(f"held: {holds.release([each['slurm_job_id']])}")
    if each["status"] == "active":
        parts += [f"on {', '.join(each['hostnames'])}" if each.get("hostnames") else "", life]
        parts.append("" if each["left_s"] is None else f"{units.human_seconds(max(0.0, each['left_s']))} left")
    return f"{name}: {', '.join(part for part in parts if part)}"
