"""The `variables` of a spec: constants that stand for {name} in every string of it, put in before anything else."""

from collections.abc import Iterator
from typing import Any

from torc_tools.core.parameters import filled
from torc_tools.core.problems import Path, Problems


def put_in(spec: Any, problems: Problems) -> Any:
    """Give a spec with its `variables` put in everywhere else."""
    constants = spec.get("variables") if isinstance(spec, dict) else None
    if not constants or not isinstance(constants, dict):
        return spec
    texts = texts_of(constants)
    for path, name in _parameter_names(spec):
        if name in texts:
            problems.add(path, f"'{name}' is a parameter and a variable")
            del texts[name]
    return {key: value if key == "variables" else filled(value, texts) for key, value in spec.items()}


def _parameter_names(spec: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    places: list[tuple[Path, Any]] = [((), spec)]
    for section in ("jobs", "files", "user_data"):
        if isinstance(spec.get(section), list):
            places += [((section, number), entry) for number, entry in enumerate(spec[section])]
    for path, place in places:
        given = place.get("parameters") if isinstance(place, dict) else None
        for name in given if isinstance(given, dict) else ():
            yield (*path, "parameters", str(name)), str(name)


def text_of(value: Any) -> str:
    """Write a string, a number, true or false as a text."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def texts_of(values: dict[str, Any]) -> dict[str, str]:
    """Write the values of a map as texts."""
    return {name: text_of(value) for name, value in values.items()}
