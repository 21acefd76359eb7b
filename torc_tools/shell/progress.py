"""A progress bar on a terminal, nothing anywhere else."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from torc_tools import states

if TYPE_CHECKING:
    import threading

Counts = Mapping[str, int]
AFTER_S = 1.0  # what takes less shows nothing
TICK_S = 0.25
_shown = [False]  # whether something is shown already, below which nothing else fits


class Step:
    """What is being done: `done` of `total` (None: nobody knows how much), set by whoever does it."""

    def __init__(self, what: str, *, is_shown: bool) -> None:
        """Name it, and say whether it may be shown."""
        self.what, self.is_shown = what, is_shown
        self.total: int | None = None
        self.done = 0


@contextlib.contextmanager
def during(what: str) -> Iterator[Step]:
    """Show on a terminal, where the block runs for more than a second, what is done and how far it is.

    The block sets `done` and `total` as it likes: another thread looks at them a few times a second.
    """
    step = Step(what, is_shown=not _shown[0] and possible())
    if not step.is_shown:
        yield step
        return
    import threading

    over = threading.Event()
    thread = threading.Thread(target=_show, args=(step, over), daemon=True)
    with only():
        thread.start()
        try:
            yield step
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def only() -> Iterator[None]:
    """Let nothing else be shown while the block runs."""
    before, _shown[0] = _shown[0], True
    try:
        yield
    finally:
        _shown[0] = before


def possible() -> bool:
    """Say whether stderr is a terminal that can show something in place, and that is ours: not in the background."""
    if sys.stderr is None or not moves():
        return False
    try:
        return sys.stderr.isatty() and os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def moves() -> bool:
    """Say whether a terminal of the kind that $TERM names can show something in place."""
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _show(step: Step, over: "threading.Event") -> None:
    """Show a step from its second second on, until it is over."""
    if over.wait(AFTER_S):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(step.what, total=step.total)
        bar.tasks[0].start_time = bar.get_time() - AFTER_S
        while not over.wait(TICK_S):
            bar.update(task, total=step.total, completed=step.done)


@contextlib.contextmanager
def shown(label: str) -> Iterator[Callable[[Counts], None]]:
    """Give a function that shows counts of jobs by state; it does nothing where stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with only(), Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, text="")

        def show(counts: Counts) -> None:
            settled = sum(counts[states.NAMES[state]] for state in states.SETTLED)
            bar.update(task, total=sum(counts.values()), completed=settled, text=text(counts))

        yield show


def text(counts: Counts) -> str:
    """Write the counts that a person wants to see while jobs run: '3 running, 2 failed'."""
    names = ("running", "ready", "blocked", "failed", "pending_failed", "terminated", "canceled")
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
