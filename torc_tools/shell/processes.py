"""A process that is looked at again and again: what did not change since the last look is not read anew.

Its stat file stays open, so that a look is one system call, and the number of a process that is gone is never taken
for that of another. Memory can only rise by page faults: without new ones nothing more than stat is read.
"""

import os

from torc_tools.shell import procs

_ENOUGH = 1024  # bytes: more than stat ever has


class Process:
    """One process. `look` brings the rest up to date."""

    __slots__ = (
        "_faults",
        "_fd",
        "_high",
        "_rss",
        "_start",
        "_text",
        "_waited",
        "cpu_ticks",
        "heritage",
        "is_new",
        "parent",
        "pid",
        "resident",
        "rise",
    )

    def __init__(self, pid: int, *, keep: bool) -> None:
        """Take the pid, and whether to keep a descriptor for it; nothing is known yet."""
        self.pid = pid
        self.parent = 0
        self.is_new = True  # it may still run in the memory of its parent
        self.cpu_ticks = 0  # with those of the children it has waited for
        self.heritage = 0  # so much of it came since the last look from children it has waited for
        self.resident = 0  # bytes; 0 for a zombie
        self.rise = 0  # by so much its memory was higher at a moment since the last look
        self._text = b""
        self._start = b""
        self._faults = (b"", b"")
        self._rss = b""
        self._high = 0
        self._waited = 0
        self._fd = procs.stat_fd(pid) if keep else -1

    def look(self) -> bool | None:
        """Read what changed. True: memory may have changed; False: it did not; None: the process is gone."""
        if self._fd >= 0:
            try:
                text = os.pread(self._fd, _ENOUGH, 0)
            except OSError:
                return None
        else:
            text = procs.read(f"/proc/{self.pid}/stat")
        if text == self._text:
            self.rise = self.heritage = 0
            return False if text else None
        return self._take(text)

    def inherited(self) -> int:
        """Give the CPU time that came from children since the last look but one: read again after some were gone."""
        rise, before = self.rise, self.heritage
        self.look()
        self.rise = max(rise, self.rise)
        return before + self.heritage

    def close(self) -> None:
        """Let the process go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self, text: bytes) -> bool | None:
        fields = text[text.rfind(b")") + 2 :].split(None, 22)
        if len(fields) < 22 or (self._start and fields[19] != self._start):
            return None
        self._text, self._start = text, fields[19]
        self.parent = int(fields[1])
        waited = int(fields[13]) + int(fields[14])
        self.heritage, self._waited = waited - self._waited, waited
        self.cpu_ticks = int(fields[11]) + int(fields[12]) + waited
        faults = fields[7], fields[9]
        self.rise = 0
        if faults != self._faults:
            self._faults, self._rss = faults, fields[21]
            self._measure()
            return True
        if fields[21] != self._rss:
            self._rss = fields[21]
            self.resident = procs.resident_bytes(self.pid)
            return True
        return False

    def _measure(self) -> None:
        self.resident, high = procs.resident_and_high_bytes(self.pid)
        if high > self._high:
            self.rise = high - self.resident
        self._high = high
