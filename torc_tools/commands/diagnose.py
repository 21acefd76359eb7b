"""torc-diagnose: say why jobs failed; reads the store, or `result` records, and writes `diagnosis`."""

import argparse
from collections.abc import Iterator, Sequence

from torc_tools import exits, records
from torc_tools.core import diagnosis
from torc_tools.exits import Failure
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import failures, options, output, stream

PROG = "torc-diagnose"
COLUMNS = ("job_id", "job_name", "status", "return_code", "cause", "certainty", "peak_memory_bytes", "exec_time_s")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say why the failed jobs of a workflow failed, or why the results in a file did.")
    made.add_argument("source", metavar="WORKFLOW|FILE", nargs="?", default="-", help="workflow id, or result records")
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    made.add_argument("--all-runs", action="store_true", help="every failed attempt, not only each job's latest")
    options.add_store(made)
    options.add_read_only(made)
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write a `diagnosis` for each failure; pass every other record on."""
    args = parser().parse_args(argv)
    if args.source.isascii() and args.source.isdigit():
        workflow_id = _identifier(args.source)
        return output.emit(records.framed(PROG, workflow_id, _stored(args, workflow_id)), args, COLUMNS)
    if args.job_ids or args.all_runs:
        raise Failure(exits.USAGE, "--job-ids and --all-runs choose among the jobs of a workflow: name one")
    found = records.replace(stream.read(args.source), "result", diagnosis.diagnose_failed)
    return output.emit(found, args, COLUMNS)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _identifier(text: str) -> int:
    try:
        return options.identifier(text)
    except argparse.ArgumentTypeError as error:
        raise Failure(exits.USAGE, str(error)) from None


def _stored(args: argparse.Namespace, workflow_id: int) -> Iterator[Record]:
    db = fold.opened(options.store_path(args), workflow_id, read_only=args.read_only)
    found = failures.failed(db, workflow_id, args.job_ids, all_runs=args.all_runs)
    return (diagnosis.diagnose(result, now) for result, now in found)


if __name__ == "__main__":
    run()
