"""torc-results: list what the attempts of jobs came to."""

import argparse
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import exits, records, units
from torc_tools.exits import Failure
from torc_tools.flows import looking
from torc_tools.records import Record
from torc_tools.shell import options, output, queries, stream

PROG = "torc-results"
COLUMNS = ("job_id", "job_name", "run", "attempt", "status", "code", "time", "peak", "memory", "runtime")
_LATER_ATTEMPT = "x.run_id = t.run_id AND x.attempt_id > t.attempt_id"
_LATER_RUN = "x.run_id > t.run_id"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List results: of each job the latest, unless told otherwise.")
    options.add_workflow(made, nargs="?")
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    runs = made.add_mutually_exclusive_group()
    runs.add_argument("--run-id", metavar="RUN", type=options.identifier, help="only this run of the workflow")
    runs.add_argument("--all-runs", action="store_true", help="every run of a job, not its latest alone")
    made.add_argument("--all-attempts", action="store_true", help="every attempt in a run, not the last alone")
    made.add_argument("--return-code", metavar="N", type=int, help="only results with this return code")
    made.add_argument("--failed", action="store_true", help="only results with another return code than 0")
    made.add_argument("-s", "--status", metavar="STATE,...", type=looking.state_numbers, help="only these states")
    made.add_argument("--result-ids", metavar="ID,...", type=options.identifiers, help="only these results")
    made.add_argument("--logs", action="store_true", help="add the files of stdout and stderr, null where not there")
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `result` records."""
    args = parser().parse_args(argv)
    db, workflow_id = _opened(args)
    found = queries.results(db, _condition(args), (workflow_id,))
    if args.logs:
        from torc_tools.flows import jobfiles

        found = jobfiles.added(db, workflow_id, found)
    people = looking.for_people(args)
    shown = _for_people(found) if people else found
    return output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _opened(args: argparse.Namespace) -> tuple[sqlite3.Connection, int]:
    """Open the store at the workflow that is named, by itself or by its jobs or results; give its id."""
    if args.workflow_id is not None:
        return looking.at_workflow(args, args.workflow_id), args.workflow_id
    if args.job_ids:
        return looking.at_jobs(args, args.job_ids)
    if not args.result_ids:
        raise Failure(exits.USAGE, "name a workflow, jobs with -j, or results with --result-ids")
    return looking.at_jobs(args, looking.jobs_of_results(args, args.result_ids))


def _condition(args: argparse.Namespace) -> str:
    """Write the SQL condition of the options; its one parameter is the workflow."""
    parts = ["t.workflow_id = ?"]
    named = args.result_ids is not None
    later = [] if args.all_attempts or named else [_LATER_ATTEMPT]
    if not (args.all_runs or named) and args.run_id is None:
        later.append(_LATER_RUN)
    if later:
        superseded = f"x.job_id = t.job_id AND ({' OR '.join(later)})"
        parts.append(f"NOT EXISTS (SELECT 1 FROM result x WHERE {superseded})")
    if args.run_id is not None:
        parts.append(f"t.run_id = {args.run_id}")
    if args.job_ids:
        parts.append(queries.among("t.job_id", args.job_ids))
    if named:
        parts.append(queries.among("t.result_id", args.result_ids))
    if args.return_code is not None:
        parts.append(f"t.return_code = {args.return_code}")
    if args.failed:
        parts.append("t.return_code <> 0")
    if args.status:
        parts.append(queries.among("t.status", args.status))
    return " AND ".join(parts)


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in looking.limits_for_people(found):
        peak, time = record["peak_memory_bytes"], record["exec_time_s"]
        yield {
            **record,
            "run": record["run_id"],
            "attempt": record["attempt_id"],
            "code": record["return_code"],
            "time": None if time is None else units.human_seconds(time),
            "peak": None if peak is None else units.human_bytes(peak),
        }


if __name__ == "__main__":
    run()
