"""Records for whoever reads them: JSON Lines in a pipe, a table on a terminal, JSON or CSV on request."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import stream
from torc_tools.texts import visible

FRAMES = ("begin", "end")


def emit(records: Iterable[Record], args: argparse.Namespace, columns: Sequence[str] = ()) -> int:
    """Write records as -f, --where and --query say; give the exit status (1 with -e where none was written).

    `columns` are the keys that a table shows; without them it shows those of the first record. Those that -x names
    are left out.
    """
    kept = _limited(_ordered(where(records, args.where), args), getattr(args, "limit", None))
    chosen = _queried(kept, args.query)
    kind = args.format or ("table" if terminal() else "jsonl")
    lines = kind == "jsonl" and not args.query
    less = set(getattr(args, "exclude", None) or ())
    if less and kind in ("table", "csv"):
        chosen = ({key: value[key] for key in value if key not in less} for value in _objects(chosen))
        columns = [name for name in columns if name not in less]
    count = stream.write(chosen) if lines else _write_other(kind, chosen, columns)
    return exits.EMPTY if args.exit_status and not count else exits.OK


def _objects(values: Iterable[Any]) -> Iterator[Record]:
    """Give values that have columns; all others (Failure 2) have none that could be left out."""
    for value in values:
        if not isinstance(value, dict):
            raise Failure(exits.USAGE, "-x leaves out columns: what --query makes has none")
        yield value


def text(lines: Iterable[str]) -> None:
    """Write lines for a person on standard output, control characters made visible."""
    stream.stdout().writelines(visible(line).encode(errors="backslashreplace") + b"\n" for line in lines)
    stream.stdout().flush()


def value(made: Any) -> None:
    """Write one JSON value for a program, two spaces a level."""
    stream.stdout().write(orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    stream.stdout().flush()


def line(made: Any) -> None:
    """Write one JSON value for a program on one line."""
    stream.stdout().write(orjson.dumps(made, option=orjson.OPT_APPEND_NEWLINE))
    stream.stdout().flush()


def raw(data: bytes) -> None:
    """Write bytes of a job's output as they are; on a terminal with control characters made visible."""
    if terminal():
        shown = data.decode(errors="backslashreplace")
        data = "".join(c if c in "\n\t" else visible(c) for c in shown).encode(errors="backslashreplace")
    stream.stdout().write(data)
    stream.stdout().flush()


def terminal() -> bool:
    """Say whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def where(records: Iterable[Record], expression: str | None) -> Iterable[Record]:
    """Give the records for which a JMESPath expression is true (None: all), and the frame around them."""
    return _matching(records, compiled_expression(expression)) if expression else records


def for_rows(args: argparse.Namespace) -> argparse.Namespace:
    """Give the options for rows made of records that `where` has let through: their fields may be others."""
    return argparse.Namespace(**{**vars(args), "where": None})


def _matching(records: Iterable[Record], matches: Callable[[Any], Any]) -> Iterator[Record]:
    """Give the records that match, and the frame around them; the end line counts what is left."""
    count = 0
    for record in records:
        if record["type"] == "end":
            yield {**record, "count": count}
        elif record["type"] == "begin":
            yield record
        elif _truthy(matches(record)):
            count += 1
            yield record


def _ordered(records: Iterable[Record], args: argparse.Namespace) -> Iterable[Record]:
    """Give records as --sort-by, --reverse and --offset ask for them; without these as they come."""
    key, reverse, offset = (getattr(args, name, None) for name in ("sort_by", "reverse", "offset"))
    return _sorted(records, key, reverse=bool(reverse), offset=offset or 0) if key or reverse or offset else records


def _sorted(records: Iterable[Record], key: str | None, *, reverse: bool, offset: int) -> Iterator[Record]:
    """Read all records, and give them in order inside their frame; null is last, whichever way. Raises Failure(2)."""
    every = list(records)
    inner = [record for record in every if record["type"] not in FRAMES]
    if key and inner and not any(key in record for record in inner):
        raise Failure(exits.USAGE, f"no record has the field '{key}' (there are {', '.join(list(inner[0])[1:])})")
    known = [record for record in inner if key is None or record.get(key) is not None]
    if key:
        known.sort(key=lambda record: _rank(record[key]), reverse=reverse)
    elif reverse:
        known.reverse()
    known += [record for record in inner if key is not None and record.get(key) is None]
    yield from (record for record in every if record["type"] == "begin")
    yield from known[offset:]
    count = len(known[offset:])
    yield from ({**record, "count": count} for record in every if record["type"] == "end")


def _rank(value: Any) -> tuple[int, Any]:
    """Give what a value is sorted by: numbers before texts before all else, which is sorted as JSON."""
    if isinstance(value, int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, orjson.dumps(value).decode())


def _limited(records: Iterable[Record], limit: int | None) -> Iterable[Record]:
    """Stop after `limit` records, the end line after them where there was a begin line."""
    return records if limit is None else _first(records, limit)


def _first(records: Iterable[Record], limit: int) -> Iterator[Record]:
    count, stage = 0, None
    for record in records:
        yield record
        if record["type"] == "begin":
            stage = record["stage"]
        elif record["type"] != "end":
            count += 1
            if count == limit:
                break
    else:
        return
    if stage is not None:
        yield {"type": "end", "stage": stage, "count": count}


def _queried(records: Iterable[Record], expression: str | None) -> Iterable[Any]:
    if not expression:
        return records
    search = compiled_expression(expression)
    return (search(record) for record in records if record["type"] not in FRAMES)


def _truthy(value: Any) -> bool:
    """Say whether JMESPath calls a value true: all but null, false and what is empty (0 is true)."""
    return value is not None and value is not False and value not in ("", [], {})


def compiled_expression(expression: str) -> Callable[[Any], Any]:
    """Give a JMESPath expression as a function of a record. Raises Failure(2) where it is none, or does not fit."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    def search(record: Any) -> Any:
        try:
            return compiled.search(record)
        except JMESPathError as error:
            raise Failure(exits.USAGE, f"expression '{expression}': {_first_line(error)}") from None

    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise Failure(exits.USAGE, f"expression '{expression}': {_first_line(error)}") from None
    return search


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _write_other(kind: str, values: Iterable[Any], columns: Sequence[str]) -> int:
    kept = [value for value in values if not (isinstance(value, dict) and value.get("type") in FRAMES)]
    if kind == "json":
        stream.stdout().write(orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    elif kind == "jsonl" or not all(isinstance(value, dict) for value in kept):
        stream.stdout().writelines(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in kept)
    elif kind == "csv":
        stream.stdout().writelines(_csv_lines(kept, columns))
    else:
        _table(kept, columns)
    stream.stdout().flush()
    return len(kept)


def _headers(rows: list[Record], columns: Sequence[str]) -> list[str]:
    """Give the columns of a table: those asked for, else every key of the first row but `type`."""
    return list(columns) or [key for key in (rows[0] if rows else {}) if key != "type"]


def _cell(value: Any) -> str:
    """Write a value for a person on one line; null is '-'."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return visible(value if isinstance(value, str) else orjson.dumps(value).decode())


def _csv_lines(rows: list[Record], columns: Sequence[str]) -> Iterator[bytes]:
    import csv
    import io

    headers = list(columns) or list(dict.fromkeys(key for row in rows for key in row if key != "type"))
    for row in [dict(zip(headers, headers, strict=True)), *rows]:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(["" if row.get(k) is None else _plain(row[k]) for k in headers])
        yield text.getvalue().encode(errors="surrogatepass")


def _plain(value: Any) -> Any:
    return (
        value if isinstance(value, str | int | float) and not isinstance(value, bool) else orjson.dumps(value).decode()
    )


def _table(rows: list[Record], columns: Sequence[str]) -> None:
    """Write rows; no line is longer than the terminal, or COLUMNS, is wide, and in a pipe or a file none is cut."""
    from torc_tools.shell import table

    headers = _headers(rows, columns)
    cells = [[_cell(row.get(key)) for key in headers] for row in rows]
    written = table.lines(headers, cells, _room()) if rows else ()
    bold = terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for number, line in enumerate(written):
        shown = f"\x1b[1m{line}\x1b[0m" if bold and not number else line
        stream.stdout().write(shown.encode(errors="backslashreplace") + b"\n")


def _room() -> int | None:
    """Give how many columns a line may have: those of COLUMNS, else of the terminal; None where there is neither."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if terminal() else None
