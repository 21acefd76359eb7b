"""Where torc-sample's records go: standard error, a file, a database. Trouble with them costs no command."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import IO

import orjson

from torc_tools import exits
from torc_tools.core.usage_text import text
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.series import NodeSample
from torc_tools.shell import samples, stream
from torc_tools.shell.series import SeriesFile
from torc_tools.texts import visible

_FLUSH_S = 5.0
_LONGEST_NAME = 200

Put = Callable[[Record], None]


class Keeper:
    """Keeps samples in a database. Each run is a job of its own there, unless we run inside a job."""

    def __init__(self, path: str, name: str) -> None:
        """Take the file, made where it is missing, and what the job is called. Raises Failure(74, 65)."""
        if samples.holds_others(path):
            raise Failure(exits.DATA, f"not a database of samples: '{path}' has other tables")
        self._series = SeriesFile(os.path.abspath(path))
        self._path, self._name, self._flushed = path, name, -_FLUSH_S
        self._attempt: tuple[int, int] | None = None
        self._said = False
        try:
            self._next = self._series.next_job_id()
        except (sqlite3.Error, OSError) as error:
            raise Failure(exits.IO, f"cannot use '{path}': {getattr(error, 'strerror', None) or error}") from None

    def add(self, record: Record) -> None:
        """Take a `sample` record; every few seconds they are written."""
        gpu = record.get("gpu_percent"), record.get("gpu_memory_bytes")
        if "node" in record:
            cpu = None if record["cpu_percent"] is None else record["cpu_percent"] / record["num_cpus"]
            numbers = (record["memory_bytes"], record["total_memory_bytes"], record["load_1m"], record["num_processes"])
            self._series.node(NodeSample(record["at"], cpu, *numbers, *gpu))
        else:
            if self._attempt is None:
                self._attempt = self._begun(record)
            self._series.add(self._attempt, record["cpu_percent"], record["memory_bytes"], record["num_processes"], gpu)
        if time.monotonic() - self._flushed >= _FLUSH_S:
            self.flush()

    def flush(self) -> str | None:
        """Write what is there; give what is in the way, which is also said, once."""
        self._series.flush()
        self._flushed = time.monotonic()
        trouble = self._series.trouble
        if trouble and not self._said:
            self._said = True
            stream.say(f"torc-sample: cannot write samples to '{self._path}': {trouble}")
        return trouble

    def close(self) -> bool:
        """Write the rest and close the file; say whether all was written."""
        whole = self.flush() is None
        self._series.close()
        return whole

    def _begun(self, record: Record) -> tuple[int, int]:
        job_id, attempt_id = record.get("job_id", self._next), record.get("attempt_id", 1)
        name = record.get("job_name", self._name)[:_LONGEST_NAME]
        self._series.begin({"job_id": job_id, "job_name": name}, attempt_id, record["at"])
        return job_id, attempt_id


@contextlib.contextmanager
def output(path: str | None, form: str) -> Iterator[Put]:
    """Give a function that writes a record, at once, to a new file or to standard error: as JSON, or as text.

    Raises Failure(74) where the file cannot be made. A closed standard error is no error.
    """
    if path is None:
        yield lambda record: _say(record, form)
        return
    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115  closed below
    except OSError as error:
        raise Failure(exits.IO, f"cannot open '{path}': {error.strerror}") from None
    with file:
        yield lambda record: _write(file, line(record, form))


def line(record: Record, form: str) -> bytes:
    """Give a record as a line of JSON, or as text for people; nothing where there is none for it."""
    if form == "json":
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    return "".join(f"{visible(part)}\n" for part in text(record)).encode(errors="backslashreplace")


def _write(file: IO[bytes], data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _say(record: Record, form: str) -> None:
    """Write to standard error; a terminal is to see no control character, of which JSON lets some pass."""
    data = line(record, form)
    if not data.decode().removesuffix("\n").isprintable() and form == "json":
        import json

        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    stream.say_record(data)
