"""torc-sync: take in what workers wrote, and settle the jobs whose worker is gone."""

import argparse
from collections.abc import Sequence

from torc_tools import records
from torc_tools.flows import fold, slurm_sync
from torc_tools.shell import options, output, stream


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(
        "torc-sync",
        "Take in what workers wrote, and settle the jobs whose worker is gone: they fail with return code -128.",
    )
    options.add_workflow(made)
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    args = parser().parse_args(argv)
    db = fold.opened(options.store_path(args), args.workflow_id, copy=args.dry_run, writes=True)
    summary = slurm_sync.reconcile(db, args.workflow_id, "torc-sync", dry_run=args.dry_run)
    summary["dry_run"] = args.dry_run
    return output.emit(records.framed("torc-sync", args.workflow_id, [summary]), args)


def run() -> None:
    """Run as a console script."""
    stream.run(main, "torc-sync")


if __name__ == "__main__":
    run()
