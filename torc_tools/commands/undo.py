"""torc-undo: take back a recovery that has not run yet, or list what was changed, when, by whom and why."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records
from torc_tools.core import undoing
from torc_tools.flows import fold, looking
from torc_tools.records import Record
from torc_tools.shell import journal, lease, options, output, queries, stream

PROG = "torc-undo"
COLUMNS = ("what", "change")
LISTED = ("change_id", "at", "by", "what", "change")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Take back the last recovery, which has not run yet, or list what was changed.")
    options.add_workflow(made)
    made.add_argument("change", metavar="CHANGE", nargs="?", type=options.operand,
                      help="take back this change, what was made with it, and all later ones")  # fmt: skip
    made.add_argument("--list", action="store_true", help="list the changes; take nothing back")
    options.add_limit(made)
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Take back and write `undone` records, or write the `change` records of the journal."""
    made = parser()
    args = made.parse_args(argv)
    if args.list and args.change is not None:
        made.error("--list takes no CHANGE")
    return _list(args) if args.list else _undo(args)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _undo(args: argparse.Namespace) -> int:
    from torc_tools.flows import undoing as flow

    path, workflow_id = options.store_path(args), args.workflow_id
    db = fold.opened(path, workflow_id, copy=args.dry_run, writes=True)
    if args.dry_run:
        done = flow.undo(db, workflow_id, args.change, dry_run=True)
    else:
        with lease.take(path, workflow_id, PROG):
            done = flow.undo(db, workflow_id, args.change, dry_run=False)
    stream.say(f"{PROG}: {_told(done)}")
    shown = _for_people(done) if looking.for_people(args) else done
    return output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if looking.for_people(args) else ())


def _told(done: Sequence[Record]) -> str:
    """Say what was taken back."""
    if not done:
        return "nothing to take back"
    jobs = len({each["subject_id"] for each in done if each["subject"] == "job"})
    count = sum(len(each["change_ids"]) for each in done)
    verb = "would be taken back" if done[0]["dry_run"] else "taken back"
    return f"{count} change(s) {verb}" + (f", of {jobs} job(s)" if jobs else "")


def _list(args: argparse.Namespace) -> int:
    db = fold.opened(options.store_path(args), args.workflow_id, read_only=True)
    queries.workflow(db, args.workflow_id)
    found = list(journal.read(db, args.workflow_id))
    gone = undoing.undone(found)
    listed: Iterable[Record] = ({**row, "undone_by": gone.get(row["change_id"])} for row in found)
    broken = journal.broken(db)
    if broken is not None:
        stream.say(f"{PROG}: warning: change {broken} does not fit the one before it: the journal was edited by hand")
    people = looking.for_people(args)
    shown = _for_people(listed) if people else listed
    return output.emit(records.framed(PROG, args.workflow_id, shown), args, LISTED if people else ())


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    from torc_tools.core import undo_text

    for record in found:
        yield {
            **record,
            "at": looking.local_time(record.get("at")),
            "by": f"{record['who']}: {record['command'].removeprefix('torc-')}" if "who" in record else None,
            "what": undo_text.subject(record),
            "change": "; ".join(filter(None, [undo_text.change(record), undo_text.why(record)])),
        }


if __name__ == "__main__":
    run()
