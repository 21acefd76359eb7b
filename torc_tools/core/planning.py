"""From a spec, as plain data, to everything that the store is told: pure, and all problems at once."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from torc_tools import units
from torc_tools.core import expand, graph, specfields
from torc_tools.core.expand import Instances, Names, Sources
from torc_tools.core.parameters import filled
from torc_tools.core.problems import Path, Problems, nearest
from torc_tools.core.references import Directory, Indexes, has_variables, variables
from torc_tools.core.specfields import Entry

MAX_JOBS = 1_000_000  # unless --max-jobs says otherwise
MAX_EDGES = 20_000_000  # what a store can reasonably hold; a barrier job makes n + m of n x m

_REFERENCES = ("resource_requirements", "failure_handler", "scheduler")
_TEXTS = ("name", "command", "invocation_script", *_REFERENCES)
_LISTS = (
    "depends_on",
    "depends_on_regexes",
    *(
        f"{way}_{what}"
        for way in ("input", "output")
        for what in ("files", "file_regexes", "user_data", "user_data_regexes")
    ),
)
_KEPT = (  # what the workflow's config keeps as it stands in the spec
    "env",
    "execution_config",
    "slurm_defaults",
    "project",
    "use_pending_failed",
    "compute_node_ignore_workflow_completion",
    "compute_node_wait_for_healthy_database_minutes",
    "compute_node_min_time_for_new_jobs_seconds",
    "jobs_sort_method",
    "enable_ro_crate",
)


class Plan:
    """An expanded and checked workflow. Lists run parallel; references are indexes into the list of their kind."""

    def __init__(self) -> None:
        """Start empty."""
        self.workflow: dict[str, Any] = {}  # name, user, description, config
        self.requirements: list[dict[str, Any]] = []
        self.handlers: list[dict[str, Any]] = []
        self.schedulers: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []  # with "jobs": indexes
        self.file_names: list[str] = []
        self.file_paths: list[str] = []
        self.user_data: list[tuple[str, str | None, bool]] = []  # name, data as JSON, is_ephemeral
        self.names: list[str] = []
        self.commands: list[str] = []
        self.scripts: list[str | None] = []
        self.requirement: list[int | None] = []
        self.handler: list[int | None] = []
        self.scheduler: list[int | None] = []
        self.settings: list[tuple[int, bool, dict[str, Any]]] = []  # priority, cancels on failure, config; shared
        self.parents: list[Indexes] = []
        self.files: dict[str, list[Indexes]] = {"input": [], "output": []}
        self.data: dict[str, list[Indexes]] = {"input": [], "output": []}
        self.stages: list[int] = []


def plan(
    spec: Any,
    problems: Problems,
    files: Mapping[str, str] | None = None,
    *,
    max_jobs: int = MAX_JOBS,
    monitoring: bool = True,
) -> Plan:
    """Expand and check a spec. `files` are the texts of the files that its parameters name.

    What is wrong goes to `problems`; the plan may be stored only where there are none.
    """
    return _Planner(spec, problems, files or {}, max_jobs, monitoring).made


class _Planner:
    def __init__(
        self, spec: Any, problems: Problems, files: Mapping[str, str], max_jobs: int, monitoring: bool
    ) -> None:
        self.made = Plan()
        self.problems = problems
        self.top = specfields.top(_with_variables(spec, problems), problems)
        self.sources = Sources(self.top, files, max_jobs)
        self.entries: list[Entry] = []  # one for each job
        self.jobs = Directory("job", problems)
        self.files = Directory("file", problems)
        self.data = Directory("user data", problems)
        self._workflow(monitoring)
        self.kinds = {
            "resource_requirements": self._requirements(),
            "failure_handler": self._handlers(),
            "scheduler": self._schedulers(),
        }
        self._files()
        self._user_data()
        self._jobs(max_jobs)
        self._actions()

    def _workflow(self, monitoring: bool) -> None:
        top = self.top
        monitor = {"enabled": True, "granularity": "summary", "sample_interval_seconds": 10}
        monitor |= top.get("resource_monitor", {})
        config = {key: top[key] for key in _KEPT if key in top}
        config["resource_monitor"] = monitor if monitoring else monitor | {"enabled": False}
        config["compute_node_wait_for_new_jobs_seconds"] = top.get("compute_node_wait_for_new_jobs_seconds", 90)
        if "env" in config:
            config["env"] = {name: _env_text(value) for name, value in config["env"].items()}
        if "metadata" in top:
            given = top["metadata"]
            config["metadata"] = json.loads(given) if isinstance(given, str) else given
        self.made.workflow = {key: top.get(key) for key in ("name", "user", "description")} | {"config": config}

    def _requirements(self) -> Directory:
        found = self._directory("resource_requirements", "resource requirements")
        for entry in found[1]:
            given = entry.fields
            self.made.requirements.append(
                {
                    "name": given["name"],
                    "num_cpus": given["num_cpus"],
                    "num_gpus": given.get("num_gpus", 0),
                    "num_nodes": given.get("num_nodes", 1),
                    "memory_bytes": units.parse_memory(given["memory"]),
                    "runtime_s": units.parse_duration(given.get("runtime", "PT1H")),
                }
            )
        return found[0]

    def _handlers(self) -> Directory:
        directory, entries = self._directory("failure_handlers", "failure handler")
        for entry in entries:
            rules = specfields.rules(entry, self.problems)
            self.made.handlers.append({"name": entry.fields["name"], "rules": rules})
        return directory

    def _schedulers(self) -> Directory:
        directory, entries = self._directory("slurm_schedulers", "scheduler")
        defaults = {"nodes": 1, "walltime": "01:00:00"}
        self.made.schedulers = [defaults | entry.fields for entry in entries]
        return directory

    def _directory(self, section: str, kind: str) -> tuple[Directory, list[Entry]]:
        directory = Directory(kind, self.problems)
        entries = []
        for entry in specfields.section(self.top, section, self.problems):
            if "name" in entry.fields:
                directory.extend([entry.fields["name"]], entry.path)
                entries.append(entry)
            else:
                self.problems.note(entry.path, "is left out: it has no 'name', so nothing can refer to it")
        return directory, entries

    def _expanded(self, section: str, texts: Sequence[str], lists: Sequence[str]) -> Iterator[Instances]:
        for entry in specfields.section(self.top, section, self.problems):
            if "name" in entry.fields:
                before = len(self.problems)
                rows = expand.rows(entry, self.sources, self.problems)
                if len(self.problems) == before:
                    yield expand.expand(entry, texts, lists, rows, self.problems)
            else:
                self.problems.note(entry.path, "is left out: it has no 'name', so nothing can refer to it")

    def _files(self) -> None:
        for instances in self._expanded("files", ("name", "path"), ()):
            self.files.extend([str(name) for name in instances.scalar("name")], instances.entry.path)
            self.made.file_paths += [str(path) for path in instances.scalar("path")]
        self.made.file_names = self.files.names

    def _user_data(self) -> None:
        for entry in specfields.section(self.top, "user_data", self.problems):
            if "name" not in entry.fields:
                self.problems.note(entry.path, "is left out: it has no 'name', so nothing can refer to it")
                continue
            before = len(self.problems)
            rows = expand.rows(entry, self.sources, self.problems)
            if len(self.problems) > before:
                continue
            name, data = entry.fields["name"], entry.fields.get("data")
            ephemeral = bool(entry.fields.get("is_ephemeral", False))
            each = [(name, data)] if rows is None else [(filled(name, row), filled(data, row)) for row in rows.each()]
            self.data.extend([text for text, _ in each], entry.path)
            self.made.user_data += [(text, _compact(value), ephemeral) for text, value in each]

    def _jobs(self, max_jobs: int) -> None:
        expanded = list(self._expanded("jobs", _TEXTS, _LISTS))
        count = sum(instances.count for instances in expanded)
        if count > max_jobs:
            self.problems.add(("jobs",), f"the spec makes {count} jobs, more than the limit of {max_jobs}")
            return
        for instances in expanded:
            self._add_jobs(instances)
        self._connect(expanded)
        self._settle()

    def _add_jobs(self, instances: Instances) -> None:
        made, entry = self.made, instances.entry
        self.jobs.extend([str(name) for name in instances.scalar("name")], entry.path)
        self.entries += [entry] * instances.count
        made.commands += [str(command) for command in instances.scalar("command")]
        made.scripts += instances.scalar("invocation_script")
        lists = (made.requirement, made.handler, made.scheduler)
        for field, column in zip(_REFERENCES, lists, strict=True):
            column += self._found(instances, field)
        made.settings += _settings(instances)
        made.names = self.jobs.names

    def _found(self, instances: Instances, field: str) -> list[int | None]:
        """Resolve the one name that a field holds, once for each different name."""
        directory = self.kinds[field]
        index: dict[str | None, int | None] = {None: None}
        column = instances.scalar(field)
        for name in dict.fromkeys(column):
            if name is not None:
                hits = directory.find((name,), (*instances.entry.path, field))
                index[name] = hits[0] if hits else None
        return [index[name] for name in column]

    def _connect(self, expanded: list[Instances]) -> None:
        """Resolve what jobs read and write, then what they depend on; what a command names is joined to its lists."""
        start = 0
        for instances in expanded:
            named = self._variables(instances, start)
            for way in ("input", "output"):
                self.made.files[way] += self._references(instances, self.files, way, "file", named)
                self.made.data[way] += self._references(instances, self.data, way, "user_data", named)
            start += instances.count
        writers = [_writers(self.made.files["output"]), _writers(self.made.data["output"])]
        start = 0
        for instances in expanded:
            self._parents(instances, start, writers)
            start += instances.count

    def _references(
        self, instances: Instances, directory: Directory, way: str, what: str, named: dict[str, list[Names]]
    ) -> list[Indexes]:
        field = f"{way}_files" if what == "file" else f"{way}_user_data"
        regexes = f"{way}_{what}_regexes"
        path = instances.entry.path
        column = [directory.find(names, (*path, field)) for names in instances.names(field)]
        if instances.lists.get(regexes):
            matched = [directory.match(names, (*path, regexes)) for names in instances.names(regexes)]
            column = [_union(pair) for pair in zip(column, matched, strict=True)]
        if field in named:
            met = [directory.find(names, (*path, "command")) for names in named[field]]
            column = [_union(pair) for pair in zip(column, met, strict=True)]
        return column

    def _variables(self, instances: Instances, start: int) -> dict[str, list[Names]]:
        """Fill ${files...} and ${user_data...} in commands and scripts; give the names met, by the field they join."""
        fields = [
            (field, texts)
            for field, texts in (("command", self.made.commands), ("invocation_script", self.made.scripts))
            if has_variables(instances.entry.fields.get(field))
        ]
        named: dict[str, list[list[str]]] = {}
        for _, texts in fields:
            for number in range(instances.count):
                text, met = variables(str(texts[start + number]), self._known())
                texts[start + number] = text  # type: ignore[index]
                for (kind, way), names in met.items():
                    named.setdefault(f"{way}_{kind}", [[] for _ in range(instances.count)])[number].extend(names)
        return {field: [tuple(names) for names in column] for field, column in named.items()}

    def _known(self) -> dict[str, Callable[[str], str | None]]:
        def path(name: str) -> str | None:
            return self.made.file_paths[self.files.index[name]] if name in self.files.index else None

        def data(name: str) -> str | None:
            return self.made.user_data[self.data.index[name]][1] if name in self.data.index else None

        return {"files": path, "user_data": data}

    def _parents(self, instances: Instances, start: int, writers: list[dict[int, list[int]]]) -> None:
        path = instances.entry.path
        named = instances.names("depends_on")
        patterns = instances.names("depends_on_regexes")
        reads = (self.made.files["input"], self.made.data["input"])
        for number in range(instances.count):
            job = start + number
            found = self.jobs.find(named[number], (*path, "depends_on"))
            matched = self.jobs.match(patterns[number], (*path, "depends_on_regexes"), job) if patterns[number] else ()
            implied = [
                writer
                for column, known in zip(reads, writers, strict=True)
                for item in column[job]
                for writer in known.get(item, ())
                if writer != job
            ]
            if matched or implied:
                found = _union((found, matched, implied))
            self.made.parents.append(found)

    def _settle(self) -> None:
        """Put jobs into stages; report cycles, and more dependencies than a store can reasonably hold."""
        edges = sum(map(len, self.made.parents))
        if edges > MAX_EDGES:
            self.problems.add(
                ("jobs",), f"the spec makes {edges} dependencies, more than {MAX_EDGES}: put a barrier job between"
            )
            return
        self.made.stages = graph.stages(self.made.parents)
        for cycle in graph.cycles(self.made.parents, self.made.stages):
            shown = " -> ".join(self.made.names[job] for job in cycle)
            self.problems.add(self.entries[cycle[0]].path, f"jobs depend on each other in a circle: '{shown}'")

    def _actions(self) -> None:
        for entry in specfields.section(self.top, "actions", self.problems):
            config = dict(entry.fields)
            jobs = list(self.jobs.find(tuple(config.pop("jobs", ())), (*entry.path, "jobs")))
            patterns = tuple(config.pop("job_name_regexes", ()))
            jobs += self.jobs.match(patterns, (*entry.path, "job_name_regexes"))
            triggered = config["trigger_type"] in specfields.JOB_TRIGGERS
            if triggered and "jobs" not in entry.fields and not patterns:
                self.problems.add(entry.path, f"'{config['trigger_type']}' needs 'jobs' or 'job_name_regexes'")
            config |= {"persistent": config.get("persistent", False), "jobs": sorted(set(jobs)) if triggered else []}
            self._action(entry, config)
            self.made.actions.append(config)

    def _action(self, entry: Entry, config: dict[str, Any]) -> None:
        given = entry.fields
        if given["action_type"] == "run_commands":
            if "commands" not in given:
                self.problems.add(entry.path, "'run_commands' needs 'commands'")
            return
        for key in ("scheduler", "scheduler_type"):
            if key not in given:
                self.problems.add(entry.path, f"'schedule_nodes' needs '{key}'")
        config["num_allocations"] = given.get("num_allocations", 1)
        config["start_one_worker_per_node"] = given.get("start_one_worker_per_node", False)
        config["scheduler_index"] = None
        if given.get("scheduler_type") == "slurm" and "scheduler" in given:
            found = self.kinds["scheduler"].find((given["scheduler"],), (*entry.path, "scheduler"))
            config["scheduler_index"] = found[0] if found else None


def _with_variables(spec: Any, problems: Problems) -> Any:
    """Give a spec with its `variables` put in everywhere else."""
    constants = spec.get("variables") if isinstance(spec, dict) else None
    if not constants or not isinstance(constants, dict):
        return spec
    texts = {name: _env_text(value) for name, value in constants.items()}
    for path, name in _parameter_names(spec):
        if name in texts:
            problems.add(path, f"'{name}' is a parameter and a variable")
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


def _env_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _settings(instances: Instances) -> list[tuple[int, bool, dict[str, Any]]]:
    """Give priority, cancel flag and config of each instance: one shared object unless env has parameters."""
    given = instances.entry.fields
    config: dict[str, Any] = {}
    if "env" in given:
        config["env"] = {name: _env_text(value) for name, value in given["env"].items()}
    for key in ("stdio", "supports_termination", "labels"):
        if given.get(key):
            config[key] = given[key]
    priority, cancels = given.get("priority", 0), given.get("cancel_on_blocking_job_failure", True)
    columns = {key[4:]: column for key, column in instances.scalars.items() if key.startswith("env.")}
    if not columns:
        return [(priority, cancels, config)] * instances.count
    return [
        (priority, cancels, config | {"env": config["env"] | {name: column[row] for name, column in columns.items()}})
        for row in range(instances.count)
    ]


def _writers(outputs: list[Indexes]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for job, items in enumerate(outputs):
        for item in items:
            found.setdefault(item, []).append(job)
    return found


def _union(parts: Sequence[Sequence[int]]) -> Indexes:
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
