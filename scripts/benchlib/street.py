"""(b) torc-recover --dry-run and each stage of the street by itself; (g) torc-reset for good."""

import shutil
from collections.abc import Callable
from pathlib import Path

from benchlib import measure, prepared
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, growth, timed

SIZES = (1_000, 10_000, 100_000)
ROUNDS = {1_000: 9, 10_000: 7, 100_000: 3}
AIMS = {10_000: "0.4 s, 200 MB", 100_000: "1.5 s, 200 MB"}
TORC = {10_000: "1.04 s", 100_000: "9.8 s"}
RESETS = {1_000: ("0.2 s", "4.9 s"), 10_000: ("", "")}
RECOVER = "torc-recover --dry-run"


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure every stage for each size."""
    rows: list[Row] = []
    smaller: dict[str, float] = {}
    for size in (size for size in SIZES if size <= at_most):
        base = prepared.folded(folder, size)
        taken = interleaved(_stages(base), ROUNDS[size])
        for name, usage in taken.items():
            rows.append(_row(name, size, usage, smaller.get(name)))
        together = measure.tree_peak(["torc-recover", "--dry-run", "1"], base)
        rows.append(Row("recover", f"{_label(RECOVER, size)}, all processes", together / 1e6, "MB", 1, together))
        smaller = {name: usage.wall_s for name, usage in taken.items()}
    return rows


def resets(folder: Path, at_most: int) -> list[Row]:
    """Measure torc-reset --failed of 1,000 and 10,000 jobs, each time on a fresh copy of the store."""
    rows: list[Row] = []
    before = None
    for size in (size for size in RESETS if size * 10 <= at_most):
        base = prepared.folded(folder, size * 10)
        usage = interleaved({"reset": _reset(base)}, 5)["reset"]
        aim, torc = RESETS[size]
        work = f"torc-reset --failed: {size:,} of {size * 10:,} jobs"
        rows.append(timed("reset", work, usage, 5, peers=growth(usage.wall_s, before), aim=aim, torc=torc))
        before = usage.wall_s
    return rows


def _reset(base: Path) -> Callable[[int], Usage]:
    def case(_round: int) -> Usage:
        shutil.copyfile(base / "torc.db", base / "copy.db")
        return run(["torc-reset", "--store", "copy.db", "-w", "1", "--failed"], base)

    return case


def _stages(base: Path) -> dict[str, Callable[[int], Usage]]:
    """Give the stages, each with the output of the one before as its input; the first round makes these files."""
    return {
        RECOVER: lambda _: run(["torc-recover", "--dry-run", "1"], base),
        "torc-diagnose": lambda _: run(["torc-diagnose", "1"], base, target=base / "diagnosis.jsonl"),
        "torc-heuristics": lambda _: run(
            ["torc-heuristics"], base, source=base / "diagnosis.jsonl", target=base / "adjustment.jsonl"
        ),
        "torc-apply --dry-run": lambda _: run(
            ["torc-apply", "--dry-run"], base, source=base / "adjustment.jsonl", target=base / "applied.jsonl"
        ),
        "torc-reset --dry-run": lambda _: run(["torc-reset", "--dry-run"], base, source=base / "applied.jsonl"),
    }


def _label(name: str, size: int) -> str:
    return f"{name}: {size // 10:,} of {size:,} jobs failed"


def _row(name: str, size: int, usage: Usage, before: float | None) -> Row:
    quoted = name == RECOVER
    return timed(
        "recover",
        _label(name, size),
        usage,
        ROUNDS[size],
        peers=growth(usage.wall_s, before),
        aim=AIMS.get(size, ""),
        torc=TORC.get(size, "") if quoted else "",
    )
