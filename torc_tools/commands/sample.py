"""torc-sample: what a command and everything it starts uses of CPU and memory."""

import argparse
import math
from collections.abc import Sequence

from torc_tools import exits, records
from torc_tools.flows import sampling
from torc_tools.shell import options, stream


def parser() -> argparse.ArgumentParser:
    """Make the parser of torc-sample."""
    made = options.parser("torc-sample", "Measure the CPU and memory of a command, or of a process that runs.")
    made.add_argument("--interval", metavar="S", type=_seconds, default=1.0, help="seconds between samples (default 1)")
    made.add_argument("-o", "--output", metavar="FILE", help="write records to FILE (default: see the manual)")
    made.add_argument("--pid", metavar="N", type=options.identifier, help="sample process N until it ends")
    made.add_argument("--count", metavar="N", type=options.identifier, help="with --pid: take N samples at most")
    made.add_argument("command", metavar="CMD", nargs="*", help="after --: the command to run and measure")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; give the command's own exit status, or that of --pid."""
    made = parser()
    args = made.parse_args(argv)
    if (args.pid is None) == (not args.command):
        made.error("give a command after --, or --pid N")
    if args.count is not None and args.pid is None:
        made.error("--count goes with --pid")
    return _watch(args) if args.pid is not None else _measure(args)


def _watch(args: argparse.Namespace) -> int:
    samples = records.framed("torc-sample", None, sampling.watch(args.pid, args.interval, args.count))
    if args.output is None:
        stream.write(samples)
    else:
        with sampling.output(args.output) as put:
            for record in samples:
                put(record)
    return exits.OK


def _measure(args: argparse.Namespace) -> int:
    if args.output is None:
        usage = sampling.Measured(args.command, args.interval).run()
        stream.say(sampling.text(usage))
    else:
        with sampling.output(args.output) as put:
            usage = sampling.Measured(args.command, args.interval, put).run()
            put(usage)
    return int(usage["return_code"])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.01 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"not a number of seconds from 0.01 to 86400: '{text}'")
    return seconds


def run() -> None:
    """Be the command torc-sample."""
    stream.run(main, "torc-sample")


if __name__ == "__main__":
    run()
