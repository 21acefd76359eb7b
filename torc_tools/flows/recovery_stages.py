"""What a recovery is asked for, and the commands that it is made of: each stage the words of another command."""

from collections.abc import Sequence
from typing import NamedTuple

from torc_tools import units
from torc_tools.shell import pipeline


class Request(NamedTuple):
    """What the options ask for; factors in thousandths, sizes in bytes, times in seconds."""

    workflow_id: int
    store: str  # its path
    store_options: Sequence[str] = ()  # as the stages are told of it
    memory_milli: int = 1500
    runtime_milli: int = 1500
    max_memory: int | None = None
    max_runtime: int | None = None
    retry_unknown: bool = False
    hook: str | None = None
    hook_json: str | None = None
    rules: Sequence[str] = ()  # files
    hook_timeout_s: int = 3600
    run_options: Sequence[str] = ()  # of torc-run
    plan_options: Sequence[str] = ()  # of torc-regenerate
    partition: str | None = None  # that they name, and the walltime
    walltime_s: int | None = None
    engine: str = "local"  # or "slurm": what the workflow goes on with
    dry_run: bool = False


def sync(request: Request) -> list[str]:
    """Give the stage that cleans up orphans."""
    dry = ["--dry-run"] if request.dry_run else []
    return ["torc-sync", *request.store_options, *dry, str(request.workflow_id)]


def plan(request: Request, answers: str | None = None) -> list[list[str]]:
    """Give the stages that plan: their output is the adjustments. A hook implies that unknown causes are retried.

    `answers` is a file of what a hook that was asked has answered.
    """
    return _planning(request, ["--answers", answers] if answers is not None else [])


def unknown(request: Request) -> list[list[str]]:
    """Give the stages that write the diagnosis of what has no known cause: what a hook is asked."""
    return _planning(request, ["--unknown"])


def _planning(request: Request, more: list[str]) -> list[list[str]]:
    policy = ["--memory-multiplier", units.format_factor(request.memory_milli)]
    policy += ["--runtime-multiplier", units.format_factor(request.runtime_milli)]
    if request.max_memory is not None:
        policy += ["--max-memory", units.format_memory(request.max_memory)]
    if request.max_runtime is not None:
        policy += ["--max-runtime", units.format_duration(request.max_runtime)]
    if request.retry_unknown or request.hook:
        policy += ["--retry-unknown"]
    dry = ["--read-only"] if request.dry_run else []
    rules = [f"--rules={file}" for file in request.rules]
    diagnose = ["torc-diagnose", *request.store_options, *rules, *dry, str(request.workflow_id)]
    return [diagnose, ["torc-heuristics", *policy, *more]]


def try_out(request: Request) -> list[str]:
    """Give the stage that says whether a plan could be applied, and changes nothing."""
    return ["torc-apply", *request.store_options, "--dry-run"]


def change(request: Request) -> list[list[str]]:
    """Give the stages that change: adjustments in, `applied` and `reset` records out.

    A preview resets beside allocations that are over: that torc-sync found it is not in the store.
    """
    dry = ["--dry-run"] if request.dry_run else []
    force = ["--force"] if request.dry_run and request.engine == "slurm" else []
    apply = ["torc-apply", *request.store_options, *dry]
    return [apply, ["torc-reset", *request.store_options, *dry, *force]]


def go_on(request: Request) -> list[list[str]]:
    """Give the stages that make the workflow go on: one that ran here runs here again."""
    if request.engine == "slurm":
        plan = ["torc-regenerate", *request.store_options, *request.plan_options, str(request.workflow_id)]
        return [plan, ["torc-submit", *request.store_options]]
    return [["torc-run", *request.store_options, *request.run_options, str(request.workflow_id)]]


def preview(request: Request) -> list[str]:
    """Give the stage that plans for what torc-apply and torc-reset only tried."""
    return ["torc-regenerate", *request.store_options, *request.plan_options, "--dry-run"]


def printed(request: Request, *, restart: bool) -> str:
    """Write the whole recovery as a line for a shell."""
    steps = [pipeline.text(sync(request))]
    if request.hook and not request.dry_run:
        steps.append(f"TORC_WORKFLOW_ID={request.workflow_id} {request.hook} {request.workflow_id}")
    answers = f"answers-{request.workflow_id}.jsonl" if request.hook_json and not request.dry_run else None
    if answers:
        asked = f"TORC_WORKFLOW_ID={request.workflow_id} {request.hook_json} {request.workflow_id} > {answers}"
        steps.append(f"{pipeline.text(*unknown(request))} | {asked}")
    tried = [preview(request)] if restart and request.dry_run and request.engine == "slurm" else []
    steps.append(pipeline.text(*plan(request, answers), *change(request), *tried))
    if restart and not request.dry_run:
        steps.append(pipeline.text(*go_on(request)))
    return " && ".join(steps)
