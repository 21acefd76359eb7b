"""What a signal means for a worker: the end of its time, the announcement of that, or an interruption."""

import math
import signal
import time
from collections.abc import Iterator

from torc_tools.core import outcome
from torc_tools.flows.worker_desk import Desk
from torc_tools.shell import stream


class Signals:
    """The signals that the loop has heard. Before `near` one is no sign that the time is over."""

    def __init__(self, desk: Desk, stop_at: float | None, near: float) -> None:
        """Take when jobs are told to end, and from when on a signal means that; both are of time.monotonic()."""
        self._desk, self._stop_at, self._near = desk, stop_at, near

    def reasons(self, stopping: str | None) -> Iterator[str]:
        """Give why to stop, for each signal that says so, and where nobody reads standard output any more."""
        while self._desk.loop.signals:
            number = self._desk.loop.signals.pop(0)
            name = signal.Signals(number).name
            again = number == signal.SIGTERM and self._desk.in_allocation
            if not stopping and again and self._announced():
                stream.say(f"torc-work: {name}: starting nothing more, the time is over soon")
                self._desk.ending = True
            elif not (stopping and again):  # Slurm repeats it, and the lead is not over
                stream.say(f"torc-work: {name}: stopping{' at once' if stopping else ''}")
                yield self._meaning()
                stopping = stopping or self._meaning()
        output = self._desk.log.output
        if output is not None and output.error is not None and not stopping:
            yield self._meaning()

    def note(self, reason: str, running: int) -> None:
        """Write down at once that this worker was told to stop: Slurm may give it two seconds from here."""
        about = {"workflow_id": self._desk.workflow["workflow_id"], "running": running, "reason": reason}
        self._desk.log.write({"type": "event", "event": "stopping", "at": time.time(), **about})
        if self._desk.log.file is not None:
            self._desk.log.file.sync()

    def _announced(self) -> bool:
        """Say whether SIGTERM only announces the end: Slurm sends it up to a minute before its time."""
        if self._desk.ending or self._stop_at is None or not math.isfinite(self._near):
            return False
        return self._near <= time.monotonic() < self._stop_at

    def _meaning(self) -> str:
        return outcome.END if time.monotonic() >= self._near else outcome.INTERRUPTED
