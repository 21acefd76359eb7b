"""The entry of scripts/bench: runs the sections asked for in a folder of its own and prints the table."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchlib import (
    cluster,
    cluster_bed,
    correcting,
    creating,
    folding,
    measure,
    monitoring,
    plotting,
    reporting,
    running,
    start,
    street,
    table,
)

SECTIONS: dict[str, Callable[[Path, int], list[table.Row]]] = {
    "start": start.measured,
    "recover": street.measured,
    "create": creating.measured,
    "jobs": running.jobs,
    "chain": running.chain,
    "fold": folding.measured,
    "reset": street.resets,
    "report": reporting.measured,
    "correct": correcting.measured,
    "monitor": monitoring.measured,
    "plot": plotting.measured,
    "slurm": cluster.measured,
}
NOTHING_HERE = 69  # nothing of what was asked for can be measured on this machine


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="scripts/bench", allow_abbrev=False, description=__doc__)
    made.add_argument("section", nargs="*", help=f"{', '.join(SECTIONS)} or all (default)")
    made.add_argument("--json", metavar="FILE", help="write the figures to FILE, too")
    made.add_argument("--quick", action="store_true", help="monitor: fewer cases, for a shorter time")
    made.add_argument("--at-most", metavar="N", type=int, default=100_000, help="leave out more jobs than N")
    return made


def main() -> int:
    args = parser().parse_args()
    wanted = list(SECTIONS) if args.section in ([], ["all"]) else args.section
    if unknown := set(wanted) - set(SECTIONS):
        parser().error(f"no such section: {', '.join(sorted(unknown))}")
    facts = measure.machine()
    if args.quick:
        SECTIONS["monitor"] = monitoring.quick
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory(prefix="torc-bench-") as folder:
        for name in wanted:
            began = time.monotonic()
            try:
                rows += SECTIONS[name](Path(folder), args.at_most)
            except cluster_bed.AbsentError as error:
                sys.stderr.write(f"{name}: left out: {error}\n")
                continue
            sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(table.text(rows, facts) + "\n")
    if args.json:
        table.save(rows, facts, args.json)
    return 0 if rows else NOTHING_HERE


if __name__ == "__main__":
    sys.exit(main())
