"""Regular expressions that users write: an expression that takes too long is stopped, and not tried again."""

from collections.abc import Callable
from typing import Any

LIMIT_S = 1.0  # of processor time, for one expression on one text


def trouble(expression: str) -> str | None:
    """Say what is wrong with a regular expression; None where nothing is."""
    import regex

    try:
        regex.compile(expression, regex.MULTILINE)
    except (regex.error, RecursionError, OverflowError) as error:
        return str(error) or type(error).__name__
    return None


def bounded(expression: str) -> Callable[[str], object]:
    """Give the search of a regular expression, which raises TimeoutError where a text takes too long.

    Raises re.error for what is no expression.
    """
    import re

    import regex

    try:
        pattern = regex.compile(expression)
    except regex.error as error:
        raise re.error(str(error)) from None
    return lambda text: pattern.search(text, timeout=LIMIT_S)


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
        except TimeoutError:
            self._slow.add((name, expression))
            self._tell(f"{name}: '{expression}' took longer than {self._limit_s:g} s on a log: it is left out from now")
            return None
        return None if match is None else int(match.start())

    def _pattern(self, expression: str) -> Any:
        found = self._compiled.get(expression)
        if found is None:
            import regex

            found = self._compiled[expression] = regex.compile(expression, regex.MULTILINE)
        return found
