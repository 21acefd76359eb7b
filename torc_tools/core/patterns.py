"""What the text of a log says about a failure, as a table: words to look for, and what they are evidence of.

These take part in the order of verdicts (core.diagnosis). What explains a failure that these do not is a rule, in
rules/builtin.yaml; nothing stands in both.

Every entry has literal words that must all occur (a fast search, no case); where they could occur by chance a
regular expression has to match too. The whole text is searched, not its first line. `certain` is a word of the
kernel or of Slurm; the others are words of programs, and only as good as the program.
"""

import re
from collections.abc import Container, Iterator
from typing import NamedTuple


class Mark(NamedTuple):
    """A line of text that tells something: the cause it speaks for, how sure, the line itself."""

    cause: str
    certainty: str
    line: str


class _Row(NamedTuple):
    cause: str
    certainty: str
    words: tuple[str, ...]
    pattern: str | None = None


TABLE = (
    _Row("oom", "certain", ("oom_kill event",), r"Detected \d+ oom_kill events? in "),
    _Row("oom", "certain", ("oom-kill event",), r"oom-kill event\(s\) in (StepId=|step )"),
    _Row("oom", "certain", ("out of memory", "task"), r"task \d+\S*: Out Of Memory"),
    _Row("oom", "certain", ("memory limit", "exceeded"), r"exceeded (job|step) memory limit"),
    _Row("oom", "certain", ("memory limit", "being killed"), r"exceeded (virtual )?memory limit .*being killed"),
    _Row("oom", "certain", ("out of memory: kill",), r"Out of memory: Kill(ed)? process \d+"),
    _Row("timeout", "certain", ("due to time limit",), r"CANCELLED AT \S+ DUE TO TIME LIMIT"),
    _Row("preempted", "certain", ("due to preemption",), r"CANCELLED AT \S+ DUE TO PREEMPTION"),
    _Row("node_fail", "certain", ("due to node failure",), r"CANCELLED AT \S+ DUE TO NODE FAILURE"),
    _Row("gpu_oom", "likely", ("cuda out of memory",)),
    _Row("gpu_oom", "likely", ("torch.outofmemoryerror",)),
    _Row("gpu_oom", "likely", ("cuda_error_out_of_memory",)),
    _Row("gpu_oom", "likely", ("hip out of memory",)),
    _Row("oom", "likely", ("memoryerror",), r"^(\w+\.)*_?(Array)?MemoryError\b"),
    _Row("oom", "likely", ("std::bad_alloc",)),
    _Row("oom", "likely", ("cannot allocate memory",)),
    _Row("oom", "likely", ("cannot allocate vector",)),
    _Row("oom", "likely", ("java.lang.outofmemoryerror",), r"OutOfMemoryError(?!: (unable to cr|metasp|direct|compr))"),
    _Row("oom", "likely", ("gc overhead limit exceeded",)),
    _Row("storage", "likely", ("no space left on device",)),
    _Row("storage", "likely", ("disk quota exceeded",)),
    _Row("storage", "likely", ("read-only file system",)),
    _Row("storage", "likely", ("stale file handle",)),
)
_STEMS = (
    "memory",
    "oom",
    "due to",
    "allocat",
    "bad_alloc",
    "overhead",
    "space left",
    "quota",
    "file",
)
_BY_STEM = tuple((stem, tuple(row for row in TABLE if stem in row.words[0])) for stem in _STEMS)  # one search for many
_COMPILED = {row.pattern: re.compile(row.pattern, re.IGNORECASE | re.MULTILINE) for row in TABLE if row.pattern}
_SHOWN = 200  # characters of a line that become evidence


def marks(text: str) -> list[Mark]:
    """Give what `text` (the end of a log) says, in the order of the table: the surest first; each cause once."""
    low = text.lower()
    if len(low) != len(text):  # some capitals have longer small letters: positions would not agree
        text = low
    rows = {row for stem, rows in _BY_STEM if stem in low for row in rows}
    if not rows:
        return []
    found: dict[tuple[str, str], Mark] = {}
    for mark in _found(text, low, rows):
        found.setdefault((mark.cause, mark.certainty), mark)
    return list(found.values())


def last_line(text: str) -> str | None:
    """Give the last line of `text` that says anything, None where none does: of a traceback, the error itself."""
    lines = text.rstrip().rsplit("\n", 1)
    return lines[-1].strip()[:_SHOWN] or None


def _found(text: str, low: str, rows: Container[_Row]) -> Iterator[Mark]:
    for row in TABLE:
        if row not in rows:
            continue
        at = low.find(row.words[0])
        if at < 0 or not all(word in low for word in row.words[1:]):
            continue
        if row.pattern:
            match = _COMPILED[row.pattern].search(text)
            if match is None:
                continue
            at = match.start()
        yield Mark(row.cause, row.certainty, _line(text, at))


def _line(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return text[start : len(text) if end < 0 else end].strip()[:_SHOWN]
