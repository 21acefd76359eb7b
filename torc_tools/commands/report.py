"""torc-report: what jobs used beside what they had asked for."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import looking, reporting
from torc_tools.shell import options, stream

PROG = "torc-report"


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
        default=1.0,
        help="leave out what was over by less (default 1)",
    )
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `violation` and, with --include-failed, `resource_violation` records."""
    args = parser().parse_args(argv)
    db = looking.at_workflow(args, args.workflow_id)
    return reporting.violations(args, PROG, db)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
