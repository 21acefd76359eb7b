"""torc-workflows: list the workflows of a store, get one with its configuration, or delete one."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records, states
from torc_tools.core import standing
from torc_tools.flows import deleting, looking
from torc_tools.records import Record
from torc_tools.shell import options, output, queries, stream

PROG = "torc-workflows"
COLUMNS = ("workflow_id", "name", "user", "run", "jobs", "completed", "failed", "state", "created")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List workflows, oldest first, or get one with its configuration.")
    options.add_workflow(made, nargs="*")
    made.add_argument("--delete", action="store_true", help="delete workflows from the store; their files stay")
    made.add_argument("--force", action="store_true", help="with --delete: also one that a worker may still run")
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `workflow` records."""
    made = parser()
    args = made.parse_args(argv)
    ids = list(dict.fromkeys(args.workflow_id))
    only = ids[0] if len(ids) == 1 else None
    if args.delete:
        if not ids or args.read_only:
            made.error("--delete takes a workflow, and a store that may be written")
        gone = deleting.delete(looking.at_workflow(args, only, writes=True), ids, args.force)
        return output.emit(records.framed(PROG, only, gone), args, COLUMNS[:3])
    if args.force:
        made.error("--force goes with --delete")
    db = looking.at_workflow(args, only)
    found = (queries.workflow(db, each) for each in ids) if ids else queries.workflows(db)
    listed = (_counted(record, queries.counts(db, record["workflow_id"])) for record in found)
    people = looking.for_people(args)
    shown = _for_people(listed) if people else listed
    return output.emit(records.framed(PROG, only, shown), args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _counted(record: Record, counts: dict[str, int]) -> Record:
    """Add to a workflow its counts by state and how it stands."""
    return {**record, "total": sum(counts.values()), "counts": counts, **standing.outcome(counts)}


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in found:
        yield {
            **record,
            "jobs": record["total"],
            "run": record["run_id"],
            "completed": record["counts"]["completed"],
            "failed": sum(record["counts"][states.NAMES[number]] for number in states.RECOVERABLE),
            "state": standing.word(record),
            "created": looking.local_time(record["created_at"]),
        }


if __name__ == "__main__":
    run()
