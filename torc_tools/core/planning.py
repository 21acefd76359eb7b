"""From a spec, as plain data, to everything that the store is told: pure, and all problems at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torc_tools import units
from torc_tools.core import constants, expand, graph, linking, specfields
from torc_tools.core.expand import Instances, Sources
from torc_tools.core.parameters import Rows, filled
from torc_tools.core.plan import Plan
from torc_tools.core.problems import Problems
from torc_tools.core.references import Directory
from torc_tools.core.specfields import Entry

MAX_JOBS = 1_000_000  # unless --max-jobs says otherwise
MAX_EDGES = 20_000_000  # what a store can reasonably hold; a barrier job makes n + m of n x m

_KEPT = (  # what the workflow's config keeps as it stands in the spec
    "execution_config",
    "dynamic_jobs",
    "slurm_defaults",
    "project",
    "use_pending_failed",
    "compute_node_ignore_workflow_completion",
    "compute_node_wait_for_healthy_database_minutes",
    "compute_node_min_time_for_new_jobs_seconds",
    "jobs_sort_method",
    "enable_ro_crate",
)


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
    top = specfields.top(constants.put_in(spec, problems), problems)
    made = Plan()
    made.workflow = {key: top.get(key) for key in ("name", "user", "description")}
    made.workflow["config"] = _config(top, monitoring)
    sections = _Sections(made, top, problems, Sources(top, files or {}, max_jobs))
    directories = {
        "resource_requirements": sections.requirements(),
        "failure_handler": sections.handlers(),
        "scheduler": sections.schedulers(),
        "file": sections.files(),
        "user_data": sections.user_data(),
        "job": Directory("job", problems),
    }
    expanded = list(sections.expanded("jobs", directories["job"], linking.TEXTS, linking.LISTS))
    count = sum(instances.count for instances in expanded)
    if count > max_jobs:
        problems.add(("jobs",), f"the spec makes {count} jobs, more than the limit of {max_jobs}")
        return made
    linking.link(made, expanded, directories)
    _settle(made, expanded, problems)
    sections.actions(directories)
    return made


def _config(top: Mapping[str, Any], monitoring: bool) -> dict[str, Any]:
    config = {key: top[key] for key in _KEPT if key in top}
    monitor: dict[str, Any] = {"enabled": True, "granularity": "summary", "sample_interval_seconds": 10}
    monitor |= top.get("resource_monitor", {})
    if not monitoring:
        monitor["enabled"] = False
        for part in {"jobs", "compute_node"} & monitor.keys():
            monitor[part] = {**monitor[part], "enabled": False}
    config["resource_monitor"] = monitor
    config["compute_node_wait_for_new_jobs_seconds"] = top.get("compute_node_wait_for_new_jobs_seconds", 90)
    if "env" in top:
        config["env"] = constants.texts_of(top["env"])
    if "metadata" in top:
        given = top["metadata"]
        config["metadata"] = json.loads(given) if isinstance(given, str) else given
    return config


def _settle(made: Plan, expanded: Sequence[Instances], problems: Problems) -> None:
    """Put jobs into stages; report cycles, and more dependencies than a store can reasonably hold."""
    edges = sum(map(len, made.parents))
    if edges > MAX_EDGES:
        problems.add(
            ("jobs",), f"the spec makes {edges} dependencies, more than {MAX_EDGES}: put a barrier job between"
        )
        return
    made.stages = graph.stages(made.parents)
    for cycle in graph.cycles(made.parents, made.stages):
        shown = " -> ".join(made.names[job] for job in cycle)
        first, number = 0, cycle[0]
        while number >= expanded[first].count:
            number -= expanded[first].count
            first += 1
        problems.add(expanded[first].entry.path, f"jobs depend on each other in a circle: '{shown}'")


class _Sections:
    """The lists of a spec but its jobs, each put into the plan, its names into a directory."""

    def __init__(self, made: Plan, top: dict[str, Any], problems: Problems, sources: Sources) -> None:
        self.made = made
        self.top = top
        self.problems = problems
        self.sources = sources

    def requirements(self) -> Directory:
        directory, entries = self._named("resource_requirements", "resource requirements")
        for entry in entries:
            given = entry.fields
            made = {"name": given["name"], "num_cpus": given.get("num_cpus", 1), "num_gpus": given.get("num_gpus", 0)}
            made["num_nodes"] = given.get("num_nodes", 1)
            made["memory_bytes"] = units.parse_memory(given["memory"]) if "memory" in given else None
            made["runtime_s"] = units.parse_duration(given.get("runtime", "PT1H"))
            self.made.requirements.append(made)
        return directory

    def handlers(self) -> Directory:
        directory, entries = self._named("failure_handlers", "failure handler")
        for entry in entries:
            rules = specfields.rules(entry, self.problems)
            self.made.handlers.append({"name": entry.fields["name"], "rules": rules})
        return directory

    def schedulers(self) -> Directory:
        directory, entries = self._named("slurm_schedulers", "scheduler")
        defaults = {"nodes": 1, "walltime": "01:00:00"}
        self.made.schedulers = [defaults | entry.fields for entry in entries]
        return directory

    def files(self) -> Directory:
        directory = Directory("file", self.problems)
        for instances in self.expanded("files", directory, ("name", "path"), ()):
            directory.extend(instances.texts("name"), instances.entry.path)
            self.made.file_paths += instances.texts("path")
        self.made.file_names = directory.names
        return directory

    def user_data(self) -> Directory:
        directory = Directory("user data", self.problems)
        for entry, rows in self._rows("user_data", directory):
            name, data = entry.fields["name"], entry.fields.get("data")
            ephemeral = bool(entry.fields.get("is_ephemeral", False))
            each = [(name, data)] if rows is None else [(filled(name, row), filled(data, row)) for row in rows.each()]
            directory.extend([text for text, _ in each], entry.path)
            self.made.user_data += [(text, _compact(value), ephemeral) for text, value in each]
        return directory

    def expanded(
        self, section: str, directory: Directory, texts: Sequence[str], lists: Sequence[str]
    ) -> Iterator[Instances]:
        """Give the entries of a section, expanded."""
        for entry, rows in self._rows(section, directory):
            yield expand.expand(entry, texts, lists, rows, self.problems)

    def actions(self, directories: Mapping[str, Directory]) -> None:
        jobs = directories["job"]
        for entry in specfields.section(self.top, "actions", self.problems):
            config = dict(entry.fields)
            found = list(jobs.find(tuple(config.pop("jobs", ())), (*entry.path, "jobs")))
            patterns = tuple(config.pop("job_name_regexes", ()))
            found += jobs.match(patterns, (*entry.path, "job_name_regexes"))
            triggered = config["trigger_type"] in specfields.JOB_TRIGGERS
            if triggered and "jobs" not in entry.fields and not patterns:
                self.problems.add(entry.path, f"'{config['trigger_type']}' needs 'jobs' or 'job_name_regexes'")
            config |= {"persistent": config.get("persistent", False), "jobs": sorted(set(found)) if triggered else []}
            if config["action_type"] == "schedule_nodes":
                self._schedule_nodes(entry, config, directories["scheduler"])
            elif "commands" not in config:
                self.problems.add(entry.path, "'run_commands' needs 'commands'")
            self.made.actions.append(config)

    def _schedule_nodes(self, entry: Entry, config: dict[str, Any], schedulers: Directory) -> None:
        for key in ("scheduler", "scheduler_type"):
            if key not in config:
                self.problems.add(entry.path, f"'schedule_nodes' needs '{key}'")
        config.setdefault("num_allocations", 1)
        config.setdefault("start_one_worker_per_node", False)
        config["scheduler_index"] = None
        if config.get("scheduler_type") == "slurm" and "scheduler" in config:
            found = schedulers.find((config["scheduler"],), (*entry.path, "scheduler"))
            config["scheduler_index"] = found[0] if found else None

    def _named(self, section: str, kind: str) -> tuple[Directory, list[Entry]]:
        directory = Directory(kind, self.problems)
        entries = list(self._with_names(section))
        for entry in entries:
            directory.extend([entry.fields["name"]], entry.path)
        return directory, entries

    def _rows(self, section: str, directory: Directory) -> Iterator[tuple[Entry, Rows | None]]:
        """Give entries with the rows of their parameters; those whose parameters are wrong are left out."""
        for entry in self._with_names(section):
            before = len(self.problems)
            rows = expand.rows(entry, self.sources, self.problems)
            if len(self.problems) > before:
                directory.excuse(entry.fields["name"])
            else:
                yield entry, rows

    def _with_names(self, section: str) -> Iterator[Entry]:
        for entry in specfields.section(self.top, section, self.problems):
            if "name" in entry.fields:
                yield entry
            else:
                self.problems.note(entry.path, "is left out: it has no 'name', so nothing can refer to it")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
