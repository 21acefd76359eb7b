"""Where in a JSON or JSON5 text each value stands: the line of every path, for messages."""

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<mark>[{}\[\],:])
    |(?P<word>[^\s{}\[\],:"'/]+|/)""",
    re.VERBOSE | re.DOTALL,
)


def lines(text: str) -> dict[Path, int]:
    """Give the line (from 1) of each value in a JSON or JSON5 text, as far as the text can be followed."""
    found: dict[Path, int] = {(): 1}
    for path, line, _ in _places(text):
        found.setdefault(path, line)
    return found


def duplicates(text: str) -> Iterator[tuple[Path, int]]:
    """Give each key that stands a second time in its map, with the line."""
    seen: set[Path] = set()
    for path, line, is_key in _places(text):
        if is_key:
            if path in seen:
                yield path, line
            seen.add(path)


def _places(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Give the path and line of every key and every value."""
    path: list[str | int] = []  # of the place in hand
    is_key = False  # the next string or word, in a map, is a key
    for kind, word, line in _tokens(text):
        if kind != "mark":
            if is_key and path:
                path[-1] = _plain(word)
            yield tuple(path), line, is_key
        elif word in "{[":
            yield tuple(path), line, False
            is_key = word == "{"
            path.append("" if is_key else 0)
        elif word in "}]":
            path = path[:-1]
            is_key = False
        elif word == ":":
            is_key = False
        elif path:
            last = path[-1]
            is_key = isinstance(last, str)
            path[-1] = "" if isinstance(last, str) else last + 1


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            yield str(match.lastgroup), match[0], line
        line += match[0].count("\n")


def _plain(token: str) -> str:
    if token[0] not in "\"'":
        return token
    return re.sub(r"\\(.)", r"\1", token[1:-1])
