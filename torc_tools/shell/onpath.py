"""Our commands on PATH, for programs of the user's that call them by name, wherever they are installed."""

import contextlib
import os
import shlex
from collections.abc import Iterator

from torc_tools.shell import pipeline


@contextlib.contextmanager
def ours(path: str | None) -> Iterator[str]:
    """Give a PATH on which `torc` and 'torc-x' are ours and come first, then `path`; it holds while the block runs.

    The folder that it begins with has nothing else in it: whatever the user calls `python3` stays that.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="torc-bin-", ignore_cleanup_errors=True) as folder:
        for name in names():
            program = os.path.join(folder, name)
            with open(program, "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\nexec {shlex.join(pipeline.argv([name]))} "$@"\n')
            os.chmod(program, 0o700)
        yield os.pathsep.join([folder, path or os.defpath])


def names() -> list[str]:
    """Give the names of all commands."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "commands")
    modules = sorted(each[:-3] for each in os.listdir(folder) if each.endswith(".py") and each != "__init__.py")
    return ["torc" if each == "torc" else f"torc-{each.replace('_', '-')}" for each in modules]
