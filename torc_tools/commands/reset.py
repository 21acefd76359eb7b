"""torc-reset: start jobs over with all that depend on them; reads records that name jobs, writes `reset`."""

import argparse
import sqlite3
from collections.abc import Iterator, Sequence

from torc_tools import exits, records, states
from torc_tools.core import resetting
from torc_tools.core.resetting import Name
from torc_tools.exits import Failure
from torc_tools.flows import fold, looking
from torc_tools.flows import resetting as flow
from torc_tools.records import Record
from torc_tools.shell import jobstate, options, output, progress, store, stream

PROG = "torc-reset"
COLUMNS = ("job_id", "job_name", "because", "previous_status", "status")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Start jobs over, with all that depend on them and no other job.")
    options.add_input(made)
    made.add_argument(
        "-w", "--workflow-id", metavar="WORKFLOW", type=options.identifier, help="choose jobs of this workflow"
    )
    made.add_argument("--failed", action="store_true", help="choose the failed and the terminated jobs")
    made.add_argument("-s", "--status", metavar="STATE,...", type=looking.state_numbers, help="choose by state")
    made.add_argument("--return-code", metavar="N,...", type=_codes, help="choose by the latest return code")
    made.add_argument("--stale", action="store_true", help="choose completed jobs whose output is gone, or too old")
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="choose by id")
    made.add_argument("--force", action="store_true", help="reset also jobs that a worker has or may start")
    options.add_change(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Name the jobs, show what depends on them, reset all in one transaction, then write the receipt."""
    args = parser().parse_args(argv)
    found = [] if _choosing(args) else stream.whole(stream.read(args.file), resetting.check)
    names = [name for record in found if resetting.is_naming(record) for name in resetting.names(record)]
    workflow_id = args.workflow_id or _workflow_of(args, names)
    db = fold.opened(options.store_path(args), workflow_id, copy=args.dry_run, writes=True)
    chosen = _chosen(db, args) if _choosing(args) else names
    with progress.during("resetting jobs"):
        done, refused = flow.reset(db, chosen, force=args.force, dry_run=args.dry_run, show=_show)
    for line in refused:
        _show(line)
    passed = [record for record in found if not resetting.is_naming(record) or _tried(record, args)]
    status = output.emit(records.framed(PROG, workflow_id, [*passed, *done]), args, COLUMNS)
    return exits.DATA if refused else status


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _tried(record: Record, args: argparse.Namespace) -> bool:
    """Say whether a record says what torc-apply only tried: torc-regenerate wants to know, behind us in a dry run."""
    return args.dry_run and record["type"] == "applied" and bool(record.get("dry_run"))


def _show(line: str) -> None:
    stream.say(f"{PROG}: {line}")


def _codes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"not return codes: '{text}'") from None


def _choosing(args: argparse.Namespace) -> bool:
    """Say whether options choose the jobs, and not the input. Raises Failure(2) where they do not fit together."""
    by_kind = args.failed or args.stale or args.status is not None or args.return_code is not None
    if args.stale and (args.failed or args.status is not None or args.return_code is not None):
        raise Failure(exits.USAGE, "--stale takes no other choice beside it but --job-ids")
    if by_kind and args.workflow_id is None:
        raise Failure(exits.USAGE, "--failed, --status, --return-code and --stale need a workflow: -w WORKFLOW")
    if args.failed and args.status is not None:
        raise Failure(exits.USAGE, "--failed and --status exclude each other")
    if args.workflow_id is not None and not by_kind and not args.job_ids:
        raise Failure(
            exits.USAGE, "choose jobs of the workflow: --failed, --status, --return-code, --stale or --job-ids"
        )
    if (by_kind or args.job_ids) and args.file is not None:
        raise Failure(exits.USAGE, "jobs come from options or from a file, not from both")
    return bool(by_kind or args.job_ids)


def _workflow_of(args: argparse.Namespace, names: list[Name]) -> int | None:
    """Give the workflow whose news to take in first: the one that is named, or that of the jobs."""
    known = {name.workflow_id for name in names}
    if len(known) == 1 and None not in known:
        return known.pop()
    if not args.job_ids:
        return None
    db = store.open_reader(options.store_path(args))
    return looking.workflow_of(db, args.job_ids)


def _chosen(db: sqlite3.Connection, args: argparse.Namespace) -> Iterator[Name]:
    """Name the jobs for which all the options hold, when it is asked: inside the transaction of the reset."""
    ids = args.job_ids
    if args.stale:
        from torc_tools.flows import stale

        found = stale.jobs(db, args.workflow_id)
        ids = found if ids is None else sorted(set(found) & set(ids))
    elif args.workflow_id is not None and (args.failed or args.status is not None or args.return_code is not None):
        statuses = sorted(states.RECOVERABLE) if args.failed else args.status
        found = jobstate.chosen(db, args.workflow_id, statuses, args.return_code)
        ids = found if ids is None else sorted(set(found) & set(ids))
    yield from (Name(job_id, args.workflow_id) for job_id in ids)


if __name__ == "__main__":
    run()
