"""The summary of a workflow: counts, allocations, and for the jobs that do not move, why."""

import argparse
import os
import sqlite3
from collections import defaultdict

from torc_tools import exits, states
from torc_tools.core import standing
from torc_tools.flows import looking
from torc_tools.records import Record, framed
from torc_tools.shell import allocations as slurm
from torc_tools.shell import output, places, queries, spawning, workers


def summary(db: sqlite3.Connection, workflow_id: int, *, asks: bool = False) -> Record:
    """Give the `summary` record of a workflow. Raises Failure(66) where there is no such workflow.

    With `asks` the cluster is asked what it has, where jobs are ready for Slurm and no allocation waits for them.
    """
    workflow = queries.workflow(db, workflow_id)
    counts = queries.counts(db, workflow_id)
    allocations = places.allocations(db, workflow)
    facts = _facts(db, workflow, allocations)
    return {
        "type": "summary",
        "workflow_id": workflow_id,
        "name": workflow["name"],
        "run_id": workflow["run_id"],
        **standing.outcome(counts),
        "is_canceled": workflow["is_canceled"],
        "total": sum(counts.values()),
        "counts": counts,
        "last_event_at": queries.last_event_at(db, workflow_id),
        "allocations": allocations,
        "reasons": standing.reasons(facts._replace(unfit=_unfit(db, facts)) if asks else facts),
    }


def show(args: argparse.Namespace, prog: str, found: Record) -> int:
    """Write a `summary` record as the options say, on a terminal as a few lines; give the exit status."""
    if looking.for_people(args) and not args.where:
        output.text(standing.lines(found))
        return exits.OK
    return output.emit(framed(prog, found["workflow_id"], [found]), args)


def missing(db: sqlite3.Connection, workflow: Record) -> dict[int, list[str]]:
    """Give, by job, the input files that no job makes and that are not there, and the user data that nobody gives."""
    found: dict[int, list[str]] = defaultdict(list)
    there: dict[str, bool] = {}
    for job_id, path in queries.outside_inputs(db, workflow["workflow_id"]):
        if path not in there:
            there[path] = os.path.exists(os.path.join(workflow["submission_dir"], path))
        if not there[path]:
            found[job_id].append(path)
    for job_id, name in queries.ungiven_user_data(db, workflow["workflow_id"]):
        found[job_id].append(f"user data {name}")
    return found


def _unfit(db: sqlite3.Connection, facts: standing.Facts) -> dict[int, str]:
    """Give the ready jobs that fit nowhere on the cluster, where that is what keeps them."""
    is_idle = facts.is_slurm and not (facts.is_canceled or facts.places or facts.queued or facts.planned)
    if not (is_idle and any(job["status"] == "ready" for job in facts.jobs)):
        return {}
    from torc_tools.flows import unfit  # plans as torc-regenerate does, which no other state has need of

    return unfit.jobs(db, facts.workflow_id)


def _facts(db: sqlite3.Connection, workflow: Record, allocations: list[Record]) -> standing.Facts:
    """Collect what the judgement needs: only jobs that have not ended are read in full."""
    workflow_id = workflow["workflow_id"]
    ended = ", ".join(str(number) for number in sorted(states.SETTLED))
    jobs = list(queries.jobs(db, f"j.workflow_id = ? AND j.status NOT IN ({ended})", (workflow_id,)))
    jobs.sort(key=lambda job: job["job_id"])
    names, status = queries.names_and_states(db, workflow_id) if jobs else ({}, {})
    parents: dict[int, list[int]] = defaultdict(list)
    if any(job["status"] == "blocked" for job in jobs):
        for job_id, parent in queries.edges(db, workflow_id):
            parents[job_id].append(parent)
    gone = workers.gone(db, workflow_id)
    left = {row["allocation_id"] for row in slurm.live(db, workflow_id)}
    left -= {row["allocation_id"] for row in slurm.working(db, workflow_id)}
    return standing.Facts(
        workflow_id=workflow_id,
        is_canceled=workflow["is_canceled"],
        jobs=jobs,
        names=names,
        status=status,
        parents=parents,
        places=[
            each
            for each in allocations
            if each["status"] == "active" and each["is_alive"] is not False and each["allocation_id"] not in left
        ],
        queued=[
            each
            for each in allocations
            if each["status"] in ("submitting", "queued") and each["allocation_id"] not in left
        ],
        machine=places.machine(),
        missing=missing(db, workflow),
        lost=frozenset(job["job_id"] for job in jobs if job["worker"] in gone),
        planned=sum(each["status"] == "planned" for each in allocations),
        is_slurm=slurm.engine(db, workflow_id) == "slurm",
        refused=spawning.refused(db, workflow_id),
        is_new=not (slurm.last_id(db, workflow_id) or workers.any_of(db, workflow_id)),
    )
