"""The file that torc-watch keeps for Prometheus: written whole at each look, and put in the place of the old one."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torc_tools import exits
from torc_tools.core import holds, pace
from torc_tools.exits import Failure
from torc_tools.flows.recovery_stages import Request
from torc_tools.records import Record
from torc_tools.shell import watchlog

if TYPE_CHECKING:
    from torc_tools.core.metrics import Seen

MODE = 0o644  # another user, node_exporter, reads it


class Metrics:
    """The file of one watch; without a path nothing is written, or asked."""

    def __init__(self, request: Request, log: watchlog.WatchLog, path: str | None, policy: pace.Policy) -> None:
        """Take where the file lies."""
        self._request, self._log, self._path, self._policy = request, log, path, policy
        self._trouble: str | None = None
        self._state: dict[str, Any] = {}
        self._once = False

    @contextlib.contextmanager
    def of(self, state: dict[str, Any], *, once: bool) -> Iterator[Callable[[int], int]]:
        """Publish the watch that keeps `state` and that runs in the block; give what hears its exit status."""
        self._state, self._once = state, once
        heard = [exits.SOFTWARE]

        def ends(status: int) -> int:
            heard[0] = status
            return status

        try:
            yield ends
        except KeyboardInterrupt:
            ends(exits.INTERRUPTED)
            raise
        except Failure as failure:
            ends(failure.status)
            raise
        finally:
            self.write(heard[0])

    def write(self, status: int = exits.TEMPORARY) -> None:
        """Write how the workflow stands; `status` is that of the watch which has ended, TEMPORARY while it goes on.

        What cannot be read or written now costs this file and not the watch, and is said once in a row.
        """
        if self._path is None:
            return
        from torc_tools.core import metrics
        from torc_tools.shell import wholefile

        trouble = None
        try:
            text = metrics.text(self._seen(status))
            wholefile.write(self._path, text.encode(), MODE, waits=False)
        except Failure as failure:
            trouble = failure.message
        except sqlite3.Error as error:
            trouble = f"store: {error}"
        if trouble and trouble != self._trouble:
            self._log.say(f"torc-watch: {trouble}: no metrics")
        self._trouble = trouble

    def _seen(self, status: int) -> "Seen":
        from torc_tools.core.metrics import Seen
        from torc_tools.shell import queries, store, watchfacts

        workflow_id, state = self._request.workflow_id, self._state
        with contextlib.closing(store.open_reader(self._request.store)) as db:
            allocations = watchfacts.allocations(db, workflow_id)
            return Seen(
                workflow=queries.workflow(db, workflow_id),
                counts=queries.counts(db, workflow_id),
                attempts=watchfacts.attempts(db, workflow_id),
                peak_memory_bytes=watchfacts.peak_memory_bytes(db, workflow_id),
                allocations=_counted(allocations),
                held=sum(row["count"] for row in allocations if _is_held(row)),
                held_jobs=state.get("held_jobs", 0),
                recoveries=state.get("recoveries", 0),
                max_retries=self._policy.max_retries,
                polled_at=state.get("looked_at"),
                poll_s=None if self._once else self._policy.poll_s,
                runs=status == exits.TEMPORARY,
                gave_up=status not in (exits.TEMPORARY, exits.OK, exits.INTERRUPTED),
            )


def _counted(rows: list[Record]) -> dict[tuple[str, str], int]:
    """Count allocations by kind and status; those that Slurm may have are named even where there is none."""
    found = {("slurm", status): 0 for status in ("queued", "active")}
    for row in rows:
        key = str(row["kind"]), str(row["status"])
        found[key] = found.get(key, 0) + row["count"]
    return found


def _is_held(row: Record) -> bool:
    return row["status"] == "queued" and holds.is_held(row["slurm_state"], row["slurm_reason"])
