"""Lines appended to a file that others read while it grows: whole ones, also after a disk that was full."""

import errno
import os


def append(path: str, lines: bytes) -> None:
    """Append whole lines to a file. Raises OSError also where the disk took only a part of them.

    A line that was cut short before is ended first, so that it costs no other.
    """
    with open(path, "a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            lines = b"\n" + lines
        if file.write(lines) != len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
