"""torc-mcp: tools for programs that look after workflows, in the Model Context Protocol on stdin and stdout."""

import argparse
import os
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.shell import options, stream

PROG = "torc-mcp"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Offer tools to an MCP client on standard input and output, until it closes them.")
    made.add_argument(
        "--read-only", action="store_true", help="only tools that change nothing; leave the store as it is"
    )
    options.add_store(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; give the exit status."""
    args = parser().parse_args(argv)
    from torc_tools.flows import mcp  # the SDK and asyncio are slow to load

    mcp.serve(mcp.Setting(os.path.abspath(options.store_path(args)), args.read_only))
    return exits.OK


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
