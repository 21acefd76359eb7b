"""The rules that are in force: the files that a user names, and the file that comes with these commands."""

import contextlib
import os
import re
from collections.abc import Sequence
from typing import Any

import torc_tools
from torc_tools import exits
from torc_tools.core import logwords
from torc_tools.core.problems import Path
from torc_tools.core.rules import Rule, Search, ordered
from torc_tools.core.ruling import place
from torc_tools.exits import Failure
from torc_tools.shell import regexes, stream
from torc_tools.texts import visible

BUILTIN = os.path.join(os.path.dirname(torc_tools.__file__), "rules", "builtin.yaml")


def files(named: Sequence[str]) -> list[str]:
    """Give the files of rules: those named, then those of $TORC_RULES, between colons."""
    return [*named, *filter(None, os.environ.get("TORC_RULES", "").split(":"))]


def own(named: Sequence[str]) -> list[Rule]:
    """Read the rules of the user, in the order in which they are asked.

    Raises Failure(66) where a file cannot be opened, Failure(65) with everything that is wrong in one.
    """
    return ordered(rule for file in files(named) for rule in _read(file))


def builtin() -> list[Rule]:
    """Read the rules that come with these commands, in the order in which they are asked."""
    return ordered(_read(BUILTIN, builtin=True))


def searcher() -> Search:
    """Make what searches logs for the expressions of rules; one of a user that takes too long is told of once."""
    found = regexes.Searcher(stream.say)
    ours: dict[str, re.Pattern[str]] = {}  # known to be quick: the other reader of expressions is slow to load

    def search(rule: Rule, expression: str, text: str) -> int | None:
        if not rule.builtin:
            return found.search(f"rule '{rule.name}' ({place(rule)})", expression, text)
        pattern = ours.get(expression) or ours.setdefault(expression, re.compile(expression, re.MULTILINE))
        match = pattern.search(text)
        return None if match is None else match.start()

    return search


def listener(named: Sequence[str]) -> logwords.Listener:
    """Make what finds the lines of logs that complain. Raises what `own` does."""
    return logwords.Listener([*own(named), *builtin()], searcher())


def _read(file: str, *, builtin: bool = False) -> list[Rule]:
    from torc_tools.core import rules_read
    from torc_tools.core.problems import Problems
    from torc_tools.shell import specfile

    if file == "-":
        raise Failure(exits.USAGE, "rules are read from a file, not from standard input")
    spec = specfile.load(file)
    problems = Problems()
    check = regexes.trouble if not builtin else lambda _: None  # a test has checked them
    found = rules_read.read(spec.data, spec.name, problems, check, builtin=builtin)
    if problems:
        problems.sort(key=lambda problem: spec.line_of(problem.path) or 0)
        raise Failure(exits.DATA, *(visible(_said(spec, *problem)) for problem in problems))
    return [rule._replace(line=spec.line_of(path)) for rule, path in found]


def _said(spec: Any, path: Path, text: str) -> str:
    """Write a problem with its file, line, rule and key: "site.yaml:7: rule 'full': match.return_code: not a code"."""
    at = f":{line}" if (line := spec.line_of(path)) else ""
    inside = path[1:] if path[:1] == ("rules",) else path
    rule = f"rule {inside[0] + 1}" if inside and isinstance(inside[0], int) else ""
    with contextlib.suppress(LookupError, TypeError):
        rules = spec.data["rules"] if isinstance(spec.data, dict) else spec.data
        rule = f"rule '{rules[inside[0]]['name']}'"
    key = ".".join(map(str, inside[1:]))
    return ": ".join(filter(None, (f"{spec.name}{at}", rule, key, text)))
