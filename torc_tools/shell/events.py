"""A worker's own event file: one writer, one write() a line; and the files of its siblings, read by byte offset."""

import os
import time
from collections.abc import Mapping

import orjson

from torc_tools.records import Record
from torc_tools.shell import crash, liveness

_CHUNK = 1 << 20


class EventFile:
    """Appends lines. Where the disk is full or gone, lines wait in memory until `retry` gets them down.

    A file that somebody removes is made again with all it held, as long as this process has it open.
    """

    def __init__(self, path: str) -> None:
        """Make the file, and its folder. Raises OSError."""
        self._path = path
        self._fd = _new(path)
        self._waiting = b""
        self._dirty = False
        self.trouble: str | None = None

    def write(self, line: bytes) -> None:
        """Append one line, or keep it for `retry`."""
        if self._waiting:
            self._waiting += line
        else:
            self._waiting = line
            self.retry()

    def retry(self) -> bool:
        """Try to get down what waits; say whether nothing waits any more."""
        try:
            if not os.fstat(self._fd).st_nlink:
                self._bring_back()
            while self._waiting:
                self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
                self._dirty = True
                crash.wrote()
            self.trouble = None
        except OSError as error:
            self.trouble = error.strerror or "error"
        return not self._waiting

    def _bring_back(self) -> None:
        fd = _new(self._path)
        at = 0
        try:
            while piece := os.pread(self._fd, _CHUNK, at):
                at += os.write(fd, piece)
        except OSError:
            os.unlink(self._path)
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd

    def sync(self) -> None:
        """Force what was written to the disk, if anything was."""
        if self._dirty:
            try:
                os.fsync(self._fd)
                self._dirty = False
            except OSError as error:
                self.trouble = error.strerror or "error"


def _new(path: str) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)


class Siblings:
    """Reads what the other workers of one workflow wrote since the last look."""

    def __init__(self, folder: str, workflow_id: int, token: str, own: str, offsets: Mapping[str, int]) -> None:
        """Take the folder of the event files, the name of the own one, and the bytes already folded by file name."""
        self._folder, self._prefix, self._token = folder, f"wf{workflow_id}_", token.encode()
        self._own = own
        self._offsets = {name.removesuffix(".jsonl"): offset for name, offset in offsets.items()}
        self._files: dict[str, _File] = {}
        self._seen_at = -1

    def news(self) -> list[Record]:
        """Give the events of all siblings in full lines not seen before."""
        self._look_for_new()
        return [event for file in self._files.values() for event in file.news()]

    def alive(self) -> bool:
        """Say whether a sibling may still be at work: it has not ended, is not known to be dead, and is not silent."""
        return any(file.alive() for file in self._files.values())

    def _look_for_new(self) -> None:
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed == self._seen_at:
                return
            names = os.listdir(self._folder)
        except OSError:
            return
        recent = time.time_ns() - changed < 2_000_000_000  # a file made in the same tick would not show
        self._seen_at = -1 if recent else changed
        for name in names:
            stem = name.removesuffix(".jsonl")
            if name.startswith(self._prefix) and stem not in (name, self._own) and stem not in self._files:
                self._add(stem, os.path.join(self._folder, name))

    def _add(self, stem: str, path: str) -> None:
        """Take a sibling's file in, once its first line says whose it is."""
        try:
            with open(path, "rb") as file:
                first = file.readline()
        except OSError:
            return
        if first.endswith(b"\n"):
            self._files[stem] = _File(path, first, self._offsets.get(stem, 0), ours=self._token in first)


class _File:
    """One sibling's event file."""

    def __init__(self, path: str, first: bytes, offset: int, *, ours: bool) -> None:
        self._path, self._offset, self._ours = path, offset, ours
        event = _event(first)
        self._who = (event.get("hostname"), event.get("pid"), event.get("pid_start"))
        self._heard = _changed(path)
        self._ended = not ours or _says_ended(path)

    def news(self) -> list[Record]:
        """Give the events of the new full lines; the file is opened anew each time, as NFS wants it."""
        if not self._ours:
            return []
        try:
            if os.stat(self._path).st_size <= self._offset:
                return []
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                text = file.read(_CHUNK)
        except OSError:
            return []
        whole = text.rfind(b"\n") + 1
        text = text[:whole] if whole or len(text) < _CHUNK else text  # so long a line is not ours: it is passed over
        self._offset += len(text)
        self._heard = time.time()
        events = [_event(line) for line in text.splitlines()]
        self._ended = self._ended or any(event.get("event") == "worker_ended" for event in events)
        return events

    def alive(self) -> bool:
        if self._ended or time.time() - self._heard > liveness.silent_s():
            return False
        return liveness.alive(*self._who) is not False


def _event(line: bytes) -> Record:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _says_ended(path: str) -> bool:
    """Say whether the last line of a file is a `worker_ended`."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            last = file.read().splitlines()[-1:]
    except OSError:
        return False
    return bool(last) and _event(last[0]).get("event") == "worker_ended"
