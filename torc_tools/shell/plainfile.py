"""Files that others wrote, opened to be read: plain ones alone, since a pipe in place of one waits for its writer."""

import errno
import os
import stat
from typing import IO


def opened(path: str) -> IO[bytes]:
    """Open a plain file, or a link to one, to read its bytes. Raises OSError where it is another thing."""
    return open(path, "rb", opener=_opener)


def last(path: str, size: int) -> tuple[bytes, int]:
    """Give the last `size` bytes of a plain file, and the byte at which they begin. Raises OSError as `opened` does."""
    with opened(path) as file:
        offset = max(0, os.fstat(file.fileno()).st_size - size)
        file.seek(offset)
        return file.read(size), offset


def _opener(path: str, flags: int) -> int:
    number = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    raise OSError(errno.EINVAL, "not a plain file", path)
