"""Correcting the requests of a workflow: its attempts read and diagnosed, a plan made, torc-apply run to make it so."""

import argparse
import contextlib
import io
import sqlite3
from collections.abc import Collection, Iterable

import orjson

from torc_tools import exits, states
from torc_tools.core import correcting, corrections, diagnosis
from torc_tools.core.fitting import Policy, Use
from torc_tools.exits import Failure
from torc_tools.flows import fold, looking
from torc_tools.records import Record, framed
from torc_tools.shell import failures, options, output, pipeline, stream, uses

APPLY = "torc-apply"
_FAILED = {states.NAMES[number] for number in states.RECOVERABLE}
_COLUMNS = ("requirements", "direction", "memory", "runtime", "cpus", "jobs", "names")
_NOTHING = "No completed jobs found"
_NOTHING_ASKED = "No job asks for anything"
_FRAME = ("begin", "end")
_APPLIED = b'{"type":"applied"'


def correct(args: argparse.Namespace, prog: str) -> tuple[Record, int]:
    """Plan and apply; give the `correction` record, and the status of torc-apply (65: it refused some).

    Raises Failure(66) for a missing store, workflow or job, and Failure with the status of torc-apply where that fails.
    """
    found = _uses(args)
    policy = _policy(args)
    adjustments, analyzed = correcting.plan(found, policy)
    nothing = "" if any(use.status for use in found) else _NOTHING if found else _NOTHING_ASKED
    del found  # the adjustments hold what they need of it
    applied, status = _apply(args, prog, adjustments)
    head = {
        "status": "success" if status == exits.OK else "partial_success",
        "workflow_id": args.workflow_id,
        "dry_run": args.dry_run,
        "no_downsize": args.no_downsize,
        "memory_multiplier": _factor(policy.memory_milli),
        "cpu_multiplier": _factor(policy.cpu_milli),
        "runtime_multiplier": _factor(policy.runtime_milli),
        "jobs_analyzed": analyzed,
    }
    made = corrections.report(head, applied)
    return ({**made, "message": nothing} if nothing else made), status


def show(args: argparse.Namespace, prog: str, found: Record) -> int:
    """Write a `correction` as the options say: -f json is torc's object, a table is for people; give the status."""
    people = looking.for_people(args)
    if args.query or (args.format in (None, "jsonl") and not people):
        return output.emit(framed(prog, args.workflow_id, [found]), args)
    kept = list(output.where([found], args.where))
    rows = [row for each in kept for row in corrections.rows(each)]
    if args.format == "json":
        for each in kept:
            stream.stdout().write(orjson.dumps(_as_torc(each), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        stream.stdout().flush()
    elif people:
        output.text(line for each in kept for line in corrections.lines(each))
        if rows:
            output.text([""])
    if args.format == "csv" or (people and rows):
        output.emit(rows, output.for_rows(args), _COLUMNS)
    return exits.EMPTY if args.exit_status and not kept else exits.OK


def _as_torc(found: Record) -> Record:
    return {key: value for key, value in found.items() if key != "type"}


def _factor(milli: int) -> float:
    return milli / 1000


def _policy(args: argparse.Namespace) -> Policy:
    return Policy(
        memory_milli=args.memory_multiplier,
        cpu_milli=args.cpu_multiplier,
        runtime_milli=args.runtime_multiplier,
        downsize=not args.no_downsize,
        job_ids=None if args.job_ids is None else frozenset(args.job_ids),
    )


def _uses(args: argparse.Namespace) -> list[Use]:
    """Read what the jobs used; in a dry run every byte of the store stays as it is."""
    dry = args.dry_run
    db = fold.opened(options.store_path(args), args.workflow_id, read_only=dry, writes=not dry)
    with contextlib.closing(db):
        _check_jobs(db, args.workflow_id, args.job_ids or ())
        return _read(db, args.workflow_id)


def _check_jobs(db: sqlite3.Connection, workflow_id: int, wanted: Collection[int]) -> None:
    missing = set(wanted) - uses.job_ids(db, workflow_id) if wanted else set()
    if missing:
        raise Failure(exits.NO_INPUT, f"workflow {workflow_id} has no job '{min(missing)}'")


def _read(db: sqlite3.Connection, workflow_id: int) -> list[Use]:
    """Give the use of each job that asks for something, its failure diagnosed as torc-diagnose does."""
    copies = uses.copies(db, workflow_id)
    found = [_use(row, copies) for row in uses.latest(db, workflow_id)]
    failed = [use.job_id for use in found if use.status in _FAILED]
    diagnoses = {result["job_id"]: diagnosis.diagnose(result, now) for result, now in failures.latest(db, failed)}
    return [use._replace(diagnosis=diagnoses[use.job_id]) if use.job_id in diagnoses else use for use in found]


def _use(row: sqlite3.Row, copies: dict[int, int | None]) -> Use:
    status = None if row["status"] is None else states.NAMES[row["status"]]
    values = {**dict(row), "status": status, "was_warned": bool(row["was_warned"])}
    return Use(**values, family=correcting.root(row["row"], copies))


def _apply(args: argparse.Namespace, prog: str, adjustments: Iterable[Record]) -> tuple[Iterable[Record], int]:
    """Run torc-apply; give its `applied` records, and its status where it could apply some (what it says goes through).

    Raises Failure with its status else.
    """
    given = ({**each, "workflow_id": args.workflow_id} for each in adjustments)
    data = bytearray()  # each line that orjson gives holds far more memory than its length, as long as it is kept
    for each in framed(prog, args.workflow_id, given):
        data += orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE)
    if data.count(b"\n") == len(_FRAME):
        return (), exits.OK
    stage = [APPLY, *(["--store", args.store] if args.store else []), *(["--dry-run"] if args.dry_run else [])]
    ran = pipeline.run(stage, data=bytes(data))
    if ran.status != exits.DATA or not ran.stdout:
        ran.checked()
    return (orjson.loads(line) for line in io.BytesIO(ran.stdout) if line.startswith(_APPLIED)), ran.status
