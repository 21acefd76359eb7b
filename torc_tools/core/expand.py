"""Parameterised entries of a spec, expanded: columns of texts, one row for each instance.

An entry whose name does not hold all its parameters makes several instances of one name. They are one job when they
differ in their lists of references alone (a fan-in: the lists are joined, in order); otherwise the name is a duplicate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torc_tools.core.parameters import BadParameterError, Rows, Values, table, values
from torc_tools.core.problems import Path, Problems
from torc_tools.core.specfields import Entry

Names = tuple[str, ...]


class Sources:
    """What entries may take parameters from: the workflow's own, and files that the shell has read."""

    def __init__(self, top: Mapping[str, Any], files: Mapping[str, str], limit: int) -> None:
        """Take the fields at the top of the spec, the texts of @files and tables, and the most rows of an entry."""
        self.shared: dict[str, Any] = dict(top.get("parameters", {}))
        self.shared_file: str | None = top.get("parameters_file")
        self.files = dict(files)
        self.limit = limit


class Instances:
    """An expanded entry: `count` instances; a field is a list of texts, or one value that all of them share."""

    def __init__(self, entry: Entry, count: int) -> None:
        """Start with fields that all share."""
        self.entry = entry
        self.count = count
        self.scalars: dict[str, list[str] | str] = {}
        self.lists: dict[str, list[Names] | Names] = {}

    def scalar(self, field: str) -> Sequence[str | None]:
        """Give a field for every instance."""
        found = self.scalars.get(field)
        return found if isinstance(found, list) else [found] * self.count

    def texts(self, field: str) -> list[str]:
        """Give a field that every instance has; '' where the entry lacks it, which is a problem already."""
        return [text or "" for text in self.scalar(field)]

    def names(self, field: str) -> Sequence[Names]:
        """Give a list of references for every instance."""
        found = self.lists.get(field, ())
        return found if isinstance(found, list) else [found] * self.count


def needed_files(spec: Any) -> list[tuple[Path, str]]:
    """Give the files that a spec's parameters name ('@file', parameters_file), for the shell to read."""
    if not isinstance(spec, dict):
        return []
    found: list[tuple[Path, str]] = []
    places: list[tuple[Path, Any]] = [((), spec)]
    for section in ("jobs", "files", "user_data"):
        entries = spec.get(section)
        places += [((section, i), entry) for i, entry in enumerate(entries if isinstance(entries, list) else ())]
    for path, place in places:
        if not isinstance(place, dict):
            continue
        if isinstance(name := place.get("parameters_file"), str):
            found.append(((*path, "parameters_file"), name))
        given = place.get("parameters")
        for key, value in (given if isinstance(given, dict) else {}).items():
            if isinstance(value, str) and value.strip().startswith("@"):
                found.append(((*path, "parameters", str(key)), value.strip()[1:]))
    return found


def rows(entry: Entry, sources: Sources, problems: Problems) -> Rows | None:
    """Give the rows of an entry's parameters; None for an entry without parameters and for one that is wrong."""
    try:
        if (name := _table_name(entry, sources, problems)) is not None:
            columns: dict[str, Values] = dict(table(name, sources.files[name])) if name in sources.files else {}
            mode = "zip"
        else:
            columns = _own(entry, sources, problems)
            mode = str(entry.fields.get("parameter_mode", "product"))
        if not columns:
            return None
        made = Rows(columns, mode, table=name is not None)
    except BadParameterError as fault:
        problems.add((*entry.path, "parameters"), str(fault))
        return None
    if made.count > sources.limit:
        problems.add(entry.path, f"expands to {made.count} instances, more than the limit of {sources.limit}")
        return None
    return made


def expand(
    entry: Entry, scalars: Sequence[str], lists: Sequence[str], given: Rows | None, problems: Problems
) -> Instances:
    """Expand an entry's `scalars` (texts) and `lists` (lists of names) over the rows of its parameters."""
    made = Instances(entry, given.count if given else 1)
    for field in scalars:
        if (text := entry.fields.get(field)) is not None:
            made.scalars[field] = text if given is None or (filled := given.texts(text)) is None else filled
    for name, text in entry.fields.get("env", {}).items():
        if given is not None and isinstance(text, str) and (filled := given.texts(text)) is not None:
            made.scalars[f"env.{name}"] = filled
    for field in lists:
        if entry.fields.get(field):
            made.lists[field] = _filled_list(entry.fields[field], given, made.count)
    if given is not None:
        _collapse(made, given, problems)
    return made


def _table_name(entry: Entry, sources: Sources, problems: Problems) -> str | None:
    name = entry.fields.get("parameters_file")
    if name is None and entry.fields.get("use_parameters_file"):
        name = sources.shared_file
        if name is None:
            problems.add((*entry.path, "use_parameters_file"), "the spec has no 'parameters_file' at its top")
    if name is not None and ("parameters" in entry.fields or "use_parameters" in entry.fields):
        problems.add(entry.path, f"takes parameters from '{name}' and from elsewhere: one of the two")
    return name


def _own(entry: Entry, sources: Sources, problems: Problems) -> dict[str, Values]:
    """Give an entry's own parameters, else those of the workflow that it names; own ones win entirely, as in torc."""
    given = entry.fields.get("parameters")
    where: Path = (*entry.path, "parameters")
    if not given:
        where = ("parameters",)
        names = list(dict.fromkeys(entry.fields.get("use_parameters", ())))
        for name in names:
            if name not in sources.shared:
                problems.note((*entry.path, "use_parameters"), f"'{name}' is ignored: the spec has no such parameter")
        given = {name: sources.shared[name] for name in names if name in sources.shared}
    columns: dict[str, Values] = {}
    for name, value in given.items():
        try:
            columns[str(name)] = values(value, sources.limit, sources.files)
        except BadParameterError as fault:
            problems.add((*where, str(name)), f"parameter '{name}': {fault}")
    return columns if len(columns) == len(given) else {}


def _filled_list(templates: list[str], given: Rows | None, count: int) -> list[Names] | Names:
    columns = [given.texts(text) if given else None for text in templates]
    if not any(column is not None for column in columns):
        return tuple(templates)
    whole = [[text] * count if column is None else column for text, column in zip(templates, columns, strict=True)]
    return list(zip(*whole, strict=True))


def _collapse(made: Instances, given: Rows, problems: Problems) -> None:
    """Join the instances of one name where they are a fan-in; a problem where they are not."""
    names = made.scalars.get("name")
    if isinstance(names, list) and len(set(names)) == len(names):
        return
    if made.count < 2:
        return
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names if isinstance(names, list) else [str(names)] * made.count):
        groups.setdefault(name, []).append(row)
    if fault := _no_fan_in(made, given, groups):
        kind = {"jobs": "job", "files": "file", "user_data": "user data"}[str(made.entry.path[0])]
        problems.add((*made.entry.path, "name"), f"duplicate {kind} name {fault}")
    for field, column in made.scalars.items():
        if isinstance(column, list):
            made.scalars[field] = [column[members[0]] for members in groups.values()]
    for field, lists in made.lists.items():
        if isinstance(lists, list):
            made.lists[field] = [_joined(lists, members) for members in groups.values()]
    made.count = len(groups)
    made.scalars["name"] = list(groups)


def _joined(lists: list[Names], members: list[int]) -> Names:
    if len(members) == 1:
        return lists[members[0]]
    return tuple(dict.fromkeys(name for row in members for name in lists[row]))


def _no_fan_in(made: Instances, given: Rows, groups: dict[str, list[int]]) -> str | None:
    """Say why instances of one name are not one job; None where they are."""
    several = next((name for name, members in groups.items() if len(members) > 1), "")
    if not any(isinstance(column, list) for column in made.lists.values()):
        return f"'{several}': no parameter makes its {len(groups[several])} instances differ"
    for field, column in made.scalars.items():
        if isinstance(column, list) and field != "name":
            for name, members in groups.items():
                if any(column[row] != column[members[0]] for row in members):
                    return f"'{name}': its instances differ in '{field}'"
    if not given.table:
        unused = set(given.names) - _used(made.entry, given)
        for parameter in given.names:
            if parameter in unused:
                return f"'{several}': parameter '{parameter}' is used nowhere"
    return None


def _used(entry: Entry, given: Rows) -> set[str]:
    found: set[str] = set()
    for value in entry.fields.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                found |= given.used(text)
    return found
