"""torc-jobs: list jobs, show what they wrote (--logs), edit them (set)."""

import argparse
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import exits, records
from torc_tools.exits import Failure
from torc_tools.flows import editing, following, looking
from torc_tools.records import Record
from torc_tools.shell import options, output, queries, stream

PROG = "torc-jobs"
COLUMNS = ("job_id", "job_name", "status", "attempt", "num_cpus", "memory", "runtime", "code")
USAGE = """torc-jobs [OPTION...] WORKFLOW
       torc-jobs [OPTION...] -j ID,...
       torc-jobs --logs [-F] [--stdout | --stderr] [--run N] [--attempt N]
                 [--tail N] JOB
       torc-jobs set [--memory SIZE] [--runtime TIME] [--num-cpus N] [...]
                 JOB... | -"""


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List the jobs of a workflow, show what a job wrote, or edit jobs.")
    made.usage = USAGE
    made.add_argument("operands", metavar="OPERAND", nargs="*", help="WORKFLOW; JOB with --logs; set JOB... or set -")
    _add_list(made.add_argument_group("listing"))
    _add_logs(made.add_argument_group("--logs"))
    _add_set(made.add_argument_group("set"))
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `job` records, or with --logs the bytes of a job's output files."""
    made = parser()
    args = made.parse_intermixed_args(argv)
    setting, words = args.operands[:1] == ["set"], args.operands
    _check(made, args, setting=setting)
    if setting:
        return _set(args, words[1:])
    ids = [options.operand(word) for word in words]
    if args.logs:
        if len(ids) != 1:
            raise Failure(exits.USAGE, "--logs takes one job id")
        return following.show(args, ids[0])
    if len(ids) > 1 or not (ids or args.job_ids or _near(args)):
        raise Failure(exits.USAGE, "name one workflow, or jobs with -j")
    return _list(args, ids[0] if ids else None)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _add_list(made: argparse._ArgumentGroup) -> None:
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    made.add_argument(
        "-s",
        "--status",
        metavar="STATE,...",
        type=looking.state_numbers,
        help="only jobs in these states; with set: the new state, disabled or ready",
    )
    made.add_argument("--relationships", action="store_true", help="add the ids of jobs and files that it is tied to")
    near = made.add_mutually_exclusive_group()
    near.add_argument(
        "--upstream-of", metavar="JOB", type=options.identifier, help="only jobs that JOB waits for, through others too"
    )
    near.add_argument(
        "--downstream-of",
        metavar="JOB",
        type=options.identifier,
        help="only jobs that wait for JOB, through others too",
    )


def _add_logs(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--logs", action="store_true", help="write what the job wrote on stdout and stderr")
    made.add_argument("--stdout", action="store_true", help="its stdout alone")
    made.add_argument("--stderr", action="store_true", help="its stderr alone")
    made.add_argument("-F", "--follow", action="store_true", help="go on until the job ends")
    made.add_argument("--run", metavar="N", type=options.number, help="of this run of the workflow")
    made.add_argument("--attempt", metavar="N", type=options.number, help="of this attempt")
    made.add_argument("--tail", metavar="N", type=options.number, help="the last N lines of each file")


def _add_set(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--memory", metavar="SIZE", type=options.memory, help="new memory limit: 12g")
    made.add_argument("--runtime", metavar="TIME", type=options.duration, help="new runtime limit: PT2H or 02:00:00")
    made.add_argument("--num-cpus", metavar="N", type=options.number, help="new number of CPUs")
    made.add_argument("--num-gpus", metavar="N", type=options.natural, help="new number of GPUs")
    made.add_argument("--num-nodes", metavar="N", type=options.number, help="new number of nodes")
    made.add_argument("--command", metavar="CMD", type=options.text, help="new command")
    made.add_argument("--name", metavar="NAME", type=options.text, help="new name, of one job")
    made.add_argument(
        "--resource-requirements-id", metavar="ID", type=options.identifier, help="use these requirements"
    )
    made.add_argument("--priority", metavar="N", type=options.natural, help="new priority; higher runs first")


def _check(made: argparse.ArgumentParser, args: argparse.Namespace, *, setting: bool) -> None:
    """Refuse (status 2) options of one use of the command in another."""
    listing = (args.relationships, args.job_ids, _near(args), args.limit, args.sort_by, args.reverse, args.offset)
    edits = [f"--{key.replace('_', '-')}" for key in editing.FIELDS if getattr(args, key) is not None]
    logs = [f"--{key}" for key in ("stdout", "stderr", "follow", "run", "attempt", "tail") if getattr(args, key)]
    if edits and not setting:
        made.error(f"{edits[0]}: only with set")
    if logs and not args.logs:
        made.error(f"{logs[0]}: only with --logs")
    if setting and (args.logs or args.read_only or any((*listing, args.exclude))):
        made.error("set takes job ids as operands, and no options of the listing")
    if args.logs and any((*listing, args.exclude, args.status, args.where, args.query, args.format)):
        made.error("--logs takes one job id, and no options of the listing")
    if setting and not edits and args.status is None:
        made.error("set: nothing to set")


def _list(args: argparse.Namespace, workflow_id: int | None) -> int:
    if workflow_id is None:
        db, workflow_id = looking.at_jobs(args, args.job_ids or [_near(args)])
    else:
        db = looking.at_workflow(args, workflow_id)
    found = queries.jobs(db, _condition(args), (workflow_id,))
    if args.relationships:
        from torc_tools.flows import relating

        found = relating.added(db, workflow_id, found)
    return _emit(args, workflow_id, db, found)


def _near(args: argparse.Namespace) -> int | None:
    """Give the job whose neighbours are wanted."""
    return args.upstream_of or args.downstream_of  # type: ignore[no-any-return]


def _condition(args: argparse.Namespace) -> str:
    """Write the SQL condition of the options; its one parameter is the workflow."""
    parts = ["j.workflow_id = ?"]
    if args.job_ids:
        parts.append(queries.among("j.job_id", args.job_ids))
    if args.status:
        parts.append(queries.among("j.status", args.status))
    if args.upstream_of:
        parts.append(queries.upstream(args.upstream_of))
    if args.downstream_of:
        parts.append(queries.downstream(args.downstream_of))
    return " AND ".join(parts)


def _set(args: argparse.Namespace, words: Sequence[str]) -> int:
    """Edit jobs: ids as operands (also between commas), or with '-' those of the records on standard input."""
    if words == ["-"]:
        job_ids = editing.named(stream.whole(stream.read(), editing.check))
    else:
        job_ids = sorted({options.operand(part) for word in words for part in word.split(",")})
    if not job_ids and words != ["-"]:
        raise Failure(exits.USAGE, "set: no job named (ids, or - for records on standard input)")
    db, workflow_id = editing.edit(args, job_ids)
    changed = queries.jobs(db, queries.among("j.job_id", job_ids)) if db else iter(())
    return _emit(args, workflow_id, db, changed)


def _emit(
    args: argparse.Namespace, workflow_id: int | None, db: sqlite3.Connection | None, found: Iterable[Record]
) -> int:
    people = looking.for_people(args)
    shown = _for_people(db, workflow_id, found) if people and db else found
    return output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if people else ())


def _for_people(db: sqlite3.Connection, workflow_id: int | None, found: Iterable[Record]) -> Iterator[Record]:
    codes = queries.return_codes(db, workflow_id)
    for record in looking.limits_for_people(found):
        yield {**record, "attempt": record["attempt_id"], "code": codes.get(record["job_id"])}


if __name__ == "__main__":
    run()
