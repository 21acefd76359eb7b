"""torc-completions: what a shell needs to complete the words and options of all commands."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import completing
from torc_tools.shell import options, output, stream

PROG = "torc-completions"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Write the completions of a shell for all commands, to be read by that shell.")
    made.add_argument("shell", metavar="SHELL", choices=completing.SHELLS, help="bash, zsh or fish")
    made.add_argument("command", metavar="COMMAND", nargs="?", help="of this command alone")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write the completions."""
    args = parser().parse_args(argv)
    output.raw(completing.script(args.shell, args.command).encode())
    return 0


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
