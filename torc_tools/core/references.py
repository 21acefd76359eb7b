"""Names in a spec, resolved: to jobs, files and user data, by name or by regular expression."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from torc_tools.core.plan import Indexes
from torc_tools.core.problems import Path, Problems, nearest

_LITERAL = re.compile(r"\^((?:[A-Za-z0-9_ /:,=@%&~#<>!\"';-]|\\[.\-_/+])*)\$", re.ASCII)
_VARIABLE = re.compile(r"\$\{(files|user_data)\.(input|output)\.([^}]+)\}")


Compiler = Callable[[str], Callable[[str], object]]
_NEAREST = 20  # so many unknown names are told what may have been meant: that takes its time


def compiled(pattern: str) -> Callable[[str], object]:
    """Give the search of a regular expression. Raises re.error, OverflowError or RecursionError."""
    return re.compile(pattern).search


class Directory:
    """The names of one kind (job, file, user data), each with its index."""

    def __init__(self, kind: str, problems: Problems, compiler: Compiler = compiled) -> None:
        """Start empty; problems are reported as being about a `kind`.

        A search that raises TimeoutError is a problem, and the last one that is made.
        """
        self.kind = kind
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self._problems, self._compiler, self._gave_up = problems, compiler, False
        self._excused: list[re.Pattern[str]] = []
        self._by_regex: dict[str, Indexes] = {}
        self._last: tuple[Any, Any, Indexes] = (None, None, ())

    def extend(self, names: Sequence[str], path: Path) -> None:
        """Add names in order; a name that is there already is a problem, and keeps its first index."""
        start, before = len(self.names), len(self.index)
        self.names.extend(names)
        self.index.update(zip(names, range(start, start + len(names)), strict=True))
        if len(self.index) - before < len(names):
            self._duplicates(start, path)

    def excuse(self, template: str) -> None:
        """Take note of an entry that could not be expanded: names that it would have made are no further problem."""
        self._excused.append(re.compile(".*".join(map(re.escape, re.split(r"\{[^{}]*\}", template)))))

    def _duplicates(self, start: int, path: Path) -> None:
        self.index = {}
        for number, name in enumerate(self.names):
            if self.index.setdefault(name, number) < number and number >= start:
                self._problems.add((*path, "name"), f"duplicate {self.kind} name '{name}'")

    def find(self, names: tuple[str, ...], path: Path) -> Indexes:
        """Give the indexes of names, each once, in order; unknown names are problems.

        A list that many jobs share (the same object) is resolved once.
        """
        if self._last[0] is names and self._last[1] == path:
            return self._last[2]
        found = tuple(dict.fromkeys([self.index[name] for name in names if name in self.index]))
        if len(found) < len(names):
            for name in names:
                if name not in self.index and not any(each.fullmatch(name) for each in self._excused):
                    near = nearest(name, self.index) if len(self._problems) < _NEAREST else ""
                    self._problems.add(path, f"unknown {self.kind} '{name}'{near}")
        self._last = (names, path, found)
        return found

    def match(self, patterns: tuple[str, ...], path: Path, own: int | None = None) -> Indexes:
        """Give the indexes of names in which a pattern is found, `own` left out; a pattern without any is a problem."""
        found: dict[int, None] = {}
        for pattern in patterns:
            hits = [hit for hit in self._search(pattern, path) if hit != own]
            if not hits and pattern in self._by_regex and not self._excused:
                self._problems.add(path, f"regular expression '{pattern}' matches no {self.kind}")
            found.update(dict.fromkeys(hits))
        return tuple(found)

    def _search(self, pattern: str, path: Path) -> Indexes:
        if pattern not in self._by_regex:
            if literal := _LITERAL.fullmatch(pattern):  # ^name$: no need to look at all names
                hit = self.index.get(literal[1].replace("\\", ""))
                self._by_regex[pattern] = () if hit is None else (hit,)
            else:
                hits = self._hits(pattern, path)
                if hits is None:
                    return ()
                self._by_regex[pattern] = hits
        return self._by_regex[pattern]

    def _hits(self, pattern: str, path: Path) -> Indexes | None:
        if self._gave_up:
            return None
        try:
            search = self._compiler(pattern)
            return tuple([i for i, name in enumerate(self.names) if search(name)])
        except (re.error, OverflowError, RecursionError) as error:
            self._problems.add(path, f"not a regular expression: '{pattern}': {error}")
        except TimeoutError:
            self._problems.add(path, f"regular expression '{pattern}' takes too long")
            self._gave_up = True
        return None


def has_variables(text: str | None) -> bool:
    """Say whether a template may hold ${files...} or ${user_data...}."""
    return text is not None and ("${files." in text or "${user_data." in text)


def variables(text: str, known: dict[str, Callable[[str], str | None]]) -> tuple[str, dict[tuple[str, str], list[str]]]:
    """Replace ${files.input.NAME} and the like in a command.

    `known` gives, for 'files' and 'user_data', the text that stands for a name, None for one that is unknown (it is
    then left, and its lookup fails later). Also gives the names that were met: {("files", "input"): [names]}.
    """
    met: dict[tuple[str, str], list[str]] = {}

    def replace(match: re.Match[str]) -> str:
        met.setdefault((match[1], match[2]), []).append(match[3])
        found = known[match[1]](match[3])
        return match[0] if found is None else found

    return _VARIABLE.sub(replace, text), met
