"""torc-report: which results used more than they had been given: records, torc's JSON, or a table."""

import argparse
import math
import sqlite3
from collections.abc import Iterable, Iterator

import orjson

from torc_tools import exits, units
from torc_tools.core import utilization
from torc_tools.flows import looking
from torc_tools.records import Record, framed
from torc_tools.shell import output, stream
from torc_tools.shell.utilization import Chosen

LEAST_PERCENT = 1.0  # as torc: what a sample more or less can make
_FAILED = ("job_id", "job_name", "status", "code", "cause", "certainty", "time", "peak", "memory", "runtime")
_CSV = (
    "type", *utilization.VIOLATION, "run_id", "attempt_id", "status", "return_code", "cause", "certainty",
    "exec_time_s", "peak_memory_bytes", "peak_cpu_percent", "configured_memory", "configured_runtime",
    "configured_cpus", "likely_oom", "likely_timeout", "likely_cpu_violation", "likely_runtime_violation",
)  # fmt: skip


def percent(text: str) -> float:
    """Read a percentage from 0 on for argparse."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"not a percentage from 0 on: '{text[:80]}'")
    return value


def show(args: argparse.Namespace, prog: str, db: sqlite3.Connection) -> int:
    """Write the report of a workflow as the options say; give the exit status."""
    chosen = Chosen(db, args.workflow_id, args.run_id, failed=args.include_failed)
    found = _violations(args, chosen)
    if args.format == "json" and not args.query:
        return _write_torc(args, chosen, found)
    if looking.for_people(args):
        return _for_people(args, chosen, found)
    columns = _CSV if args.include_failed else utilization.VIOLATION
    return output.emit(framed(prog, args.workflow_id, found), args, columns)


def _violations(args: argparse.Namespace, chosen: Chosen) -> Iterator[Record]:
    """Give the `violation` records of each result, and behind them the `resource_violation` of one that failed."""
    least = LEAST_PERCENT if args.min_over_utilization is None else args.min_over_utilization
    for result in chosen.results(everything=args.all):
        yield from utilization.violations(result, least, everything=args.all)
        if result["status"] != "completed":
            yield utilization.failure(result)


def _write_torc(args: argparse.Namespace, chosen: Chosen, found: Iterable[Record]) -> int:
    """Write the one object that torc writes; rows are held as the text that they become."""
    over, texts = 0, {"violation": bytearray(), "resource_violation": bytearray()}
    counts = dict.fromkeys(texts, 0)
    for record in output.where(found, args.where):
        kind = record["type"]
        over += kind == "violation" and record["is_over"]
        shown = utilization.torc_violation(record) if kind == "violation" else utilization.torc_failure(record)
        texts[kind] += b"," * (counts[kind] > 0) + _indented(b"\n" + orjson.dumps(shown, option=orjson.OPT_INDENT_2), 4)
        counts[kind] += 1
    report = {"workflow_id": args.workflow_id, "run_id": args.run_id, "total_results": chosen.total()}
    parts = [_fields({**report, "over_utilization_count": over}), *_array("violations", texts["violation"])]
    if args.include_failed:
        count = {"resource_violations_count": counts["resource_violation"]}
        parts += [b",", _fields(count), *_array("resource_violations", texts["resource_violation"])]
    stream.stdout().writelines([b"{", *parts, b"\n}\n"])
    stream.stdout().flush()
    return exits.EMPTY if args.exit_status and not any(counts.values()) else exits.OK


def _fields(record: Record) -> bytes:
    """Write an object's fields without the brackets around them."""
    return orjson.dumps(record, option=orjson.OPT_INDENT_2)[1:-2]


def _array(name: str, rows: bytearray) -> list[bytes | bytearray]:
    """Write one more field of an object: a list of the texts of its rows."""
    return [f',\n  "{name}": ['.encode(), rows, b"\n  ]" if rows else b"]"]


def _indented(text: bytes, by: int) -> bytes:
    return text.replace(b"\n", b"\n" + b" " * by)


def _for_people(args: argparse.Namespace, chosen: Chosen, found: Iterable[Record]) -> int:
    """Write one table, or with failed results two, and how many results they are about."""
    kept = list(output.where(found, args.where))
    rows = [record for record in kept if record["type"] == "violation"]
    failures = [_texts(record) for record in kept if record["type"] == "resource_violation"]
    for part, columns in ((rows, utilization.VIOLATION), (failures, _FAILED)):
        if part:
            output.emit(part, output.for_rows(args), columns)
            output.text([""])
    over = sum(record["is_over"] for record in rows)
    failed = f", {len(failures)} failed" if args.include_failed else ""
    output.text([f"{chosen.total()} result(s), {over} violation(s){failed}"])
    if over:
        output.text([f"What would fit: torc-correct --dry-run {args.workflow_id}"])
    return exits.EMPTY if args.exit_status and not kept else exits.OK


def _texts(record: Record) -> Record:
    """Add what a table shows of a failed result: the columns of torc-diagnose."""
    ran = record["exec_time_s"]
    return {
        **record,
        "code": record["return_code"],
        "time": None if ran is None else units.human_seconds(ran),
        "peak": record["peak_memory_formatted"],
        "memory": record["configured_memory"],
        "runtime": record["configured_runtime"],
    }
