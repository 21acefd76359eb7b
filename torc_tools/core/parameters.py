"""Parameters: what their values are, how they combine, and how templates are filled with them.

Values are integers, exact decimals and strings. A template is compiled once; its texts for all combinations are made
column by column.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import product, repeat
from typing import Any

Value = int | Decimal | str
Values = Sequence[Value]

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_TOKEN = re.compile(r"(?<!\$)\{([^{}:]+)(?::([^{}]*))?\}")  # not ${name}: that is the shell's
_ZERO_PADDED = re.compile(r"0\d{1,3}d", re.ASCII)
_FIXED = re.compile(r"\.\d{1,3}f", re.ASCII)


class BadParameterError(Exception):
    """Says what is wrong with the values of a parameter."""


def values(given: Any, limit: int, lines: dict[str, str] | None = None) -> Values:
    """Give the values that a spec gives a parameter: '1:10:2', '[a,b]', a list, one value, or '@file' (in `lines`).

    Raises BadParameter; also for more than `limit` values, before they are made.
    """
    if isinstance(given, list):
        return [_native(item) for item in given]
    if not isinstance(given, str):
        return [_native(given)]
    text = given.strip()
    if text.startswith("{") and text.endswith("}") and "," not in text:
        text = text[1:-1].strip()
    if text.startswith("@") and lines is not None and text[1:] in lines:
        return [_item(line) for line in lines[text[1:]].splitlines() if line.strip()]
    if text.startswith("[") and text.endswith("]"):
        return [_item(part) for part in _split(text[1:-1])]
    return _range(text, limit) if ":" in text else [_item(text)]


def show(value: Value, form: str | None = None) -> str:
    """Write a value: integers take 0<width>d, decimals .<digits>f; any other format writes the plain value."""
    if isinstance(value, int):
        return format(value, form) if form and _ZERO_PADDED.fullmatch(form) else str(value)
    if isinstance(value, Decimal):
        return format(value, form) if form and _FIXED.fullmatch(form) else _plain(value)
    return value


def table(name: str, text: str) -> dict[str, list[Value]]:
    """Read a table of parameters, by the end of its name: .json (a list of objects), .jsonl, else CSV with a header.

    Gives its columns. Raises BadParameterError.
    """
    try:
        if name.lower().endswith(".json"):
            rows = json.loads(text)
        elif name.lower().endswith((".jsonl", ".ndjson")):
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            return _csv(text)
    except ValueError as error:
        raise BadParameterError(f"'{name}' is not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadParameterError(f"'{name}' is not a list of objects")
    return _columns([list(row) for row in rows], [[_cell(item) for item in row.values()] for row in rows])


class Rows:
    """The combinations of some parameters; gives the texts of a template for all of them."""

    def __init__(self, columns: dict[str, Values], mode: str = "product", *, table: bool = False) -> None:
        """Take the values of each parameter. Product: the last one varies fastest. Zip: row by row (a table too)."""
        self.table = table
        self.names = tuple(columns)
        self._columns = columns
        self._product = mode != "zip"
        self.count = combinations(columns, mode)
        self._made: dict[tuple[str, str | None], list[str]] = {}

    def texts(self, template: str) -> list[str] | None:
        """Give the template filled for each row; None where it holds none of the parameters."""
        form, keys = compiled(template, self._columns)
        if not keys:
            return None
        return list(map(form.__mod__, zip(*(self._column(key) for key in keys), strict=True)))

    def used(self, template: str) -> set[str]:
        """Give the parameters that a template holds."""
        return {name for name, _ in compiled(template, self._columns)[1]}

    def each(self) -> Iterator[dict[str, Value]]:
        """Give, row by row, the value of each parameter."""
        columns = self._columns.values()
        for row in product(*columns) if self._product else zip(*columns, strict=True):
            yield dict(zip(self.names, row, strict=True))

    def _column(self, key: tuple[str, str | None]) -> list[str]:
        if key not in self._made:
            name, form = key
            written = [show(value, form) for value in self._columns[name]]
            self._made[key] = self._repeated(name, written) if self._product else written
        return self._made[key]

    def _repeated(self, name: str, written: list[str]) -> list[str]:
        inner = 1
        for other in reversed(self.names):
            if other == name:
                break
            inner *= len(self._columns[other])
        outer = self.count // (inner * len(written)) if inner and written else 0
        return (written if inner == 1 else [text for text in written for _ in repeat(None, inner)]) * outer


def combinations(columns: dict[str, Values], mode: str = "product") -> int:
    """Give how many rows parameters make. Raises BadParameter for zip with lists of different length."""
    lengths = {name: len(found) for name, found in columns.items()}
    if mode == "zip":
        (first, count), *others = lengths.items()
        for name, other in others:
            if other != count:
                raise BadParameterError(
                    "all parameters must have the same number of values with 'zip': "
                    f"'{first}' has {count}, '{name}' has {other}"
                )
        return count
    count = 1
    for length in lengths.values():
        count *= length
    return count


def compiled(template: str, names: Iterable[str]) -> tuple[str, list[tuple[str, str | None]]]:
    """Give a template as a %-format, and the (parameter, format) that fills each %s; unknown names stay as they are."""
    if "{" not in template:
        return template, []
    parts, keys, end = [], [], 0
    for match in _TOKEN.finditer(template):
        if match[1] in names:
            parts.append(template[end : match.start()].replace("%", "%%"))
            keys.append((match[1], match[2]))
            end = match.end()
    parts.append(template[end:].replace("%", "%%"))
    return "%s".join(parts), keys


def filled(value: Any, constants: Mapping[str, Value]) -> Any:
    """Give a JSON value with {name} replaced in its strings; keys of maps stay."""
    if isinstance(value, str):
        form, keys = compiled(value, constants)
        return form % tuple(show(constants[name], style) for name, style in keys) if keys else value
    if isinstance(value, list):
        return [filled(item, constants) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, constants) for key, item in value.items()}
    return value


def _native(value: Any) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return _item(repr(value))
    if isinstance(value, str):
        return _kept(value)
    raise BadParameterError(f"expected a string or a number, found '{json.dumps(value, default=str)[:60]}'")


def _item(text: str) -> Value:
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return Decimal(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return _kept(text[1:-1])
    return _kept(text)


def _kept(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadParameterError("a value holds a NUL character or is not valid Unicode")
    return text


def _split(text: str) -> list[str]:
    """Split a list at its commas, those inside quotes kept."""
    parts, quote, start = [], "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not text[start:place].strip():
            quote = character
        elif character == ",":
            parts.append(text[start:place])
            start = place + 1
    last = text[start:]
    return [*parts, last] if parts or last.strip() else []


def _range(text: str, limit: int) -> Values:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (2, 3) or not all(_DECIMAL.fullmatch(part) for part in parts):
        raise BadParameterError(f"not a range: '{text}' (write start:end or start:end:step; a list is [a,b])")
    whole = all(_INTEGER.fullmatch(part) for part in parts[:2])
    if whole and not _INTEGER.fullmatch(parts[-1]):
        raise BadParameterError(f"not a whole step: '{parts[2]}' (write {parts[0]}.0:{parts[1]}.0:{parts[2]})")
    start, end, step = (Decimal(part) for part in (*parts, "1")[:3])
    if not step:
        raise BadParameterError(f"step cannot be zero: '{text}'")
    if (end - start) * step < 0:
        raise BadParameterError(f"range is empty: '{text}' (a range that goes down needs a negative step)")
    try:
        count = int((end - start) // step) + 1
    except InvalidOperation:  # more digits than a Decimal has
        raise BadParameterError(f"'{text}' has more values than the limit of {limit}") from None
    if count > limit:
        raise BadParameterError(f"'{text}' has {count} values, more than the limit of {limit}")
    if whole:
        return range(int(start), int(start) + count * int(step), int(step))
    return [start + number * step for number in range(count)]


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _cell(value: Any) -> Value:
    return _item(value) if isinstance(value, str) else _native(value)


def _csv(text: str) -> dict[str, list[Value]]:
    try:
        rows = [row for row in csv.reader(text.lstrip("\ufeff").splitlines(keepends=True), strict=True) if row]
    except csv.Error as error:
        raise BadParameterError(f"not CSV: {error}") from None
    if not rows:
        raise BadParameterError("the table has no header")
    header = [name.strip() for name in rows[0]]
    return _columns([header for _ in rows[1:]], [[_item(cell) for cell in row] for row in rows[1:]], header)


def _columns(keys: list[list[str]], rows: list[list[Value]], header: list[str] | None = None) -> dict[str, list[Value]]:
    names = header or (keys[0] if keys else [])
    if len(set(names)) < len(names) or "" in names:
        raise BadParameterError("the table's columns need names, each once")
    made: dict[str, list[Value]] = {name: [] for name in names}
    for number, (own, row) in enumerate(zip(keys, rows, strict=True), 1):
        if len(row) != len(names) or set(own) != set(names):
            raise BadParameterError(f"row {number} of the table has not the columns of the first")
        for name, cell in zip(own, row, strict=True):
            made[name].append(cell)
    return made
