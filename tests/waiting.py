"""Waiting for something to become true, with a bound: the only pause in the tests."""

import time
from collections.abc import Callable


def until(happened: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return when `happened()` is true; fail after timeout_s naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.01)
