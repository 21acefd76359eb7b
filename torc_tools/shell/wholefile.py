"""A file written whole, in the place of the one before."""

import contextlib
import os

from torc_tools import exits
from torc_tools.exits import Failure


def write(path: str, content: bytes, mode: int | None = None, *, waits: bool = True) -> None:
    """Write a file whole, or leave what was there; what is no plain file (a device, a pipe) is not replaced.

    A plain file gets `mode` (None: what the umask leaves). A pipe that nobody reads is waited for, unless `waits` is
    false. Raises Failure(74).
    """
    real = os.path.realpath(path)
    is_plain = os.path.isfile(real) or not os.path.exists(real)
    beside = f"{real}.{os.getpid()}.part"
    try:
        opener = None if waits or is_plain else _now
        with open(beside if is_plain else real, "wb", opener=opener) as file:
            file.write(content)
            if is_plain and mode is not None:
                os.fchmod(file.fileno(), mode)
        if is_plain:
            os.replace(beside, real)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise Failure(exits.IO, f"cannot write '{path}': {error.strerror}") from None


def _now(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
