"""torc-sample: what a command and everything it starts uses of CPU, memory and GPUs; or what already runs."""

import argparse
import contextlib
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence

from torc_tools import exits, records
from torc_tools.flows import sampling, sampling_meter, sampling_out
from torc_tools.records import Record
from torc_tools.shell import options, stream


def parser() -> argparse.ArgumentParser:
    """Make the parser of torc-sample."""
    made = options.parser("torc-sample", "Measure the CPU and memory of a command, or of what already runs.")
    made.add_argument("--interval", metavar="S", type=_seconds, default=1.0, help="seconds between samples (default 1)")
    made.add_argument("--pss", action="store_true", help="count pages that processes share once, in every sample")
    made.add_argument("--follow", action="store_true", help="write each sample as it is taken")
    made.add_argument("--db", metavar="FILE", help="keep the samples in this SQLite file, which torc-plot reads")
    made.add_argument("-o", "--output", metavar="FILE", help="write records to FILE (default: see the manual)")
    made.add_argument("-f", "--format", choices=("json", "text"), help="default: text on a terminal, else json")
    made.add_argument("--pid", metavar="N", type=options.identifier, help="sample process N until it ends")
    made.add_argument("--cgroup", metavar="PATH", help="sample a control group until its last process ends")
    made.add_argument("--node", action="store_true", help="sample the whole machine until a signal comes")
    made.add_argument("--count", metavar="N", type=options.identifier, help="take N samples at most; not of a command")
    made.add_argument("command", metavar="CMD", nargs="*", help="after --: the command to run and measure")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; give the command's own exit status, or how the looking at something else ended."""
    made = parser()
    args = made.parse_args(argv)
    if [bool(args.command), args.pid is not None, args.cgroup is not None, args.node].count(True) != 1:
        made.error("give one of: a command after --, --pid, --cgroup, --node")
    if args.count is not None and args.command:
        made.error("--count goes with --pid, --cgroup, --node")
    if args.pss and (args.cgroup is not None or args.node):
        made.error("--pss goes with a command or --pid")
    args.format = args.format or ("text" if _for_people(args) else "json")
    return _measure(args) if args.command else _watch(args)


def _for_people(args: argparse.Namespace) -> bool:
    """Say whether records go to a terminal: those about a command to standard error, others to standard output."""
    return args.output is None and os.isatty(2 if args.command else 1)


def _measure(args: argparse.Namespace) -> int:
    """Run a command; what cannot be written about it makes a good end a bad one, and no bad end another."""
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(sampling_out.output(args.output, args.format))
        name = " ".join(map(sampling_meter.readable, args.command))
        keeper = sampling_out.Keeper(args.db, name) if args.db is not None else None
        takers = [*([keeper.add] if keeper else []), *([put] if args.follow else [])]
        usage = sampling.Measured(args.command, args.interval, _each(takers), pss=args.pss).run()
        whole = keeper is None or keeper.close()
        try:
            put(usage)
        except OSError as error:
            stream.say(f"torc-sample: cannot write '{args.output}': {error.strerror}")
            whole = False
    return int(usage["return_code"]) or (exits.OK if whole else exits.IO)


def _watch(args: argparse.Namespace) -> int:
    """Look at what already runs."""
    meter = _meter(args)
    keeper = sampling_out.Keeper(args.db, meter.name) if args.db is not None else None
    heard: list[int] = []
    try:
        found = sampling.watch(meter, args.interval, args.count, _each([keeper.add] if keeper else []), heard)
        _write(args, found if args.follow or keeper is None else _without_samples(found))
    finally:
        whole = keeper is None or keeper.close()
    if signal.SIGINT in heard:
        return exits.INTERRUPTED
    return exits.OK if whole else exits.IO


def _write(args: argparse.Namespace, found: Iterator[Record]) -> None:
    if args.output is None and args.format == "json":
        stream.write(records.framed("torc-sample", None, found))
    elif args.output is None:
        for record in found:
            stream.stdout().write(sampling_out.line(record, args.format))
            stream.stdout().flush()
    else:
        with sampling_out.output(args.output, args.format) as put:
            for record in records.framed("torc-sample", None, found):
                put(record)


def _meter(args: argparse.Namespace) -> sampling_meter.Meter:
    if args.pid is not None:
        return sampling_meter.PidMeter(args.pid, os.environ, pss=args.pss)
    return (
        sampling_meter.CgroupMeter(args.cgroup, os.environ) if args.cgroup is not None else sampling_meter.NodeMeter()
    )


def _each(takers: Sequence[Callable[[Record], None]]) -> Callable[[Record], None]:
    def take(record: Record) -> None:
        for one in takers:
            one(record)

    return take


def _without_samples(found: Iterator[Record]) -> Iterator[Record]:
    return (record for record in found if record["type"] != "sample")


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
