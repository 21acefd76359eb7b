"""How torc-watch tells a program of the user's what happened, once each, whoever watches and however often.

What is to be told is kept in the store with what it is about, and taken out when the program has ended: a watch that is
killed in between leaves it to the next one.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import orjson

from torc_tools import exits
from torc_tools.core import notices
from torc_tools.core.recovery_text import Plan
from torc_tools.exits import Failure
from torc_tools.flows.recovery_stages import Request
from torc_tools.shell import liveness, programs, queries, store, watchlog, watchstate

if TYPE_CHECKING:
    from torc_tools.shell.notifier import Notifier

State = dict[str, Any]
WHAT = "notification program"


class Notices:
    """The notices of one watch; without a command nothing is noted, and what was is forgotten."""

    def __init__(self, request: Request, log: watchlog.WatchLog, command: str | None, max_retries: int | None) -> None:
        """Take the command as the user wrote it. Raises Failure(2) or Failure(66) where it cannot be run."""
        self._request, self._log, self._max_retries = request, log, max_retries
        self._command = command
        self._words = programs.words(command, WHAT) if command is not None else []
        self._runner: Notifier | None = None
        self._trouble: str | None = None

    def forget(self, state: State) -> None:
        """Drop what an earlier watch left to be told, where this one was not asked to tell anything."""
        if self._command is None:
            state.pop("notices", None)

    def is_told(self, state: State, key: Sequence[Any]) -> bool:
        """Say whether there is nothing to be told about the end that `key` names."""
        return self._command is None or state.get("notified") == list(key)

    def end(self, state: State, what: str, progress: str, lines: Sequence[str]) -> None:
        """Note an end, by its name and what the jobs had come to; the caller keeps the state."""
        if self.is_told(state, [what, progress]):
            return
        self._note(state, notices.event(what), why=None if what == "done" else what, lines=lines)
        state["notified"] = [what, progress]

    def recovery(self, state: State, number: int, plan: Plan, lines: Sequence[str]) -> Callable[[], None]:
        """Note a recovery that is about to be made; give what takes it back. The caller keeps the state."""
        if self._command is None:
            return lambda: None
        self._note(state, notices.RECOVERY, lines=lines, recoveries=number, plan=notices.plan(plan))
        made = state["notices"][-1]["notice_id"]

        def undo() -> None:
            state["notices"] = [each for each in state["notices"] if each["notice_id"] != made]

        return undo

    @contextlib.contextmanager
    def errors(self, state: State) -> Iterator[None]:
        """Tell, too, of a Failure that ends the block and with it the watch; not of one that may be tried again."""
        try:
            yield
        except Failure as failure:
            if self._command is not None and failure.status != exits.TEMPORARY:
                self._error(state, failure.message)
                self.finish(state)
            raise

    def _error(self, state: State, message: str) -> None:
        """Note what ended the watch, unless that was told before and nothing has moved since; keep the state."""
        with contextlib.suppress(Failure, sqlite3.Error, OSError), self._read() as db:
            key = [notices.ERROR, message, watchstate.progress(db, self._request.workflow_id)]
            if state.get("notified") != key:
                state["notified"] = key
                self._note(state, notices.ERROR, lines=message.splitlines())
                self._keep(state)

    def go_on(self, state: State) -> "Notifier | None":
        """See whether the program has ended, and start it for what is next; give it where it runs now."""
        runner = self._runner
        if runner and runner.runs:
            ended, trouble = runner.ended()
            if not ended:
                return runner
            self._over(state, trouble)
        while self._command is not None and state.get("notices"):
            runner = self._made()
            trouble = runner.start(orjson.dumps(state["notices"][0], option=orjson.OPT_APPEND_NEWLINE))
            if trouble is None:
                return runner
            self._over(state, trouble)
        return None

    def finish(self, state: State) -> None:
        """Tell all that is left, each within its time."""
        while running := self.go_on(state):
            running.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the program, if it runs: the next watch tells it again."""
        if self._runner:
            self._runner.stop()

    def _made(self) -> "Notifier":
        from torc_tools.shell.notifier import Notifier

        environment = {"TORC_WORKFLOW_ID": str(self._request.workflow_id), "TORC_STORE": _path(self._request)}
        self._runner = self._runner or Notifier(self._words, environment, self._log.fd)
        return self._runner

    def _over(self, state: State, trouble: str | None) -> None:
        """Take out what was told, and say what went wrong, unless that was the last thing said about it."""
        state["notices"] = state["notices"][1:]
        self._keep(state)
        if trouble and trouble != self._trouble:
            self._log.say(f"torc-watch: {WHAT} '{self._command}' {trouble}")
        self._trouble = trouble

    def _keep(self, state: State) -> None:
        """Keep the state; a store that is locked now has it with the next look."""
        with contextlib.suppress(Failure, sqlite3.Error, OSError):
            watchstate.save(self._request.store, self._request.workflow_id, state)

    def _note(self, state: State, event: str, *, lines: Sequence[str], **more: Any) -> None:
        """Add a notice to those that are to be told."""
        with self._read() as db:
            workflow = queries.workflow(db, self._request.workflow_id)
            counts = queries.counts(db, self._request.workflow_id)
        record = {
            "type": "notice",
            "workflow_id": self._request.workflow_id,
            "notice_id": os.urandom(8).hex(),
            "event": event,
            "at": time.time(),
            "text": "",
            "why": None,
            "name": workflow["name"],
            "run_id": workflow["run_id"],
            "recoveries": state.get("recoveries", 0),
            "max_retries": self._max_retries,
            "counts": counts,
            "total": sum(counts.values()),
            "plan": None,
            "lines": notices.lines_of(lines),
            "hostname": liveness.me()[0],
            "store": _path(self._request),
            "log": os.path.abspath(self._log.path),
            **more,
        }
        state["notices"] = [*(state.get("notices") or []), {**record, "text": notices.text(record)}]

    def _read(self) -> "contextlib.closing[sqlite3.Connection]":
        return contextlib.closing(store.open_reader(self._request.store))


def _path(request: Request) -> str:
    return os.path.abspath(request.store)
