"""A command of ours as a process beside us: its start, its end without polling, the signals that it gets, too."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torc_tools.shell import pipeline, waking

if TYPE_CHECKING:
    import subprocess

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(stage: Sequence[object]) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own; its standard output is a pipe that closes when it ends."""
    import subprocess

    return subprocess.Popen(
        pipeline.argv(stage), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, close_fds=True
    )


def ended(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    """Wait until `process` has closed its standard output and ended, or the time is over; say whether it has ended."""
    assert process.stdout is not None  # noqa: S101  start() gave it a pipe
    readable, _, _ = select.select([process.stdout], [], [], timeout_s)
    if readable and not os.read(process.stdout.fileno(), 65536):
        process.wait()
    return process.returncode is not None


@contextlib.contextmanager
def forwarding(process: "subprocess.Popen[bytes]", told: Callable[[int], None]) -> Iterator[None]:
    """Pass INT, TERM and HUP on to `process` while the block runs; `told` hears of each."""

    def forward(number: int, _frame: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)
        told(number)

    with waking.catching(FORWARDED, forward):
        yield
