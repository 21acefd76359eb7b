"""The log files of workflows, in an output folder or an archive of one: whose they are by their names, their text."""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import plainfile, stream

MOST = 64 * 2**20  # bytes of one file that are read
_NAMES = (  # the workflow's id ends where something else than a digit follows: wf1 is not wf10
    re.compile(r"(?:^|/)job_wf(?P<wf>\d+)_j(?P<job>\d+)_r(?P<run>\d+)_a(?P<attempt>\d+)\.(?:o|e|log)$"),
    re.compile(r"(?:^|/)slurm_output_wf(?P<wf>\d+)_sl(?P<slurm>\w+)\.(?:o|e)$"),
)
_OTHERS = re.compile(
    r"(?:^|/)(?:watch_.*_(?P<a>\d+)\.log|events/wf(?P<b>\d+)_[^/]*"
    r"|slurm_scripts/wf(?P<d>\d+)_[^/]*|resource_metrics_.*?_(?P<e>\d+)_\d+(?:_\w+)?\.db)$"
)


class Log(NamedTuple):
    """A log file: its name in the folder or archive, and whose it is."""

    name: str
    workflow_id: int
    job_id: int | None
    run_id: int | None
    attempt_id: int | None
    slurm_job_id: str | None


def logs(place: str) -> Iterator[tuple[Log, str]]:
    """Give the logs of a folder or an archive with their text, by name. Raises Failure(66), Failure(65)."""
    for name, raw in _files(place):
        log = named(name)
        if log is not None:
            yield log, raw.decode(errors="replace")


def named(name: str) -> Log | None:
    """Say whose log a file is; None where it is none."""
    for pattern in _NAMES:
        match = pattern.search(name)
        if match:
            found = match.groupdict()
            ids = (found.get("job"), found.get("run"), found.get("attempt"))
            job, run, attempt = (None if each is None else int(each) for each in ids)
            return Log(name, int(found["wf"]), job, run, attempt, found.get("slurm"))
    return None


def of_workflow(folder: str, workflow_id: int) -> list[str]:
    """Give the names of all files in an output folder that are about one workflow."""
    return [name for name in _names(folder) if owner(name) == workflow_id]


def bundle(folder: str, names: list[str], archive: str) -> int:
    """Pack files of `folder` into a tar.gz under the archive's own name; give its size. Raises Failure(74).

    It has its name once it is whole.
    """
    stem = os.path.basename(archive).removesuffix(".tar.gz")
    part = f"{archive}.part"
    try:
        with tarfile.open(part, "w:gz", compresslevel=6) as packed:
            for name in names:
                packed.add(os.path.join(folder, name), os.path.join(stem, name), recursive=False)
        os.replace(part, archive)
    except OSError as error:
        raise Failure(exits.IO, f"cannot write '{archive}': {error.strerror}") from None
    return os.path.getsize(archive)


def owner(name: str) -> int | None:
    """Give the workflow that a file of an output folder is about, by its name; None where it names none."""
    log = named(name)
    if log is not None:
        return log.workflow_id
    match = _OTHERS.search(name)
    return int(next(filter(None, match.groups()))) if match else None


def _names(folder: str) -> list[str]:
    """Give the names of all files below a folder, sorted; none where there is no such folder."""
    found = []
    for at, _, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, each), folder) for each in files]
    return sorted(found)


def _files(place: str) -> Iterator[tuple[str, bytes]]:
    if os.path.isdir(place):
        for name in filter(named, _names(place)):
            try:
                with plainfile.opened(os.path.join(place, name)) as file:
                    raw = file.read(MOST)
            except OSError as error:
                stream.say(f"cannot read '{name}': {error.strerror}: it is left out")
                continue
            yield name, raw
        return
    try:
        with tarfile.open(place) as packed:
            for member in packed:
                inside = packed.extractfile(member) if member.isfile() else None
                if inside is not None:
                    yield member.name, inside.read(MOST)
    except FileNotFoundError:
        raise Failure(exits.NO_INPUT, f"no such folder or archive: '{place}'") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:  # the last two: it is torn
        raise Failure(exits.DATA, f"cannot read archive '{place}': {error}") from None
