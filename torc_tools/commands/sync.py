"""torc-sync: take in what workers wrote, and settle the jobs whose worker is gone."""

import argparse
import sqlite3
from collections.abc import Sequence

from torc_tools import exits, records
from torc_tools.flows import fold, looking, orphans
from torc_tools.records import Record
from torc_tools.shell import allocations, options, output, stream

PROG = "torc-sync"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(
        PROG,
        "Take in what workers wrote, and settle the jobs whose worker is gone: they fail with return code -128.",
    )
    options.add_workflow(made)
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    args = parser().parse_args(argv)
    db = fold.opened(options.store_path(args), args.workflow_id, copy=args.dry_run, writes=True)
    summary = _reconciled(db, args.workflow_id, dry_run=args.dry_run)
    summary["dry_run"] = args.dry_run
    if looking.for_people(args) and not args.where:
        from torc_tools.core import sync_text  # a program needs none of the words

        output.text(sync_text.lines(summary))
        return exits.OK
    return output.emit(records.framed(PROG, args.workflow_id, [summary]), args)


def _reconciled(db: sqlite3.Connection, workflow_id: int, *, dry_run: bool) -> Record:
    if not allocations.met_slurm(db, workflow_id):
        return orphans.reconcile(db, workflow_id, PROG, requeue=False, slurm=orphans.Nobody(dry_run=dry_run))
    from torc_tools.flows import slurm_sync  # what asks Slurm, of which a workflow of machines knows nothing

    return slurm_sync.reconcile(db, workflow_id, PROG, dry_run=dry_run)


def run() -> None:
    """Run as a console script."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
