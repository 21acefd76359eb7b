"""One torc-watch: what it was asked for, what it holds, and what it keeps in the store from one look to the next."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torc_tools.core import pace
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Voice
from torc_tools.shell import lease, pipeline, waking, watchlog, watchstate

if TYPE_CHECKING:
    from torc_tools.flows.watch_metrics import Metrics
    from torc_tools.flows.watch_notices import Notices
    from torc_tools.flows.watch_pane import Showing

ONCE = ("warned", "held", "nowhere")  # keys of the state: what was said, and is not said again while it holds


class Watch(NamedTuple):
    """One watcher: what was asked for, what it holds, and where it speaks."""

    request: Request
    policy: pace.Policy
    show_counts: bool
    held: lease.Lease
    log: watchlog.WatchLog
    once: bool
    children: "list[pipeline.Child]"  # those that we started and that have not been seen to end
    notices: "Notices"
    metrics: "Metrics"
    showing: "Showing"

    @property
    def voice(self) -> Voice:
        """Speak to the terminal and the log."""
        return Voice(self.log.say, self.log.say, lambda: self.held.renew(after_s=lease.BEAT_S))


class Pause(NamedTuple):
    """Wait so long, or until one of these processes ends, or the workers of Slurm allocations have all left."""

    seconds: float
    processes: Sequence[waking.Process] = ()
    allocations: bool = False


class Ended(NamedTuple):
    """The watch is over, or with --once the step is."""

    status: int


def load(watcher: Watch) -> dict[str, Any]:
    """Load what the last watcher kept; the clock of a watch that lasts starts now."""
    state = watchstate.load(watcher.request.store, watcher.request.workflow_id)
    if not watcher.once or "since" not in state:
        state["since"] = time.time()
    if not watcher.once:  # who starts to watch has heard none of it
        for key in ONCE:
            state.pop(key, None)
    watcher.notices.forget(state)
    return state


def memory_of(state: dict[str, Any]) -> pace.Memory:
    """Give what core/pace remembers."""
    return pace.Memory(**{key: state[key] for key in pace.Memory._fields if key in state})


def keep(watcher: Watch, state: dict[str, Any], memory: pace.Memory | None = None) -> None:
    """Keep the state for the next look and the next watcher, with `memory` where it has changed."""
    state.update((memory or memory_of(state))._asdict())
    state["looked_at"] = time.time()
    watchstate.save(watcher.request.store, watcher.request.workflow_id, state)
