"""torc-work: the worker. Job lines in, event lines out; it runs on compute nodes and never opens the store."""

import argparse
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.flows import working
from torc_tools.shell import options, stream


def parser() -> argparse.ArgumentParser:
    """Make the parser of torc-work."""
    made = options.parser("torc-work", "Run jobs as CPUs, memory and GPUs allow; write what becomes of them as events.")
    made.add_argument(
        "file", metavar="FILE", nargs="?", help="job records as JSON Lines (default, or -: standard input)"
    )
    _room(made)
    end = made.add_mutually_exclusive_group()
    end.add_argument("--time-limit", metavar="DURATION", type=options.duration, help="end after this time")
    end.add_argument("--end-time", metavar="TIME", type=options.moment, help="end then (ISO 8601 or Unix seconds)")
    made.add_argument(
        "--on-signal",
        choices=("requeue", "terminate"),
        help="what INT, TERM and HUP mean for jobs that run (default: requeue; terminate near a Slurm job's end)",
    )
    made.add_argument(
        "-o",
        "--output-dir",
        metavar="DIR",
        help="where output, events and claims go (default: the workflow's, else torc_output)",
    )
    _slurm(made)
    made.add_argument(
        "-q", "--quiet", action="store_true", help="write no events on standard output, only to the event file"
    )
    return made


def _room(made: argparse.ArgumentParser) -> None:
    """Add what says how much may run at a time."""
    made.add_argument(
        "-j",
        "--max-parallel-jobs",
        metavar="N",
        type=options.number,
        help="run N jobs at a time; without the next three, nothing else counts",
    )
    made.add_argument(
        "--num-cpus", metavar="N", type=options.number, help="CPUs to give away (default: this machine's)"
    )
    made.add_argument(
        "--memory", metavar="SIZE", type=options.memory, help="memory to give away (default: this machine's)"
    )
    made.add_argument("--num-gpus", metavar="N", type=options.natural, help="GPUs to give away (default: all here)")


def _slurm(made: argparse.ArgumentParser) -> None:
    """Add what torc-submit says of an allocation."""
    made.add_argument(
        "--allocation-id", metavar="ID", type=options.identifier, help="the allocation this worker is part of"
    )
    made.add_argument(
        "--scheduler-id",
        metavar="ID",
        type=options.identifier,
        help="the scheduler whose allocation this is: only its jobs and those of none run here",
    )
    made.add_argument(
        "--mode",
        choices=("auto", "slurm", "direct"),
        help="start jobs as steps of srun, or directly (default: as the workflow says, else auto)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the jobs of the input; give the exit status."""
    args = parser().parse_args(argv)
    working.work(working.read(args.file), args)
    return exits.OK


def run() -> None:
    """Be the command torc-work."""
    stream.run(main, "torc-work")


if __name__ == "__main__":
    run()
