"""Maps that users write (rules, profiles) read field by field: each with its reader, every problem with its place."""

from collections.abc import Callable, Mapping
from typing import Any

from torc_tools.core.problems import Path, Problems, nearest, shown
from torc_tools.exits import Failure

Reader = Callable[[Any], Any]  # gives the value; raises ValueError, or Failure, saying what it is not
Known = Mapping[str, tuple[str, Reader]]  # key in the file: name of the field, how it is read


def text(value: Any) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("not a text")
    return value


def flag(value: Any) -> bool:
    """Read true or false."""
    if value is True or value is False:
        return bool(value)
    raise ValueError("not true or false")


def read(given: Any, path: Path, known: Known, problems: Problems, others: set[str]) -> dict[str, Any]:
    """Read the keys of one map; null is as if the key were not there, and `others` are read elsewhere."""
    found: dict[str, Any] = {}
    if not isinstance(given, dict):
        problems.add(path, f"'{shown(path[-1:])}' is not a map")
        return found
    for key, value in given.items():
        if key in others or value is None:
            continue
        if key not in known:
            problems.add((*path, key), f"unknown key{nearest(str(key), [*known, *others])}")
            continue
        field, reader = known[key]
        try:
            made = reader(value)
        except (ValueError, Failure) as error:
            problems.add((*path, key), str(error))
            continue
        if field in found:
            problems.add((*path, key), "said twice, in two units")
        found[field] = made
    return found
