"""What a job spawned: the lines it left, checked against the workflow as it stands, as the jobs that they add.

A line holds the fields of a job in a spec. All of a batch is taken or nothing. A name that was spawned before with the
same fields adds nothing, so an attempt may spawn again what a former one did; with other fields it is refused.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools.core import constants, expand, graph, linking, references, specfields
from torc_tools.core.expand import Sources
from torc_tools.core.plan import Plan
from torc_tools.core.planning import MAX_JOBS
from torc_tools.core.problems import Path, Problems, shown
from torc_tools.core.references import Compiler, Directory
from torc_tools.core.specfields import Entry

MAX_ITERATIONS = 1000  # unless dynamic_jobs says otherwise: how deep jobs may spawn jobs that spawn jobs
_SHOWN = 20  # problems told
_ELSEWHERE = ("use_parameters", "parameters_file", "use_parameters_file")  # of the spec, which is not kept
_PARAMETERS = ("parameters", "parameter_mode")


class Known(NamedTuple):
    """The workflow as it stands: names in order of their ids, so that an index stands for a thing."""

    jobs: Sequence[str]
    digests: Mapping[str, str]  # of jobs that were spawned, by name
    requirements: Sequence[str]
    handlers: Sequence[str]
    schedulers: Sequence[str]
    files: Sequence[tuple[str, str]]  # name, path
    user_data: Sequence[tuple[str, str | None]]
    outputs: Mapping[str, Sequence[tuple[int, int]]]  # 'files' and 'data': (job, item) for what a job writes


class Batch(NamedTuple):
    """What a batch comes to. `plan` holds the known jobs first, as stubs; those that are new stand from `first` on."""

    plan: Plan
    first: int
    digests: list[str]  # of the new ones
    problems: list[str]


def batch(text: bytes, known: Known, compiled: Compiler = references.compiled) -> Batch:
    """Check the lines of an attempt against what is `known`; with problems, the plan may not be stored.

    `compiled` reads the regular expressions.
    """
    problems = Problems()
    lines, numbers = _lines(text, problems)
    each_job = (each for entry in _entries(lines, problems) for each in _each(entry, problems))
    entries = list(itertools.islice(each_job, MAX_JOBS + 1))
    new, digests = _new(entries, known, problems)
    made = _stubs(known)
    _link(made, new, known, problems, compiled)
    problems.sort(key=lambda problem: problem.path[1:2])
    told = [_told(path, words, numbers) for path, words in problems]
    return Batch(made, len(known.jobs), digests, told[:_SHOWN])


def too_deep(generation: int, config: Mapping[str, Any]) -> str | None:
    """Say why no job of this generation may be spawned (those that a spec declares are generation 0), or None."""
    given = (config.get("dynamic_jobs") or {}).get("max_iterations")
    most = MAX_ITERATIONS if given is None else given
    if generation <= most:
        return None
    return f"iteration {generation} is more than dynamic_jobs.max_iterations of {most}"


def _lines(text: bytes, problems: Problems) -> tuple[list[Any], list[int]]:
    """Read the lines; give them and the number of each in the file. The last one needs no newline."""
    lines: list[Any] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        if len(lines) == MAX_JOBS:
            problems.add((), f"more than {MAX_JOBS} lines")
            return [], []
        try:
            found = json.loads(line, parse_constant=_no_number)
            if b"\\u" in line:
                json.dumps(found, ensure_ascii=False).encode()  # half a character fits no store, and no answer
            lines.append(found)
        except (ValueError, RecursionError):
            problems.add(("jobs", len(lines)), "is not JSON, or cut short")
            lines.append({})
        numbers.append(number)
    return lines, numbers


def _no_number(word: str) -> None:
    raise ValueError(word)


def _entries(lines: list[Any], problems: Problems) -> Iterator[Entry]:
    """Give the lines that are jobs, checked field by field as in a spec."""
    before = {problem.path[:2] for problem in problems}
    jobs = []
    for number, line in enumerate(lines):
        if isinstance(line, dict) and line.get("type", "job") != "job":
            problems.add(("jobs", number), f"is of type '{str(line['type'])[:60]}': only jobs are spawned")
        jobs.append({key: line[key] for key in line if key != "type"} if isinstance(line, dict) else line)
    bad = before | {problem.path[:2] for problem in problems}
    checked = Problems()
    entries = specfields.section({"jobs": jobs}, "jobs", checked)
    for problem in checked:
        if problem.path[:2] not in bad:
            problems.add(*problem)
    for entry in entries:
        for key in _ELSEWHERE:
            if key in entry.fields:
                problems.add((*entry.path, key), "is for specs: a spawned job has its own 'parameters'")
        if "command" in entry.fields:
            yield entry


def _each(entry: Entry, problems: Problems) -> Iterator[Entry]:
    """Give the jobs that a line makes: one, or one for each row of its parameters."""
    rows = expand.rows(entry, Sources({}, {}, MAX_JOBS), problems)
    made = expand.expand(entry, linking.TEXTS, linking.LISTS, rows, problems)
    texts = {field: made.scalar(field) for field in (*linking.TEXTS, *made.scalars)}
    lists = {field: made.names(field) for field in linking.LISTS}
    kept = {key: value for key, value in entry.fields.items() if key not in (*_PARAMETERS, *texts, *lists, "env")}
    env = constants.texts_of(entry.fields.get("env", {}))
    for row in range(made.count):
        fields: dict[str, Any] = dict(kept)
        fields |= {key: column[row] for key, column in texts.items() if column[row] is not None and key[:4] != "env."}
        fields |= {key: list(column[row]) for key, column in lists.items() if column[row]}
        if env:
            fields["env"] = env | {key[4:]: str(texts[key][row]) for key in texts if key[:4] == "env."}
        yield Entry(entry.path, fields)


def _new(entries: Sequence[Entry], known: Known, problems: Problems) -> tuple[list[Entry], list[str]]:
    """Leave out what was spawned before as it is; give the rest, with the digests."""
    there = set(known.jobs)
    new: dict[str, Entry] = {}
    digests: dict[str, str] = {}
    for entry in entries:
        name, digest = entry.fields["name"], _digest(entry.fields)
        if name in there and name not in known.digests:
            problems.add((*entry.path, "name"), f"job '{name}' is there already, and was not spawned")
        elif known.digests.get(name, digest) != digest:
            problems.add((*entry.path, "name"), f"job '{name}' was spawned before with other fields")
        elif digests.setdefault(name, digest) != digest:
            problems.add((*entry.path, "name"), f"job '{name}' is there twice, with different fields")
        elif name not in there:
            new.setdefault(name, entry)
    return list(new.values()), [digests[name] for name in new]


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]


def _stubs(known: Known) -> Plan:
    """Make a plan that holds what is known, as far as new jobs may refer to it."""
    made, count = Plan(), len(known.jobs)
    made.file_names, made.file_paths = [name for name, _ in known.files], [path for _, path in known.files]
    made.user_data = [(name, data, False) for name, data in known.user_data]
    made.commands, made.scripts = [""] * count, [None] * count
    made.requirement, made.handler, made.scheduler = [None] * count, [None] * count, [None] * count
    made.settings, made.parents = [(0, True, {})] * count, [()] * count
    for column, what in ((made.files, "files"), (made.data, "data")):
        column["input"], column["output"] = [()] * count, [()] * count
        for job, item in known.outputs[what]:
            column["output"][job] = (*column["output"][job], item)
    return made


def _link(made: Plan, entries: Sequence[Entry], known: Known, problems: Problems, compiled: Compiler) -> None:
    """Put the new jobs behind the stubs, and resolve what they refer to."""
    names = {
        "job": known.jobs,
        "resource_requirements": known.requirements,
        "failure_handler": known.handlers,
        "scheduler": known.schedulers,
        "file": made.file_names,
        "user_data": [name for name, _ in known.user_data],
    }
    kinds = {"resource_requirements": "resource requirements", "failure_handler": "failure handler"}
    directories = {key: Directory(kinds.get(key, key.replace("_", " ")), problems, compiled) for key in names}
    for key, directory in directories.items():
        directory.names.extend(names[key])
        directory.index.update((name, number) for number, name in reversed(list(enumerate(names[key]))))
    if problems:
        directories["job"].excuse("{any}")  # what a line that is wrong would have been named
    if len(known.jobs) + len(entries) > MAX_JOBS:
        problems.add((), f"the workflow would have more than {MAX_JOBS} jobs")
        return
    linking.link(
        made,
        [expand.expand(entry, linking.TEXTS, linking.LISTS, None, problems) for entry in entries],
        directories,
        len(known.jobs),
    )
    for cycle in graph.cycles(made.parents, graph.stages(made.parents)):
        circle = " -> ".join(made.names[job] for job in cycle)
        problems.add(entries[cycle[0] - len(known.jobs)].path, f"jobs depend on each other in a circle: '{circle}'")


def _told(path: Path, words: str, numbers: Sequence[int]) -> str:
    if len(path) < 2:
        return words
    place = f"line {numbers[int(path[1])]}"
    return f"{place}: {shown(path[2:])}: {words}" if path[2:] else f"{place}: {words}"
