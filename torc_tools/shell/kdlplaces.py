"""Where in a KDL text each node stands, of version 1 and 2 alike: for messages, as the reader of KDL tells none."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""[ \t]*(?:(?P<newline>\r\n|[\n\r\x0b\f\x85\u2028\u2029])
    |(?P<skip>[^\S\n\r\x0b\f\x85\u2028\u2029]+|\ufeff|//[^\n\r\x85\u2028\u2029]*)
    |(?P<comment>/\*)
    |(?P<slashdash>/-)
    |(?P<mark>[{};\\])
    |(?P<string>(?P<hashes>\#+)(?P<quotes>\"{3}|\").*?(?P=quotes)(?P=hashes)
        |r(?P<older>\#*)\".*?\"(?P=older)
        |\"{3}(?:[^"\\]|\\.|\"(?!\"\"))*\"{3}
        |"(?:[^"\\]|\\.)*")
    |(?P<word>(?:(?!\#*"|r\#*"|/[/*-])[^\s{};"\\])+))""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


class Place(NamedTuple):
    """A node: its characters, its line (from 1), how deep it stands, and whether a '/-' takes it away."""

    start: int
    end: int
    line: int
    depth: int
    dropped: bool


class Broken(Exception):  # noqa: N818  becomes a Failure
    """Says what is wrong with a KDL text, and on which line (second argument)."""


def lines(text: str) -> list[int]:
    """Give the line of every node of a text, parents before their children. Raises Broken."""
    return [place.line for place in places(text) if not place.dropped]


def fault(text: str, reads: Callable[[str], bool]) -> int | None:
    """Give the line of the innermost node that `reads` refuses, None where each is accepted. Raises Broken."""
    found: Place | None = None
    for place in places(text):
        if found and place.depth <= found.depth:
            break  # its children are over
        depth = found.depth + 1 if found else 0
        if place.depth == depth and not place.dropped and not reads(text[place.start : place.end]):
            found = place
    return found.line if found else None


def places(text: str) -> list[Place]:
    """Give all nodes of a text, parents before their children. Raises Broken."""
    return _Walk(text).nodes()


class _Walk:
    """Goes through a text once, with the nodes that are open in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Place] = []
        self._around: list[tuple[int, bool]] = []  # the node whose children these are, and whether they are dropped
        self._node: int | None = None  # the one whose values are read
        self._drops = False  # a '/-' stands before what comes

    def nodes(self) -> list[Place]:
        continued = False
        for kind, start, line in _tokens(self._text):
            if kind == "newline":
                if not continued:
                    self._close(start)
            elif kind == "slashdash":
                self._drops = True
            elif kind == "mark":
                self._mark(self._text[start], start, line)
            else:
                self._value(start, line)
            continued = kind == "mark" and self._text[start] == "\\"
        if self._around:
            raise Broken("a '{' has no '}'", self._found[self._around[-1][0]].line)
        self._close(len(self._text))
        return self._found

    def _mark(self, mark: str, at: int, line: int) -> None:
        if mark == ";":
            self._close(at)
        elif mark == "{":
            if self._node is None:
                raise Broken("a '{' stands behind no node", line)
            self._around.append((self._node, self._drops or self._found[self._node].dropped))
            self._node, self._drops = None, False
        elif mark == "}":
            if not self._around:
                raise Broken("a '}' has no '{'", line)
            self._close(at)
            self._node, _ = self._around.pop()

    def _value(self, at: int, line: int) -> None:
        """Begin a node where none is open; else this is a value of it."""
        if self._node is None:
            self._node = len(self._found)
            dropped = self._drops or bool(self._around and self._around[-1][1])
            self._found.append(Place(at, at, line, len(self._around), dropped))
        self._drops = False

    def _close(self, at: int) -> None:
        if self._node is not None:
            self._found[self._node] = self._found[self._node]._replace(end=at)
            self._node = None


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Give the kind, start and line of each token but comments. Raises Broken."""
    at, line, match_at = 0, 1, _TOKEN.match
    while at < len(text):
        match = match_at(text, at)
        if match is None:
            what = "a string has no end" if text[at:].lstrip()[:1] in ('"', "#", "r") else "not a name or a value"
            raise Broken(what, line)
        kind, end = str(match.lastgroup), match.end()
        start = match.start(kind)
        if kind == "comment":
            end = _behind_comment(text, start, line)
        elif kind != "skip":
            yield kind, start, line
        if kind not in ("word", "mark"):
            line += text.count("\n", start, end)
        at = end


def _behind_comment(text: str, at: int, line: int) -> int:
    """Give where a comment ends that others may stand in."""
    depth = 0
    for match in _COMMENT.finditer(text, at):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end()
    raise Broken("a comment has no end", line)
