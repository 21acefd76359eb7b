"""What a line of a log complains of: the words of core/patterns, then those that explain but decide nothing. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from torc_tools.core import patterns

MOST = 100  # complaints kept of one file


class Complaint(NamedTuple):
    """A line that complains: its number from 1 on, the cause it speaks for, how sure, how bad, the line."""

    number: int
    cause: str
    certainty: str
    severity: str
    line: str


_MORE = (  # cause, severity, pattern; the first that matches counts
    ("slurm", "error", r"(slurmstepd|srun): error:"),
    ("canceled", "warning", r"\bCANCELLED\b"),
    ("gpu", "error", r"CUDA (error|failure)|cudaError|hipError"),
    ("segfault", "error", r"segmentation fault|\bSIGSEGV\b|bus error|\bSIGBUS\b|core dumped"),
    ("killed", "error", r"killed by signal|^Killed$"),
    ("network", "error", r"network is unreachable|no route to host"),
    ("missing_module", "error", r"\b(ModuleNotFoundError|ImportError)\b|error while loading shared libraries"),
    ("permission", "error", r"permission denied"),
    ("missing_file", "error", r"no such file or directory|\bFileNotFoundError\b|command not found"),
    ("python", "error", r"^Traceback \(most recent call last\)"),
    ("panic", "error", r"\bpanicked at\b"),
)
_COMPILED = tuple((cause, severity, re.compile(text, re.IGNORECASE)) for cause, severity, text in _MORE)
_HINT = re.compile(
    r"error|cancelled|fault|sigsegv|sigbus|core dumped|killed|unreachable|route|denied|no such|not found|traceback"
    r"|panic|memory|oom|due to|alloc|overhead|space left|quota|read-only|stale|connect|tempor",
    re.IGNORECASE,
)
_WARNINGS = frozenset({"preempted", "transient"})


def complaints(text: str) -> Iterator[Complaint]:
    """Give the lines of a text that complain, each once with its surest cause, up to MOST of them."""
    if not _HINT.search(text):
        return
    count = 0
    for number, line in enumerate(text.split("\n"), 1):
        found = _complaint(number, line) if _HINT.search(line) else None
        if found is not None:
            yield found
            count += 1
            if count == MOST:
                return


def _complaint(number: int, line: str) -> Complaint | None:
    for mark in patterns.marks(line):
        severity = "warning" if mark.cause in _WARNINGS else "error"
        return Complaint(number, mark.cause, mark.certainty, severity, mark.line)
    for cause, severity, pattern in _COMPILED:
        if pattern.search(line):
            return Complaint(number, cause, "likely", severity, line.strip()[:200])
    return None
