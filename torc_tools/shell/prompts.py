"""Asking the person at a terminal: a question on standard error, a line from standard input."""

import sys
from collections.abc import Iterable

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.texts import visible


def possible() -> bool:
    """Say whether somebody sits there: standard input and standard error are terminals."""
    return all(each is not None and each.isatty() for each in (sys.stdin, sys.stderr))


def answer(question: str, before: Iterable[str] = ()) -> str:
    """Write the lines of `before` and the question; give the line that is typed. Raises Failure(2) for none."""
    sys.stderr.writelines(f"{visible(line)}\n" for line in before)
    sys.stderr.write(f"{visible(question)} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise Failure(exits.USAGE, "no answer")
    return line.strip()


def agrees(question: str) -> bool:
    """Ask a question whose answer is no, unless it begins with y."""
    return answer(f"{question} [y/N]")[:1] in ("y", "Y")
