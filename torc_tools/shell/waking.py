"""Waiting with a bound and a waker: until some time is over, or one of some processes of this machine ends."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

from torc_tools.shell import liveness

Process = tuple[str | None, int | None, int | None]  # hostname, pid, start in clock ticks
LOOK_S = 0.5  # how often a process is looked for where the kernel cannot wake us


def wait(seconds: float, processes: Iterable[Process]) -> bool:
    """Wait `seconds`, or less when one of `processes` that lives now ends; say whether one did.

    Processes of other machines do not wake us.
    """
    living = [process for process in processes if liveness.alive(*process)]
    ends = [(process, liveness.end_of(process[1] or 0)) for process in living]
    descriptors = [end for _, end in ends if end is not None]
    blind = [process for process, end in ends if end is None]
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            if select.select(descriptors, [], [], min(left, LOOK_S) if blind else left)[0]:
                return True
            if not all(liveness.alive(*process) for process in blind):
                return True
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGTERM, and SIGHUP unless it is ignored (nohup), end us as Ctrl-C does."""
    with catching((signal.SIGTERM, signal.SIGHUP), _interrupt):
        yield


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let a signal that would end us wait until the block is over: what was started in it is known then."""
    came: list[int] = []
    with catching((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), lambda number, _: came.append(number)):
        yield
    for number in came[:1]:
        signal.raise_signal(number)


@contextlib.contextmanager
def catching(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the block `handler` gets these signals; one that is ignored (nohup, a job in the background) stays so."""
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
