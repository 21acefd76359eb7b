"""torc-report --usage: what the jobs of each requirement used beside what it asks for, and what would fit better."""

import argparse
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from torc_tools import exits, states, units
from torc_tools.core import demand
from torc_tools.flows import looking
from torc_tools.records import Record, framed
from torc_tools.shell import output
from torc_tools.shell.utilization import Chosen

COLUMNS = ("requirement", "results", "resource", "asked", "p50", "p95", "max", "fits")
_CSV = (
    "resource_requirements", "jobs", "results", "failed", "memory_bytes", "peak_memory_measured",
    "peak_memory_p50_bytes", "peak_memory_p95_bytes", "peak_memory_max_bytes", "num_cpus", "peak_cpu_measured",
    "peak_cpu_p50_percent", "peak_cpu_p95_percent", "peak_cpu_max_percent", "runtime_s", "exec_time_measured",
    "exec_time_p50_s", "exec_time_p95_s", "exec_time_max_s", "fitting_memory", "fitting_num_cpus", "fitting_runtime",
    "memory_efficiency_percent", "cpu_efficiency_percent", "groups_save_percent",
)  # fmt: skip


def show(args: argparse.Namespace, prog: str, db: sqlite3.Connection) -> int:
    """Write a `requirement_usage` record for each requirement as the options say; give the exit status."""
    found = _usages(args, Chosen(db, args.workflow_id, args.run_id, failed=True))
    if not looking.for_people(args):
        return output.emit(framed(prog, args.workflow_id, found), args, _CSV if args.format == "csv" else ())
    kept = list(output.where(found, args.where))
    output.emit([row for record in kept for row in _rows(record)], output.for_rows(args), COLUMNS)
    output.text(line for record in kept for line in _groups(record))
    return exits.EMPTY if args.exit_status and not kept else exits.OK


def _usages(args: argparse.Namespace, chosen: Chosen) -> Iterator[Record]:
    """Give the records; failed results count as failed, and with --include-failed in the figures, too."""
    results = groupby(chosen.used(), key=lambda row: row[0])
    of, rows = next(results, (None, iter(())))
    for requirement in chosen.requirements():
        identifier, used, failed = requirement["resource_requirements_id"], list[demand.Used](), 0
        if of == identifier:
            used, failed = _used(rows, include_failed=args.include_failed)
            of, rows = next(results, (None, iter(())))
        asked = demand.Asked(requirement["memory_bytes"], requirement["num_cpus"], requirement["runtime_s"])
        yield {
            "type": "requirement_usage",
            "workflow_id": args.workflow_id,
            "resource_requirements_id": identifier,
            "resource_requirements": requirement["name"],
            "jobs": requirement["jobs"],
            "results": len(used),
            "failed": failed,
            **demand.usage(asked, used, failed=failed > 0),
        }


def _used(rows: Iterable[tuple[Any, ...]], *, include_failed: bool) -> tuple[list[demand.Used], int]:
    """Give what the results of one requirement used, and how many of them failed."""
    used, failed = [], 0
    for row in rows:
        failed += row[1] != states.COMPLETED
        if include_failed or row[1] == states.COMPLETED:
            used.append(demand.Used(*row[2:]))
    return used, failed


def _rows(record: Record) -> Iterator[Record]:
    """Give the three rows of a table: memory, CPU and time."""
    asked = [
        _text(record["memory_bytes"], units.format_memory),
        record["num_cpus"],
        _text(record["runtime_s"], units.format_duration),
    ]
    kinds: tuple[tuple[str, str, str, Callable[[Any], str], Any], ...] = (
        ("Memory", "peak_memory", "bytes", units.human_bytes, record["fitting_memory"]),
        ("CPU", "peak_cpu", "percent", lambda value: f"{value:.1f}%", record["fitting_num_cpus"]),
        ("Runtime", "exec_time", "s", units.human_seconds, record["fitting_runtime"]),
    )
    for given, (kind, name, unit, write, fits) in zip(asked, kinds, strict=True):
        yield {
            "type": "row",
            "requirement": record["resource_requirements"],
            "results": record[f"{name}_measured"],
            "resource": kind,
            "asked": given,
            **{key: _text(record[f"{name}_{key}_{unit}"], write) for key in ("p50", "p95", "max")},
            "fits": fits,
        }


def _text(value: Any, write: Any) -> Any:
    return None if value is None else write(value)


def _groups(record: Record) -> Iterator[str]:
    """Say which groups would fit better than one requirement for all."""
    if not record["groups"]:
        return
    yield ""
    saved, one = record["groups_save_percent"], max(group["fitting_memory_bytes"] for group in record["groups"])
    name = record["resource_requirements"] or "-"
    text = f"{len(record['groups'])} groups would take {saved:.0f}% less memory than {units.format_memory(one)} for all"
    yield f"{name}: {text}"
    for group in record["groups"]:
        names = ", ".join(f"{each['name']} ({each['jobs']})" for each in group["names"])
        limits = (group["fitting_memory"], group["fitting_num_cpus"], group["fitting_runtime"])
        memory, cpus, runtime = ("-" if limit is None else limit for limit in limits)
        yield f"  {memory}, {cpus} CPU(s), {runtime}: {group['jobs']} jobs: {names}"
