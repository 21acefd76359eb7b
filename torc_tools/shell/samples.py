"""Samples of jobs and machines, read: from the databases of torc-work and torc-sample, torc's own, and records.

A database may be written while it is read: pages of rows are fetched, and no lock is held between two of them.
"""

import math
import os
import re
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record, may, need
from torc_tools.series import NodeSeries, NodeSummary, Request, Series
from torc_tools.shell import sqlitefile

JOBS, NODE = "job_resource_samples", "system_resource_samples"
_SUMMARY = "system_resource_summary"
_JOB_COLUMNS = ("timestamp", "cpu_percent", "memory_bytes", "num_processes", "gpu_percent", "gpu_memory_bytes")
_NODE_COLUMNS = (
    *("timestamp", "cpu_percent", "memory_bytes", "total_memory_bytes", "load_1m", "num_processes"),
    *("gpu_percent", "gpu_memory_bytes"),
)
_NAN = array("d", [math.nan])
_PAGE = 20_000  # rows: some 20 ms, in which a writer waits
_MOST_ASKED = 1 << 60
_NAME = re.compile(r"resource_metrics_(.+?)_\d+_\d+(?:_[^_]+)?\.db")

_Key = tuple[int, int]  # job_id, attempt_id
_Columns = list["array[float]"]


def hostname(path: str) -> str:
    """Give the machine that the name of a database tells; empty where it tells none."""
    match = _NAME.fullmatch(os.path.basename(path))
    return match[1] if match else ""


def holds_others(path: str) -> bool:
    """Say whether a database is there that has tables, and none of samples: the store, or somebody's own."""
    try:
        with sqlitefile.reader(path) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except Failure:
        return False
    return bool(names) and not names & {JOBS, NODE, _SUMMARY}


def read(path: str, job_ids: Collection[int] | None = None) -> Iterator[Series]:
    """Give the series of every attempt in a database, or of these jobs, in order of job and attempt.

    48 bytes of memory for a row. Raises Failure(66) where there is no such file, Failure(65) where it holds no samples.
    """
    with sqlitefile.reader(path) as db:
        there = _tables(db, path)
        found: dict[_Key, _Columns] = {}
        if JOBS in there:
            for rows in _pages(db, JOBS, ("job_id", "attempt_id", *_JOB_COLUMNS), job_ids):
                _collect(found, rows, path)
        names = _names(db) if "job_metadata" in there else {}
        requests = _requests(db) if "job_attempts" in there else {}
    host = hostname(path)
    for key in sorted(found):
        name = names.get(key[0], f"job_{key[0]}")
        yield _series(key, name, host, found.pop(key), requests.get(key))


def node(path: str) -> NodeSeries | None:
    """Give the series of the machine in a database; None where there is none. Raises as `read` does."""
    with sqlitefile.reader(path) as db:
        there = _tables(db, path)
        columns = _empty(len(_NODE_COLUMNS))
        if NODE in there:
            for rows in _pages(db, NODE, _NODE_COLUMNS, None):
                _extend(columns, list(zip(*rows, strict=True)), path)
        summary = _summary(db) if _SUMMARY in there else None
    if not columns[0] and summary is None:
        return None
    return _node(hostname(path), columns)._replace(summary=summary)


def from_records(records: Iterable[Record]) -> Iterator[Series]:
    """Give the series of the `sample` records of jobs, processes and cgroups, in the order in which they first occur.

    A process without a job is numbered by its pid, a cgroup by its place. Others are let pass. Raises Failure(65).
    """
    found: dict[tuple[str, int, str, int], _Columns] = {}
    cgroups: dict[str, int] = {}
    for record in records:
        if record["type"] == "sample" and "node" not in record:
            columns = found.setdefault(_record_key(record, cgroups), _empty(len(_JOB_COLUMNS)))
            _append(columns, _values(record, _JOB_COLUMNS))
    for (host, job_id, name, attempt_id), columns in found.items():
        yield _series((job_id, attempt_id), name, host, columns, None)


def nodes_from_records(records: Iterable[Record]) -> list[NodeSeries]:
    """Give the series of each machine whose `sample` records are there. Raises Failure(65)."""
    found: dict[str, _Columns] = {}
    for record in records:
        if record["type"] == "sample" and "node" in record:
            columns = found.setdefault(need(record, "node", str), _empty(len(_NODE_COLUMNS)))
            values = _values(record, _NODE_COLUMNS)
            cores = may(record, "num_cpus", int) or 1
            values[1] = None if values[1] is None else values[1] / cores
            _append(columns, values)
    return [_node(host, columns) for host, columns in found.items()]


def _record_key(record: Record, cgroups: dict[str, int]) -> tuple[str, int, str, int]:
    host, attempt_id = may(record, "hostname", str) or "", may(record, "attempt_id", int) or 1
    name, job_id, cgroup = may(record, "job_name", str), may(record, "job_id", int), may(record, "cgroup", str)
    if job_id is None and cgroup is not None:
        return host, cgroups.setdefault(cgroup, len(cgroups) + 1), name or cgroup, attempt_id
    if job_id is None:
        pid = need(record, "pid", int)
        return host, pid, name or f"pid {pid}", attempt_id
    return host, job_id, name or f"job_{job_id}", attempt_id


def _append(columns: _Columns, values: Iterable[float | None]) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(math.nan if value is None else value)


def _values(record: Record, columns: Iterable[str]) -> list[Any]:
    number = (int, float)
    return [need(record, "at", number), *(may(record, name, number) for name in columns if name != "timestamp")]


def _tables(db: sqlite3.Connection, path: str) -> set[str]:
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    if not there & {JOBS, NODE, _SUMMARY}:
        raise Failure(exits.DATA, f"not a database of samples: '{path}' has no table {JOBS}")
    return there


def _pages(
    db: sqlite3.Connection, table: str, columns: Iterable[str], job_ids: Collection[int] | None
) -> Iterator[list[Any]]:
    """Give the rows of a table, in the order in which they were written, NULL for a column that it has not."""
    there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    chosen = ", ".join(name if name in there else "NULL" for name in columns)
    wanted = "" if job_ids is None else f" AND job_id IN ({','.join(str(int(job_id)) for job_id in job_ids)})"
    if not _has_rowid(db, table):
        yield db.execute(f"SELECT {chosen} FROM {table} WHERE 1{wanted}").fetchall()
        return
    ask = f"SELECT {chosen}, rowid FROM {table} WHERE rowid > ?{wanted} ORDER BY rowid LIMIT {_PAGE}"
    last = -(2**63)
    while rows := db.execute(ask, (last,)).fetchall():
        yield rows
        last = rows[-1][-1]


def _has_rowid(db: sqlite3.Connection, table: str) -> bool:
    try:
        db.execute(f"SELECT rowid FROM {table} LIMIT 1")
    except sqlite3.OperationalError as error:
        if "rowid" not in str(error):
            raise
        return False
    return True


def _collect(found: dict[_Key, _Columns], rows: list[Any], path: str) -> None:
    groups: dict[_Key, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[:2], []).append(row)
    for (job_id, attempt_id), group in groups.items():
        key = (job_id, 1 if attempt_id is None else attempt_id)
        columns = found.get(key)
        if columns is None:
            if type(key[0]) is not int or type(key[1]) is not int:
                raise Failure(exits.DATA, f"'{path}': not a job_id or attempt_id: {str(key)[:80]}")
            columns = found[key] = _empty(len(_JOB_COLUMNS))
        _extend(columns, list(zip(*group, strict=True))[2:], path)


def _extend(columns: _Columns, added: Iterable[Sequence[Any]], where: str) -> None:
    """Add values to each column; None becomes nan, and what is no number is refused."""
    for column, values in zip(columns, added, strict=False):
        unknown = values.count(None)
        if unknown == len(values):
            column.extend(_NAN * unknown)
            continue
        numbers = [math.nan if value is None else value for value in values] if unknown else values
        try:
            column.extend(array("d", numbers))
        except TypeError:
            wrong = next(value for value in numbers if not isinstance(value, int | float))
            raise Failure(exits.DATA, f"'{where}': not a number: {str(wrong)[:80]!r}") from None


def _names(db: sqlite3.Connection) -> dict[int, str]:
    return {job_id: str(name) for job_id, name in db.execute("SELECT job_id, job_name FROM job_metadata")}


def _requests(db: sqlite3.Connection) -> dict[_Key, Request]:
    ask = "SELECT job_id, attempt_id, memory_bytes, num_cpus, runtime_s, started_at FROM job_attempts"
    return {(job_id, attempt_id): Request(*map(_sane, asked)) for job_id, attempt_id, *asked in db.execute(ask)}


def _sane(value: Any) -> Any:
    """Give a number; None for what no request can be."""
    return value if isinstance(value, int | float) and abs(value) < _MOST_ASKED else None


def _summary(db: sqlite3.Connection) -> NodeSummary | None:
    columns = "sample_count, peak_cpu_percent, avg_cpu_percent, peak_memory_bytes, avg_memory_bytes"
    row = db.execute(f"SELECT {columns} FROM {_SUMMARY} LIMIT 1").fetchone()
    return NodeSummary(*row) if row and all(isinstance(value, int | float) for value in row) else None


def _series(key: _Key, name: str, host: str, columns: _Columns, request: Request | None) -> Series:
    times, cpu, memory, processes, gpu, gpu_memory = _seen(_ordered(columns))
    return Series(key[0], name, key[1], host, times, cpu, memory, processes, request, gpu, gpu_memory)  # type: ignore[arg-type]


def _node(host: str, columns: _Columns) -> NodeSeries:
    return NodeSeries(host, *_seen(_ordered(columns)))  # type: ignore[arg-type]


def _seen(columns: _Columns) -> "list[array[float] | None]":
    """Give the columns; None for those of the GPU (the last two) where nothing was seen."""
    seen = [None if all(map(math.isnan, column)) else column for column in columns[-2:]]
    return [*columns[:-2], *seen]


def _ordered(columns: _Columns) -> _Columns:
    """Bring columns into the order of time, in which they nearly always are; rows without a time are left out."""
    times = columns[0]
    if all(map(float.__le__, times, times[1:])) and all(map(math.isfinite, times)):
        return columns
    order = sorted((place for place, at in enumerate(times) if math.isfinite(at)), key=times.__getitem__)
    return [array("d", map(column.__getitem__, order)) for column in columns]


def _empty(count: int) -> _Columns:
    return [array("d") for _ in range(count)]
