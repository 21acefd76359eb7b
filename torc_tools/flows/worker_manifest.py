"""What a worker reads: one `workflow` record, perhaps none, and `job` records; and the settings it draws from them."""

import re
import signal
from typing import Any, NamedTuple

from torc_tools import exits, states
from torc_tools.core import margins, monitoring
from torc_tools.core.outcome import Codes
from torc_tools.exits import Failure
from torc_tools.records import Record, may, need
from torc_tools.shell.launch import STDIO_MODES

_DEFAULTS: Record = {
    "workflow_id": 0,
    "run_id": 1,
    "attempt_id": 1,
    "priority": 0,
    "num_cpus": 1,
    "num_gpus": 0,
    "num_nodes": 1,
    "waits_for": (),
    "output_files": (),
    "parent_failed": False,
    "cancel_on_blocking_job_failure": True,
    "config": {},
}
_OPTIONAL: Record = {
    **_DEFAULTS,
    **dict.fromkeys(
        (
            "status",
            "job_name",
            "memory_bytes",
            "runtime_s",
            "invocation_script",
            "failure_handler_id",
            "slurm_scheduler_id",
        )
    ),
}
_NATURAL = ("num_cpus", "num_gpus", "num_nodes", "memory_bytes", "runtime_s", "slurm_scheduler_id")
_TRIGGERS = frozenset(
    {
        "on_workflow_start",
        "on_workflow_complete",
        "on_worker_start",
        "on_worker_complete",
        "on_jobs_ready",
        "on_jobs_complete",
    }
)


class Manifest(NamedTuple):
    """The checked input of a worker. `workflow` is None for bare job lines."""

    workflow: Record | None
    jobs: list[Record]


class Policy(NamedTuple):
    """How jobs are bounded, stopped and watched; from execution_config and resource_monitor."""

    limit_memory: bool
    limit_runtime: bool
    lead_s: float
    headroom_s: float | None
    termination_signal: int
    codes: Codes
    script_timeout_s: float
    monitor: bool
    series: bool
    node: bool  # the machine is looked at, too
    node_series: bool
    interval_s: float
    use_pending_failed: bool
    stdio: Record
    stdio_of: Record  # by job name, where they differ
    wait_s: float
    min_time_s: float
    mode: str
    staggered: bool
    cpu_bind: bool
    mpi: str | None
    warning: tuple[int, float] | None  # srun_termination_signal: the signal, and how many seconds before the end


def check(record: Record) -> None:
    """Refuse a `job` or `workflow` record that a worker cannot use (65); others are let through."""
    if record["type"] == "job":
        _check_job(record)
    elif record["type"] == "workflow":
        for key, kind in (("workflow_id", int), ("run_id", int), ("token", str), ("output_dir", str)):
            need(record, key, kind)
        policy(record, ended_by_slurm=False)
        for key in ("submission_dir", "store"):
            may(record, key, str)
        may(record, "spawns_known", int)
        for key in ("failure_handlers", "event_offsets"):
            may(record, key, dict)
        _check_items(record, "actions", dict)
        for action in record.get("actions") or ():
            if action.get("trigger_type") not in _TRIGGERS:
                raise Failure(exits.DATA, f"workflow: unknown trigger_type '{action.get('trigger_type')}'")
            need(action, "action_id", int)
            _check_items(action, "job_ids", int)
            _check_items(action, "commands", str)


def manifest(records: list[Record]) -> Manifest:
    """Sort checked records into a manifest; give every job the fields that a hand-written line may leave out."""
    workflows = [record for record in records if record["type"] == "workflow"]
    if len(workflows) > 1:
        raise Failure(exits.DATA, "more than one workflow record: a worker works for one workflow")
    jobs = [_filled(record) for record in records if record["type"] == "job"]
    if len({job["job_id"] for job in jobs}) < len(jobs):
        raise Failure(exits.DATA, "a job_id occurs twice")
    return Manifest(workflows[0] if workflows else None, jobs)


def added(jobs: list[Record]) -> list[Record]:
    """Check the lines of jobs that were spawned, and fill them as those of a manifest. Raises Failure(65)."""
    for job in jobs:
        _check_job(job)
    return [_filled(job) for job in jobs]


def policy(workflow: Record | None, *, ended_by_slurm: bool) -> Policy:
    """Draw the settings from a workflow record; `ended_by_slurm`: something else bounds the jobs' time.

    Raises Failure(65) for values of the wrong kind.
    """
    config = (may(workflow, "config", dict) if workflow else None) or {}
    execution = may(config, "execution_config", dict) or {}
    monitor = may(config, "resource_monitor", dict) or {}
    jobs, node = monitoring.scopes(monitor, {key: may(monitor, key, dict) for key in ("jobs", "compute_node")})
    limits = execution.get("limit_resources") is not False
    runtime = execution.get("limit_runtime")
    return Policy(
        limit_memory=limits,
        limit_runtime=limits and (runtime is True or (runtime in (None, "auto") and not ended_by_slurm)),
        lead_s=_number(execution, "sigterm_lead_seconds", margins.LEAD_S),
        headroom_s=_number(execution, "sigkill_headroom_seconds", None),
        termination_signal=_signal(execution.get("termination_signal") or "SIGTERM"),
        codes=Codes(
            oom=_number(execution, "oom_exit_code", Codes().oom),
            timeout=_number(execution, "timeout_exit_code", Codes().timeout),
        ),
        script_timeout_s=_number(execution, "recovery_script_timeout_seconds", 600),
        monitor=jobs.enabled,
        series=jobs.series,
        node=node.enabled,
        node_series=node.series,
        interval_s=max(0.1, _number(monitor, "sample_interval_seconds", 10)),
        use_pending_failed=bool(config.get("use_pending_failed")),
        stdio=_stdio(may(execution, "stdio", dict)),
        stdio_of={name: _stdio(found) for name, found in (may(execution, "job_stdio_overrides", dict) or {}).items()},
        wait_s=_number(config, "compute_node_wait_for_new_jobs_seconds", 90),
        min_time_s=_number(config, "compute_node_min_time_for_new_jobs_seconds", 0),
        mode=may(execution, "mode", str) or "auto",
        staggered=execution.get("staggered_start") is not False,
        cpu_bind=bool(execution.get("enable_cpu_bind")),
        mpi=may(execution, "srun_mpi", str),
        warning=_warning(may(execution, "srun_termination_signal", str)),
    )


def _check_job(job: Record) -> None:
    need(job, "job_id", int)
    need(job, "command", str)
    for key in ("workflow_id", "run_id", "attempt_id", "priority", *_NATURAL):
        value = may(job, key, int)
        if value is not None and value < 0 and key != "priority":
            raise Failure(exits.DATA, f"job: '{key}' is {value}, below 0")
    if may(job, "status", str) not in (None, *states.NAMES):
        raise Failure(exits.DATA, f"job: unknown status '{job['status']}'")
    for key in ("job_name", "invocation_script"):
        may(job, key, str)
    _check_items(job, "waits_for", int)
    _check_items(job, "output_files", str)
    config = may(job, "config", dict) or {}
    may(config, "env", dict)
    _stdio(may(config, "stdio", dict))


def _check_items(record: Record, key: str, kind: type) -> None:
    """Check a list, if there is one, and what it holds."""
    for place, item in enumerate(may(record, key, list) or ()):
        if type(item) is not kind:
            need({"type": record.get("type", "action"), f"{key}[{place}]": item}, f"{key}[{place}]", kind)


def _filled(job: Record) -> Record:
    filled = {**_OPTIONAL, **job}
    for key, value in _DEFAULTS.items():
        if filled[key] is None:
            filled[key] = value
    if filled["status"] is None:
        filled["status"] = "blocked" if filled["waits_for"] else "ready"
    if filled["job_name"] is None:
        filled["job_name"] = f"job_{filled['job_id']}"
    return filled


def _stdio(stdio: Record | None) -> Record:
    mode = (stdio or {}).get("mode")
    if mode is not None and mode not in STDIO_MODES:
        raise Failure(exits.DATA, f"unknown stdio mode '{mode}' (one of {', '.join(STDIO_MODES)})")
    return {key: value for key, value in (stdio or {}).items() if value is not None}


def _number(config: Record, key: str, default: Any) -> Any:
    value = may(config, key, (int, float))
    return default if value is None else value


def _warning(text: str | None) -> tuple[int, float] | None:
    """Read 'TERM@120' as srun does; 60 seconds where the time is left out."""
    if not text:
        return None
    name, _, seconds = text.removeprefix("R:").removeprefix("B:").partition("@")
    if seconds and not seconds.isdigit():
        raise Failure(exits.DATA, f"'{text}' in srun_termination_signal is not like TERM@120")
    return _signal(name), float(seconds or 60)


def _signal(name: Any) -> int:
    text = str(name).upper()
    if text.isdigit() and 0 < int(text) < 65:
        return int(text)
    match = re.fullmatch(r"(?:SIG)?([A-Z0-9+]+)", text)
    number = getattr(signal, f"SIG{match[1]}", None) if match else None
    if not isinstance(number, signal.Signals):
        raise Failure(exits.DATA, f"unknown signal '{name}' in execution_config")
    return int(number)
