"""Jobs put into a plan, and linked: what they need, read, write and wait for."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from torc_tools.core import constants
from torc_tools.core.expand import Instances, Names
from torc_tools.core.plan import Indexes, Plan
from torc_tools.core.references import Directory, has_variables, variables

_REFERENCES = ("resource_requirements", "failure_handler", "scheduler")
_ITEMS = ("files", "file_regexes", "user_data", "user_data_regexes")

TEXTS = ("name", "command", "invocation_script", *_REFERENCES)
LISTS = ("depends_on", "depends_on_regexes", *(f"{way}_{what}" for way in ("input", "output") for what in _ITEMS))

_Directories = Mapping[str, Directory]
_Writers = Mapping[int, Sequence[int]]


def link(made: Plan, expanded: Sequence[Instances], directories: _Directories, start: int = 0) -> None:
    """Put expanded jobs into the plan and resolve all that they refer to; what is unknown becomes a problem.

    A job that reads what another writes depends on it. What a command names as ${files...} joins the job's lists.
    `start` jobs are in the plan already.
    """
    jobs = directories["job"]
    for instances in expanded:
        jobs.extend(instances.texts("name"), instances.entry.path)
        _add(made, instances, directories)
    made.names = jobs.names
    for instances in expanded:
        named = _fill_variables(made, instances, start, directories)
        for way in ("input", "output"):
            made.files[way] += _items(instances, directories["file"], f"{way}_files", f"{way}_file_regexes", named)
            made.data[way] += _items(
                instances, directories["user_data"], f"{way}_user_data", f"{way}_user_data_regexes", named
            )
        start += instances.count
    writers = (_writers(made.files["output"]), _writers(made.data["output"]))
    for instances in expanded:
        _parents(made, instances, jobs, writers)


def _add(made: Plan, instances: Instances, directories: _Directories) -> None:
    made.commands += instances.texts("command")
    made.scripts += instances.scalar("invocation_script")
    for field, column in zip(_REFERENCES, (made.requirement, made.handler, made.scheduler), strict=True):
        column.extend(_one(instances, field, directories[field]))
    made.settings += _settings(instances)


def _one(instances: Instances, field: str, directory: Directory) -> list[int | None]:
    """Resolve the one name that a field holds, once for each different name."""
    column = instances.scalar(field)
    index: dict[str | None, int | None] = {}
    for name in dict.fromkeys(column):
        found = directory.find((name,), (*instances.entry.path, field)) if name is not None else ()
        index[name] = found[0] if found else None
    return [index[name] for name in column]


def _settings(instances: Instances) -> list[tuple[int, bool, dict[str, Any]]]:
    """Give priority, cancel flag and config of each instance: one shared object unless env has parameters."""
    given = instances.entry.fields
    config: dict[str, Any] = {key: given[key] for key in ("stdio", "supports_termination", "labels") if given.get(key)}
    if "env" in given:
        config["env"] = constants.texts_of(given["env"])
    priority, cancels = given.get("priority", 0), given.get("cancel_on_blocking_job_failure", True)
    columns = {key[4:]: column for key, column in instances.scalars.items() if key.startswith("env.")}
    if not columns:
        return [(priority, cancels, config)] * instances.count
    return [
        (priority, cancels, config | {"env": config["env"] | {name: column[row] for name, column in columns.items()}})
        for row in range(instances.count)
    ]


def _fill_variables(
    made: Plan, instances: Instances, start: int, directories: _Directories
) -> dict[str, list[list[str]]]:
    """Fill ${files...} and ${user_data...} in commands and scripts; give the names met, by the field they join."""
    met: dict[str, list[list[str]]] = {}
    known = _known(made, directories)
    texts: tuple[tuple[str, list[Any]], ...] = (("command", made.commands), ("invocation_script", made.scripts))
    for field, column in texts:
        if not has_variables(instances.entry.fields.get(field)):
            continue
        for number in range(instances.count):
            column[start + number], names = variables(column[start + number], known)
            for (kind, way), found in names.items():
                met.setdefault(f"{way}_{kind}", [[] for _ in range(instances.count)])[number].extend(found)
    return met


def _known(made: Plan, directories: _Directories) -> dict[str, Callable[[str], str | None]]:
    files, data = directories["file"].index, directories["user_data"].index
    return {
        "files": lambda name: made.file_paths[files[name]] if name in files else None,
        "user_data": lambda name: made.user_data[data[name]][1] if name in data else None,
    }


def _items(
    instances: Instances, directory: Directory, field: str, regexes: str, named: Mapping[str, list[list[str]]]
) -> list[Indexes]:
    """Give, for each instance, the files (or user data) that it reads (or writes)."""
    path = instances.entry.path
    column = [directory.find(names, (*path, field)) for names in instances.names(field)]
    if instances.lists.get(regexes):
        matched = [directory.match(names, (*path, regexes)) for names in instances.names(regexes)]
        column = [_union(pair) for pair in zip(column, matched, strict=True)]
    if field in named:
        met = [directory.find(tuple(names), (*path, "command")) for names in named[field]]
        column = [_union(pair) for pair in zip(column, met, strict=True)]
    return column


def _parents(made: Plan, instances: Instances, jobs: Directory, writers: Sequence[_Writers]) -> None:
    """Put down what each instance depends on: by name, by regular expression, by what it reads.

    Never itself, unless it says so by name: that is a cycle.
    """
    path = instances.entry.path
    reads = (made.files["input"], made.data["input"])
    columns: tuple[Sequence[Names], Sequence[Names]] = (
        instances.names("depends_on"),
        instances.names("depends_on_regexes"),
    )
    for names, patterns in zip(*columns, strict=True):
        job = len(made.parents)
        found = jobs.find(names, (*path, "depends_on"))
        matched = jobs.match(patterns, (*path, "depends_on_regexes"), job) if patterns else ()
        implied = [
            writer
            for column, written in zip(reads, writers, strict=True)
            for item in column[job]
            for writer in written.get(item, ())
            if writer != job
        ]
        made.parents.append(_union((found, matched, implied)) if matched or implied else found)


def _writers(outputs: Sequence[Indexes]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for job, items in enumerate(outputs):
        for item in items:
            found.setdefault(item, []).append(job)
    return found


def _union(parts: Sequence[Sequence[int]]) -> Indexes:
    return tuple(dict.fromkeys(chain.from_iterable(parts)))
