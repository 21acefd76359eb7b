"""torc-cancel: stop a workflow, or some of its jobs."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import canceling, fold, summing
from torc_tools.shell import options, stream

PROG = "torc-cancel"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Stop a workflow, or some of its jobs: workers are told to end what runs.")
    options.add_workflow(made)
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    made.add_argument(
        "--grace",
        metavar="TIME",
        type=options.duration,
        default=10,
        help="how long workers have to end by themselves (default: PT10S)",
    )
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Cancel, then write the `summary` of what is left."""
    args = parser().parse_args(argv)
    db = fold.opened(options.store_path(args), args.workflow_id, copy=args.dry_run, writes=True)
    if args.job_ids:
        canceling.cancel_jobs(db, args.workflow_id, args.job_ids, args.grace, dry_run=args.dry_run)
    else:
        canceling.cancel(db, args.workflow_id, args.grace, dry_run=args.dry_run)
    left = [] if args.dry_run else canceling.still_active(db, args.workflow_id, args.job_ids)
    if left:
        stream.say(f"{PROG}: still being stopped by their workers: {len(left)} job(s), the first is {left[0]}")
    summary = {**summing.summary(db, args.workflow_id), "dry_run": args.dry_run}
    return summing.show(args, PROG, summary)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
