"""torc-requirements: list what the jobs of a workflow ask for, make requirements, change them for all that use them."""

import argparse
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records
from torc_tools.flows import looking, requiring
from torc_tools.records import Record
from torc_tools.shell import options, output, requirementrows, stream

PROG = "torc-requirements"
COLUMNS = ("id", "name", "num_cpus", "num_gpus", "num_nodes", "memory", "runtime", "jobs")
VERBS = ("list", "get", "create", "update")
USAGE = """torc-requirements list WORKFLOW
       torc-requirements get ID
       torc-requirements create -N NAME [--num-cpus N] [...] WORKFLOW
       torc-requirements update [-N NAME] [--num-cpus N] [...] ID"""


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List, make or change what jobs ask for: memory, runtime, CPUs, GPUs, nodes.")
    made.usage = USAGE
    made.add_argument("verb", metavar="VERB", type=_verb, choices=VERBS, help="list, get, create or update")
    made.add_argument("id", metavar="ID", type=options.identifier, help="of a workflow (list, create), else of one")
    values = made.add_argument_group("create and update")
    values.add_argument("-N", "--name", metavar="NAME", type=options.text, help="its name")
    values.add_argument("--num-cpus", metavar="N", type=options.number, help="CPUs (a new one: 1)")
    values.add_argument("--num-gpus", metavar="N", type=options.natural, help="GPUs (a new one: 0)")
    values.add_argument("--num-nodes", metavar="N", type=options.number, help="nodes (a new one: 1)")
    values.add_argument("-m", "--memory", metavar="SIZE", type=options.memory, help="such as 12g (a new one: no limit)")
    values.add_argument("-r", "--runtime", metavar="TIME", type=options.duration, help="such as PT2H (a new one: none)")
    options.add_limit(made)
    options.add_source(made)
    return made


def _verb(text: str) -> str:
    """Give a verb; the id of a workflow alone, as other lists take it, is answered with the right words."""
    if text.isascii() and text.isdigit():
        raise argparse.ArgumentTypeError(f"not a verb: '{text}': did you mean '{PROG} list {text}'?")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Write `requirement` records."""
    made = parser()
    args = made.parse_intermixed_args(argv)
    given = {"name": args.name, **{key: getattr(args, key) for key in ("num_cpus", "num_gpus", "num_nodes")}}
    given |= {"memory_bytes": args.memory, "runtime_s": args.runtime}
    is_set = any(value is not None for value in given.values())
    if args.verb in ("list", "get") and is_set:
        made.error(f"{args.verb} sets nothing")
    if (args.verb == "create" and args.name is None) or (args.verb == "update" and not is_set):
        made.error("create needs a name: -N NAME" if args.verb == "create" else "update: nothing to set")
    if args.verb == "list":
        db = looking.at_workflow(args, args.id)
        return _emit(args, args.id, requirementrows.of_workflow(db, args.id))
    if args.verb == "create":
        return _emit(args, args.id, [requiring.create(looking.at_workflow(args, args.id, writes=True), args.id, given)])
    db, workflow_id = _at(args)
    one = requiring.update(db, args.id, given) if args.verb == "update" else requirementrows.one(db, args.id)
    return _emit(args, workflow_id, [one])


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _at(args: argparse.Namespace) -> tuple[sqlite3.Connection, int]:
    """Open the store at the workflow of the requirements that are named. Raises Failure(66)."""
    from torc_tools.shell import store

    db = store.open_reader(options.store_path(args))
    workflow_id = requirementrows.one(db, args.id)["workflow_id"]
    db.close()
    return looking.at_workflow(args, workflow_id, writes=args.verb == "update"), workflow_id


def _emit(args: argparse.Namespace, workflow_id: int, found: Iterable[Record]) -> int:
    people = looking.for_people(args)
    shown = _for_people(found) if people else found
    return output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS if people else ())


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    for record in looking.limits_for_people(found):
        yield {**record, "id": record["resource_requirements_id"], "jobs": record["job_count"]}


if __name__ == "__main__":
    run()
