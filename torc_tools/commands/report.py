"""torc-report: what jobs used beside what they had asked for."""

import argparse
import sqlite3
from collections.abc import Sequence

from torc_tools.flows import looking, reporting, reporting_usage
from torc_tools.shell import options, stream

PROG = "torc-report"
_OF_RECORDS = (
    "run_id", "all", "include_failed", "min_over_utilization", "usage", "format", "where", "query", "exit_status",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say which jobs used more memory, CPU or time than they had asked for.")
    options.add_workflow(made)
    made.add_argument("-r", "--run-id", metavar="RUN", type=options.identifier, help="only this run of the workflow")
    made.add_argument("-a", "--all", action="store_true", help="list what was within its limits, too")
    made.add_argument("--include-failed", action="store_true", help="failed and terminated jobs, too, and why")
    made.add_argument(
        "--min-over-utilization",
        metavar="PERCENT",
        type=reporting.percent,
        help="leave out what was over by less (default 1)",
    )
    made.add_argument("--usage", action="store_true", help="what the jobs of each requirement used, and what would fit")
    made.add_argument("--html", metavar="FILE", help="write a page for people instead (-: standard output)")
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `violation` and, with --include-failed, `resource_violation` records; with --usage `requirement_usage`."""
    made = parser()
    args = made.parse_args(argv)
    if args.usage and (args.all or args.min_over_utilization is not None):
        made.error("--usage is about requirements: --all and --min-over-utilization do not go with it")
    if args.html is not None and any(vars(args)[name] not in (None, False) for name in _OF_RECORDS):
        made.error("--html writes a page of the whole workflow: only --store and --read-only go with it")
    db = looking.at_workflow(args, args.workflow_id)
    if args.html is not None:
        return _page(args, db)
    return reporting_usage.show(args, PROG, db) if args.usage else reporting.show(args, PROG, db)


def _page(args: argparse.Namespace, db: sqlite3.Connection) -> int:
    """Write the page; reports of records load nothing of it."""
    from torc_tools.flows import morning

    return morning.show(args, db)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
