"""Command lines that run one after another until one fails: actions and recovery scripts."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torc_tools.core.outcome import Codes, outcome
from torc_tools.flows.worker_desk import Desk, after_lead
from torc_tools.shell import launch, trees

_TIMED_OUT = 124  # as timeout(1) says

Done = Callable[[int, str | None], None]  # return code, tail of the output


class Chain:
    """Runs `commands`; `done` hears the return code of the last one that ran and the end of what was written."""

    def __init__(self, desk: Desk, commands: Sequence[str], env: Mapping[str, str], path: str, done: Done) -> None:
        """Take the command lines, their environment, and the path of the file for their output."""
        self._desk, self._commands, self._env, self._path, self._done = desk, list(commands), env, path, done
        self._tree: trees.Tree | None = None
        self._timed_out = self._stopped = self.over = False
        self._fd = launch.log_file(path)

    def start(self, time_limit_s: float | None = None) -> None:
        """Start the first command."""
        if time_limit_s is not None:
            self._desk.loop.at(time.monotonic() + time_limit_s, self._late)
        self._next(0)

    def stop(self, lead_s: float) -> None:
        """End the command that runs (SIGTERM, SIGKILL after the lead) and start no other."""
        self._stopped = True
        if not self.over:
            self._signal(signal.SIGTERM)
            after_lead(self._desk, lead_s, lambda: self.over, self.kill)

    def kill(self) -> None:
        """Kill the command that runs."""
        self._stopped = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._tree is not None and not self.over:
            self._tree.signal(number)

    def _late(self) -> None:
        if not self.over:
            self._timed_out = True
            self.kill()

    def _next(self, last_code: int) -> None:
        if last_code or not self._commands or self._stopped:
            self._finish(last_code)
            return
        try:
            pid = self._desk.shell.start(self._commands.pop(0), self._env, self._fd)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                os.write(self._fd, f"cannot start the command: {error}\n".encode())
            self._finish(126)
            return
        self._tree = trees.Tree(pid)
        self._desk.loop.child(pid, self._ended)

    def _ended(self, exit_code: int, _rusage: Any) -> None:
        self._next(outcome(exit_code, None, Codes()).return_code)

    def _finish(self, code: int) -> None:
        self.over = True
        os.close(self._fd)
        interrupted = self._stopped and not code
        self._done(
            _TIMED_OUT if self._timed_out else 128 + signal.SIGTERM if interrupted else code, launch.tail(self._path)
        )
