"""The lines that torc-recover and torc-watch print: torc's own words wherever torc has words for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools import units
from torc_tools.core import holds, unknowns, ways
from torc_tools.records import Record

GIVES = "adjust", "retry"  # the actions that make a job run again
_OWN = ("--max-", "--memory-multiplier", "--runtime-multiplier")  # options of one recovery, which the next may not have
NOTHING = "No failed or terminated jobs to recover. Workflow may have completed successfully."
NOT_COMPLETE = "Cannot recover: workflow is not complete. Wait for all jobs to finish or use 'torc-cancel' first."
WORKERS = "Cannot recover: there are still active compute nodes. Wait for all workers to exit."
PENDING = (
    "Cannot recover: there are pending Slurm allocations. Wait for them to start or cancel them with 'torc-cancel'."
)
ACTIVE = "Cannot recover: there are active Slurm allocations still running. Wait for all workers to exit."
REGENERATED = "Slurm schedulers regenerated and submitted."
NO_NODES = "No pending or active scheduled compute nodes found"
ASSISTANT = "Or use the Torc MCP server with your AI assistant to investigate."
RUN_FOR_REAL = "Run without --dry-run to apply these changes."


class Plan(NamedTuple):
    """What a list of adjustments comes to, in jobs."""

    memory: int  # given more memory because they ran out of it
    runtime: int  # given more time because they ran out of it
    again: int  # to be run again, the above among them
    unknown_again: int  # of those, run again although nobody knows why they failed
    unknown_held: int  # left alone because nobody knows why they failed
    held: int  # left alone for another reason
    unknown_job: int | None = None  # the first of those left alone because nobody knows why
    hooked: int = 0  # of those run again, as a hook answered
    final: int = 0  # called failed for good


def job_ids(record: Record) -> list[int]:
    """Give the ids of an adjustment or applied record's jobs; a malformed record has none (the sinks refuse it)."""
    ids = record.get("job_ids")
    return [each for each in ids if isinstance(each, int)] if isinstance(ids, list) else []


def cause(adjustment: Record) -> str:
    """Give the cause that an adjustment was made for; 'unknown' only where it says so."""
    because = adjustment.get("because")
    return str(because.get("cause") or "") if isinstance(because, Mapping) else ""


def nothing(workflow: Mapping[str, Any]) -> str:
    """Give the line for a workflow in which no job failed."""
    if not workflow["is_canceled"]:
        return NOTHING
    return f"{NOTHING.partition('. ')[0]}. {canceled(workflow['workflow_id'])}"


def canceled(workflow_id: int) -> str:
    """Say that a workflow is canceled, and what starts it again."""
    return f"Workflow {workflow_id} is canceled: '{ways.uncancel(workflow_id)}' starts it again."


def is_hooked(adjustment: Record) -> bool:
    """Say whether an adjustment is what a recovery hook answered."""
    because = adjustment.get("because")
    return isinstance(because, Mapping) and because.get("hook") is True


def is_unknown(adjustment: Record) -> bool:
    """Say whether an adjustment holds or retries a job because nobody knows why it failed."""
    if is_hooked(adjustment):
        return False
    return str(adjustment.get("reason") or "").startswith(unknowns.UNKNOWN) or cause(adjustment) == "unknown"


def plan(adjustments: Iterable[Record]) -> Plan:
    """Count what a list of adjustments comes to. A record without action is a hand-made one: it adjusts."""
    memory = runtime = again = unknown_again = unknown_held = held = hooked = final = 0
    first: int | None = None
    for each in adjustments:
        jobs = len(job_ids(each))
        if each.get("action", "adjust") in GIVES:
            again += jobs
            hooked += jobs * is_hooked(each)
            memory += jobs * (each.get("new_memory") is not None and not is_hooked(each))
            runtime += jobs * (each.get("new_runtime") is not None and not is_hooked(each))
            unknown_again += jobs * is_unknown(each)
        elif each.get("action") == "fail":
            final += jobs
        elif is_unknown(each):
            unknown_held += jobs
            first = first or next(iter(job_ids(each)), None)
        else:
            held += jobs
    return Plan(memory, runtime, again, unknown_again, unknown_held, held, first, hooked, final)


def capped(adjustments: Iterable[Record]) -> list[Record]:
    """Give the jobs that are held by a limit or factor of this recovery alone: reason, override, attempts, grouped.

    An attempt is [job, run, attempt].
    """
    found: dict[tuple[str, str], list[list[Any]]] = {}
    for each in adjustments:
        override = str(each.get("override") or "")
        if each.get("action") == "hold" and override.startswith(_OWN):
            attempts = found.setdefault((str(each.get("reason")), override), [])
            attempts += [[job_id, each.get("run_id"), each.get("attempt_id")] for job_id in job_ids(each)]
    return [{"reason": key[0], "override": key[1], "attempts": attempts} for key, attempts in found.items()]


def proposals(adjustments: Sequence[Record], *, dry_run: bool) -> list[str]:
    """Give the lines that say what will be done, or would be, about each job."""
    counts = plan(adjustments)
    lines = ["[DRY RUN] Proposed resource adjustments:" if dry_run else "Applying recovery heuristics..."]
    for each in adjustments:
        lines += _one(each)
    if counts.memory or counts.runtime:
        verb = "Would apply fixes" if dry_run else "Applied fixes"
        lines.append(f"  {verb}: {counts.memory} OOM, {counts.runtime} timeout")
    for number, what in (
        (counts.unknown_again, "would retry" if dry_run else "retrying"),
        (counts.unknown_held, "skipped, use --retry-unknown to include"),
    ):
        if number:
            lines.append(f"  {number} job(s) with unknown failure cause ({what})")
    lines += unknowns.told(adjustments)
    if counts.hooked:
        lines.append(f"  {counts.hooked} job(s) as the recovery hook answered")
    return lines


def _one(adjustment: Record) -> list[str]:
    names = adjustment.get("job_names")
    names = names if isinstance(names, list) else []
    ids = job_ids(adjustment)
    named = [f"  Job {job} ({names[at]}):" if at < len(names) else f"  Job {job}:" for at, job in enumerate(ids)]
    return [f"{head} {text}" for head in named for text in _texts(adjustment)]


def _texts(adjustment: Record) -> list[str]:
    """Say what happens to one job; a cause that nobody knows is only counted."""
    action = adjustment.get("action", "adjust")
    if action == "fail":
        return [f"failed for good: {adjustment.get('reason') or 'named by hand'}"]
    if action not in GIVES:
        return [] if is_unknown(adjustment) else [_held(adjustment)]
    if is_hooked(adjustment) or (_is_ruled(adjustment) and adjustment.get("action", "adjust") == "adjust"):
        return [_answered(adjustment)]
    texts = []
    for key, word, what in (("memory", "OOM", "memory"), ("runtime", "Timeout", "runtime")):
        new, old = adjustment.get(f"new_{key}"), adjustment.get(f"original_{key}")
        if new is not None:
            texts.append(f"{word} detected, increasing {what} {old or 'unlimited'} -> {new}")
    if not texts and not is_unknown(adjustment):
        texts.append(f"{adjustment.get('reason') or 'named by hand'}; retrying as it is")
    return texts


def _is_ruled(adjustment: Record) -> bool:
    """Say whether a rule made a job grow that lacked neither memory nor time."""
    because = adjustment.get("because")
    return isinstance(because, Mapping) and bool(because.get("rule")) and cause(adjustment) not in ("oom", "timeout")


def _answered(adjustment: Record) -> str:
    """Say what a hook answered for a job, or a rule: 'its reason: memory 8g -> 12g'."""
    keys = [key for key in ("memory", "runtime", "cpus") if adjustment.get(f"new_{key}") is not None]
    news = [f"{key} {adjustment.get(f'original_{key}') or 'none'} -> {adjustment[f'new_{key}']}" for key in keys]
    return f"{adjustment.get('reason')}: {', '.join(news) or 'retrying as it is'}"


def _held(adjustment: Record) -> str:
    text = f"held: {adjustment.get('reason') or cause(adjustment) or 'no reason given'}"
    override = adjustment.get("override")
    return f"{text} (to override: {override})" if override else text


def nothing_recoverable(workflow_id: int, counts: Plan) -> list[str]:
    """Give the lines for a plan that runs no job again."""
    if counts.unknown_held:
        return [
            "",
            f"No recoverable jobs found. {counts.unknown_held} job(s) failed with unknown causes.",
            "Use --retry-unknown to retry jobs with unknown failure causes.",
            ASSISTANT,
            f"Or look yourself: {look(workflow_id, counts.unknown_job)}",
        ]
    held = f" {counts.held} job(s) are held for the reasons above." if counts.held else ""
    return ["", f"No recoverable jobs found.{held}"]


def awaiting(workflow_id: int, counts: Mapping[str, int]) -> list[str]:
    """Say how many failures wait for somebody to judge them, and how that is done; nothing where there are none."""
    number = counts["pending_failed"]
    return [f"{number} job(s) await classification: {ways.classify(workflow_id, recovered=True)}"] if number else []


def look(workflow_id: int, job_id: int | None) -> str:
    """Name the commands of ours that show why jobs failed, `job_id` being one of them."""
    logs = "" if job_id is None else f", 'torc-jobs --logs {job_id}' what job {job_id} wrote"
    return f"'torc-diagnose {workflow_id}' says why{logs}."


def goes_on(ready: int, engine: str) -> str:
    """Give the beginning of the line for a workflow that only has to be run on."""
    nobody = "Slurm allocation is there for them" if engine == "slurm" else "worker runs"
    return f"{ready} job(s) are ready, and no {nobody}: the workflow"


def summary(workflow_id: int, counts: Plan, reset: int, ending: str) -> list[str]:
    """Give the last lines of a recovery; `ending` says how the workflow goes on."""
    lines = ["", f"Recovery complete for workflow {workflow_id}"]
    lines += _increases(counts, "had", "reset")
    return [*lines, f"Reset {reset} job(s). {ending}"]


def dry_summary(workflow_id: int, counts: Plan, ending: str, schedulers: Sequence[str] = ()) -> list[str]:
    """Give the last lines of a dry run; `ending` says what would follow the reset ('restart the workflow here').

    `schedulers` are the lines of the allocations that would be submitted.
    """
    if not counts.again:
        return ["[DRY RUN] No recoverable jobs found."]
    lines = [
        f"[DRY RUN] Would reset {counts.again} job(s) for retry",
        "[DRY RUN] Would reinitialize workflow",
        *schedulers,
        "",
        f"[DRY RUN] Summary for workflow {workflow_id}",
        *_increases(counts, "would have", "would be reset"),
        f"Would reset {counts.again} job(s)" + (f" and {ending}." if ending else "."),
    ]
    return [*lines, "", RUN_FOR_REAL]


def _increases(counts: Plan, verb: str, reset: str) -> list[str]:
    lines = []
    if counts.memory:
        lines.append(f"  - {counts.memory} job(s) {verb} memory increased")
    if counts.runtime:
        lines.append(f"  - {counts.runtime} job(s) {verb} runtime increased")
    if counts.unknown_again:
        lines.append(f"  - {counts.unknown_again} job(s) with unknown failures {reset}")
    if counts.hooked:
        lines.append(f"  - {counts.hooked} job(s) {reset} as the recovery hook answered")
    if counts.final:
        lines.append(f"  - {counts.final} job(s) failed for good")
    return lines


def busy(kinds: Iterable[tuple[str, str]], *, at_rest: bool) -> str:
    """Say why a workflow is not recovered now that somebody has; `kinds` are (kind, status) of the allocations."""
    found = set(kinds)
    if not at_rest:
        return NOT_COMPLETE
    if any(kind != "slurm" for kind, _ in found):
        return WORKERS
    return ACTIVE if all(status == "active" for _, status in found) else PENDING


def submitted(submissions: Sequence[Record]) -> list[str]:
    """Give the lines that say what was submitted: one for each group of jobs."""
    lines = []
    for group in _grouped(submissions).values():
        jobs = group[0].get("job_count") or 0
        what = "Slurm allocation" if len(group) == 1 else f"{len(group)} Slurm allocations"
        lines.append(f"  Submitted {what} with {jobs} job{'' if jobs == 1 else 's'}")
    return lines or ["  No Slurm allocation was needed"]


def _grouped(records: Iterable[Record]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for each in records:
        groups.setdefault(each.get("group"), []).append(each)
    return groups


def schedulers(allocations: Sequence[Record]) -> list[str]:
    """Give the lines of a dry run that say which allocations would be submitted."""
    planned = [each for each in allocations if each.get("status") != "unplannable"]
    lines = ["[DRY RUN] Slurm schedulers that would be created:"] if planned else []
    for name, group in _grouped(planned).items():
        lines.append(f"  {name} - {group[0].get('job_count')} job(s), {len(group)} allocation(s)")
        lines.append(_scheduler(group[0]))
    lines += [
        f"  {each.get('group')} - {each.get('job_count')} job(s) fit nowhere: {each.get('reason')}"
        for each in allocations
        if each.get("status") == "unplannable"
    ]
    return [*lines, f"[DRY RUN] Total: {len(planned)} allocation(s) would be submitted"]


def _scheduler(allocation: Record) -> str:
    memory = allocation.get("memory_bytes")
    size = "default" if memory is None else units.format_memory(memory)
    where = f"Account: {allocation.get('account')}, Partition: {allocation.get('partition') or 'default'}"
    return f"    {where}, Walltime: {allocation.get('walltime')}, Nodes: {allocation.get('nodes')}, Mem: {size}"


def watching(poll_s: int, *, recover: bool, max_retries: int | None, show_counts: bool) -> str:
    """Give what stands in brackets behind 'Watching workflow N'."""
    parts = [f"poll interval: {poll_s}s"]
    if recover:
        parts += ["recover enabled", "unlimited retries" if max_retries is None else f"max retries: {max_retries}"]
    if show_counts:
        parts.append("job counts enabled")
    return ", ".join(parts)


def counts_line(counts: Mapping[str, int]) -> str:
    """Give one line of job counts; jobs that wait for a worker are pending, those that failed in any way failed."""
    pending = counts["pending"] + counts["ready"] + counts["uninitialized"]
    failed = counts["failed"] + counts["terminated"] + counts["canceled"] + counts["pending_failed"]
    return (
        f"  completed={counts['completed']}, running={counts['running']}, pending={pending}, "
        f"failed={failed}, blocked={counts['blocked']}"
    )


def held_allocation(allocation: Record) -> str:
    """Say that Slurm will not start an allocation by itself, and what lets it start."""
    job_id, why = allocation["slurm_job_id"], allocation["slurm_reason"] or allocation["slurm_state"]
    name = f"allocation {allocation['allocation_id']} (Slurm job {job_id})"
    return f"Slurm holds {name}: {why}. '{holds.release([job_id])}' lets it start."


def failures(counts: Mapping[str, int]) -> list[str]:
    """Give the block that says how a workflow ended that did not complete every job."""
    lines = ["", "Workflow completed with failures:"]
    lines += [f"  - {name.title()}: {counts[name]}" for name in ("failed", "canceled", "terminated")]
    if counts["pending_failed"]:
        lines.append(f"  - Pending Failed: {counts['pending_failed']} (awaiting classification)")
    return [*lines, f"  - Completed: {counts['completed']}"]


def attempt(number: int, max_retries: int | None) -> str:
    """Give the line that opens a recovery made by the watcher."""
    limit = "" if max_retries is None else f"/{max_retries}"
    return f"Attempting automatic recovery (attempt {number}{limit})"


def retries_exceeded(workflow_id: int, max_retries: int, job_id: int | None) -> list[str]:
    """Give the lines for a watcher that has used up its recoveries; `job_id` is a job that failed."""
    return [
        f"Max retries ({max_retries}) exceeded. Manual intervention required.",
        "Use the Torc MCP server with your AI assistant to investigate.",
        f"Or look yourself: {look(workflow_id, job_id)}",
    ]


def edit_header(workflow_id: int) -> list[str]:
    """Give the comment lines above the adjustments in the editor."""
    return [
        f"# The recovery of workflow {workflow_id}: one adjustment a line, as torc-apply reads them.",
        "#",
        '# Change new_memory ("12g") or new_runtime ("PT2H") to say otherwise.',
        '# Change "action" from "hold" to "retry" to run a job again as it is, or to "hold" to leave it.',
        '# "fail" makes a failure final that waits for a judgement: what depends on the job hears of it.',
        "# Delete a line, and its job is not recovered. Delete all, and nothing is done.",
        "# Lines that start with # do not count.",
        "",
    ]


Say = Callable[[str], None]


def say_all(say: Say, lines: Iterable[str]) -> None:
    """Print lines, one after the other."""
    for line in lines:
        say(line)
