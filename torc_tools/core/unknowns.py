"""What is known, after all, of failures that nobody could name: the reasons of the rules that are built in."""

from collections import Counter
from collections.abc import Iterable

from torc_tools.records import Record

UNKNOWN = "unknown failure cause"  # how the reason begins of what is held, or tried again, for want of one
MOST = 5  # reasons that are told


def detail(adjustment: Record) -> str | None:
    """Give what a rule says of a job that is held because nobody knows why it failed; None where none does."""
    reason = str(adjustment.get("reason") or "")
    if adjustment.get("action") != "hold" or not reason.startswith(f"{UNKNOWN} (") or not reason.endswith(")"):
        return None
    return reason[len(UNKNOWN) + 2 : -1]


def told(adjustments: Iterable[Record]) -> list[str]:
    """Give a line for each reason, that of the most jobs first."""
    counts: Counter[str] = Counter()
    for each in adjustments:
        said = detail(each)
        ids = each.get("job_ids")
        if said is not None and isinstance(ids, list) and (each.get("because") or {}).get("rule"):
            counts[said] += len(ids)
    lines = [f"    {count}: {said}" for said, count in counts.most_common(MOST)]
    return lines + [f"    and {len(counts) - MOST} more kinds"] * (len(counts) > MOST)
