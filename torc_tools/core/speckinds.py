"""What a value in a spec may be: each kind takes a value and says what is wrong with it, or None."""

import json
import re
from collections.abc import Callable
from typing import Any

from torc_tools import units
from torc_tools.exits import Failure

Kind = Callable[[Any], str | None]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WALLTIME = re.compile(r"\d+|\d+:[0-5]?\d|\d+:[0-5]?\d:[0-5]?\d|\d+-\d+(:[0-5]?\d){0,2}|infinite|unlimited", re.ASCII)
_SIGNALS = [
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "ABRT",
    "FPE",
    "KILL",
    "SEGV",
    "PIPE",
    "ALRM",
    "TERM",
    "USR1",
    "USR2",
    "CHLD",
    "CONT",
    "STOP",
    "TSTP",
    "XCPU",
]


def text(value: Any) -> str | None:
    """Take a string that is not empty and that the store and a process can hold."""
    return any_text(value) or (None if value else "is empty")


def any_text(value: Any) -> str | None:
    """Take a string, empty or not."""
    if not isinstance(value, str):
        return _expected("a string", value)
    if "\0" in value:
        return "holds a NUL character"
    return None if value.isascii() or _encodes(value) else "is not valid Unicode"


def flag(value: Any) -> str | None:
    """Take true or false."""
    return None if isinstance(value, bool) else _expected("true or false", value)


def integer(least: int, most: int = 2**53) -> Kind:
    """Make a kind for whole numbers from `least` to `most`."""

    def check(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return _expected("a whole number", value)
        return (
            None
            if least <= value <= most
            else f"{value} is not between {least} and {most}"
            if value > most or most < 2**53
            else f"{value} is below {least}"
        )

    return check


def seconds(value: Any) -> str | None:
    """Take a number of seconds above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _expected("a number of seconds", value)
    return None if 0 < value < 1e9 else f"{value} is not a number of seconds above zero"


def one_of(*words: str) -> Kind:
    """Make a kind for one of `words`."""

    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in words else _expected(f"one of {', '.join(words)}", value)

    return check


def flag_or(word: str) -> Kind:
    """Make a kind for true, false, or `word`."""

    def check(value: Any) -> str | None:
        return None if isinstance(value, bool) or value == word else _expected(f"true, false or {word}", value)

    return check


def texts(value: Any) -> str | None:
    """Take a list of strings."""
    if not isinstance(value, list):
        return _expected("a list of strings", value)
    wrong = (f"item {number}: {fault}" for number, item in enumerate(value) if (fault := text(item)))
    return next(wrong, None)


def some_texts(value: Any) -> str | None:
    """Take a list of strings that is not empty."""
    return texts(value) or (None if value else "is empty")


def codes(value: Any) -> str | None:
    """Take a list of exit codes."""
    if not isinstance(value, list):
        return _expected("a list of exit codes", value)
    return next((fault for item in value if (fault := integer(-255, 255)(item))), None)


def mapping(value: Any) -> str | None:
    """Take a map of anything."""
    return None if isinstance(value, dict) else _expected("a map", value)


def environment(value: Any) -> str | None:
    """Take a map from names of variables to strings or numbers."""
    if not isinstance(value, dict):
        return _expected("a map", value)
    for name, each in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            return f"not a name of a variable: '{name}'"
        if fault := scalar(each):
            return f"'{name}': {fault}"
    return None


def scalar(value: Any) -> str | None:
    """Take a string, a number, true or false."""
    if isinstance(value, bool | int | float):
        return None
    return any_text(value) if isinstance(value, str) else _expected("a string or a number", value)


def scalars(value: Any) -> str | None:
    """Take a map of strings and numbers."""
    if not isinstance(value, dict):
        return _expected("a map", value)
    return next((f"'{name}': {fault}" for name, each in value.items() if (fault := scalar(each))), None)


def memory(value: Any) -> str | None:
    """Take a memory size (units.parse_memory)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return _expected("a memory size", value)
    return _parsed(units.parse_memory, value)


def duration(value: Any) -> str | None:
    """Take a duration (units.parse_duration)."""
    return _parsed(units.parse_duration, value) if isinstance(value, str) else _expected("a duration", value)


def walltime(value: Any) -> str | None:
    """Take a time limit as sbatch does."""
    written = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return None if _WALLTIME.fullmatch(written) else f"not a time limit of Slurm: '{value}' (write 04:00:00)"


def signal_name(value: Any) -> str | None:
    """Take the name of a signal, with or without SIG."""
    known = isinstance(value, str) and value.upper().removeprefix("SIG") in _SIGNALS
    return None if known else f"not a signal: '{value}' (write SIGTERM)"


def timed_signal(value: Any) -> str | None:
    """Take what srun --signal takes: TERM@120."""
    name, _, lead = str(value).rpartition("@")
    return signal_name(name or lead) or (None if not name or lead.isdigit() else f"not SIGNAL@SECONDS: '{value}'")


def json_value(value: Any) -> str | None:
    """Take anything that JSON can hold."""
    try:
        json.dumps(value, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):
        return "is not a JSON value"
    return None if _encodes(json.dumps(value, ensure_ascii=False)) else "is not valid Unicode"


def json_map(value: Any) -> str | None:
    """Take a map, or a string that holds JSON."""
    if isinstance(value, dict):
        return json_value(value)
    if not isinstance(value, str):
        return _expected("a map, or a string that holds JSON", value)
    try:
        json.loads(value)
    except ValueError as error:
        return f"is a string that is not JSON: {error}"
    return None


def _parsed(parse: Callable[[Any], int], value: Any) -> str | None:
    try:
        parse(value)
    except Failure as failure:
        return failure.message
    return None


def _expected(what: str, value: Any) -> str:
    return f"expected {what}, found '{str(value)[:60]}'" if not isinstance(value, dict | list) else f"expected {what}"


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
