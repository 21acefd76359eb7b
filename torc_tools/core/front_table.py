"""The table of `torc`: every word of torc 0.21 and 1.0 that we have a command for, and what it is here. Data only."""

from collections.abc import Mapping

from torc_tools.core import front_refused as refused
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


def _same(*names: str) -> dict[str, Flag]:
    """Give options that take a value and are spelled alike, so that the value is not taken for a workflow."""
    return {name: Flag(name) for name in names}


def _group_by(value: str) -> str:
    return _GROUPS.get(value, value)


def _order(**ours: str) -> dict[str, Flag]:
    """Give torc's options for the order of a list; its keys are ours but for these."""
    return {
        "--sort-by": Flag("--sort-by", write=lambda key: ours.get(key, key)),
        **_bare("--reverse", "--reverse-sort"),
        **_same("--offset"),
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
_SUBMIT_AGAIN: Mapping[str, Flag] = {**_SUBMIT, **_bare("--ignore-missing-data", "--force")}
_REPORT: Mapping[str, Flag] = _same("-r", "--run-id", "--min-over-utilization")
_CORRECT: Mapping[str, Flag] = _same("--cpu-multiplier", "-j", "--job-ids")
_JOBS_OF: Mapping[str, Flag] = {**_joined("--job-ids", "-j", "--job-id", "--job-ids")}
_JOB_IDS = _joined("--job-ids", "-j", "--job-id", "--job-ids")
_TIES: Mapping[str, Flag] = _bare("--relationships", "--include-relationships")
_JOBS: Mapping[str, Flag] = {
    **_to("--downstream-of", "--upstream-job-id"),
    **_same("-s", "--status", "-j", "--job-ids"),
    **_joined("--exclude", "-x", "--exclude"),
    **_TIES,
    **_order(id="job_id", name="job_name"),
}
_RESULTS: Mapping[str, Flag] = {
    **_order(id="result_id"),
    **_JOB_IDS,
    **_to("--run-id", "-r"),
    **_bare("--logs", "--include-logs"),
    **_same("-s", "--status", "--return-code"),
    **_NO_FOLDER,
}
_STATS: Mapping[str, Flag] = {**_order(), **_same("-j", "--job-id", "--run-id", "--attempt-id")}
_WORKFLOWS: Mapping[str, Flag] = {
    **_order(id="workflow_id", timestamp="created_at"),
    **_bare(None, "--all-users", "--include-archived"),
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
    Row("submit", "run", ("--slurm",), flags=_SUBMIT, shape="status", refused=refused.ACTIONS),
    Row("submit-slurm", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("exec", "run", flags={**_RUN, "--generate-plots": _IDLE_BARE}, shape="status"),
    Row("cancel", "cancel", shape="canceled", also=("allocations",), chooses="ask"),
    Row("delete", "workflows", ("--delete",), flags=_DELETE, shape="deleted", chooses="ask", asks="Delete"),
    Row("status", "status", shape="status", chooses="one"),
    Row("workflows create", "create", flags=_CREATE, shape="created"),
    Row("workflows run", "run", flags=_RUN, shape="status"),
    Row("workflows submit", "run", ("--slurm",), flags=_SUBMIT_AGAIN, shape="status"),
    Row("workflows create-slurm", "run", ("--slurm",), flags=_SUBMIT, shape="status"),
    Row("workflows list", "workflows", flags=_WORKFLOWS, shape="workflows", refused=refused.LIST),
    Row("workflows get", "workflows", shape="workflow", chooses="one", refused=refused.USER),
    Row("workflows status", "status", shape="status", chooses="one", refused=refused.USER),
    Row("workflows is-complete", "status", shape="is_complete", chooses="one"),
    Row("workflows cancel", "cancel", shape="canceled", also=("allocations",), chooses="ask"),
    Row("workflows delete", "workflows", ("--delete",), flags=_DELETE, shape="deleted", chooses="ask", asks="Delete"),
    Row(
        "workflows reset-status",
        "reset",
        (_OVER,),
        operand="--workflow-id",
        flags=_RESET_WORKFLOW,
        shape="reset_status",
        chooses="ask",
    ),
    *(
        Row(words, "reset", ("--stale",), {**_NO_PROMPTS}, "--workflow-id", "reinit", chooses="ask")
        for words in ("workflows reinitialize", "workflows reinit", "reinit")
    ),
    Row("workflows execution-plan", "plan", shape="plan", chooses="one"),
    Row("workflows sync-status", "sync", shape="sync", chooses="one"),
    Row("workflows correct-resources", "correct", flags=_CORRECT, chooses="one"),
    Row("workflows check-resources", "report", flags=_REPORT, chooses="one"),
    Row("workflows diagnose", "status", shape="status", chooses="one"),
    # jobs and what they ask for
    Row("jobs list", "jobs", flags=_JOBS, shape="jobs", chooses="one"),
    Row("jobs list-resource-requirements", "jobs", flags=_JOBS_OF, shape="jobs", chooses="one"),
    Row("jobs get", "jobs", operand="--job-ids", shape="job"),
    Row("jobs logs", "jobs", ("--logs",), formats=False),
    Row("jobs running", "jobs", ("--status=running",), flags=_order(), shape="jobs", chooses="one"),
    Row("jobs update", "jobs", ("set",), flags={**_to("--name", "-n"), **_to("--command", "-c")}, shape="job"),
    Row("jobs reset-status", "reset", operand="--job-ids", flags=_RESET_JOBS, shape="reset_jobs"),
    Row(
        "resource-requirements list",
        "requirements",
        ("list",),
        flags=_order(id="resource_requirements_id"),
        shape="requirements",
        chooses="one",
    ),
    Row("resource-requirements get", "requirements", ("get",), shape="requirement"),
    Row("resource-requirements create", "requirements", ("create",), flags=_NAME, shape="requirement"),
    Row("resource-requirements update", "requirements", ("update",), flags=_NAME, shape="requirement"),
    # results
    Row("results list", "results", flags=_RESULTS, shape="results", chooses="one", refused=refused.COMPUTE_NODE),
    Row("results get", "results", operand="--result-ids", shape="result"),
    Row("reports check-resource-utilization", "report", flags=_REPORT, chooses="one"),
    Row(
        "reports results",
        "results",
        ("--logs",),
        flags=_RESULTS,
        shape="report_results",
        also=("workflows",),
        chooses="one",
    ),
    Row("reports summary", "status", shape="summary", also=("results", "workflows"), chooses="one"),
    Row("plot-resources", "plot", own_format=True, formats=False),
    # Slurm
    Row("slurm regenerate", "regenerate", flags=_REGENERATE, shape="regenerated", then=("--submit", "submit")),
    Row("slurm stats", "stats", flags=_STATS, shape="stats", chooses="one"),
    Row("slurm sacct", "allocations", ("--sacct",), flags=_order(), shape="sacct", chooses="one"),
    Row("slurm usage", "allocations", ("--usage",), shape="usage", chooses="one"),
    Row(
        "slurm parse-logs",
        "logs",
        ("analyze",),
        flags={**_NO_FOLDER, **_to("--workflow-id", "-w")},
        shape="log_issues",
        chooses="one",
    ),
    Row(
        "scheduled-compute-nodes list",
        "allocations",
        flags=_order(id="allocation_id"),
        shape="allocations",
        chooses="one",
    ),
    Row("hpc detect", "hpc", ("detect",), shape="profile"),
    Row("hpc list", "hpc", ("list",), shape="profiles"),
    Row("hpc show", "hpc", ("show",), shape="shown"),
    Row("hpc partitions", "hpc", ("partitions",), shape="partitions"),
    Row("hpc match", "hpc", ("match",), shape="match"),
    # the rest
    Row("logs analyze", "logs", ("analyze",), flags=_to("--workflow-id", "-w"), shape="log_issues", chooses="one"),
    Row("logs bundle", "logs", ("bundle",), flags={**_NO_FOLDER, **_to("--into", "--bundle-dir")}, shape="bundled"),
    Row("completions", "completions", formats=False),
)
