"""torc-report --html: collect what is known of a workflow, and write the page for the morning after."""

import argparse
import base64
import os
import shlex
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import orjson

from torc_tools import exits
from torc_tools.core import heuristics, morning_data, morning_page, morning_words
from torc_tools.core.morning import Attempt, Facts, Job, Night, Verdict
from torc_tools.flows import judging, rulebook, summing
from torc_tools.records import Record
from torc_tools.shell import allocations, failures, page, queries, stream, wholefile
from torc_tools.shell import morning as rows

PACKED_FROM = 100_000  # bytes of data from which the page holds them compressed


def show(args: argparse.Namespace, db: sqlite3.Connection) -> int:
    """Write the page to the file of --html ('-': standard output); give the exit status. Raises Failure(74)."""
    content = made(db, args.workflow_id, _options(args))
    if args.html == "-":
        stream.stdout().write(content)
        stream.stdout().flush()
    else:
        wholefile.write(args.html, content)
    return exits.OK


def made(db: sqlite3.Connection, workflow_id: int, options: str = "") -> bytes:
    """Make the page of a workflow; `options` are what our commands need to find its store, with a space before."""
    night = Night(facts(db, workflow_id, options))
    return page.render(
        page.Page(
            morning_page.title(night),
            body=morning_page.body(night),
            style=page.asset("morning.css"),
            scripts=[page.asset("morning.js")],
            data=_packed(morning_data.data(night)),
        )
    )


def facts(db: sqlite3.Connection, workflow_id: int, options: str = "") -> Facts:
    """Collect what the page tells. Raises Failure(66) where there is no such workflow."""
    workflow = queries.workflow(db, workflow_id)
    verdicts: dict[tuple[int, int, int], Verdict] = {}
    judge = judging.of_workflow(db, workflow_id, rulebook.own([]))
    for result, now in failures.failed(db, workflow_id, all_runs=True):
        found = judge.diagnose(result, now)
        verdicts[(found["job_id"], found["run_id"], found["attempt_id"])] = _verdict(found)
    policy = heuristics.Policy()
    return Facts(
        workflow,
        summing.summary(db, workflow_id),
        [Job._make(row) for row in rows.jobs(db, workflow_id)],
        [Attempt._make(row) for row in rows.attempts(db, workflow_id)],
        rows.requirements(db, workflow_id),
        verdicts,
        [heuristics.adjust(judge.diagnose(*each), policy) for each in failures.failed(db, workflow_id)],
        rows.watched(db, workflow_id),
        rows.changes(db, workflow_id),
        rows.edges(db, workflow_id),
        _held(db, workflow_id),
        allocations.engine(db, workflow_id),
        options,
        time.time(),
        lambda at: time.localtime(at).tm_gmtoff,
    )


def _held(db: sqlite3.Connection, workflow_id: int) -> list[tuple[float, float, int]]:
    """Give (start, end, CPUs) of every allocation of Slurm that has started; one that runs has held them until now."""
    found = []
    for row in allocations.of_workflow(db, workflow_id):
        if row["started_at"] is not None and row["status"] in ("active", "complete", "lost"):
            num_cpus = (row["config"].get("num_cpus") or 1) * (row["config"].get("nodes") or 1)
            found.append((row["started_at"], row["ended_at"] or time.time(), num_cpus))
    return found


def _verdict(found: Mapping[str, Any]) -> Verdict:
    """Shorten a diagnosis: where memory or time ran out the numbers say it, else the log does, Slurm, or the code."""
    said = {each["source"]: each["fact"] for each in reversed(found["evidence"])}
    words = ""
    if morning_words.kind(found["cause"]) not in ("memory", "time"):
        code = "no return code" if found["return_code"] is None else f"return code {found['return_code']}"
        words = said.get("log") or said.get("slurm") or code
    return Verdict(found["cause"], found["certainty"], words[:200])


def _options(args: argparse.Namespace) -> str:
    return f" --store {shlex.quote(os.path.abspath(args.store))}" if args.store else ""


def _packed(data: Record) -> Record:
    """Give the data as they are, or, where they are many, compressed."""
    raw = orjson.dumps(data)
    if len(raw) < PACKED_FROM:
        return data
    import gzip

    return {"gzip": base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()}
