"""torc-run: run a workflow, a spec, or plain command lines, on this machine or on Slurm."""

import argparse
import os
import sqlite3
from collections.abc import Sequence
from typing import Any

from torc_tools import exits, units
from torc_tools.core import commandlines
from torc_tools.core.allocating_facts import GROUPINGS
from torc_tools.exits import Failure
from torc_tools.flows import fold, running, summing
from torc_tools.shell import options, output, queries, store, stream

SPEC_ENDINGS = (".yaml", ".yml", ".json", ".json5", ".kdl")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser("torc-run", "Run a workflow: a stored one, a spec, or plain command lines.")
    made.add_argument(
        "what", metavar="SPEC|WORKFLOW", nargs="?", help="a spec file (- for standard input) or a workflow id"
    )
    lines = made.add_argument_group("plain command lines instead of a spec")
    lines.add_argument("-c", "--command", action="append", metavar="CMD", help="a job that runs CMD; may be repeated")
    lines.add_argument(
        "-C", "--command-file", metavar="FILE", help="a job for each line of FILE (- for standard input)"
    )
    lines.add_argument(
        "--param", action="append", metavar="NAME=VALUES", help="run each CMD for every value, as {NAME}: i=1:10"
    )
    lines.add_argument("--link", choices=("product", "zip"), help="how several --param combine (default: product)")
    lines.add_argument("--name", help="the workflow's name")
    lines.add_argument("--monitor", choices=commandlines.MONITORS, help="what is sampled (default: summary)")
    lines.add_argument("--stdio", choices=commandlines.STDIO, help="where their output goes (default: separate)")
    lines.add_argument("-n", "--dry-run", action="store_true", help="write the spec that they make; run nothing")
    limits = made.add_argument_group("what may be used")
    limits.add_argument(
        "-j",
        "--max-parallel-jobs",
        type=options.number,
        metavar="N",
        help="jobs at a time, at most (--slurm: in each allocation)",
    )
    limits.add_argument("--num-cpus", type=options.number, metavar="N", help="CPUs (default: those of this process)")
    limits.add_argument("--memory", type=options.memory, metavar="SIZE", help="memory for all jobs together")
    limits.add_argument("--num-gpus", type=options.natural, metavar="N", help="GPUs")
    end = limits.add_mutually_exclusive_group()
    end.add_argument("--time-limit", type=options.duration, metavar="DURATION", help="stop jobs after this time")
    end.add_argument(
        "--end-time", type=options.moment, metavar="TIME", help="stop jobs at this time (ISO 8601 or Unix seconds)"
    )
    _add_slurm(made)
    made.add_argument("-i", "--ignore-missing-data", action="store_true", help="start though input files are missing")
    made.add_argument("-o", "--output-dir", metavar="DIR", help="of a new workflow (default: torc_output)")
    options.add_store(made)
    options.add_output(made)
    return made


def _add_slurm(made: argparse.ArgumentParser) -> None:
    """Add what goes with --slurm; torc-regenerate takes these over, and checks them."""
    there = made.add_argument_group("on Slurm")
    there.add_argument("--slurm", action="store_true", help="submit allocations for it, and end when that is done")
    there.add_argument("--account", metavar="ACCOUNT", type=options.text, help="charge this account")
    there.add_argument("--partition", metavar="NAME", type=options.text, help="use this partition only")
    there.add_argument("--walltime", metavar="TIME", type=options.duration, help="of each allocation: 04:00:00, PT4H")
    there.add_argument("--walltime-multiplier", metavar="F", type=options.factor, help="of the longest runtime")
    there.add_argument("--group-by", choices=GROUPINGS, help="what may share an allocation")
    there.add_argument("--single-allocation", action="store_true", help="one allocation of many nodes for each group")
    there.add_argument("--profile", metavar="NAME", type=options.text, help="the cluster (default: this one)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    args = parser().parse_args(argv)
    path = options.store_path(args)
    if args.dry_run:
        return _show(args)
    here, there = _worker_options(args), _plan_options(args)
    if wrong := here if args.slurm else there:
        option = wrong[0].partition("=")[0]
        raise Failure(exits.USAGE, f"{option} goes {'without' if args.slurm else 'with'} --slurm")
    db, workflow_id = _opened(args, path)
    if args.slurm:
        from torc_tools.flows import running_slurm  # what speaks to Slurm, which a run here has no need of

        status = running_slurm.run_there(db, path, workflow_id, there, ignore_missing=args.ignore_missing_data)
    else:
        status = running.run_here(db, path, workflow_id, here, ignore_missing=args.ignore_missing_data)
    return summing.show(args, "torc-run", summing.summary(db, workflow_id)) or status


def _opened(args: argparse.Namespace, path: str) -> tuple[sqlite3.Connection, int]:
    """Open the store; create the workflow where a spec or command lines are given. Give its id."""
    lines = bool(args.command or args.command_file)
    if lines and args.what:
        raise Failure(exits.USAGE, f"either command lines or '{args.what}', not both")
    if not lines and args.what is None:
        raise Failure(exits.USAGE, "what to run? give a spec, a workflow id, -c CMD or -C FILE")
    if not lines and (args.param or args.name or args.link or args.monitor or args.stdio):
        raise Failure(exits.USAGE, "--param, --link, --name, --monitor and --stdio go with -c or -C")
    if lines or args.what == "-" or args.what.endswith(SPEC_ENDINGS) or os.path.isfile(args.what):
        return _created(args, path)
    if not (args.what.isascii() and args.what.isdigit()):
        raise Failure(exits.NO_INPUT, f"no such spec: '{args.what}'")
    workflow_id = options.operand(args.what)
    db = fold.opened(path, workflow_id, writes=True)
    own = queries.workflow(db, workflow_id)["output_dir"]
    if args.output_dir and os.path.realpath(args.output_dir) != os.path.realpath(own):
        raise Failure(exits.USAGE, f"the output of workflow {workflow_id} lies in '{own}', not in '{args.output_dir}'")
    return db, workflow_id


def _created(args: argparse.Namespace, path: str) -> tuple[sqlite3.Connection, int]:
    """Plan the spec or the command lines, then store them and say so: a bad spec leaves no store behind."""
    from torc_tools.flows import creation  # 8 ms that a stored workflow does not need

    plan = creation.plan_file(args.what) if args.what else creation.plan_spec(_spec(args), "command lines")
    db = store.create(path)
    workflow_id = creation.save(db, plan, args.output_dir or "torc_output")
    stream.say(creation.created(workflow_id, plan))
    return db, workflow_id


def _show(args: argparse.Namespace) -> int:
    """Write the spec that command lines make. Raises Failure(2) where there are none."""
    from torc_tools.flows import creation

    if args.what or not (args.command or args.command_file):
        raise Failure(exits.USAGE, "--dry-run goes with -c or -C (torc-create -n shows what a spec makes)")
    made = _spec(args)
    creation.plan_spec(made, "command lines")
    output.value(made)
    return exits.OK


def _spec(args: argparse.Namespace) -> dict[str, Any]:
    """Give the spec that command lines and their options make."""
    made = commandlines.spec(_command_lines(args), args.param or (), args.link or "product", args.name or "")
    return {**made, **commandlines.settings(args.monitor, args.stdio)}


def _command_lines(args: argparse.Namespace) -> list[str]:
    """Give the commands of -c, then those of the file of -C."""
    from_file = commandlines.lines(stream.text(args.command_file)) if args.command_file else []
    return [*(args.command or ()), *from_file]


def _worker_options(args: argparse.Namespace) -> list[str]:
    """Give the options that torc-work takes over, in its own spelling."""
    given = {
        "max-parallel-jobs": None if args.slurm else args.max_parallel_jobs,
        "num-cpus": args.num_cpus,
        "memory": args.memory and units.format_memory(args.memory),
        "num-gpus": args.num_gpus,
        "time-limit": args.time_limit and units.format_duration(args.time_limit),
        "end-time": args.end_time,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def _plan_options(args: argparse.Namespace) -> list[str]:
    """Give the options that torc-regenerate takes over, in its own spelling."""
    given = {
        "account": args.account,
        "partition": args.partition,
        "walltime": args.walltime and units.format_duration(args.walltime),
        "walltime-multiplier": args.walltime_multiplier and f"{args.walltime_multiplier / 1000:.3f}",
        "group-by": args.group_by,
        "profile": args.profile,
        "max-parallel-jobs": args.max_parallel_jobs if args.slurm else None,
    }
    single = ["--single-allocation"] if args.single_allocation else []
    return [f"--{name}={value}" for name, value in given.items() if value is not None] + single


def run() -> None:
    """Run as a console script."""
    stream.run(main, "torc-run")


if __name__ == "__main__":
    run()
