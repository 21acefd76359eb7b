"""The logs of a job on standard output: once, or as long as the job goes on."""

import argparse
import contextlib
import sqlite3
from typing import NamedTuple

from torc_tools import exits, states
from torc_tools.exits import Failure
from torc_tools.flows import fold, looking
from torc_tools.records import Record
from torc_tools.shell import logs, options, output, queries, stream

_SETTLED = {states.NAMES[number] for number in states.SETTLED | {states.PENDING_FAILED}}


class Place(NamedTuple):
    """An attempt of a job, and the output directory that its files are in."""

    job: Record
    output_dir: str
    ids: logs.Ids


def placed(args: argparse.Namespace, job_id: int) -> Place:
    """Find the attempt that `args` ask for (--run, --attempt; default is the present one). Raises Failure(66)."""
    db, workflow_id = looking.at_jobs(args, [job_id])
    with contextlib.closing(db):
        job = _job(db, job_id)
        run, attempt = _attempt(args, db, job)
        return Place(job, queries.workflow(db, workflow_id)["output_dir"], (workflow_id, job_id, run, attempt))


def show(args: argparse.Namespace, job_id: int) -> int:
    """Write what an attempt of a job wrote (the present one, or --run, --attempt); with --follow to its end.

    Raises Failure(66) for a job or files that are not there.
    """
    job, output_dir, ids = placed(args, job_id)
    wanted = [each for each in ("stdout", "stderr") if getattr(args, each)] or ["stdout", "stderr"]
    named = logs.named(output_dir, ids, wanted)
    printer = _Printer(titles=len(wanted) > 1)
    if not args.follow:
        for path in logs.need(named, job_id):
            printer.open(path)
            for piece in logs.read(path, logs.tail_offset(path, args.tail)):
                printer.show(path, piece)
        return exits.OK
    logs.follow(named, args.tail, lambda: _over(args, job, ids[2:]), printer.show)
    logs.need(named, job_id)
    return exits.OK


def _job(db: sqlite3.Connection, job_id: int) -> Record:
    return next(queries.jobs(db, "j.job_id = ?", (job_id,)))


def _attempt(args: argparse.Namespace, db: sqlite3.Connection, job: Record) -> tuple[int, int]:
    """Give (run, attempt) that is asked for: by default the latest that has started."""
    run = args.run or job["run_id"]
    if args.attempt:
        return run, args.attempt
    if run == job["run_id"] and job["status"] in ("pending", "running"):
        return run, job["attempt_id"]
    if args.run is None and args.follow and job["status"] not in _SETTLED:
        return run, job["attempt_id"]
    condition = "t.job_id = ?" if args.run is None else f"t.job_id = ? AND t.run_id = {args.run}"
    results = list(queries.results(db, condition, (job["job_id"],)))
    if results:
        return results[-1]["run_id"], results[-1]["attempt_id"]
    if args.run is not None and args.run != job["run_id"]:
        raise Failure(exits.NO_INPUT, f"job {job['job_id']} has no attempt in run {args.run}")
    return run, job["attempt_id"]


def _over(args: argparse.Namespace, job: Record, attempt: tuple[int, int]) -> bool:
    """Say whether that attempt of the job is over: the job has settled, or has gone on to another attempt."""
    db = fold.opened(options.store_path(args), job["workflow_id"], read_only=args.read_only)
    now = _job(db, job["job_id"])
    db.close()
    return now["status"] in _SETTLED or (now["run_id"], now["attempt_id"]) > attempt


class _Printer:
    """Writes bytes on standard output; says on stderr which file they are from, each time that changes."""

    def __init__(self, *, titles: bool) -> None:
        self._titles = titles
        self._last: str | None = None

    def open(self, path: str) -> None:
        """Say that what follows is from `path`, unless the bytes before were, too."""
        if path != self._last:
            self._last = path
            if self._titles:
                stream.say(f"==> {path} <==")

    def show(self, path: str, piece: bytes) -> None:
        """Write a piece of `path`."""
        self.open(path)
        output.raw(piece)
