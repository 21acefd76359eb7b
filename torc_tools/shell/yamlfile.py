"""YAML as plain data with the line of each part: the scalars of YAML 1.2, each key once, no alias bombs."""

import re
from collections.abc import Callable
from typing import Any

Path = tuple[str | int, ...]

MAX_ALIASED = 1_000_000  # values that aliases may add to a document
MAX_DEPTH = 100

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_WORDS = {
    word: value for value, words in ((True, "true True TRUE"), (False, "false False FALSE")) for word in words.split()
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))


class Unreadable(Exception):  # noqa: N818  becomes a Failure
    """Says what is wrong with a YAML text, and on which line (second argument, perhaps None)."""


def load(text: str) -> tuple[Any, Callable[[Path], int | None]]:
    """Read a YAML text. Gives the data, and a function from a path in it to its line. Raises Unreadable."""
    import yaml

    if not text.strip():
        raise Unreadable("is empty", None)
    try:
        if _may_be_deep(text):
            _check_depth(yaml, text)
        loader = _loader(yaml)(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or ""
        hint = ": a text with ': ' in it needs quotes" if problem.startswith("mapping values") else ""
        raise Unreadable(f"not YAML: {problem}{hint}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"not YAML: {str(error).splitlines()[0]}", None) from None
    except RecursionError:
        raise Unreadable("nested too deeply", None) from None
    data = _Builder(yaml).build(root, 0) if root is not None else None
    return data, lambda path: _line(yaml, root, path)


def _may_be_deep(text: str) -> bool:
    """Say whether a text may nest deeper than the composer of libyaml, which is recursive, can bear."""
    if text.count("[") + text.count("{") > MAX_DEPTH:
        return True
    lines = text.splitlines()
    return any(line.count("- ") + line.count("? ") > MAX_DEPTH or line.startswith(" " * MAX_DEPTH) for line in lines)


def _check_depth(yaml: Any, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Unreadable("nested too deeply", event.start_mark.line + 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _loader(yaml: Any) -> Any:
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("Loader", (base,), {"yaml_implicit_resolvers": {}})


class _Builder:
    """Makes data of nodes. A node met again is an alias: its value is shared, and its size counted again."""

    def __init__(self, yaml: Any) -> None:
        self._map, self._list = yaml.MappingNode, yaml.SequenceNode
        self._made: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()
        self._aliased = 0
        self._size = 0

    def build(self, node: Any, depth: int) -> Any:
        known = self._made.get(id(node))
        if known is not None:
            self._aliased += known[1]
            self._size += known[1]
            if self._aliased > MAX_ALIASED:
                raise Unreadable(f"aliases make more than {MAX_ALIASED} values of it", node.start_mark.line + 1)
            return known[0]
        if not isinstance(node, self._map | self._list):
            self._size += 1
            return _scalar(node)
        if id(node) in self._open:
            raise Unreadable("an alias holds itself", node.start_mark.line + 1)
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply", node.start_mark.line + 1)
        before = self._size
        self._open.add(id(node))
        made = (
            self._pairs(node, depth)
            if isinstance(node, self._map)
            else [self.build(item, depth + 1) for item in node.value]
        )
        self._open.discard(id(node))
        self._size += 1
        self._made[id(node)] = (made, self._size - before)
        return made

    def _pairs(self, node: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node.value, str):
                raise Unreadable("a key is not a string", key_node.start_mark.line + 1)
            key, value = key_node.value, self.build(value_node, depth + 1)
            if key == "<<" and not key_node.style:
                for each in value if isinstance(value, list) else [value]:
                    if not isinstance(each, dict):
                        raise Unreadable("'<<' takes maps", key_node.start_mark.line + 1)
                    merged = each | merged
            elif key in found:
                raise Unreadable(f"duplicate key '{key}'", key_node.start_mark.line + 1)
            else:
                found[key] = value
        return merged | found if merged else found


def _scalar(node: Any) -> Any:
    text, tag = node.value, node.tag
    if node.style:  # quoted, literal, folded
        return text
    if not tag.startswith("tag:yaml.org,2002:"):
        raise Unreadable(f"unknown tag '{tag}'", node.start_mark.line + 1)
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 else text
        if _FLOAT.fullmatch(text):
            return float(text)
        if _BASED.fullmatch(text):
            return int(text, 0) if len(text) <= 24 else text
    return text


def _line(yaml: Any, root: Any, path: Path) -> int | None:
    """Give the line of the deepest part of `path` that is there: of a key, where the part is one."""
    node, line = root, None if root is None else root.start_mark.line + 1
    for part in path:
        if isinstance(part, str) and isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(part, int) and isinstance(node, yaml.SequenceNode) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
