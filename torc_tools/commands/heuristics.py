"""torc-heuristics: plan what to do about failures; reads `diagnosis`, writes `adjustment`, touches nothing."""

import argparse
from collections.abc import Sequence

from torc_tools import records
from torc_tools.core import adjusting, heuristics
from torc_tools.flows import looking
from torc_tools.shell import options, output, stream

PROG = "torc-heuristics"
COLUMNS = ("job", "name", "action", "memory", "runtime", "reason")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Plan what to do about failures: grow what was too small, retry, or hold.")
    options.add_input(made)
    for what, short in (("memory", "--mem"), ("runtime", "--runtime")):
        made.add_argument(
            short,
            f"--{what}-multiplier",
            metavar="FACTOR",
            dest=f"{what}_multiplier",
            type=options.factor,
            default=1500,  # thousandths
            help=f"how much the {what} of a job grows that had too little (default: 1.5)",
        )
    made.add_argument("--max-memory", metavar="SIZE", type=options.memory, help="grow no request past this")
    made.add_argument("--max-runtime", metavar="DURATION", type=options.duration, help="grow no request past this")
    made.add_argument("--retry-unknown", action="store_true", help="run jobs again whose failure has no known cause")
    made.add_argument("--unknown", action="store_true", help="write the diagnosis of those, and plan nothing")
    made.add_argument("--answers", metavar="FILE", help="adjustments that count instead of ours, for those alone")
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write an `adjustment` for each `diagnosis`; pass every other record on."""
    made = parser()
    args = made.parse_args(argv)
    if args.unknown and args.answers is not None:
        made.error("--unknown plans nothing, and --answers is part of a plan")
    policy = heuristics.Policy(
        memory_milli=args.memory_multiplier,
        runtime_milli=args.runtime_multiplier,
        retry_unknown=args.retry_unknown,
        max_memory=args.max_memory,
        max_runtime=args.max_runtime,
    )
    if args.answers is not None or args.unknown:
        from torc_tools.flows import answering  # most plans ask nobody

        if args.unknown:
            return output.emit(answering.unknown(args.file, policy), args)
        planned = answering.answered(args.file, args.answers, policy)
    else:
        planned = records.replace(stream.read(args.file), "diagnosis", lambda each: [heuristics.adjust(each, policy)])
    people = looking.for_people(args)
    return output.emit(map(adjusting.for_people, planned) if people else planned, args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
