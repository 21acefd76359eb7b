"""torc-plan: in which order the jobs of a workflow, or of a spec, become ready, and what runs at the same time."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records
from torc_tools.core import events_of_plan
from torc_tools.flows import looking
from torc_tools.records import Record
from torc_tools.shell import options, output, queries, stream

PROG = "torc-plan"
COLUMNS = ("stage", "event", "jobs", "num_cpus", "memory", "runtime", "depends_on")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say in which order jobs become ready, and what may run at the same time.")
    made.add_argument("what", metavar="WORKFLOW|SPEC", help="a workflow id, or a spec that is not stored yet")
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `stage` records."""
    args = parser().parse_args(argv)
    workflow_id = options.operand(args.what) if args.what.isascii() and args.what.isdigit() else None
    found = _of_spec(args.what) if workflow_id is None else _of_store(args, workflow_id)
    people = looking.for_people(args)
    shown = _for_people(found) if people else found
    return output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _of_store(args: argparse.Namespace, workflow_id: int) -> list[Record]:
    db = looking.at_workflow(args, workflow_id)
    jobs = list(queries.jobs(db, "j.workflow_id = ?", (workflow_id,)))
    parents: dict[int, list[int]] = {}
    for job_id, parent in queries.edges(db, workflow_id):
        parents.setdefault(job_id, []).append(parent)
    return events_of_plan.stages(workflow_id, jobs, parents)


def _of_spec(spec: str) -> list[Record]:
    from torc_tools.core import preview
    from torc_tools.flows import creation  # 8 ms that a stored workflow does not need

    plan = creation.plan_file(spec)
    jobs = [record for record in preview.records(plan) if record["type"] == "job"]
    parents = {number + 1: [parent + 1 for parent in each] for number, each in enumerate(plan.parents)}
    return events_of_plan.stages(None, jobs, parents)


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in looking.limits_for_people(found):
        yield {**record, "jobs": record["job_count"], "depends_on": " ".join(record["depends_on"])}


if __name__ == "__main__":
    run()
