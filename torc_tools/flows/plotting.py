"""Samples read from databases or records, reduced, and drawn: a page a job, pages of all jobs, pages of machines."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from torc_tools import exits
from torc_tools.core import plotfacts, plots, plots_all, plots_bars, plots_node, tracks
from torc_tools.core.plots_bars import Bar
from torc_tools.core.plots_node import Machine
from torc_tools.core.tracks import Track
from torc_tools.exits import Failure
from torc_tools.flows import plotpages
from torc_tools.flows.plotpages import Sheet
from torc_tools.records import Record
from torc_tools.series import NodeSeries, Series
from torc_tools.shell import page, plotly_js, samples, stream, wholefile

MOST_EMBEDDED = 50  # job pages that have the library inside, unless told otherwise
STDIN = "standard input"


class Collected(NamedTuple):
    """What there is to draw."""

    members: list[Track]  # in order of job, attempt and time
    machines: list[Machine]
    sources: list[str]  # names of files


class Wanted(NamedTuple):
    """How it is to be drawn."""

    folder: str
    prefix: str
    kind: str  # html or json
    js: str | None  # one of plotly_js.MODES; None: embed for few pages


def collect(paths: Sequence[str], job_ids: Collection[int] | None) -> Collected:
    """Read databases, or records from standard input where none is named or '-'.

    With `job_ids` these jobs alone, and no machine. Raises Failure(66) where none of them has samples, and as
    samples.read does.
    """
    found = Collected([], [], [])
    for path in paths or ["-"]:
        origin = STDIN if path == "-" else os.path.basename(path)
        found.sources.append(origin)
        if path == "-" or _has_records(path):
            _from_records(stream.read(path), job_ids, origin, found)
        else:
            _take(samples.read(path, job_ids), origin, found)
            node = None if job_ids else samples.node(path)
            found.machines.extend([_machine(node, origin)] if node is not None else [])
    found.members.sort(key=lambda each: (each.job_id, each.attempt_id, each.started_at))
    if job_ids:
        _complain(sorted({*job_ids} - {each.job_id for each in found.members}), len(found.members))
    return found


def _complain(missing: list[int], there: int) -> None:
    named = ", ".join(f"'{job_id}'" for job_id in missing)
    if missing and not there:
        raise Failure(exits.NO_INPUT, f"no samples of job {named}")
    if missing:
        stream.say(f"torc-plot: no samples of job {named}")


def _has_records(path: str) -> bool:
    if stat.S_ISFIFO(_mode(path)):
        return True  # no database is read from a pipe, and what is read from one is gone
    try:
        with open(path, "rb") as file:
            return file.read(1) == b"{"
    except OSError:
        return False  # the reader of databases says what is wrong with it


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return 0


def _from_records(records: Iterable[Record], job_ids: Collection[int] | None, origin: str, found: Collected) -> None:
    """Take `sample` records; a stream whose writer died is drawn as far as it goes."""
    kept: list[Record] = []
    jobs = samples.from_records(each for each in records if not _set_aside(each, kept))
    _take((each for each in jobs if not job_ids or each.job_id in job_ids), origin, found)
    if not job_ids:
        found.machines.extend(_machine(each, origin) for each in samples.nodes_from_records(kept))


def _set_aside(record: Record, kept: list[Record]) -> bool:
    """Keep a sample of a machine for later; say whether it is one."""
    of_machine = "node" in record
    if of_machine:
        kept.append(record)
    return of_machine


def _take(series: Iterable[Series], origin: str, found: Collected) -> None:
    found.members.extend(tracks.track(each, origin) for each in series if len(each.times))


def _machine(series: NodeSeries, origin: str) -> Machine:
    return plots_node.machine(series, f"{series.hostname} ({origin})" if series.hostname else origin)


def write(found: Collected, wanted: Wanted) -> Iterator[str]:
    """Draw everything into the folder, which is made; give the path of each file. Raises Failure(74)."""
    try:
        os.makedirs(wanted.folder, exist_ok=True)
    except OSError as error:
        raise Failure(exits.IO, f"cannot make '{wanted.folder}': {error.strerror}") from None
    sheets = _sheets(found, wanted.prefix)
    if wanted.kind == "json":
        for sheet in sheets:
            yield _put(wanted.folder, f"{sheet.name}.json", page.data_json(sheet.figure) + b"\n")
        return
    jobs = len({each.job_id for each in found.members})
    library = plotly_js.library(wanted.js or ("directory" if jobs > MOST_EMBEDDED else "embed"))
    if library.file_name:
        yield _put(wanted.folder, library.file_name, library.content)
    around = plotpages.frame(library, _links(found, wanted.prefix), found.sources)
    for sheet in sheets:
        yield _put(wanted.folder, f"{sheet.name}.html", plotpages.render(sheet, around))


def _put(folder: str, name: str, content: bytes) -> str:
    path = os.path.join(folder, name)
    wholefile.write(path, content)
    return path


def _links(found: Collected, prefix: str) -> list[tuple[str, str]]:
    """Give (file, text) of the pages that every page leads to."""
    links = []
    if found.members:
        links.append((f"{prefix}_summary", "Summary"))
    if _several(found.members):
        links += [(f"{prefix}_memory_all_jobs", "Memory of all jobs"), (f"{prefix}_cpu_all_jobs", "CPU of all jobs")]
    if any(each.curves for each in found.machines):
        links.append((f"{prefix}_system_timeline", "System timeline"))
    if found.machines:
        links.append((f"{prefix}_system_summary", "System summary"))
    return links


def _several(members: Sequence[Track]) -> bool:
    return len({each.job_id for each in members}) > 1


def _sheets(found: Collected, prefix: str) -> Iterator[Sheet]:
    """Make every page, one after the other: those of the jobs by id, those of all, those of the machines."""
    members = found.members
    for job_id, group in groupby(members, key=lambda each: each.job_id):
        attempts = list(group)
        heading = (f"Job {job_id}", attempts[0].job_name)
        below = "Attempts" if len(attempts) > 1 else "In figures"
        yield Sheet(f"{prefix}_job_{job_id}", heading, plots.job(attempts), plotfacts.jobs(attempts), below)
    if members:
        yield from _all_sheets(members, prefix)
    yield from _node_sheets(found.machines, prefix)


def _all_sheets(members: Sequence[Track], prefix: str) -> Iterator[Sheet]:
    href = f"{page.address(prefix)}_job_*.html"
    dim = f"{len(members):,} attempts" if _several(members) else ""
    if _several(members):
        for what, name in (("cpu", "CPU"), ("memory", "Memory")):
            figure, shown = plots_all.figure(members, what), plots_all.top(members, what)
            below = f"The {len(shown)} highest" if len(shown) < len(members) else "Jobs"
            table = plotfacts.jobs(shown, href)
            yield Sheet(f"{prefix}_{what}_all_jobs", (f"{name} of all jobs", dim), figure, table, below)
    bars = [
        Bar(
            name,
            (each.memory.peak, each.memory.mean, tracks.asked(each, "memory")),
            (each.cpu.peak, each.cpu.mean, tracks.asked(each, "cpu")),
        )
        for each, name in zip(members, tracks.job_labels(members), strict=True)
    ]
    figure = plots_bars.figure(bars, "Resource Usage Summary - All Jobs", "Requested", "Job")
    table = plotfacts.jobs(members, href)
    yield Sheet(f"{prefix}_summary", ("Summary of all jobs", dim), figure, table, "Jobs")


def _node_sheets(machines: Sequence[Machine], prefix: str) -> Iterator[Sheet]:
    table = plotfacts.machines(machines)
    shown = [each for each in machines if each.curves]
    if shown:
        heading = ("System timeline", ", ".join(each.name for each in shown[:3]))
        yield Sheet(f"{prefix}_system_timeline", heading, plots_node.timeline(shown), table, "Machines")
    if machines:
        figure = plots_bars.figure(plots_node.bars(machines), "System Resource Usage Summary", "Total", "Machine")
        yield Sheet(f"{prefix}_system_summary", ("System summary", ""), figure, table, "Machines")
