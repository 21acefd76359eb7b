"""The event loop of torc-work and torc-sample: children, signals, files, time. Every wait has a bound and a waker."""

import contextlib
import heapq
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

LONGEST_S = 30.0  # no wait is longer, whatever happens

Ended = Callable[[int, Any], None]  # exit code (below 0: minus the signal's number), rusage


class Loop:
    """Calls back when a child ends, a time comes, a descriptor can be written, a signal arrives."""

    def __init__(self, signals: tuple[int, ...] = ()) -> None:
        """Begin to listen to `signals` (those that are ignored stay ignored) and to the end of children."""
        self.signals: list[int] = []
        self._children: dict[int, Ended] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._poll = select.poll()
        self._writers: dict[int, Callable[[], None]] = {}
        self._wake, other = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._wake, select.POLLIN)
        signal.set_wakeup_fd(other, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: self.signals.append(number))
        self.stranger: Ended | None = None  # called for a child that nobody asked for: (pid, rusage)
        self.strangers: Callable[[], None] | None = None  # called once after any number of them
        self.before_reap: Callable[[int], None] | None = None  # called with the pid while it still is a zombie

    def child(self, pid: int, call: Ended) -> None:
        """Call `call` when child `pid` has ended."""
        self._children[pid] = call

    def children(self) -> dict[int, Ended]:
        """Give the children that are waited for, by pid."""
        return self._children

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call `call` at time.monotonic() `when`. It cannot be taken back: let it see that it is late."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, call))

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in `seconds`."""
        self.at(time.monotonic() + seconds, call)

    def writable(self, fd: int, call: Callable[[], None] | None) -> None:
        """Call `call` whenever `fd` can be written; None ends that."""
        if call is None:
            if self._writers.pop(fd, None):
                self._poll.unregister(fd)
        elif fd not in self._writers:
            self._writers[fd] = call
            self._poll.register(fd, select.POLLOUT)

    def turn(self, longest_s: float = LONGEST_S) -> None:
        """Wait until something happens, `longest_s` at most, and make the calls that are due."""
        wait = min(longest_s, LONGEST_S)
        if self._timers:
            wait = min(wait, max(0.0, self._timers[0][0] - time.monotonic()))
        for fd, _ in self._poll.poll(wait * 1000 + 0.5 if wait else 0):
            if fd == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(fd, 4096)
            elif fd in self._writers:
                self._writers[fd]()
        self.reap()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def reap(self) -> None:
        """Take in every child that has ended."""
        if self._reap() and self.strangers is not None:
            self.strangers()

    def _reap(self) -> bool:
        """Say whether there were some that nobody asked for."""
        strange = False
        while self._children or self.stranger:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if seen is None:
                    break
                pid = seen.si_pid
                if self.before_reap is not None:
                    self.before_reap(pid)
                _, status, rusage = os.wait4(pid, 0)
            except ChildProcessError:
                break
            call = self._children.pop(pid, None)
            if call is not None:
                call(os.waitstatus_to_exitcode(status), rusage)
            elif self.stranger is not None:
                self.stranger(pid, rusage)
                strange = True
        return strange
