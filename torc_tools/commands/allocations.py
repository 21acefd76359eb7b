"""torc-allocations: the allocations of a workflow, what Slurm's accounting has of them, and what they took."""

import argparse
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records, units
from torc_tools.flows import looking
from torc_tools.records import Record
from torc_tools.shell import allocations, options, output, queries, stream

PROG = "torc-allocations"
COLUMNS = ("id", "kind", "status", "slurm_job", "state", "nodes", "jobs", "walltime", "created")
STEPS = ("slurm_job_id", "job_step", "name", "state", "exit_code", "elapsed", "max_rss", "node_list")
USAGE = ("total_slurm_jobs", "total_nodes", "total_node_time", "total_cpu_time")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List the allocations of a workflow, or what Slurm's accounting says of them.")
    options.add_workflow(made)
    kind = made.add_mutually_exclusive_group()
    kind.add_argument("--sacct", action="store_true", help="ask accounting for their jobs and steps")
    kind.add_argument("--usage", action="store_true", help="ask accounting, and add up nodes, node time and CPU time")
    made.add_argument("--save-json", action="store_true", help="with --sacct: also write a file for each Slurm job")
    made.add_argument("-o", "--output-dir", metavar="DIR", help="where (default: the workflow's output folder)")
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `allocation` records, `slurm_step` records, or one `summary`."""
    made = parser()
    args = made.parse_args(argv)
    if (args.save_json and not args.sacct) or (args.output_dir and not args.save_json):
        made.error("--save-json goes with --sacct, and -o with --save-json")
    db = looking.at_workflow(args, args.workflow_id)
    people = looking.for_people(args)
    if not (args.sacct or args.usage):
        found = allocations.listed(db, args.workflow_id)
        shown = _for_people(found) if people else found
        return output.emit(records.framed(PROG, args.workflow_id, shown), args, COLUMNS if people else ())
    asked = _asked(db, args)
    shown = _steps_for_people(asked) if people and args.sacct else asked
    columns = (STEPS if args.sacct else USAGE) if people else ()
    return output.emit(records.framed(PROG, args.workflow_id, shown), args, columns)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _asked(db: sqlite3.Connection, args: argparse.Namespace) -> list[Record]:
    """Ask accounting about the workflow's Slurm jobs, where it has any. Raises Failure(69)."""
    from torc_tools.core import allocation_usage, slurmtext
    from torc_tools.shell import slurm

    jobs = allocations.of_workflow(db, args.workflow_id)
    ids = sorted({row["slurm_job_id"] for row in jobs if row["slurm_job_id"]}, key=lambda each: (len(each), each))
    steps = slurmtext.accounting(slurm.sacct(ids)) if ids else []
    if args.usage:
        return [allocation_usage.summary(args.workflow_id, steps)]
    found = allocation_usage.steps(args.workflow_id, steps)
    if args.save_json:
        from torc_tools.flows import sacctfiles

        folder = args.output_dir or queries.workflow(db, args.workflow_id)["output_dir"]
        sacctfiles.write(folder, found)
    return found


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in found:
        walltime, reason = record["walltime_s"], record["slurm_reason"]
        yield {
            **record,
            "id": record["allocation_id"],
            "slurm_job": record["slurm_job_id"],
            "state": f"{record['slurm_state'] or ''} ({reason})".strip() if reason else record["slurm_state"],
            "jobs": record["job_count"],
            "walltime": None if walltime is None else units.format_duration(walltime),
            "created": looking.local_time(record["created_at"]),
        }


def _steps_for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in found:
        elapsed, peak = record["elapsed_s"], record["max_rss_bytes"]
        yield {
            **record,
            "elapsed": None if elapsed is None else units.human_seconds(elapsed),
            "max_rss": None if peak is None else units.human_bytes(peak),
        }


if __name__ == "__main__":
    run()
