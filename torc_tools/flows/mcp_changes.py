"""The tools of torc-mcp that change a workflow: each is the commands that a person would type."""

import contextlib
import os
import threading
from collections.abc import Iterator

from torc_tools import exits
from torc_tools.core import mcp_answers
from torc_tools.exits import Failure
from torc_tools.flows import recovery_stages, recovery_steps
from torc_tools.flows.mcp_asking import Asked, given
from torc_tools.flows.recovery_stages import Request
from torc_tools.records import Record
from torc_tools.shell import layout, lease, pipeline, stoppable
from torc_tools.shell.stoppable import Ran

SOON_S = 2.0  # a torc-run that cannot run says so within this time; a short workflow is over by then
_RESET = ": the jobs are reset and wait"
_SIZES = ("memory", "runtime", "num_cpus", "num_gpus", "num_nodes")
_SLURM = ("account", "partition")
_one_at_a_time = threading.Lock()  # the lease keeps other processes out


def update(asked: Asked) -> Record:
    """Set what jobs ask for."""
    if (asked.get("job_id") is None) == (asked.get("job_ids") is None):
        raise Failure(exits.USAGE, "name either job_id or job_ids")
    if all(asked.get(name) is None for name in _SIZES):
        raise Failure(exits.USAGE, f"nothing to set: give one of {', '.join(_SIZES)}")
    job_ids = asked.get("job_ids") or [asked.get("job_id")]
    sizes = given(asked, *_SIZES)
    return {"jobs": asked.listed("torc-jobs", "set", *asked.store_options, *sizes, *sorted(set(job_ids)))}


def recover(asked: Asked) -> Record:
    """Recover once; a workflow that runs on this machine goes on in a process of its own."""
    dry_run = asked.get("dry_run", True)
    request = _request(asked, dry_run=dry_run)
    words = ["torc-recover", *asked.store_options, *(["--dry-run"] if dry_run else [])]
    words += given(asked, "memory_multiplier", "runtime_multiplier", "max_memory", "max_runtime")
    words += given(asked, *_SLURM, "walltime", "max_parallel_jobs")
    words += ["--retry-unknown"] if asked.get("retry_unknown") else []
    here = request.engine != "slurm" and not dry_run
    with _alone() if not dry_run else contextlib.nullcontext():
        ran = asked.run(*words, *(["--no-run"] if here else []), asked.workflow_id, also=(exits.EMPTY,))
        if ran.status == exits.EMPTY and ran.said and ran.said[-1].startswith("torc-recover: "):
            raise Failure(ran.status, mcp_answers.last_words("torc-recover", ran.said))
        started = _start(request) if here and not ran.status else None
    found = pipeline.records(ran.stdout)
    adjustments = {"adjustments": mcp_answers.of(found, "applied", "adjustment")}
    return {"exit_status": ran.status, **_done(asked, found, adjustments, started, dry_run=dry_run)}


def resubmit(asked: Asked) -> Record:
    """Reset failed jobs and let the workflow go on: new allocations, or a torc-run of its own on this machine."""
    dry_run = asked.get("dry_run", False)
    request = _request(asked, dry_run=dry_run)
    if dry_run:
        lease.check(asked.store, asked.workflow_id)
        return _done(asked, _tried(asked, request), {}, None, dry_run=True)
    with _alone(), lease.take(asked.store, asked.workflow_id, "torc-mcp"):
        asked.run(*recovery_stages.sync(request))
        found = pipeline.records(_reset(asked, request).stdout)
        if request.engine == "slurm":
            found += _submitted(asked, request)
    started = None if request.engine == "slurm" else _start(request)  # without the lease, which it may need
    return _done(asked, found, {}, started, dry_run=False)


def _tried(asked: Asked, request: Request) -> list[Record]:
    """Give what a resubmission would do, as far as what is not done lets it be known."""
    summary = asked.run(*recovery_stages.sync(request)).stdout
    resets = _reset(asked, request).stdout
    if request.engine != "slurm":
        return pipeline.records(resets)
    plan = recovery_stages.preview(request)
    if not pipeline.records(resets):
        return pipeline.records(asked.run(*plan, asked.workflow_id).stdout)
    lines = [*recovery_steps.unframed(summary), *recovery_steps.unframed(resets)]
    planned = asked.run(*plan, data=recovery_steps.framed(asked.workflow_id, lines)).stdout
    return pipeline.records(resets) + mcp_answers.of(pipeline.records(planned), "allocation")


def _reset(asked: Asked, request: Request) -> Ran:
    """Reset what was named, or all that failed; that some jobs were refused is among the messages."""
    words = ["torc-reset", *asked.store_options, f"--workflow-id={asked.workflow_id}"]
    words += given(asked, "job_ids") or ["--failed"]
    if request.dry_run:  # beside allocations that are over: that torc-sync found it is not in the store
        words += ["--dry-run", *(["--force"] if request.engine == "slurm" else [])]
    ran = asked.run(*words, also=(exits.DATA,))
    if ran.status and not pipeline.records(ran.stdout):
        raise Failure(ran.status, mcp_answers.last_words("torc-reset", ran.said))
    return ran


def _submitted(asked: Asked, request: Request) -> list[Record]:
    plan, submit = recovery_stages.go_on(request)
    try:
        planned = asked.run(*plan)
        sent = asked.run(*submit, data=planned.stdout)
    except Failure as failure:
        raise Failure(failure.status, f"{failure.message}{_RESET}") from None
    return pipeline.records(planned.stdout) + pipeline.records(sent.stdout)


def _start(request: Request) -> Record | None:
    """Start torc-run, where a job waits for it, so that it outlives us. Raises Failure where it fails at once."""
    seen = recovery_steps.look(request)
    if not seen.counts["ready"]:
        return None
    (stage,) = recovery_stages.go_on(request)
    log = layout.watch_log(str(seen.workflow["output_dir"]), request.workflow_id)
    before = os.stat(log).st_size if os.path.exists(log) else 0
    process = stoppable.start(stage, log)
    status = stoppable.soon_over(process, SOON_S)
    if status not in (None, exits.OK, exits.EMPTY):
        words = stoppable.last_line(log, before) or f"torc-run: failed, and said nothing in '{log}'"
        raise Failure(status or exits.SOFTWARE, f"{words}{_RESET}")
    return {"command": pipeline.text(stage), "pid": process.pid, "log": log, "exit_status": status}


def _request(asked: Asked, *, dry_run: bool) -> Request:
    """Give what a recovery would be asked for. Raises Failure(66), and Failure(2) for Slurm's options without it."""
    request = Request(asked.workflow_id, asked.store, asked.store_options, dry_run=dry_run)
    engine = recovery_steps.look(request).engine
    for name in _SLURM:
        if engine != "slurm" and asked.get(name) is not None:
            raise Failure(exits.USAGE, f"{name} is for Slurm allocations, and workflow {asked.workflow_id} runs here")
    limit, walltime = given(asked, "max_parallel_jobs"), asked.get("walltime")
    return request._replace(
        engine=engine,
        run_options=[*limit, *([f"--time-limit={walltime}"] if walltime else [])],
        plan_options=[*limit, *given(asked, *_SLURM, "walltime")],
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one call at a time change workflows. Raises Failure(75)."""
    if not _one_at_a_time.acquire(blocking=False):
        raise Failure(exits.TEMPORARY, "another call changes a workflow now")
    try:
        yield
    finally:
        _one_at_a_time.release()


def _done(
    asked: Asked, found: list[Record], also: dict[str, list[Record]], started: Record | None, *, dry_run: bool
) -> Record:
    """Make the answer: the records by kind, cut to the limit, and what was said and run."""
    kinds = {f"{kind}s": mcp_answers.of(found, kind) for kind in ("reset", "allocation", "submission")}
    shown, truncated = mcp_answers.cut({**also, **kinds}, asked.get("limit", 100))
    return {
        "workflow_id": asked.workflow_id,
        "dry_run": dry_run,
        "counts": {key: len(each) for key, each in {**also, **kinds}.items()},
        **shown,
        "started": started,
        "messages": asked.said()[-stoppable.MOST_SAID :],
        "truncated": truncated,
        "commands": [*asked.commands(), *([started["command"]] if started else [])],
    }
