"""torc-correct: fit the requests of a workflow to what its jobs used, up and down."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import correcting
from torc_tools.shell import options, stream

PROG = "torc-correct"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(
        PROG, "Fit what jobs ask for to what they used: more where it was too little, less where much."
    )
    options.add_workflow(made)
    for what in ("memory", "cpu", "runtime"):
        made.add_argument(
            f"--{what}-multiplier",
            metavar="FACTOR",
            type=options.factor,
            default=1200,  # thousandths
            help=f"how much more {what} to ask for than was used (default: 1.2)",
        )
    made.add_argument("--no-downsize", action="store_true", help="lower no request")
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Plan, have torc-apply carry it out, and write one `correction`; 65 where something moved on meanwhile."""
    args = parser().parse_args(argv)
    found, status = correcting.correct(args, PROG)
    return correcting.show(args, PROG, found) or status


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
