"""The table of `torc`: every word of torc 0.21 and 1.0 that we have a command for, and what it is here. Data only."""

from collections.abc import Mapping

from torc_tools.core.front import Flag, Row

_IDLE, _IDLE_BARE = Flag(None), Flag(None, takes=False)
_BAD = "failed,terminated,canceled,pending_failed"
_OVER = f"--status=completed,{_BAD}"
_GROUPS = {"resource-requirements": "requirements"}
_NO_CHECKS = {"--skip-checks": _IDLE_BARE}
_AI = {"--ai-recovery": _IDLE_BARE, "--ai-agent": _IDLE}
_NO_PROMPTS = {"--no-prompts": _IDLE_BARE}
_POLL = {"-p": _IDLE, "--poll-interval": _IDLE}
_NO_FOLDER = {"-o": _IDLE, "--output-dir": _IDLE}


def _to(option: str, *names: str) -> dict[str, Flag]:
    return dict.fromkeys(names, Flag(option))


def _bare(option: str | None, *names: str) -> dict[str, Flag]:
    return dict.fromkeys(names, Flag(option, takes=False))


def _joined(option: str, *names: str) -> dict[str, Flag]:
    return dict.fromkeys(names, Flag(option, joined=True))


def _group_by(value: str) -> str:
    return _GROUPS.get(value, value)


def _order(**ours: str) -> dict[str, Flag]:
    """Give torc's options for the order of a list; its keys are ours but for these."""
    return {
        "--sort-by": Flag("--sort-by", write=lambda key: ours.get(key, key)),
        **_bare("--reverse", "--reverse-sort"),
    }


def _gigabytes(value: str) -> str:
    return f"{value}g"


_PLAN: Mapping[str, Flag] = {
    **_to("--account", "-a"),
    **_to("--profile", "--hpc-profile"),
    "--group-by": Flag("--group-by", write=_group_by),
}
_RUN: Mapping[str, Flag] = {"--memory-gb": Flag("--memory", write=_gigabytes), **_NO_CHECKS, **_POLL}
_SUBMIT: Mapping[str, Flag] = {**_NO_CHECKS, **_POLL, **_PLAN, "--overwrite": _IDLE_BARE}
_JOB_IDS = _joined("--job-ids", "-j", "--job-id", "--job-ids")
_TIES: Mapping[str, Flag] = _bare("--relationships", "--include-relationships")
_JOBS: Mapping[str, Flag] = {
    **_to("--upstream-of", "--upstream-job-id"),
    **_TIES,
    **_order(id="job_id", name="job_name"),
}
_RESULTS: Mapping[str, Flag] = {
    **_order(id="result_id"),
    **_JOB_IDS,
    **_to("--run-id", "-r"),
    **_bare("--logs", "--include-logs"),
    **_NO_FOLDER,
}
_CREATE: Mapping[str, Flag] = {**_NO_CHECKS, **_bare("--check", "--dry-run")}
_DELETE: Mapping[str, Flag] = {**_NO_PROMPTS, **_bare("--force", "--force")}
_RESET_JOBS: Mapping[str, Flag] = {
    **_to("--workflow-id", "-w", "--workflow-id"),
    **_to("--status", "-s", "--status"),
    **_to("--return-code", "--return-code"),
    **_bare(None, "--reinit", "-r", "--reinitialize"),
    **_NO_PROMPTS,
}
_RESET_WORKFLOW: Mapping[str, Flag] = {
    **_bare(f"--status={_BAD}", "--failed-only"),
    **_bare(None, "-r", "--reinitialize", "--reinit"),
    **_NO_PROMPTS,
}
_NAME: Mapping[str, Flag] = _to("--name", "-n")
_REGENERATE: Mapping[str, Flag] = {**_PLAN, **_NO_FOLDER, **_POLL}

ROWS = (
    # the whole street
    Row("recover", "recover", flags={**_AI, **_NO_PROMPTS}, shape="recovery", formats=False, speaks=True),
    Row("watch", "watch", flags={**_AI, "--persistent": _IDLE_BARE}, formats=False, speaks=True),
    # workflows
    Row("create", "create", flags=_CREATE, shape="created"),
    Row("run", "run", flags=_RUN, shape="status"),
    Row("submit", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("submit-slurm", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("exec", "run", flags={**_RUN, "--generate-plots": _IDLE_BARE}, shape="status"),
    Row("cancel", "cancel", shape="canceled", also=("allocations",)),
    Row("delete", "workflows", ("--delete",), flags=_DELETE, shape="deleted"),
    Row("status", "status", shape="status"),
    Row("workflows create", "create", flags=_CREATE, shape="created"),
    Row("workflows run", "run", flags=_RUN, shape="status"),
    Row("workflows submit", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("workflows create-slurm", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("workflows list", "workflows", flags=_order(id="workflow_id"), shape="workflows"),
    Row("workflows get", "workflows", shape="workflow"),
    Row("workflows status", "status", shape="status"),
    Row("workflows is-complete", "status", shape="is_complete"),
    Row("workflows cancel", "cancel", shape="canceled", also=("allocations",)),
    Row("workflows delete", "workflows", ("--delete",), flags=_DELETE, shape="deleted"),
    Row(
        "workflows reset-status",
        "reset",
        (_OVER,),
        operand="--workflow-id",
        flags=_RESET_WORKFLOW,
        shape="reset_status",
    ),
    Row("workflows reinitialize", "reset", ("--stale",), operand="--workflow-id", flags=_NO_PROMPTS, shape="reinit"),
    Row("workflows reinit", "reset", ("--stale",), operand="--workflow-id", flags=_NO_PROMPTS, shape="reinit"),
    Row("reinit", "reset", ("--stale",), operand="--workflow-id", flags=_NO_PROMPTS, shape="reinit"),
    Row("workflows execution-plan", "plan", shape="plan"),
    Row("workflows sync-status", "sync", shape="sync"),
    Row("workflows correct-resources", "correct"),
    Row("workflows check-resources", "report"),
    Row("workflows diagnose", "status", shape="status"),
    # jobs and what they ask for
    Row("jobs list", "jobs", flags=_JOBS, shape="jobs"),
    Row("jobs get", "jobs", operand="--job-ids", shape="job"),
    Row("jobs logs", "jobs", ("--logs",), formats=False),
    Row("jobs running", "jobs", ("--status=running",), shape="jobs"),
    Row("jobs update", "jobs", ("set",), shape="job"),
    Row("jobs reset-status", "reset", operand="--job-ids", flags=_RESET_JOBS, shape="reset_jobs"),
    Row("resource-requirements list", "requirements", ("list",), shape="requirements"),
    Row("resource-requirements get", "requirements", ("get",), shape="requirement"),
    Row("resource-requirements create", "requirements", ("create",), flags=_NAME, shape="requirement"),
    Row("resource-requirements update", "requirements", ("update",), flags=_NAME, shape="requirement"),
    # results
    Row("results list", "results", flags=_RESULTS, shape="results"),
    Row("results get", "results", operand="--result-ids", shape="result"),
    Row("reports check-resource-utilization", "report"),
    Row("reports results", "results", ("--logs",), flags=_RESULTS, shape="report_results", also=("workflows",)),
    Row("reports summary", "status", shape="summary", also=("results", "workflows")),
    Row("plot-resources", "plot", own_format=True, formats=False),
    # Slurm
    Row("slurm regenerate", "regenerate", flags=_REGENERATE, shape="regenerated", then=("--submit", "submit")),
    Row("slurm stats", "stats", shape="stats"),
    Row("slurm sacct", "allocations", ("--sacct",), flags={**_NO_FOLDER, "--save-json": _IDLE_BARE}, shape="sacct"),
    Row("slurm usage", "allocations", ("--usage",), shape="usage"),
    Row("slurm parse-logs", "logs", ("analyze",), flags=_to("--workflow-id", "-w"), shape="log_issues"),
    Row("scheduled-compute-nodes list", "allocations", shape="allocations"),
    Row("hpc detect", "hpc", ("detect",), shape="profile"),
    Row("hpc list", "hpc", ("list",), shape="profiles"),
    Row("hpc show", "hpc", ("show",), shape="shown"),
    Row("hpc partitions", "hpc", ("partitions",), shape="partitions"),
    Row("hpc match", "hpc", ("match",), shape="match"),
    # the rest
    Row("logs analyze", "logs", ("analyze",), flags=_to("--workflow-id", "-w"), shape="log_issues"),
    Row("logs bundle", "logs", ("bundle",), flags={**_NO_FOLDER, **_to("--into", "--bundle-dir")}, shape="bundled"),
    Row("completions", "completions", formats=False),
)
