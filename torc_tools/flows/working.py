"""From the input and the options of torc-work to a worker at work."""

import argparse
import gc
import os
import time

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.flows import worker, worker_allocation, worker_desk, worker_manifest, worker_terms
from torc_tools.flows.worker import Terms, Worker
from torc_tools.flows.worker_desk import Desk, Log
from torc_tools.flows.worker_news import Others
from torc_tools.records import Record
from torc_tools.shell import layout, liveness, procs, stream
from torc_tools.shell.claims import Claims
from torc_tools.shell.events import EventFile, Siblings
from torc_tools.shell.loop import Loop
from torc_tools.shell.nonblocking import NonblockingOutput


def read(file: str | None) -> list[Record]:
    """Read and check all records of the input. Raises as stream.whole does."""
    gc.disable()  # nothing of this is garbage, and looking for it takes as long as reading
    try:
        return stream.whole(stream.read(file), worker_manifest.check)
    finally:
        gc.freeze()
        gc.enable()


def work(records: list[Record], args: argparse.Namespace) -> None:
    """Run the jobs among checked `records` as the options say.

    Raises Failure(65) for input that makes no sense together, Failure(74) where events cannot be written.
    """
    liveness.silent_s()  # one that is no number is refused before anything runs
    manifest = worker_manifest.manifest(records)
    if args.allocation_id is not None and manifest.workflow is None:
        raise Failure(exits.DATA, "the manifest of this allocation holds no workflow: it was emptied, or never written")
    slurm_job_id = os.environ.get("SLURM_JOB_ID")
    policy = worker_manifest.policy(manifest.workflow, ended_by_slurm=_bounded(args, slurm_job_id))
    workflow = manifest.workflow or _nameless(manifest.jobs)
    workflow["output_dir"] = os.path.abspath(args.output_dir or workflow["output_dir"])
    workflow.setdefault("submission_dir", os.getcwd())
    name = _unused(workflow, slurm_job_id)
    terms = worker_terms.terms(args, policy)
    facts = _facts(args, workflow, terms, slurm_job_id)
    real = manifest.workflow is not None
    claims = _claims(workflow, name, facts, real=real)
    if slurm_job_id is not None and not worker_allocation.alone(claims, facts):
        return
    loop = Loop(worker.SIGNALS)
    procs.adopt_orphans()
    desk = Desk(workflow, policy, loop, _log(workflow, name, loop, real=real, quiet=args.quiet))
    desk.env["TORC_WORKER_MARK"] = f"{workflow['token']}.{name}"
    _make_folders(workflow["output_dir"])
    worker_desk.enter(workflow["submission_dir"])
    former = worker_allocation.FormerLife(workflow, name, facts) if slurm_job_id else None
    if slurm_job_id is not None:
        desk.in_allocation = True
        if policy.staggered:
            wait = worker_allocation.delay_s(claims, workflow.get("allocation_id"), args.allocation_id)
            terms = terms._replace(starts_at=terms.starts_at + wait)
    one = Worker(desk, manifest.jobs, terms, Others(claims, _siblings(workflow, name, real=real), former))
    if slurm_job_id is not None and _planned(args, workflow):
        one.spawns.foreign = lambda jobs: worker_allocation.other_schedulers(jobs, args.scheduler_id)
        one.board.refused.update(one.spawns.foreign(manifest.jobs))
    worker_desk.opening(desk, name, facts)
    reason = one.run()
    worker_desk.close(desk, reason)
    if slurm_job_id is not None and reason == "finished" and not one.board.unsettled():
        worker_allocation.cancel_queued(claims, slurm_job_id, workflow["workflow_id"])


def _planned(args: argparse.Namespace, workflow: Record) -> bool:
    """Say whether torc-submit made this allocation: then jobs that name a scheduler belong to its allocations."""
    planned = os.environ.get("SLURM_JOB_NAME", "").startswith(f"torc_wf{workflow['workflow_id']}_")
    return planned or args.scheduler_id is not None


def _bounded(args: argparse.Namespace, slurm_job_id: str | None) -> bool:
    """Say whether something else than its own runtime ends a job: an allocation, or this worker's time."""
    return slurm_job_id is not None or args.time_limit is not None or args.end_time is not None


def _nameless(jobs: list[Record]) -> Record:
    """Make up the workflow record of bare job lines: no claims, no event file, output under torc_output."""
    first = jobs[0] if jobs else {"workflow_id": 0, "run_id": 1}
    about = {"workflow_id": first["workflow_id"], "run_id": first["run_id"]}
    return {"type": "workflow", **about, "token": os.urandom(16).hex(), "output_dir": "torc_output", "config": {}}


def _unused(workflow: Record, slurm_job_id: str | None) -> str:
    """Give the name of this worker: another one than that of a worker which had our pid before us.

    The manifest names those of which events were folded: their files may be gone, but not how far they were read.
    """
    known = workflow.get("event_offsets") or {}
    name = first = layout.worker_name(workflow["workflow_id"], workflow["run_id"], slurm_job_id, os.getpid())
    number = 1
    folder = layout.events_dir(workflow["output_dir"])
    while f"{name}.jsonl" in known or os.path.exists(os.path.join(folder, f"{name}.jsonl")):
        number += 1
        name = f"{first}.{number}"
    return name


def _facts(args: argparse.Namespace, workflow: Record, terms: Terms, slurm_job_id: str | None) -> Record:
    hostname, pid, pid_start = liveness.me()
    restarts = os.environ.get("SLURM_RESTART_COUNT", "")
    return {
        "allocation_id": args.allocation_id or workflow.get("allocation_id"),
        "slurm_job_id": slurm_job_id,
        "restart_count": int(restarts) if restarts.isdigit() else 0,
        "hostname": hostname,
        "pid": pid,
        "pid_start": pid_start,
        "run_id": workflow["run_id"],
        "num_cpus": terms.capacity.num_cpus,
        "memory_bytes": terms.capacity.memory_bytes,
        "num_gpus": terms.capacity.num_gpus,
        "ends_at": None if terms.stop_at is None else time.time() + terms.stop_at - time.monotonic(),
    }


def _log(workflow: Record, name: str, loop: Loop, *, real: bool, quiet: bool) -> Log:
    output = None if quiet else NonblockingOutput(loop)
    path = os.path.join(layout.events_dir(workflow["output_dir"]), f"{name}.jsonl")
    try:
        return Log(EventFile(path) if real else None, output)
    except OSError as error:
        raise Failure(exits.IO, f"cannot make '{path}': {error.strerror}") from None


def _make_folders(output_dir: str) -> None:
    folder = os.path.dirname(layout.stdio_path(output_dir, (0, 0, 0, 0), "o"))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise Failure(exits.IO, f"cannot make '{folder}': {error.strerror}") from None


def _claims(workflow: Record, name: str, facts: Record, *, real: bool) -> Claims:
    keys = ("hostname", "pid", "pid_start", "slurm_job_id", "restart_count")
    who = {"worker": name, **{key: facts[key] for key in keys}}
    folder = layout.claims_dir(workflow)
    return Claims(folder if real else None, who)


def _siblings(workflow: Record, name: str, *, real: bool) -> Siblings | None:
    if not real:
        return None
    folder = layout.events_dir(workflow["output_dir"])
    offsets = workflow.get("event_offsets") or {}
    return Siblings(folder, workflow["workflow_id"], workflow["token"], name, offsets)
