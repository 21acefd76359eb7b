"""A progress bar on a terminal, nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

from torc_tools import states

Counts = Mapping[str, int]


@contextlib.contextmanager
def shown(label: str) -> Iterator[Callable[[Counts], None]]:
    """Give a function that shows counts of jobs by state; it does nothing where stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, text="")

        def show(counts: Counts) -> None:
            settled = sum(counts[states.NAMES[state]] for state in states.SETTLED)
            bar.update(task, total=sum(counts.values()), completed=settled, text=text(counts))

        yield show


def text(counts: Counts) -> str:
    """Write the counts that a person wants to see while jobs run: '3 running, 2 failed'."""
    names = ("running", "ready", "blocked", "failed", "pending_failed", "terminated", "canceled")
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
