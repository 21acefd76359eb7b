"""torc-status: how a workflow stands and, for what does not move, why."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import looking, summing
from torc_tools.shell import options, stream

PROG = "torc-status"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say how a workflow stands and, for what does not move, why.")
    options.add_workflow(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write one `summary` record, or a few lines for a person."""
    args = parser().parse_args(argv)
    db = looking.at_workflow(args, args.workflow_id)
    return summing.show(args, PROG, summing.summary(db, args.workflow_id, asks=True))


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
