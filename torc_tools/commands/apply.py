"""torc-apply: write adjustments into the store; reads `adjustment`, writes `applied`."""

import argparse
from collections.abc import Sequence

from torc_tools import exits, records
from torc_tools.core import adjusting
from torc_tools.flows import applying, fold, looking
from torc_tools.shell import options, output, progress, stream

PROG = "torc-apply"
COLUMNS = ("job", "name", "action", "memory", "runtime", "copied", "already")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Give jobs what their adjustments say, each guarded by the state it was planned from.")
    options.add_input(made)
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read all, change all that still fits in one transaction, then write the receipt; 65 where any was refused."""
    args = parser().parse_args(argv)
    found = stream.whole(stream.read(args.file), adjusting.check)
    named = {record.get("workflow_id") for record in found if record["type"] == "adjustment"}
    workflow_id = named.pop() if len(named) == 1 else None
    db = fold.opened(options.store_path(args), workflow_id, copy=args.dry_run, writes=True)
    with progress.during("applying what was planned"):
        out, refused = applying.apply(db, found, dry_run=args.dry_run)
    for line in refused:
        stream.say(f"{PROG}: {line}")
    people = looking.for_people(args)
    shown = map(adjusting.for_people, out) if people else out
    status = output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if people else ())
    return exits.DATA if refused else status


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
