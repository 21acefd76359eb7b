"""The options of torc-recover and torc-watch that say how to recover, and the request that they make."""

import argparse
import contextlib
import os

from torc_tools import exits, units
from torc_tools.exits import Failure
from torc_tools.flows import recovery_limits, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.shell import options


def add(made: argparse.ArgumentParser, runtime_milli: int) -> None:
    """Add them; the runtime factor differs between the two commands (in thousandths), as torc's do."""
    for what, milli in (("memory", 1500), ("runtime", runtime_milli)):
        made.add_argument(
            f"--{what}-multiplier",
            metavar="FACTOR",
            type=options.factor,
            default=milli,
            help=f"how much the {what} of a job grows that had too little (default: {units.format_factor(milli)})",
        )
    made.add_argument("--max-memory", metavar="SIZE", type=options.memory, help="grow no request past this")
    made.add_argument("--max-runtime", metavar="DURATION", type=options.duration, help="grow no request past this")
    made.add_argument("--retry-unknown", action="store_true", help="run jobs again whose failure has no known cause")
    options.add_rules(made)
    made.add_argument("--recovery-hook", metavar="CMD", help="run CMD first where failures have no known cause")
    made.add_argument("--recovery-hook-json", metavar="CMD", help="ask CMD what to do about them: torc-hooks(7)")
    made.add_argument(
        "--hook-timeout",
        metavar="DURATION",
        type=options.duration,
        default=3600,
        help="stop a hook after this time (default: PT1H)",
    )
    made.add_argument("-j", "--max-parallel-jobs", metavar="N", type=options.identifier, help="jobs at a time, at most")
    for name, what in (("account", "that new Slurm allocations are charged to"), ("partition", "of them")):
        made.add_argument(f"--{name}", metavar="NAME", help=f"the {name} {what}")
    made.add_argument("--walltime", metavar="DURATION", type=options.duration, help="of what is started: [D-]HH:MM:SS")
    made.add_argument("--print", action="store_true", help="print the commands of a recovery; run none")
    options.add_store(made)


def add_auto_schedule(made: argparse.ArgumentParser) -> None:
    """Add the options of torc-watch that say when ready jobs get capacity, and which."""
    made.add_argument("--auto-schedule", action="store_true", help="start a worker for ready jobs that have none")
    for name, default, kind, text in (
        ("threshold", 5, options.identifier, "retries that must wait for it"),
        ("cooldown", 1800, options.natural, "seconds between two starts that move nothing"),
        ("stranded-timeout", 7200, options.natural, "seconds after which fewer retries do"),
    ):
        made.add_argument(
            f"--auto-schedule-{name}", metavar="N", type=kind, default=default, help=f"{text} (default: {default})"
        )


def placed(request: Request, args: argparse.Namespace, engine: str) -> Request:
    """Give the request for a workflow that goes on with `engine`.

    Raises Failure(2) where --partition or --account is given for one that runs on this machine.
    """
    for name in ("partition", "account"):
        if engine != "slurm" and getattr(args, name) is not None:
            where = f"workflow {request.workflow_id} runs on this machine"
            moves = f"'torc-recover --no-run {request.workflow_id}', then 'torc-run --slurm {request.workflow_id}'"
            hint = f"{moves} with the option, moves it to Slurm"
            raise Failure(exits.USAGE, f"--{name} is for Slurm allocations, and {where}", hint)
    return request._replace(engine=engine)


def request(args: argparse.Namespace) -> Request:
    """Give the request that `args` make, for a workflow that runs on this machine: see `placed`.

    Raises Failure(66) or Failure(65) for bad rules: now, and not at the first failure in the night.
    """
    if args.rules or os.environ.get("TORC_RULES"):
        from torc_tools.flows import rulebook  # most have none

        rulebook.own(args.rules)
    limits = [f"--max-parallel-jobs={args.max_parallel_jobs}"] if args.max_parallel_jobs else []
    plan = list(limits)
    if args.walltime:
        limits.append(f"--time-limit={units.format_duration(args.walltime)}")
        plan.append(f"--walltime={units.format_duration(args.walltime)}")
    plan += [f"--{name}={value}" for name in ("account", "partition") if (value := getattr(args, name)) is not None]
    return Request(
        workflow_id=args.workflow_id,
        store=options.store_path(args),
        store_options=["--store", args.store] if args.store else [],
        memory_milli=args.memory_multiplier,
        runtime_milli=args.runtime_multiplier,
        max_memory=args.max_memory,
        max_runtime=args.max_runtime,
        retry_unknown=args.retry_unknown,
        hook=args.recovery_hook,
        hook_json=args.recovery_hook_json,
        rules=args.rules,
        hook_timeout_s=args.hook_timeout,
        run_options=limits,
        plan_options=plan,
        partition=args.partition,
        walltime_s=args.walltime,
        dry_run=getattr(args, "dry_run", False),
    )


def shown(args: argparse.Namespace) -> Request:
    """Give the request for --print: of a workflow that cannot be looked at it is assumed that it runs here."""
    made = request(args)
    with contextlib.suppress(Failure):
        return recovery_limits.capped(made._replace(engine=recovery_steps.look(made).engine))
    return made


def same_folder(asked: str | None, workflow: dict[str, object]) -> None:
    """Check -o/--output-dir of torc-recover: Failure(2) where it is not the workflow's own."""
    own = str(workflow["output_dir"])
    if asked is not None and os.path.realpath(asked) != os.path.realpath(own):
        raise Failure(
            exits.USAGE, f"the output of workflow {workflow['workflow_id']} lies in '{own}', not in '{asked}'"
        )
