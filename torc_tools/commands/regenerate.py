"""torc-regenerate: plan Slurm allocations for the pending jobs of a workflow; writes `allocation`, changes nothing."""

import argparse
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from torc_tools import exits, records, units
from torc_tools.core import adjusting, allocating_text
from torc_tools.core.allocating_facts import GROUPINGS, STRATEGIES, Limits, Options, Tried
from torc_tools.exits import Failure
from torc_tools.flows import fold, looking
from torc_tools.records import Record, may, need, need_ids
from torc_tools.shell import allocations, options, output, stream

if TYPE_CHECKING:
    from torc_tools.core.allocating import Planned
    from torc_tools.core.profiles import Profile

PROG = "torc-regenerate"
COLUMNS = ("group", "number", "num_allocations", "job_count", "nodes", "num_cpus", "memory_bytes", "gres", "walltime")
PEOPLES = ("group", "jobs", "allocations", "nodes", "num_cpus", "memory", "gres", "walltime", "partition", "waits_for")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Plan Slurm allocations for the pending jobs of a workflow.")
    made.add_argument(
        "source", metavar="WORKFLOW|FILE", nargs="?", default="-", help="workflow id, or reset records that name it"
    )
    made.add_argument("--account", metavar="ACCOUNT", type=options.text, help="charge this account")
    made.add_argument("--partition", metavar="NAME", type=options.text, help="use this partition only")
    made.add_argument("--walltime", metavar="TIME", type=options.duration, help="of each allocation: 04:00:00, PT4H")
    made.add_argument(
        "--walltime-strategy",
        metavar="HOW",
        choices=STRATEGIES,
        default=STRATEGIES[0],
        help=f"{' or '.join(STRATEGIES)}; default: %(default)s",
    )
    made.add_argument("--walltime-multiplier", metavar="F", type=_factor, default=1500, help="of runtime; default 1.5")
    made.add_argument("--group-by", choices=GROUPINGS, default=GROUPINGS[0], help="default: %(default)s")
    made.add_argument("--single-allocation", action="store_true", help="one allocation of many nodes for each group")
    made.add_argument(
        "-j", "--max-parallel-jobs", metavar="N", type=options.number, help="jobs at a time in each allocation, at most"
    )
    made.add_argument("--profile", metavar="NAME", type=options.text, help="the cluster (default: this one)")
    made.add_argument("--profiles", metavar="FILE", help="read clusters from this file, too")
    made.add_argument(
        "--include-job-ids", metavar="ID,...", type=options.identifiers, default=[], help="as if these were pending"
    )
    made.add_argument(
        "--retries", action="store_true", help="only for retries that are ready, as if what runs had no room for them"
    )
    made.add_argument("--compare", action="store_true", help="ask Slurm when one large allocation would start, or many")
    made.add_argument("-n", "--dry-run", action="store_true", help="as --read-only: planning changes nothing anyway")
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Plan and write an `allocation` for each that is to be submitted, and one for each group that fits nowhere."""
    args = parser().parse_args(argv)
    workflow_id, tried, passed = _asked(args)
    if workflow_id is None:
        _say("no reset records: nothing to plan for")
        return output.emit(records.framed(PROG, None, passed), args, COLUMNS)
    db = fold.opened(options.store_path(args), workflow_id, read_only=args.read_only or args.dry_run)
    planned = _planned(db, workflow_id, args, tried)
    for line in allocating_text.notes(planned, workflow_id):
        _say(line)
    found = planned.records
    if args.compare:
        from torc_tools.flows import comparing  # few ask for that

        found = comparing.compared(found, _say)
    status = _show(records.framed(PROG, workflow_id, [*passed, *found]), args)
    return exits.EMPTY if allocating_text.is_hopeless(planned) else status


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _say(line: str) -> None:
    stream.say(f"{PROG}: {line}")


def _factor(text: str) -> int:
    try:
        return units.parse_factor(text)
    except Failure as failure:
        raise argparse.ArgumentTypeError(failure.message) from None


def _asked(args: argparse.Namespace) -> tuple[int | None, Tried, list[Record]]:
    """Give the workflow, what counts as done, and the records to pass on."""
    included: dict[int, Limits] = dict.fromkeys(args.include_job_ids, (None, None))
    if args.source.isascii() and args.source.isdigit():
        return options.operand(args.source), Tried(included), []
    found = stream.whole(stream.read(args.source), _check)
    resets = [record for record in found if record["type"] == "reset"]
    known = {record["workflow_id"] for record in resets}
    if len(known) > 1:
        raise Failure(exits.DATA, f"reset records of different workflows: {', '.join(map(str, sorted(known)))}")
    passed = [record for record in found if record["type"] != "reset"]
    return next(iter(known), None), _tried(found, included), passed


def _tried(found: list[Record], included: dict[int, Limits]) -> Tried:
    """Give what torc-reset, torc-apply and torc-sync only tried, in dry runs: it counts as done."""
    dry = [record for record in found if record.get("dry_run")]
    jobs = included | {record["job_id"]: (None, None) for record in dry if record["type"] == "reset"}
    for record in dry:
        if record["type"] == "applied":
            jobs |= {job_id: adjusting.tried(record) for job_id in record["job_ids"] if job_id in jobs}
    synced = [each for record in dry if record["type"] == "summary" for each in record.get("allocations") or ()]
    return Tried(jobs, frozenset(each["allocation_id"] for each in synced if each.get("status") in allocations.OVER))


def _check(record: Record) -> None:
    if record["type"] == "reset":
        for key in ("workflow_id", "job_id"):
            if need(record, key, int) < 1:
                raise Failure(exits.DATA, f"reset: '{key}' is not an id")
        may(record, "dry_run", bool)
    if record["type"] == "applied":
        need_ids(record, "job_ids")
        adjusting.tried(record)


def _planned(db: sqlite3.Connection, workflow_id: int, args: argparse.Namespace, tried: Tried) -> "Planned":
    from torc_tools.flows import clusters, regenerating  # --help and a refusal need none of it

    profile = clusters.resolve(args.profile, args.profiles)
    _check_partition(args.partition, profile)
    wanted = Options(
        args.group_by,
        args.single_allocation,
        args.walltime_strategy,
        args.walltime_multiplier,
        args.walltime,
        args.partition,
        args.account,
        args.max_parallel_jobs,
        args.retries,
    )
    return regenerating.plan(db, workflow_id, wanted, profile, tried)


def _check_partition(name: str | None, profile: "Profile") -> None:
    if name is not None and name not in [each.name for each in profile.partitions]:
        have = ", ".join(each.name for each in profile.partitions)
        raise Failure(exits.NO_INPUT, f"no such partition: '{name}' ({profile.display_name} has {have})")


def _show(found: Iterable[Record], args: argparse.Namespace) -> int:
    if not looking.for_people(args):
        return output.emit(found, args, COLUMNS)
    return output.emit(_for_people(found), args, (*PEOPLES, "suggested") if args.compare else PEOPLES)


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    """Give one row for each group."""
    for record in found:
        if record["type"] != "allocation":
            yield record
        elif record["status"] == "unplannable" or record["number"] == 1:
            yield {**record, **allocating_text.columns(record)}


if __name__ == "__main__":
    run()
