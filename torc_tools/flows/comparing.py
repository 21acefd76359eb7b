"""One large allocation against many small ones: when Slurm says that each would start."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from torc_tools.core import allocating_text, sbatch, slurmtext
from torc_tools.records import Record
from torc_tools.shell import slurm


def compared(found: Sequence[Record], say: Callable[[str], None]) -> list[Record]:
    """Give the records, the first of each group with `comparison`: both ways, and which of them starts sooner.

    Raises Unavailable where there is no Slurm to ask.
    """
    return [_compared(record, say) if record.get("number") == 1 else record for record in found]


def _compared(record: Record, say: Callable[[str], None]) -> Record:
    """Ask for both ways of one group; what Slurm refuses has no start, and its reason."""
    count, nodes = record["num_allocations"], record["nodes"]
    small = _asked(record, count, nodes)
    large = small if count == 1 else _asked(record, 1, count * nodes)
    comparison = allocating_text.comparison(small, large)
    say(f"group '{record['group']}': {comparison['text']}")
    return {**record, "comparison": comparison}


def _asked(record: Record, count: int, nodes: int) -> dict[str, Any]:
    """Ask when an allocation of so many nodes would start."""
    now = time.time()
    answer = slurm.test_only(sbatch.question({**record, "nodes": nodes}))
    if answer.returncode is None or slurm.no_answer(answer.stderr):
        raise slurm.Unavailable(f"sbatch --test-only gave no answer: {_last(answer.stderr) or 'nothing'}")
    starts_at = slurmtext.starts_at(answer.stderr)
    wait = None if starts_at is None else max(0.0, round(starts_at - now, 1))
    refused = None if starts_at is not None else _last(answer.stderr) or "no start time"
    return {"num_allocations": count, "nodes": nodes, "starts_at": starts_at, "wait_s": wait, "error": refused}


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("sbatch: error: ") if lines else ""
