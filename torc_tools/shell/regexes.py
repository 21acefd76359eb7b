"""Regular expressions that users write: an expression that takes too long is stopped, and not tried again."""

import re
from collections.abc import Callable
from typing import Any

LIMIT_S = 1.0  # of processor time, for one expression on one text
MOST_PARTS = 100_000  # of an expression, written out: what reads them takes 300 bytes and more for each
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,\d*)?\}|.", re.DOTALL)


def trouble(expression: str) -> str | None:
    """Say what is wrong with a regular expression; None where nothing is."""
    import regex

    if _is_large(expression):
        return f"too large: written out it has more than {MOST_PARTS} parts"
    try:
        regex.compile(expression, regex.MULTILINE)
    except (regex.error, RecursionError, OverflowError) as error:
        return str(error) or type(error).__name__
    return None


def bounded(expression: str) -> Callable[[str], object]:
    """Give the search of a regular expression, which raises TimeoutError where a text takes too long.

    Raises re.error for what is no expression.
    """
    import regex

    if _is_large(expression):
        raise re.error(f"too large: written out it has more than {MOST_PARTS} parts")
    try:
        pattern = regex.compile(expression)
    except regex.error as error:
        raise re.error(str(error)) from None

    def search(text: str) -> object:
        try:
            return pattern.search(text, timeout=LIMIT_S)
        except MemoryError:  # it calls itself without end
            raise TimeoutError from None

    return search


def _is_large(expression: str) -> bool:
    """Say whether an expression is long, or repeats what it repeats so often that to read it takes all memory."""
    sizes, last = [0], 1  # of the groups that are open, and of what stands before a repetition
    for token in _TOKEN.finditer(expression):
        if token[0] == "(":
            sizes.append(0)
            continue
        if token[1]:
            more = last * (max(1, int(token[1][:9])) - 1)
            last += more
        else:
            more = last = sizes.pop() if token[0] == ")" and len(sizes) > 1 else 1
        sizes[-1] += more
    return sum(sizes) > MOST_PARTS


class Searcher:
    """Searches texts; keeps the compiled expressions, and which of them took too long."""

    def __init__(self, tell: Callable[[str], object], limit_s: float | None = None) -> None:
        """Take who is told, once for each expression, of one that took too long."""
        self._tell = tell
        self._limit_s = LIMIT_S if limit_s is None else limit_s
        self._compiled: dict[str, Any] = {}
        self._slow: set[tuple[str, str]] = set()

    def search(self, name: str, expression: str, text: str) -> int | None:
        """Give where an expression matches first; None where it does not, or took too long before. `name` is whose."""
        if (name, expression) in self._slow:
            return None
        try:
            match = self._pattern(expression).search(text, timeout=self._limit_s)
        except (TimeoutError, MemoryError) as error:
            self._slow.add((name, expression))
            long = f"took longer than {self._limit_s:g} s" if isinstance(error, TimeoutError) else "has no end"
            self._tell(f"{name}: '{expression}' {long} on a log: it is left out from now")
            return None
        return None if match is None else int(match.start())

    def _pattern(self, expression: str) -> Any:
        found = self._compiled.get(expression)
        if found is None:
            import regex

            found = self._compiled[expression] = regex.compile(expression, regex.MULTILINE)
        return found
