"""The keys of a spec, section by section, and what each may hold; everything else in a spec is a problem.

The fields are those of torc 0.21's specs, and of torc 1.0's where it has more (env, priority, labels, variables,
parameters_file). A key whose value is null counts as absent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools.core import specignored
from torc_tools.core import speckinds as kind
from torc_tools.core.problems import Path, Problems, nearest
from torc_tools.core.speckinds import Kind

Fields = Mapping[str, Kind]

_PARAMETERS: Fields = {
    "parameters": kind.mapping,
    "parameter_mode": kind.any_text,
    "use_parameters": kind.texts,
    "parameters_file": kind.text,
    "use_parameters_file": kind.flag,
}
STDIO: Fields = {
    "mode": kind.one_of("separate", "combined", "no_stdout", "no_stderr", "none"),
    "delete_on_success": kind.flag,
}
JOB: Fields = {
    "name": kind.text,
    "command": kind.text,
    "invocation_script": kind.any_text,
    "cancel_on_blocking_job_failure": kind.flag,
    "supports_termination": kind.flag,
    "resource_requirements": kind.text,
    "failure_handler": kind.text,
    "depends_on": kind.texts,
    "depends_on_regexes": kind.texts,
    "input_files": kind.texts,
    "output_files": kind.texts,
    "input_file_regexes": kind.texts,
    "output_file_regexes": kind.texts,
    "input_user_data": kind.texts,
    "output_user_data": kind.texts,
    "input_user_data_regexes": kind.texts,
    "output_user_data_regexes": kind.texts,
    "scheduler": kind.text,
    "priority": kind.integer(0),
    "env": kind.environment,
    "labels": kind.texts,
    "stdio": kind.mapping,
    **_PARAMETERS,
}
FILE: Fields = {
    "name": kind.text,
    "path": kind.text,
    "identifier": kind.text,
    "st_mtime": kind.seconds,
    **_PARAMETERS,
}
USER_DATA: Fields = {"name": kind.text, "data": kind.json_value, "is_ephemeral": kind.flag, **_PARAMETERS}
REQUIREMENTS: Fields = {
    "name": kind.text,
    "num_cpus": kind.integer(1, 1_000_000),
    "num_gpus": kind.integer(0, 1_000_000),
    "num_nodes": kind.integer(1, 1_000_000),
    "memory": kind.memory,
    "runtime": kind.duration,
}
HANDLER: Fields = {"name": kind.text, "rules": lambda value: None if isinstance(value, list) else "expected a list"}
RULE: Fields = {
    "exit_codes": kind.codes,
    "match_all_exit_codes": kind.flag,
    "recovery_script": kind.text,
    "max_retries": kind.integer(0, 1_000_000),
}
SCHEDULER: Fields = {
    "name": kind.text,
    "account": kind.text,
    "gres": kind.text,
    "mem": kind.scalar,
    "nodes": kind.integer(1, 1_000_000),
    "ntasks_per_node": kind.integer(1, 1_000_000),
    "partition": kind.text,
    "qos": kind.text,
    "tmp": kind.scalar,
    "walltime": kind.walltime,
    "extra": kind.any_text,
    "serialize_allocations": kind.flag,
}
JOB_TRIGGERS = ("on_jobs_ready", "on_jobs_complete")
TRIGGERS = ("on_workflow_start", "on_workflow_complete", *JOB_TRIGGERS, "on_worker_start", "on_worker_complete")
ACTION: Fields = {
    "trigger_type": kind.one_of(*TRIGGERS),
    "action_type": kind.one_of("run_commands", "schedule_nodes"),
    "jobs": kind.texts,
    "job_name_regexes": kind.texts,
    "commands": kind.some_texts,
    "scheduler": kind.text,
    "scheduler_type": kind.text,
    "num_allocations": kind.integer(1, 1_000_000),
    "start_one_worker_per_node": kind.flag,
    "max_parallel_jobs": kind.integer(1, 1_000_000),
    "persistent": kind.flag,
}
EXECUTION: Fields = {
    "mode": kind.one_of("direct", "slurm", "auto"),
    "limit_resources": kind.flag,
    "limit_runtime": kind.flag_or("auto"),
    "termination_signal": kind.signal_name,
    "sigterm_lead_seconds": kind.integer(0, 10**6),
    "sigkill_headroom_seconds": kind.integer(0, 10**6),
    "recovery_script_timeout_seconds": kind.integer(1, 10**6),
    "timeout_exit_code": kind.integer(1, 255),
    "oom_exit_code": kind.integer(1, 255),
    "staggered_start": kind.flag,
    "srun_termination_signal": kind.timed_signal,
    "enable_cpu_bind": kind.flag,
    "srun_mpi": kind.text,
    "stdio": kind.mapping,
    "job_stdio_overrides": kind.mapping,
}
_SCOPE: Fields = {"enabled": kind.flag, "granularity": kind.one_of("summary", "time_series")}
MONITOR: Fields = {  # others are ignored, as torc does, but said: metrics
    **_SCOPE,
    "sample_interval_seconds": kind.seconds,
    "flush_interval_seconds": kind.seconds,
    "generate_plots": kind.flag,
    "jobs": kind.mapping,
    "compute_node": kind.mapping,
}
_DYNAMIC: Fields = {"max_iterations": kind.integer(1)}
_LIST: Kind = lambda value: None if isinstance(value, list) else "expected a list"  # noqa: E731
TOP: Fields = {
    "name": kind.text,
    "user": kind.text,
    "description": kind.any_text,
    "variables": kind.scalars,
    "parameters": kind.mapping,
    "parameters_file": kind.text,
    "env": kind.environment,
    "compute_node_expiration_buffer_seconds": kind.integer(0),
    "compute_node_wait_for_new_jobs_seconds": kind.integer(0),
    "compute_node_ignore_workflow_completion": kind.flag,
    "compute_node_wait_for_healthy_database_minutes": kind.integer(0),
    "compute_node_min_time_for_new_jobs_seconds": kind.integer(0),
    "jobs_sort_method": kind.one_of("gpus_runtime_memory", "gpus_memory_runtime", "none"),
    "jobs": _LIST,
    "files": _LIST,
    "user_data": _LIST,
    "resource_requirements": _LIST,
    "failure_handlers": _LIST,
    "slurm_schedulers": _LIST,
    "slurm_defaults": kind.mapping,
    "resource_monitor": kind.mapping,
    "execution_config": kind.mapping,
    "dynamic_jobs": kind.mapping,
    "actions": _LIST,
    "use_pending_failed": kind.flag,
    "enable_ro_crate": kind.flag,
    "project": kind.text,
    "metadata": kind.json_map,
    "access_groups": kind.texts,
}
_HINTS = {
    "slurm_config": " (torc's 'slurm_config' became 'slurm_schedulers', with 'scheduler' in the jobs)",
    "memory": " (it belongs to an entry of 'resource_requirements')",
    "runtime": " (it belongs to an entry of 'resource_requirements')",
    "num_cpus": " (it belongs to an entry of 'resource_requirements')",
}
_REFUSED_DEFAULTS = ("partition", "nodes", "walltime", "time", "mem", "gres", "name", "job-name")


class Entry(NamedTuple):
    """One entry of a section: where it stands, and its fields without those that are null or wrong."""

    path: Path
    fields: dict[str, Any]


def top(spec: Any, problems: Problems) -> dict[str, Any]:
    """Check the keys of a whole spec and of its maps; give those that are right, the sections unread."""
    if not isinstance(spec, dict):
        problems.add((), "expected a map with 'name' and 'jobs'")
        return {}
    found = checked(spec, TOP, (), problems, required=("name", "jobs"))
    _execution(found, problems)
    _monitor(found, problems)
    _slurm_defaults(found, problems)
    if "dynamic_jobs" in found:
        found["dynamic_jobs"] = checked(found["dynamic_jobs"], _DYNAMIC, ("dynamic_jobs",), problems)
    specignored.say(found, (), problems)
    return found


def section(spec: dict[str, Any], name: str, problems: Problems) -> list[Entry]:
    """Check one list of a spec; give its entries that something can be said about further: those that have `needed`."""
    fields, required, needed = _SECTIONS[name]
    entries = []
    for number, entry in enumerate(spec.get(name, ())):
        path = (name, number)
        if not isinstance(entry, dict):
            problems.add(path, f"expected a map, found '{str(entry)[:60]}'")
            continue
        found = checked(entry, fields, path, problems, required)
        if "stdio" in found:
            found["stdio"] = checked(found["stdio"], STDIO, (*path, "stdio"), problems)
        specignored.say(found, path, problems)
        if all(key in found for key in needed):
            entries.append(Entry(path, found))
    return entries


def checked(  # noqa: PLR0913
    found: dict[Any, Any],
    fields: Fields,
    path: Path,
    problems: Problems,
    required: Sequence[str] = (),
    *,
    strict: bool = True,
) -> dict[str, Any]:
    """Check one map: unknown keys (unless not strict), missing keys, wrong values. Give what is right."""
    kept: dict[str, Any] = {}
    for key, value in found.items():
        known = fields.get(key)
        if known is None:
            if strict:
                hint = _HINTS.get(key) or nearest(str(key), fields)
                problems.add((*path, str(key)), f"unknown key '{key}'{hint}")
            else:
                problems.note((*path, str(key)), f"'{key}' is ignored{nearest(str(key), fields)}")
                if not kind.json_value(value):
                    kept[str(key)] = value
        elif value is not None:
            if fault := known(value):
                problems.add((*path, key), fault)
            else:
                kept[key] = value
    for key in required:
        if found.get(key) is None:
            problems.add(path, f"missing key '{key}'")
    return kept


def rules(handler: Entry, problems: Problems) -> list[dict[str, Any]]:
    """Check the rules of a failure handler, and fill in torc's defaults."""
    made = []
    for number, rule in enumerate(handler.fields.get("rules", ())):
        path = (*handler.path, "rules", number)
        if not isinstance(rule, dict):
            problems.add(path, "expected a map")
            continue
        found = checked(rule, RULE, path, problems)
        if not found.get("exit_codes") and not found.get("match_all_exit_codes"):
            problems.add(path, "a rule needs 'exit_codes' or 'match_all_exit_codes: true'")
        made.append(
            {"exit_codes": [], "match_all_exit_codes": False, "recovery_script": None, "max_retries": 3} | found
        )
    return made


def _execution(found: dict[str, Any], problems: Problems) -> None:
    if "execution_config" not in found:
        return
    path: Path = ("execution_config",)
    config = checked(found["execution_config"], EXECUTION, path, problems)
    if "stdio" in config:
        config["stdio"] = checked(config["stdio"], STDIO, (*path, "stdio"), problems)
    for name, stdio in config.get("job_stdio_overrides", {}).items():
        checked(stdio if isinstance(stdio, dict) else {}, STDIO, (*path, "job_stdio_overrides", name), problems)
    if config.get("mode") == "direct":
        for key in ("srun_termination_signal", "enable_cpu_bind"):
            if config.get(key):
                problems.add((*path, key), f"'{key}' has no meaning with mode 'direct'")
    if config.get("mode") == "slurm":
        for number, action in enumerate(found.get("actions", ())):
            if isinstance(action, dict) and action.get("start_one_worker_per_node"):
                place = ("actions", number, "start_one_worker_per_node")
                problems.add(place, "one worker for each node starts its jobs directly: write mode 'direct' or 'auto'")
    specignored.say(config, path, problems)
    found["execution_config"] = config


def _monitor(found: dict[str, Any], problems: Problems) -> None:
    if "resource_monitor" not in found:
        return
    path: Path = ("resource_monitor",)
    monitor = checked(found["resource_monitor"], MONITOR, path, problems, strict=False)
    for key in ("jobs", "compute_node"):
        if key in monitor:
            monitor[key] = checked(monitor[key], _SCOPE, (*path, key), problems, strict=False)
    jobs = monitor.get("jobs", {"enabled": False})
    if monitor.get("enabled") is False and jobs.get("enabled") is not False:
        problems.note((*path, "enabled"), "'enabled' is ignored: 'jobs' says what is to be done")
    specignored.say(monitor, path, problems)
    found["resource_monitor"] = monitor


def _slurm_defaults(found: dict[str, Any], problems: Problems) -> None:
    kept = {}
    for key, value in found.get("slurm_defaults", {}).items():
        path: Path = ("slurm_defaults", str(key))
        if str(key).lower() in _REFUSED_DEFAULTS:
            problems.add(path, f"'{key}' cannot be a default: it belongs to an entry of 'slurm_schedulers'")
        elif kind.scalar(value):
            problems.note(path, f"'{key}' is ignored: it is neither a string, a number, true nor false")
        else:
            kept[str(key)] = value
    if "slurm_defaults" in found:
        found["slurm_defaults"] = kept


_NAME = ("name",)
_SECTIONS: dict[str, tuple[Fields, Sequence[str], Sequence[str]]] = {  # fields, required, needed to go on
    "jobs": (JOB, ("name", "command"), _NAME),
    "files": (FILE, ("name", "path"), _NAME),
    "user_data": (USER_DATA, (), ()),
    "resource_requirements": (REQUIREMENTS, ("name", "num_cpus", "memory"), _NAME),
    "failure_handlers": (HANDLER, ("name", "rules"), _NAME),
    "slurm_schedulers": (SCHEDULER, ("account",), ()),
    "actions": (ACTION, ("trigger_type", "action_type"), ("trigger_type", "action_type")),
}
