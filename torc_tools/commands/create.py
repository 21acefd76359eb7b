"""torc-create: check and expand a workflow spec, and store it."""

import argparse
from collections.abc import Iterator, Sequence

from torc_tools.core import planning, preview
from torc_tools.flows import creation, looking
from torc_tools.records import Record, framed, replace
from torc_tools.shell import options, output, queries, store, stream

_COLUMNS = ("workflow_id", "name", "user", "job_count", "file_count", "dependency_count")
_DRY_COLUMNS = ("job_id", "job_name", "status", "stage", "job_count", "num_cpus", "memory_bytes", "runtime_s")
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
    options.add_dry_run(made)
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Store the spec, or show what it makes."""
    args = parser().parse_args(argv)
    plan = creation.plan_file(args.spec, max_jobs=args.max_jobs, monitoring=not args.no_resource_monitoring)
    if args.dry_run:
        return _show(preview.records(plan), args)
    db = store.create(options.store_path(args))
    workflow_id = creation.save(db, plan, args.output_dir)

    def receipt() -> Iterator[Record]:
        yield queries.workflow(db, workflow_id) | creation.receipt(plan)

    status = output.emit(framed("torc-create", workflow_id, receipt()), args, _COLUMNS)
    stream.say(creation.created(workflow_id, plan))
    return status


def _show(found: Iterator[Record], args: argparse.Namespace) -> int:
    """Write the lines of a dry run; a person gets the limits as the spec writes them."""
    if not looking.for_people(args):
        return output.emit(framed("torc-create", None, found), args, _DRY_COLUMNS)
    limited = replace(found, "job", lambda job: looking.limits_for_people([job]))
    return output.emit(framed("torc-create", None, limited), args, _PEOPLES_COLUMNS)


def run() -> None:
    """Run as a command."""
    stream.run(main, "torc-create")


if __name__ == "__main__":
    run()
