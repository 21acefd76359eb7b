"""A `sample` or `usage` record as lines for people."""

import shlex
from collections.abc import Iterator
from typing import Any

from torc_tools.records import Record
from torc_tools.units import human_bytes

_KNOWN = {
    "sampled": "seen in samples",
    "kernel": "known by the kernel, of the largest single process",
    "cgroup": "known by the kernel, of the whole control group",
    "pss": "seen in samples, shared pages counted once",
}
_MISSING = {"too_short": "it ended before it was looked at", "not_monitored": "its control group does not count it"}


def text(record: Record) -> list[str]:
    """Give the lines; none for a record of another type."""
    if record["type"] == "sample":
        return [_sample(record)]
    return list(_usage(record)) if record["type"] == "usage" else []


def _sample(record: Record) -> str:
    parts = [
        _whose(record),
        _percent(record["cpu_percent"]),
        _bytes(record["memory_bytes"]),
        _count(record["num_processes"]),
    ]
    if "gpu_percent" in record:
        parts.append(f"GPU {_percent(record['gpu_percent'])} {_bytes(record['gpu_memory_bytes'])}")
    return "  ".join(parts)


def _usage(record: Record) -> Iterator[str]:
    yield f"{'command' if record.get('command') else 'looked at':13}{_whose(record)}"
    if record["return_code"] is not None:
        yield f"exit status  {record['return_code']}"
    yield f"elapsed      {_clock(record['exec_time_s'])}"
    yield f"CPU time     {_clock(record['cpu_time_s'])}"
    average, peak = record.get("avg_cpu_percent"), record.get("peak_cpu_percent")
    yield f"CPU          {_percent(average)} on average, {_percent(peak)} at most"
    yield f"memory       {_memory(record)}"
    if record.get("peak_num_processes"):
        yield f"processes    {record['peak_num_processes']} at most"
    if "peak_gpu_percent" in record:
        gpu = record["avg_gpu_percent"], record["peak_gpu_percent"]
        yield f"GPU          {_percent(gpu[0])} on average, {_percent(gpu[1])} at most"
    if "peak_gpu_memory_bytes" in record:
        yield f"GPU memory   {human_bytes(record['peak_gpu_memory_bytes'])} at most"


def _whose(record: Record) -> str:
    for key in ("node", "cgroup"):
        if key in record:
            return f"{key} {record[key]}"
    return shlex.join(record["command"]) if record.get("command") else f"pid {record.get('pid')}"


def _memory(record: Record) -> str:
    peak, average = record.get("peak_memory_bytes"), record.get("avg_memory_bytes")
    if peak is None:
        below = record.get("peak_below_bytes")
        bound = "not known" if below is None else f"less than {human_bytes(below)}"
        return f"{bound}: {_MISSING.get(str(record.get('peak_missing')), 'no sample was taken')}"
    known = _KNOWN.get(str(record.get("peak_source")), "")
    mean = "" if average is None else f", {human_bytes(average)} on average"
    return f"{human_bytes(peak)} at most{f' ({known})' if known else ''}{mean}"


def _percent(value: Any) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _count(number: int) -> str:
    return f"{number} process{'' if number == 1 else 'es'}"


def _bytes(size: int | None) -> str:
    return "-" if size is None else human_bytes(size)


def _clock(seconds: float | None) -> str:
    """Give a time like 0:01.25 or 1:02:03.00."""
    if seconds is None:
        return "-"
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 100:02d}.{rest % 100:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"
