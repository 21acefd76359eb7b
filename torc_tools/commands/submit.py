"""torc-submit: planned allocations to Slurm, exactly once each; reads `allocation`, writes `submission`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torc_tools import exits, records
from torc_tools.core import allocating_text, sbatch
from torc_tools.exits import Failure
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import options, output, stream

if TYPE_CHECKING:
    from torc_tools.flows.submitting import Done

PROG = "torc-submit"
COLUMNS = ("allocation_id", "slurm_job_id", "status", "group", "number", "num_allocations", "job_count", "depends_on")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Submit planned allocations to Slurm, each exactly once.")
    options.add_input(made)
    made.add_argument(
        "-w",
        "--workflow",
        metavar="WORKFLOW",
        type=options.identifier,
        help="read nothing: submit what this workflow has planned, and settle what was left half done",
    )
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read all, store what is wanted, submit one by one, write the receipt; then say what went wrong."""
    args = parser().parse_args(argv)
    if args.workflow is not None and args.file is not None:
        raise Failure(exits.USAGE, "allocations come from a workflow or from a file, not from both")
    found = [] if args.workflow else stream.whole(stream.read(args.file), sbatch.check)
    wanted = [record for record in found if sbatch.wanted(record)]
    workflow_id = args.workflow or _only(wanted)
    path = options.store_path(args)
    db = fold.opened(path, workflow_id, copy=args.dry_run, writes=True)
    from torc_tools.flows import submitting  # what is refused needs none of it

    if args.workflow:
        done = submitting.complete(db, path, args.workflow, dry_run=args.dry_run)
    else:
        done = submitting.submit(db, path, wanted, dry_run=args.dry_run)
    status = output.emit(records.framed(PROG, workflow_id, _out(found, done)), args, COLUMNS)
    if not stream.is_piped(args.file):  # torc-regenerate has said so then
        _say_unplannable(found)
    if done.trouble:
        raise done.trouble
    return status


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _only(wanted: list[Record]) -> int | None:
    named = {record["workflow_id"] for record in wanted}
    return named.pop() if len(named) == 1 else None


def _out(found: list[Record], done: "Done") -> list[Record]:
    """Put each submission in the place of its allocation; those of earlier plans come last."""
    left = dict(done.records)
    out = []
    for record in found:
        if not sbatch.wanted(record):
            out.append(record)
        elif record["token"] in left:
            out.append(left.pop(record["token"]))
    return [*out, *left.values()]


def _say_unplannable(found: list[Record]) -> None:
    for record in found:
        if record["type"] == "allocation" and record.get("status") == "unplannable":
            stream.say(f"{PROG}: {allocating_text.nowhere(record)}")


if __name__ == "__main__":
    run()
