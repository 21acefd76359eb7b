"""Spec files: YAML, JSON, JSON5 and KDL read into plain data that knows on which line each part stands.

YAML is read as YAML 1.2 does: yes, no, 1:30 and 2024-01-15 are strings. Aliases are followed as long as the whole
stays small; keys that stand twice in a map are refused.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import positions

MAX_BYTES = 256 * 2**20

Path = tuple[str | int, ...]


class Spec:
    """What a file holds, where it came from, and the line of any path in it (None where the format gives none)."""

    def __init__(self, name: str, data: Any, line_of: Callable[[Path], int | None], folder: str = ".") -> None:
        """Take the name for messages, the plain data, the look-up of lines, the folder that @files are relative to."""
        self.name = name
        self.data = data
        self.line_of = line_of
        self.folder = folder


def load(file: str) -> Spec:
    """Read a spec: the format is told by the extension, else all are tried; '-' is standard input.

    Raises Failure(66) where it cannot be opened, Failure(65) where it is not what its extension says, and
    Failure(69) for KDL where the package that reads it is not installed.
    """
    text = _text(file)
    name = "standard input" if file == "-" else file
    folder = "." if file == "-" else os.path.dirname(file) or "."
    extension = os.path.splitext(file)[1].lower()
    reader = {".json": _json, ".json5": _json5, ".yaml": _yaml, ".yml": _yaml, ".kdl": _kdl}.get(extension, _any)
    try:
        data, line_of = reader(text)
    except _Unreadable as error:
        at = f":{error.line}" if error.line else ""
        raise Failure(exits.DATA, f"{name}{at}: {error}") from None
    return Spec(name, data, line_of, folder)


def beside(spec: Spec, files: list[tuple[Path, str]]) -> tuple[dict[str, str], list[tuple[Path, str]]]:
    """Read the files that a spec's parameters name, relative to the spec; give their texts, and what went wrong."""
    texts: dict[str, str] = {}
    wrong = []
    for path, name in files:
        if name not in texts:
            try:
                with open(os.path.join(spec.folder, name), encoding="utf-8-sig") as lines:
                    texts[name] = lines.read(MAX_BYTES)
            except OSError as error:
                wrong.append((path, f"cannot open '{name}': {error.strerror}"))
            except (UnicodeDecodeError, ValueError):
                wrong.append((path, f"'{name}' is not UTF-8 text"))
    return texts, wrong


class _Unreadable(Exception):  # noqa: N818  becomes a Failure
    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _DuplicateKey(Exception):  # noqa: N818  becomes a Failure
    pass


_Read = tuple[Any, Callable[[Path], int | None]]


def _text(file: str) -> str:
    try:
        if file == "-":
            if sys.stdin is None:
                raise Failure(exits.IO, "cannot read standard input: it is closed")
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as lines:
                raw = lines.read(MAX_BYTES + 1)
    except ValueError:
        raise Failure(exits.NO_INPUT, f"cannot open '{file}': not a file name") from None
    except OSError as error:
        raise Failure(exits.NO_INPUT, f"cannot open '{file}': {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise Failure(exits.DATA, f"{file}: larger than {MAX_BYTES // 2**20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Failure(exits.DATA, f"{file}:{line}: not UTF-8 text") from None


def _any(text: str) -> _Read:
    """Try the formats in torc's order; the words of the last one say what is wrong."""
    if text.lstrip()[:1] in ("{", "[", "/"):
        for reader in (_json, _json5):
            try:
                return reader(text)
            except _Unreadable:
                continue
    return _yaml_or_kdl(text)


def _yaml_or_kdl(text: str) -> _Read:
    """Read what is a map in YAML; else what names its jobs in KDL. The words about YAML say what is wrong."""
    try:
        read = _yaml(text)
    except _Unreadable:
        if (other := _tried_kdl(text)) is None:
            raise
        return other
    return read if isinstance(read[0], dict) else _tried_kdl(text) or read


def _tried_kdl(text: str) -> _Read | None:
    """Read a text as KDL where it is that beyond doubt."""
    from torc_tools.shell import kdlfile

    try:
        read = kdlfile.load(text)
    except (kdlfile.Unreadable, Failure):
        return None
    return read if "jobs" in read[0] else None


def _json(text: str) -> _Read:
    try:
        return json.loads(text, object_pairs_hook=_map, parse_constant=_constant), _lines(text)
    except json.JSONDecodeError as error:
        raise _Unreadable(f"not JSON: {error.msg}", error.lineno) from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise _Unreadable("not JSON: a number has too many digits") from None
    except RecursionError:
        raise _Unreadable("nested too deeply") from None
    except _DuplicateKey:
        raise _duplicated(text) from None


def _json5(text: str) -> _Read:
    try:
        return json.loads(text, object_pairs_hook=_map), _lines(text)  # often it is JSON, and json5 is slow
    except (ValueError, RecursionError, _DuplicateKey):
        pass
    import json5

    try:
        return json5.loads(text, object_pairs_hook=_map), _lines(text)
    except RecursionError:
        raise _Unreadable("nested too deeply") from None
    except _DuplicateKey:
        raise _duplicated(text) from None
    except ValueError as error:
        words = str(error).removeprefix("<string>:")
        line = words.partition(":")[0].partition(" ")[0]
        raise _Unreadable(f"not JSON5: {words}", int(line) if line.isdigit() else None) from None


def _yaml(text: str) -> _Read:
    from torc_tools.shell import yamlfile

    try:
        return yamlfile.load(text)
    except yamlfile.Unreadable as error:
        raise _Unreadable(*error.args) from None


def _kdl(text: str) -> _Read:
    from torc_tools.shell import kdlfile

    try:
        return kdlfile.load(text)
    except kdlfile.Unreadable as error:
        raise _Unreadable(*error.args) from None


def _duplicated(text: str) -> _Unreadable:
    path, line = next(positions.duplicates(text), (("?",), None))
    return _Unreadable(f"duplicate key '{path[-1]}'", line)


def _constant(name: str) -> Any:
    raise _Unreadable(f"not JSON: {name}")


def _map(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(given)
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(f"duplicate key '{key}'")
            seen.add(key)
    return found


def _lines(text: str) -> Callable[[Path], int | None]:
    made: dict[Path, int] = {}

    def line_of(path: Path) -> int | None:
        if not made:
            made.update(positions.lines(text))
        return next((made[path[:end]] for end in range(len(path), -1, -1) if path[:end] in made), None)

    return line_of
