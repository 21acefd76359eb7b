"""torc-sacct: jobs of plain Slurm accounting, which never were in a workflow, as `result` records."""

import argparse
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records, states, units
from torc_tools.core import plainjobs, slurmtext
from torc_tools.exits import Failure
from torc_tools.flows import looking
from torc_tools.records import Record
from torc_tools.shell import options, output, slurm, stream

PROG = "torc-sacct"
COLUMNS = ("job", "name", "status", "state", "code", "time", "limit", "peak", "memory", "cpus", "nodes")
_JOB = re.compile(r"[0-9]{1,10}(_[0-9]{1,10})?(\+[0-9]{1,4})?", re.ASCII)
_DAY = 86400


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Write jobs that Slurm's accounting knows as results, for torc-diagnose to explain.")
    made.add_argument("jobs", metavar="JOB", nargs="*", type=_job, help="Slurm job ids (default: all of yours)")
    made.add_argument("--since", metavar="TIME", type=_moment, help="that ran after this time, or in the last PT8H")
    made.add_argument("--until", metavar="TIME", type=_moment, help="that ran before this time")
    whose = made.add_mutually_exclusive_group()
    whose.add_argument("-u", "--user", metavar="USER", help="jobs of this user, a name or a number")
    whose.add_argument("-a", "--all-users", action="store_true", help="jobs of everyone that you may see")
    made.add_argument("--failed", action="store_true", help="only those that failed or ran out of time")
    options.add_limit(made)
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Ask accounting, and write a `result` for each job that is over."""
    made = parser()
    args = made.parse_args(argv)
    if args.jobs and (args.user or args.all_users):
        made.error("jobs are named by their ids or by their user, not by both")
    found = plainjobs.results(slurmtext.accounting(_asked(args)))
    if not args.jobs:
        found = _plain(found)
    kept = (each for each in found if not args.failed or states.NUMBERS[each["status"]] in states.RECOVERABLE)
    people = looking.for_people(args)
    shown = _for_people(kept) if people else kept
    return output.emit(records.framed(PROG, None, shown), args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _plain(found: Iterable[Record]) -> Iterator[Record]:
    """Leave out the allocations of workflows, whose jobs torc-diagnose knows, and say so."""
    from torc_tools.core import sbatch

    left = 0
    for record in found:
        if sbatch.is_ours(record["job_name"] or ""):
            left += 1
        else:
            yield record
    if left:
        stream.say(f"{PROG}: {left} allocation(s) of workflows left out: torc-diagnose WORKFLOW explains their jobs")


def _asked(args: argparse.Namespace) -> str:
    since = 0.0 if args.jobs else time.time() - _DAY
    user = None if args.all_users else args.user or str(os.getuid())
    return slurm.history(args.jobs, since if args.since is None else args.since, args.until, user)


def _job(text: str) -> str:
    if _JOB.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"not a Slurm job id: '{text}'")
    return text


def _moment(text: str) -> float:
    """Read a time as Unix seconds; a duration is that long ago."""
    try:
        return time.time() - units.parse_duration(text)
    except Failure:
        return options.moment(text)


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in found:
        facts, peak, memory = record["facts"], record["peak_memory_bytes"], record["memory_bytes"]
        ran, limit = record["exec_time_s"], record["runtime_s"]
        yield {
            **record,
            "job": facts["slurm_job_id"],
            "name": record["job_name"],
            "state": facts["slurm_state"],
            "code": record["return_code"],
            "time": None if ran is None else units.human_seconds(ran),
            "limit": None if limit is None else units.format_duration(limit),
            "peak": None if peak is None else units.human_bytes(peak),
            "memory": None if memory is None else units.format_memory(memory),
            "cpus": record["num_cpus"],
            "nodes": facts.get("node_list"),
        }


if __name__ == "__main__":
    run()
