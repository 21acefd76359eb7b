"""Storing a new workflow: every table in bulk, inside the caller's transaction, ids counted up from the last."""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson

from torc_tools import states


class PlannedJobs(Protocol):
    """Jobs that are stored: lists that run parallel, references as indexes into the list of their kind."""

    names: list[str]
    commands: list[str]
    scripts: list[str | None]
    requirement: list[int | None]
    handler: list[int | None]
    scheduler: list[int | None]
    settings: list[tuple[int, bool, dict[str, Any]]]
    parents: list[tuple[int, ...]]
    files: dict[str, list[tuple[int, ...]]]
    data: dict[str, list[tuple[int, ...]]]


class Planned(PlannedJobs, Protocol):
    """A workflow that is stored: what its jobs refer to, too."""

    workflow: dict[str, Any]
    requirements: list[dict[str, Any]]
    handlers: list[dict[str, Any]]
    schedulers: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    file_names: list[str]
    file_paths: list[str]
    user_data: list[tuple[str, str | None, bool]]


def workflow(db: sqlite3.Connection, plan: Planned, output_dir: str, submission_dir: str, user: str) -> int:
    """Store a plan as a new workflow; give its id. The dirs are absolute; `user` where the spec names none."""
    given = plan.workflow
    cursor = db.execute(
        "INSERT INTO workflow (token, name, user, description, created_at, output_dir, submission_dir, config)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            uuid.UUID(bytes=os.urandom(16), version=4).hex,
            given["name"],
            given["user"] or user,
            given["description"],
            time.time(),
            output_dir,
            submission_dir,
            _json(given["config"]),
        ),
    )
    workflow_id = int(cursor.lastrowid or 0)
    schedulers = _named(db, "slurm_scheduler", "config", workflow_id, [(s["name"], _json(s)) for s in plan.schedulers])
    handlers = _named(
        db, "failure_handler", "rules", workflow_id, [(h["name"], _json(h["rules"])) for h in plan.handlers]
    )
    first = _jobs(db, workflow_id, plan, {"handler": handlers, "scheduler": schedulers})
    _items(db, workflow_id, plan, first)
    _actions(db, workflow_id, plan.actions, first, schedulers)
    return workflow_id


def _named(db: sqlite3.Connection, table: str, column: str, workflow_id: int, rows: Sequence[tuple[str, str]]) -> int:
    """Store rows of a name and a text; give the id of the first."""
    first = _next(db, table)
    db.executemany(
        f"INSERT INTO {table} ({table}_id, workflow_id, name, {column}) VALUES (?, ?, ?, ?)",
        ((first + number, workflow_id, *row) for number, row in enumerate(rows)),
    )
    return first


def _requirements(db: sqlite3.Connection, workflow_id: int, rows: Iterable[dict[str, Any]]) -> int:
    first = _next(db, "resource_requirements")
    db.executemany(
        "INSERT INTO resource_requirements (resource_requirements_id, workflow_id, name, num_cpus, num_gpus, num_nodes,"
        " memory_bytes, runtime_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((first + number, workflow_id, *row.values()) for number, row in enumerate(rows)),
    )
    return first


def _jobs(db: sqlite3.Connection, workflow_id: int, plan: Planned, firsts: Mapping[str, int]) -> int:
    requirements = _requirements(db, workflow_id, plan.requirements)
    first = _next(db, "job")
    db.executemany(
        "INSERT INTO job (job_id, workflow_id, name, command, invocation_script, status, priority,"
        " cancel_on_blocking_job_failure, resource_requirements_id, failure_handler_id, slurm_scheduler_id, config)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _job_rows(workflow_id, plan, first, (requirements, firsts["handler"], firsts["scheduler"])),
    )
    db.executemany(
        "INSERT INTO job_depends_on (job_id, depends_on_job_id) VALUES (?, ?)",
        ((first + job, first + parent) for job, parents in enumerate(plan.parents) for parent in sorted(parents)),
    )
    return first


def _job_rows(workflow_id: int, plan: Planned, first: int, firsts: tuple[int, int, int]) -> Iterator[tuple[Any, ...]]:
    texts: dict[int, str | None] = {}  # configs are shared by many jobs: each is written once
    columns = (plan.names, plan.commands, plan.scripts, plan.requirement, plan.handler, plan.scheduler)
    for number, (name, command, script, requirement, handler, scheduler) in enumerate(zip(*columns, strict=True)):
        priority, cancels, config = plan.settings[number]
        if id(config) not in texts:
            texts[id(config)] = _json(config) if config else None
        yield (
            first + number,
            workflow_id,
            name,
            command,
            script,
            states.BLOCKED if plan.parents[number] else states.READY,
            priority,
            cancels,
            None if requirement is None else firsts[0] + requirement,
            None if handler is None else firsts[1] + handler,
            None if scheduler is None else firsts[2] + scheduler,
            texts[id(config)],
        )


def _items(db: sqlite3.Connection, workflow_id: int, plan: Planned, first_job: int) -> None:
    """Store files and user data, and which jobs read and write them."""
    first = _next(db, "file")
    names = zip(plan.file_names, plan.file_paths, strict=True)
    db.executemany(
        "INSERT INTO file (file_id, workflow_id, name, path) VALUES (?, ?, ?, ?)",
        ((first + number, workflow_id, *row) for number, row in enumerate(names)),
    )
    _links(db, "job_file", "file_id", plan.files, first_job, first)
    first = _next(db, "user_data")
    db.executemany(
        "INSERT INTO user_data (user_data_id, workflow_id, name, data, is_ephemeral) VALUES (?, ?, ?, ?, ?)",
        ((first + number, workflow_id, *row) for number, row in enumerate(plan.user_data)),
    )
    _links(db, "job_user_data", "user_data_id", plan.data, first_job, first)


def _links(  # noqa: PLR0913, PLR0917
    db: sqlite3.Connection,
    table: str,
    column: str,
    links: Mapping[str, Sequence[Sequence[int]]],
    first_job: int,
    first: int,
) -> None:
    db.executemany(
        f"INSERT INTO {table} (job_id, {column}, is_output) VALUES (?, ?, ?)",
        (
            (first_job + job, first + item, way == "output")
            for way, jobs in links.items()
            for job, items in enumerate(jobs)
            for item in items
        ),
    )


def _actions(
    db: sqlite3.Connection, workflow_id: int, actions: Iterable[dict[str, Any]], first_job: int, schedulers: int
) -> None:
    for action in actions:
        config = {key: value for key, value in action.items() if key not in ("jobs", "scheduler_index")}
        config["job_ids"] = [first_job + job for job in action["jobs"]]
        if "scheduler_index" in action:
            index = action["scheduler_index"]
            config["slurm_scheduler_id"] = None if index is None else schedulers + index
        db.execute("INSERT INTO action (workflow_id, config) VALUES (?, ?)", (workflow_id, _json(config)))


def _next(db: sqlite3.Connection, table: str) -> int:
    """Give the id that a table gives out next: ids of deleted rows are never used again."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return (row[0] if row else 0) + 1


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
