"""torc-create: check and expand a workflow spec, and store it."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import exits
from torc_tools.core import planning, preview
from torc_tools.exits import Failure
from torc_tools.flows import creation, looking
from torc_tools.records import Record, framed, replace
from torc_tools.shell import options, output, queries, store, stream

_COLUMNS = ("workflow_id", "name", "user", "job_count", "file_count", "dependency_count")
_DRY_COLUMNS = ("job_id", "job_name", "status", "stage", "job_count", "num_cpus", "memory_bytes", "runtime_s")
_CHECK_COLUMNS = ("name", "valid", "job_count", "file_count", "action_count", "stage_count", "errors", "warnings")
_PEOPLES_COLUMNS = (*_DRY_COLUMNS[:-2], "memory", "runtime")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser("torc-create", "Check and expand a workflow spec, store it, and print the workflow.")
    made.add_argument("spec", metavar="SPEC", help="a spec in YAML, JSON, JSON5 or KDL; -: standard input")
    made.add_argument(
        "-o", "--output-dir", metavar="DIR", default="torc_output", help="where output goes (default: torc_output)"
    )
    made.add_argument("--no-resource-monitoring", action="store_true", help="do not sample the jobs")
    made.add_argument(
        "--max-jobs",
        metavar="N",
        type=options.number,
        default=planning.MAX_JOBS,
        help=f"refuse a spec that makes more jobs (default: {planning.MAX_JOBS})",
    )
    options.add_store(made)
    only = made.add_mutually_exclusive_group()
    only.add_argument("-n", "--dry-run", action="store_true", help="store nothing: print the jobs and the stages")
    only.add_argument("--check", action="store_true", help="store nothing: say whether it is valid, and what it makes")
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Store the spec, or show what it makes."""
    args = parser().parse_args(argv)
    if args.check or args.dry_run:
        return _show(args)
    plan = creation.plan_file(args.spec, max_jobs=args.max_jobs, monitoring=not args.no_resource_monitoring)
    db = store.create(options.store_path(args))
    workflow_id = creation.save(db, plan, args.output_dir)

    def receipt() -> Iterator[Record]:
        yield queries.workflow(db, workflow_id) | creation.receipt(plan)

    status = output.emit(framed("torc-create", workflow_id, receipt()), args, _COLUMNS)
    stream.say(creation.created(workflow_id, plan))
    return status


def _show(args: argparse.Namespace) -> int:
    """Write what the spec makes, or what is wrong with it, and store nothing. Raises Failure(65) where anything is."""
    plan, found = creation.check_file(args.spec, max_jobs=args.max_jobs, monitoring=not args.no_resource_monitoring)
    if args.check or found["errors"]:
        status = _write([found], args, _CHECK_COLUMNS, found)
    else:
        for note in found["warnings"]:
            stream.say(f"note: {note}")
        columns = _PEOPLES_COLUMNS if looking.for_people(args) else _DRY_COLUMNS
        status = _write(preview.records(plan, found), args, columns, found | {"warnings": []})
    if found["errors"]:
        raise Failure(exits.DATA, *found["errors"])
    return status


def _write(shown: Iterable[Record], args: argparse.Namespace, columns: Sequence[str], found: Record) -> int:
    """Write records; a person gets a table of the jobs, limits as the spec writes them, and the numbers as text."""
    rows = (record for record in shown if record["type"] != "validation")
    if not looking.for_people(args):
        shown = rows if args.format == "csv" and not args.check else shown
        return output.emit(framed("torc-create", None, shown), args, columns)
    status = exits.OK
    if not args.check and found["valid"]:
        limited = replace(rows, "job", lambda job: looking.limits_for_people([job]))
        status = output.emit(framed("torc-create", None, limited), args, columns)
        output.text([""])
    output.text(preview.lines(found))
    return status


def run() -> None:
    """Run as a command."""
    stream.run(main, "torc-create")


if __name__ == "__main__":
    run()
