"""torc-diagnose: say why jobs failed; reads the store, or `result` records, and writes `diagnosis`."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torc_tools import exits, records, units
from torc_tools.core import failure_groups, rule_report
from torc_tools.core.rules import Rule
from torc_tools.exits import Failure
from torc_tools.flows import fold, judging, looking, rulebook
from torc_tools.records import Record
from torc_tools.shell import failures, options, output, stream

PROG = "torc-diagnose"
COLUMNS = ("job_id", "job_name", "status", "return_code", "cause", "certainty", "peak_memory_bytes", "exec_time_s")
GROUPS = ("jobs", "cause", "code", "nodes", "job_id", "action", "line")
RULES = ("rule", "rule_at", "shadow", "matched", "decided", "job_id", "text")
PEOPLES = ("job_id", "job_name", "code", "cause", "certainty", "time", "peak", "memory", "runtime")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say why the failed jobs of a workflow failed, or why the results in a file did.")
    made.add_argument("source", metavar="WORKFLOW|FILE", nargs="?", default="-", help="workflow id, or result records")
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    made.add_argument("--all-runs", action="store_true", help="every failed attempt, not only each job's latest")
    folds = made.add_mutually_exclusive_group()
    folds.add_argument("--group", action="store_true", help="one line for all failures that look the same")
    folds.add_argument("--by-rule", action="store_true", help="one line for each rule: which failures it matches")
    options.add_rules(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write a `diagnosis` for each failure; pass every other record on."""
    args = parser().parse_args(argv)
    own = rulebook.own(args.rules)
    if args.source.isascii() and args.source.isdigit():
        workflow_id = options.operand(args.source)
        return _show(records.framed(PROG, workflow_id, _stored(args, own, workflow_id)), args, own)
    if args.job_ids or args.all_runs:
        raise Failure(exits.USAGE, "--job-ids and --all-runs choose among the jobs of a workflow: name one")
    found = records.replace(stream.read(args.source), "result", judging.Judge(own).failed)
    return _show(found, args, own)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _show(found: Iterable[Record], args: argparse.Namespace, own: Sequence[Rule]) -> int:
    people = looking.for_people(args)
    if args.group:
        folded = failure_groups.folded(found)
        return _show_groups(list(folded), args) if people else output.emit(folded, args)
    if args.by_rule:
        return _show_rules(found, args, own)
    if not people:
        return output.emit(found, args, COLUMNS)
    return output.emit(records.replace(found, "diagnosis", _for_people), args, PEOPLES)


def _show_groups(found: Sequence[Record], args: argparse.Namespace) -> int:
    """Write a table of groups, and below it, for people, the commands that handle them."""
    status = output.emit(map(_group_for_people, found), args, GROUPS)
    for line in failure_groups.commands(output.where(found, args.where)):
        stream.say(line)
    return status


def _show_rules(found: Iterable[Record], args: argparse.Namespace, own: Sequence[Rule]) -> int:
    """Write a line for each rule, and say of how many failures those of the user were not asked at all."""
    unasked = rule_report.Unasked()
    status = output.emit(rule_report.folded(unasked.passing(found), own), args, RULES)
    if own and unasked.count:
        stream.say(f"{PROG}: {unasked.count} failure(s) of certain cause: no rule is asked about these")
    return status


def _group_for_people(record: Record) -> Record:
    """Add what a table shows: how many jobs and nodes, the code."""
    if record["type"] != "failure_group":
        return record
    return {**record, "jobs": record["count"], "code": record["return_code"], "nodes": record["node_count"] or None}


def _for_people(record: Record) -> list[Record]:
    """Add what a table shows: the columns of torc-results, the limits being those that the attempt had."""
    texts = {
        "time": _text(record.get("exec_time_s"), units.human_seconds),
        "peak": _text(record.get("peak_memory_bytes"), units.human_bytes),
        "memory": _text(record.get("attempt_memory_bytes"), units.format_memory),
        "runtime": _text(record.get("attempt_runtime_s"), units.format_duration),
    }
    return [{**record, "code": record.get("return_code"), **texts}]


def _text(value: Any, write: Callable[[Any], str]) -> Any:
    """Write a number for people; what is none, in a line written by hand, stays as it is."""
    return write(value) if isinstance(value, int | float) else value


def _stored(args: argparse.Namespace, own: Sequence[Rule], workflow_id: int) -> Iterator[Record]:
    db = fold.opened(options.store_path(args), workflow_id, read_only=args.read_only)
    found = failures.failed(db, workflow_id, args.job_ids, all_runs=args.all_runs)
    judge = judging.of_workflow(db, workflow_id, own)
    return (judge.diagnose(result, now) for result, now in found)


if __name__ == "__main__":
    run()
