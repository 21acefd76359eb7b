"""Our own commands as processes that go on beside us, and how the end of one is waited for without polling."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torc_tools.shell import waking

if TYPE_CHECKING:
    import subprocess

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def apart(arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own; its standard output is a pipe that closes when it ends."""
    import subprocess

    return subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, close_fds=True
    )


def ended(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    """Wait until `process` has closed its standard output and ended, or the time is over; say whether it has ended."""
    assert process.stdout is not None  # noqa: S101  apart() gave it a pipe
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
