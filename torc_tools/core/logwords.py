"""What the lines of a log complain of: the words of core.patterns, then the rules that ask about a log. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torc_tools.core import patterns, rules
from torc_tools.core.rules import Rule, Search
from torc_tools.core.ruling import RULED

MOST = 100  # complaints kept of one file
SHOWN = 200  # characters of a line
_BLOCK = 1 << 20  # characters that are looked at together
_LOOKED_AT = 1 << 13  # characters of a line
_WARNINGS = frozenset({"preempted", "transient", "canceled"})


class Complaint(NamedTuple):
    """A line that complains: its number from 1 on, the cause it speaks for, how sure, how bad, the line, the rule."""

    number: int
    cause: str
    certainty: str
    severity: str
    line: str
    rule: str | None = None


class Listener:
    """Finds the lines of logs that complain."""

    def __init__(self, asked: Sequence[Rule], search: Search) -> None:
        """Take rules, in their order; only those that ask about a log, and about nothing else, matter."""
        self._search = search
        self._rules = [rule for rule in asked if _is_about_lines(rule)]
        self._words = {row.words[0] for row in patterns.TABLE}
        self._words |= {word for rule in self._rules for word in rule.match.log_words or ()}
        self._every = any(rule.match.log_words is None for rule in self._rules)  # such a rule may match any line

    def complaints(self, text: str) -> Iterator[Complaint]:
        """Give the lines of a text that complain, each once with its surest cause, up to MOST of them."""
        count = 0
        for number, line in self._candidates(text):
            found = self._complaint(number, line)
            if found is not None:
                yield found
                count += 1
                if count == MOST:
                    return

    def _candidates(self, text: str) -> Iterator[tuple[int, str]]:
        """Give the lines, with their numbers, in which any of the words is."""
        number, start = 1, 0
        while start < len(text):
            end = text.find("\n", start + _BLOCK)
            block = text[start : len(text) if end < 0 else end + 1]
            at, counted = 0, number
            for begin in range(0) if self._every else sorted(_lines_with(self._words, rules.small(block))):
                counted, at = counted + block.count("\n", at, begin), begin
                stop = block.find("\n", begin)
                yield counted, block[begin : len(block) if stop < 0 else stop]
            if self._every:
                yield from enumerate(block.split("\n"), number)
            number += block.count("\n")
            start += len(block)

    def _complaint(self, number: int, line: str) -> Complaint | None:
        line = line[:_LOOKED_AT]
        for mark in patterns.marks(line):
            return Complaint(number, mark.cause, mark.certainty, _severity(mark.cause), mark.line)
        low = rules.small(line)
        for rule in self._rules:
            if rules.log_match(rule, line, low, self._search) is not None:
                cause = rule.cause or RULED
                return Complaint(number, cause, rule.certainty, _severity(cause), line.strip()[:SHOWN], rule.name)
        return None


def _is_about_lines(rule: Rule) -> bool:
    asked = rule.match
    others = asked._replace(log=None, log_words=None)
    return others == rules.Match() and (asked.log is not None or asked.log_words is not None)


def _lines_with(words: set[str], low: str) -> set[int]:
    """Give where the lines begin that hold any of the words."""
    found: set[int] = set()
    for word in words:
        at = low.find(word)
        while at >= 0:
            found.add(low.rfind("\n", 0, at) + 1)
            end = low.find("\n", at)
            at = low.find(word, end) if end >= 0 else -1
    return found


def _severity(cause: str) -> str:
    return "warning" if cause in _WARNINGS else "error"
