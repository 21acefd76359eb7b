"""Rules for failures that nobody could name: what a rule asks, which of several comes first, and what it says.

A rule names conditions on an attempt, and what to think of one that meets them all. The most specific rule that
applies decides: the one with more conditions, of as many the one with more single values (a code and no range, a name
and no pattern; a condition on the log counts as one), of these the one that stands first. The rules of users are asked
before those that are built in.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

LINES = 20_000  # of logs, of which it is remembered which rules they may concern
ACTIONS = ("adjust", "retry", "hold", "fail")
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": int.__lt__, "<=": int.__le__, "==": int.__eq__, "!=": int.__ne__, ">=": int.__ge__, ">": int.__gt__,
}  # fmt: skip

Search = Callable[["Rule", str, str], int | None]  # (rule, expression, text) -> where it matches first
Find = Callable[["Rule", "Text"], int | None]  # where in a text the condition of a rule on the log holds


class Name(NamedTuple):
    """A condition on a name: a pattern of the shell, or a regular expression."""

    text: str
    is_regex: bool = False


class Match(NamedTuple):
    """What a rule asks of an attempt; None: nothing."""

    state: frozenset[str] | None = None
    return_code: tuple[tuple[int, int], ...] | None = None  # ranges, both ends included
    log: str | None = None  # a regular expression
    log_words: tuple[str, ...] | None = None  # one of them, in small letters, must be in the log
    node: Name | None = None
    attempt: tuple[str, int] | None = None
    cause: frozenset[str] | None = None
    job_name: Name | None = None
    slurm_state: frozenset[str] | None = None


class Rule(NamedTuple):
    """One rule, and where it stands."""

    name: str
    match: Match
    file: str
    line: int | None = None
    builtin: bool = False
    cause: str | None = None
    certainty: str = "likely"
    action: str | None = None
    reason: str | None = None
    advice: str | None = None
    memory_milli: int | None = None  # factors in thousandths
    runtime_milli: int | None = None
    max_attempts: int | None = None
    shadow: bool = False


class Text(NamedTuple):
    """A piece of a log: its file (None: what the record holds of it), the text."""

    file: str | None
    text: str


class Facts(NamedTuple):
    """What rules may ask about one attempt; the texts are fetched where a rule asks about the log."""

    state: str
    return_code: int | None
    node: str | None
    attempt: int | None
    cause: str
    job_name: str | None
    slurm_states: frozenset[str]
    texts: Callable[[], Sequence[Text]]


class Hit(NamedTuple):
    """A rule that applies, and where in which text; no text where it asks nothing of the log."""

    rule: Rule
    text: Text | None = None
    at: int = 0


class Index:
    """Rules in their order, of which those that can apply to an attempt are found without a look at each."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Take rules, in their order."""
        self._rules = rules
        self._words: list[tuple[str, int]] = []
        self._codes: dict[int, list[int]] = {}
        self._others: list[int] = []
        self._seen: dict[str, tuple[int, ...]] = {}
        for number, rule in enumerate(rules):
            if rule.match.log_words is not None:
                self._words += ((word, number) for word in rule.match.log_words)
            elif rule.match.return_code is not None and all(a == b for a, b in rule.match.return_code):
                for code, _ in rule.match.return_code:
                    self._codes.setdefault(code, []).append(number)
            else:
                self._others.append(number)

    def of_text(self, text: str) -> list[int]:
        """Give the numbers of the rules one of whose words is in a text."""
        found: set[int] = set()
        fresh = []
        for line in small(text).split("\n"):
            known = self._seen.get(line)
            if known is None:
                fresh.append(line)
            else:
                found.update(known)
        if fresh:
            found.update(self._learn(fresh))
        return sorted(found)

    def _learn(self, lines: Sequence[str]) -> Iterable[int]:
        """Look through lines that were not seen before: many failures differ in few lines."""
        if len(self._seen) > LINES:
            self._seen.clear()
        text = "\n".join(lines)
        here = [(word, number) for word, number in self._words if word in text]
        for line in lines:
            self._seen[line] = tuple(number for word, number in here if word in line)
        return (number for _, number in here)

    def candidates(self, return_code: int | None, of_text: Iterable[int]) -> list[Rule]:
        """Give the rules that can apply, in their order, to an attempt with a code and a text."""
        codes = self._codes.get(return_code, []) if return_code is not None else []
        return [self._rules[number] for number in sorted({*of_text, *codes, *self._others})]


def specificity(rule: Rule) -> tuple[int, int]:
    """Give how many conditions a rule has, and how many of them name a single value; one on the log is as good."""
    asked = rule.match
    given = [each for each in asked if each is not None]
    if asked.log is not None and asked.log_words is not None:
        given = given[1:]  # words and expression together are one condition on the log
    single = sum(_is_single(each) for each in (asked.state, asked.cause, asked.slurm_state) if each is not None)
    single += asked.return_code is not None and len(asked.return_code) == 1 and len(set(asked.return_code[0])) == 1
    single += asked.attempt is not None and asked.attempt[0] == "=="
    single += asked.log is not None or asked.log_words is not None
    for name in (asked.node, asked.job_name):
        single += name is not None and not name.is_regex and not re.search(r"[*?\[]", name.text)
    return len(given), single


def ordered(rules: Iterable[Rule]) -> list[Rule]:
    """Put rules in the order in which they are asked: the most specific first, of equals those that stand first."""
    return sorted(rules, key=specificity, reverse=True)


def hits(rules: Iterable[Rule], facts: Facts, search: Search, find: Find) -> list[Hit]:
    """Give the rules that apply to an attempt, in their order; `find` looks into a log, as `log_match` does."""
    found = (_hit(rule, facts, search, find) for rule in rules)
    return [hit for hit in found if hit is not None]


def spot(text: str, at: int) -> tuple[int, str]:
    """Give the number, from 0 on, of the line of a text that the character `at` is in, and the line."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return text.count("\n", 0, at), text[start : len(text) if end < 0 else end].strip()


def _is_single(values: frozenset[str]) -> bool:
    return len(values) == 1


def _hit(rule: Rule, facts: Facts, search: Search, find: Find) -> Hit | None:
    asked = rule.match
    if not _plain(asked, facts):
        return None
    for name, value in ((asked.node, facts.node), (asked.job_name, facts.job_name)):
        if name is not None and (value is None or not _named(rule, name, value, search)):
            return None
    if asked.log is None and asked.log_words is None:
        return Hit(rule)
    for text in facts.texts():
        at = find(rule, text)
        if at is not None:
            return Hit(rule, text, at)
    return None


def _plain(asked: Match, facts: Facts) -> bool:
    """Say whether the conditions hold that cost nothing to check."""
    if asked.state is not None and facts.state not in asked.state:
        return False
    if asked.cause is not None and facts.cause not in asked.cause:
        return False
    if asked.slurm_state is not None and not asked.slurm_state & facts.slurm_states:
        return False
    code = facts.return_code
    if asked.return_code is not None and (code is None or not any(a <= code <= b for a, b in asked.return_code)):
        return False
    if asked.attempt is None:
        return True
    return facts.attempt is not None and COMPARISONS[asked.attempt[0]](facts.attempt, asked.attempt[1])


def _named(rule: Rule, name: Name, value: str, search: Search) -> bool:
    if name.is_regex:
        return search(rule, name.text, value) is not None
    return fnmatch.fnmatchcase(value, name.text)


def log_match(rule: Rule, text: str, low: str, search: Search) -> int | None:
    """Give where in a text the condition of a rule on the log holds; `low` is `small(text)`.

    The words are a quick look before the expression.
    """
    at = 0
    if rule.match.log_words is not None:
        found = [place for word in rule.match.log_words if (place := low.find(word)) >= 0]
        if not found:
            return None
        at = min(found)
    return at if rule.match.log is None else search(rule, rule.match.log, text)


def small(text: str) -> str:
    """Give a text in small letters, each at its place: some capitals have longer small letters, and are kept."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(s if len(s := each.lower()) == 1 else each for each in text)
