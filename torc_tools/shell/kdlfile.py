"""KDL (version 1 or 2) as the data that a spec is in the other formats, in the layout that torc gives it.

A node is an entry of a list (job, file, action, ...), one of several values of a list (input_file "a"), or a field;
the fields of an entry are its properties and children, and its first value is its name.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import kdlplaces

Path = tuple[str | int, ...]


class _Layout(NamedTuple):
    """What the nodes of a map are: entries of lists, values of lists, and (all others) fields."""

    entries: Mapping[str, tuple[str, "_Layout"]] = {}
    values: Mapping[str, str] = {}
    named: bool = False


def _values(*names: str, **others: str) -> dict[str, str]:
    """Give names of lists, each as it is and without its 's', and other names for lists."""
    return {**{name: name for name in names}, **{name[:-1]: name for name in names}, **others}


_PLAIN = _Layout()
_REGEXES = {
    f"{kind}_regex{ending}": f"{kind}_regexes"
    for kind in ("depends_on", "input_file", "output_file", "input_user_data", "output_user_data", "job_name")
    for ending in ("", "es")
}
_DATA = {name: name for name in ("input_user_data", "output_user_data", "depends_on")}
_PARAMETERS = {"use_parameters": "use_parameters"}
_JOB = _Layout(
    named=True,
    values={
        **_values("input_files", "output_files", "labels", depends_on_job="depends_on", blocked_by_job="depends_on"),
        **_DATA,
        **_REGEXES,
        **_PARAMETERS,
    },
)
_RULE = _Layout(values=_values("exit_codes"))
_TOP = _Layout(
    entries={
        "job": ("jobs", _JOB),
        "file": ("files", _Layout(named=True, values=_PARAMETERS)),
        "user_data": ("user_data", _Layout(named=True, values=_PARAMETERS)),
        "resource_requirements": ("resource_requirements", _Layout(named=True)),
        "slurm_scheduler": ("slurm_schedulers", _Layout(named=True)),
        "failure_handler": ("failure_handlers", _Layout(named=True, entries={"rule": ("rules", _RULE)})),
        "action": ("actions", _Layout(values={**_values("jobs", "commands"), **_REGEXES})),
    },
    values=_values("access_groups"),
)
_MAPS = ("parameters", "env", "variables", "resource_monitor", "execution_config", "slurm_defaults", "stdio")
_MOST_BITS = 64  # of an integer


class Unreadable(Exception):  # noqa: N818  becomes a Failure
    """Says what is wrong with a KDL text, and on which line (second argument, perhaps None)."""


def load(text: str) -> tuple[Any, Callable[[Path], int | None]]:
    """Read a KDL text. Gives the data, and a function from a path in it to its line.

    Raises Unreadable, and Failure(69) where the package that reads KDL is not installed.
    """
    nodes = _parsed(text)
    builder = _Builder()
    try:
        data = builder.map_of(nodes, _TOP, ())
    except _Wrong as wrong:
        raise Unreadable(str(wrong), _line_of_node(text, builder.count)) from None
    except RecursionError:
        raise Unreadable("nested too deeply", None) from None
    return data, _line_of(text, nodes)


def _parsed(text: str) -> list[Any]:
    try:
        import ckdl
    except ImportError:
        needs = "reading KDL needs the package ckdl: pip install 'torc-tools[kdl]'"
        raise Failure(exits.UNAVAILABLE, needs) from None

    def reads(part: str) -> bool:
        try:
            ckdl.parse(part, version="any")
        except ckdl.ParseError:
            return False
        return True

    if not text.strip():
        raise Unreadable("is empty", None)
    try:
        return list(ckdl.parse(text, version="any").nodes)
    except ckdl.ParseError as error:
        message = str(error)
    try:
        line = kdlplaces.fault(text, reads)
    except kdlplaces.Broken as broken:
        raise Unreadable(f"not KDL: {broken.args[0]}", broken.args[1]) from None
    raise Unreadable(f"not KDL: {message[:1].lower()}{message[1:]}", line)


class _Wrong(Exception):  # noqa: N818  becomes Unreadable
    """Says what is wrong with the node that was reached."""


class _Builder:
    """Makes data of nodes, in the order of the text; `count` is how many were reached, `at` the number of each path."""

    def __init__(self) -> None:
        self.count = 0
        self.at: dict[Path, int] | None = None

    def map_of(self, nodes: list[Any], layout: _Layout, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._fill(found, nodes, layout, path)
        return found

    def _fill(self, found: dict[str, Any], nodes: list[Any], layout: _Layout, path: Path) -> None:
        for node in nodes:
            self.count += 1
            name = node.name
            if name in layout.entries:
                field, inner = layout.entries[name]
                entries = found.setdefault(field, [])
                self._note((*path, field), (*path, field, len(entries)))
                entries.append(self._entry(node, inner, (*path, field, len(entries))))
            elif name in layout.values:
                field = layout.values[name]
                values = found.setdefault(field, [])
                given = self._list(node)
                self._note((*path, field), *((*path, field, len(values) + each) for each in range(len(given))))
                values += given
            elif name in found:
                raise _Wrong(f"'{name}' stands here twice")
            else:
                self._note((*path, name))
                found[name] = self._value(node, (*path, name))

    def _entry(self, node: Any, layout: _Layout, path: Path) -> dict[str, Any]:
        """Give an entry: its name, its properties, its children."""
        found: dict[str, Any] = {}
        names = [_plain(value) for value in node.args]
        if len(names) > layout.named:
            raise _Wrong(f"'{node.name}' takes {'one value, its name' if layout.named else 'no value'}")
        if names:
            found["name"] = names[0]
        self._properties(found, node, layout)
        self._note(*((*path, key) for key in found))
        self._fill(found, node.children, layout, path)
        if layout is _TOP.entries["user_data"][1] and isinstance(found.get("data"), str):
            found["data"] = _data(found["data"])
        return found

    def _properties(self, found: dict[str, Any], node: Any, layout: _Layout) -> None:
        for key, value in node.properties.items():
            if key in layout.values:
                found.setdefault(layout.values[key], []).append(_plain(value))
            elif key in found:
                raise _Wrong(f"'{key}' stands here twice")
            else:
                found[key] = _plain(value)

    def _list(self, node: Any) -> list[Any]:
        if node.properties or node.children:
            raise _Wrong(f"'{node.name}' takes values only")
        values = [_plain(value) for value in node.args]
        return [] if values == [None] else values

    def _value(self, node: Any, path: Path) -> Any:
        """Give the value of a field: one, several as a list, or a map."""
        if node.properties or node.children or (not node.args and node.name in _MAPS):
            if node.args:
                raise _Wrong(f"'{node.name}' has both a value and fields")
            found: dict[str, Any] = {}
            self._properties(found, node, _PLAIN)
            self._fill(found, node.children, _PLAIN, path)
            return found
        if not node.args:
            raise _Wrong(f"'{node.name}' has no value")
        values = [_plain(value) for value in node.args]
        return values[0] if len(values) == 1 else values

    def _note(self, *paths: Path) -> None:
        if self.at is not None:
            for path in paths:
                self.at.setdefault(path, self.count)


def _plain(value: Any) -> Any:
    """Give a value without the type that is written before it."""
    plain = value.value if hasattr(value, "type_annotation") else value
    if isinstance(plain, int) and plain.bit_length() > _MOST_BITS:
        raise _Wrong("a number has too many digits")
    return plain


def _data(text: str) -> Any:
    """Give what the string of a user_data's 'data' holds, as torc writes it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _Wrong("the 'data' of a user_data is a string that is not JSON") from None


def _line_of_node(text: str, number: int) -> int | None:
    try:
        found = kdlplaces.lines(text)
    except kdlplaces.Broken:
        return None
    return found[number - 1] if number <= len(found) else None


def _line_of(text: str, nodes: list[Any]) -> Callable[[Path], int | None]:
    """Make the look-up of lines; nothing is worked out before it is asked."""
    made: dict[Path, int] = {}

    def line_of(path: Path) -> int | None:
        if not made:
            made[()] = 1
            made.update(_numbered(text, nodes))
        return next((made[path[:end]] for end in range(len(path), -1, -1) if path[:end] in made), None)

    return line_of


def _numbered(text: str, nodes: list[Any]) -> dict[Path, int]:
    builder = _Builder()
    builder.at = {}
    builder.map_of(nodes, _TOP, ())
    try:
        lines = kdlplaces.lines(text)
    except kdlplaces.Broken:
        return {}
    return {path: lines[at - 1] for path, at in builder.at.items()} if len(lines) == builder.count else {}
