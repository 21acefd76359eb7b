"""What torc-sync did, for people: a few lines that fit a terminal of 80 columns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torc_tools.core import holds
from torc_tools.records import Record

COLUMNS = 80
SHOWN = 10  # jobs, or allocations, of one kind
_DOTS = "…"


def lines(summary: Record) -> Iterator[str]:
    """Write the `summary` record of torc-sync as lines, none wider than 80 characters."""
    found = [*_jobs(summary), *_allocations(summary), *_answers(summary)]
    did = "would be settled" if summary.get("dry_run") else "settled"
    yield f"workflow {summary['workflow_id']}: " + (f"{did}:" if found else "nothing to settle")
    yield from (_cut(line, COLUMNS) for line in found)


def _jobs(summary: Record) -> Iterator[str]:
    """Say which jobs lost their worker, and which results Slurm's accounting put right."""
    kinds = (
        ("failed_job_details", "lost with their worker"),
        ("jobs_requeued", "run again, as their allocation does"),
        ("corrected", "put right by Slurm's accounting"),
    )
    for key, words in kinds:
        found = summary.get(key) or ()
        if found:
            yield f"  {len(found)} job{'s' * (len(found) != 1)} {words}:"
        yield from _listed([_job(each) for each in found])


def _job(each: Mapping[str, Any]) -> str:
    """Name a job and what became of it; a long name leaves room for that."""
    head, tail = f"    job {each['job_id']} (", f"): {each['reason']}"
    return head + _cut(each["job_name"], max(8, COLUMNS - len(head) - len(tail))) + tail


def _allocations(summary: Record) -> Iterator[str]:
    """Say how allocations stand that changed, which ones Slurm holds, and which ones had nothing left to run."""
    held, canceled = summary.get("allocations_held") or (), summary.get("allocations_canceled") or ()
    told = {each["allocation_id"] for each in (*held, *canceled)}
    changed = [each for each in summary.get("allocations") or () if each["allocation_id"] not in told]
    found = [(each, _standing(each)) for each in changed]
    found += [(each, f"held, {holds.release([each['slurm_job_id']])} ({each['slurm_reason']})") for each in held]
    found += [(each, "canceled, nothing is left to run") for each in canceled]
    yield from _listed([f"  {_name(each)}: {text}" for each, text in found])


def _answers(summary: Record) -> Iterator[str]:
    """Say what Slurm has not told."""
    pending = summary.get("accounting_pending")
    if pending:
        yield f"  {pending} attempt{'s' * (pending != 1)} not in Slurm's accounting yet: the next torc-sync asks again"
    silent = [name for name, word in (summary.get("slurm") or {}).items() if word == "unavailable"]
    if silent:
        yield f"  no answer from {' and '.join(silent)}: nothing is concluded from that"


def _standing(each: Mapping[str, Any]) -> str:
    reason = f" ({each['slurm_reason']})" if each.get("slurm_reason") else ""
    return ", ".join(part for part in (each["status"], f"{each.get('slurm_state') or ''}{reason}".strip()) if part)


def _name(each: Mapping[str, Any]) -> str:
    return f"Slurm job {each['slurm_job_id']}" if each["slurm_job_id"] else f"allocation {each['allocation_id']}"


def _listed(found: list[str]) -> Iterable[str]:
    """Give the first lines of a list, and how many more there are."""
    more = len(found) - SHOWN
    return found if more <= 0 else [*found[:SHOWN], f"    and {more} more"]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + _DOTS
