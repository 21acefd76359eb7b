"""The SQL of spawned jobs: the workflow they join, their rows, and the verdicts that workers are told of."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from torc_tools import states
from torc_tools.records import Record

if TYPE_CHECKING:
    from torc_tools.shell.insert import PlannedJobs

UNPLANNED = (  # of job j: a retry, or spawned since allocations were submitted
    "(j.attempt_id > 1 OR json_extract(j.config, '$.spawned.at') >"
    " (SELECT coalesce(max(a.submitted_at), 0) FROM allocation a WHERE a.workflow_id = j.workflow_id))"
)
_MARK = "json_extract(config, '$.spawned.{}')"  # config is NULL or JSON
_NAMED = {
    "requirements": ("resource_requirements", "name"),
    "handlers": ("failure_handler", "name"),
    "schedulers": ("slurm_scheduler", "name"),
    "files": ("file", "name, path"),
    "user_data": ("user_data", "name, data"),
}


class Place(NamedTuple):
    """A workflow as it stands: the ids of what is in it, and what the ids stand for, both in order of id."""

    ids: dict[str, list[int]]  # by kind: jobs, requirements, handlers, schedulers, files, user_data
    names: dict[str, list[Any]]  # the same; of files and user data: name and path, name and data
    digests: dict[str, str]  # of the jobs that were spawned, by name
    outputs: dict[str, list[tuple[int, int]]]  # 'files' and 'data': indexes (job, item) of what a job writes


class Spawner(NamedTuple):
    """The attempt that spawned."""

    job_id: int
    run_id: int
    attempt_id: int


def place(db: sqlite3.Connection, workflow_id: int) -> Place:
    """Read what spawned jobs may refer to."""
    ids: dict[str, list[int]] = {}
    names: dict[str, list[Any]] = {}
    for kind, (table, columns) in {"jobs": ("job", "name"), **_NAMED}.items():
        rows = db.execute(
            f"SELECT {table}_id, {columns} FROM {table} WHERE workflow_id = ? ORDER BY 1", (workflow_id,)
        ).fetchall()
        ids[kind] = [row[0] for row in rows]
        names[kind] = [row[1] if len(row) == 2 else tuple(row)[1:] for row in rows]
    query = f"SELECT name, {_MARK.format('digest')} FROM job WHERE workflow_id = ? AND config LIKE '%\"spawned\"%'"
    digests = {name: digest for name, digest in db.execute(query, (workflow_id,)) if digest}
    outputs = {"files": _outputs(db, workflow_id, "file", ids["files"], ids["jobs"])}
    outputs["data"] = _outputs(db, workflow_id, "user_data", ids["user_data"], ids["jobs"])
    return Place(ids, names, digests, outputs)


def _outputs(
    db: sqlite3.Connection, workflow_id: int, table: str, items: Sequence[int], jobs: Sequence[int]
) -> list[tuple[int, int]]:
    if not items:
        return []
    item_at, job_at = ({number: place for place, number in enumerate(ids)} for ids in (items, jobs))
    query = (
        f"SELECT o.job_id, o.{table}_id FROM {table} i JOIN job_{table} o USING ({table}_id)"
        " WHERE i.workflow_id = ? AND o.is_output"
    )
    return [(job_at[job], item_at[item]) for job, item in db.execute(query, (workflow_id,))]


def generation(db: sqlite3.Connection, job_id: int) -> int:
    """Give how many jobs spawned one another down to this one; 0 for one of the spec."""
    found = db.execute(f"SELECT {_MARK.format('generation')} FROM job WHERE job_id = ?", (job_id,)).fetchone()
    return int(found[0] or 0) if found else 0


def add(
    db: sqlite3.Connection, new: Record, there: Place, plan: "PlannedJobs", marks: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Store the new jobs of a plan, which stand behind stubs for those that are `there`, each with its mark.

    Gives their ids. `new` holds workflow_id, run_id and status of all.
    """
    old = there.ids["jobs"]
    (last,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'job'").fetchone()
    ids = [*old, *range(last + 1, last + 1 + len(marks))]
    db.executemany(
        "INSERT INTO job (job_id, workflow_id, name, command, invocation_script, status, run_id, priority,"
        " cancel_on_blocking_job_failure, resource_requirements_id, failure_handler_id, slurm_scheduler_id, config)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _rows(new, there, plan, marks, ids),
    )
    added = range(len(old), len(ids))
    db.executemany(
        "INSERT INTO job_depends_on (job_id, depends_on_job_id) VALUES (?, ?)",
        ((ids[job], ids[parent]) for job in added for parent in sorted(plan.parents[job])),
    )
    for table, links, items in (
        ("file", plan.files, there.ids["files"]),
        ("user_data", plan.data, there.ids["user_data"]),
    ):
        db.executemany(
            f"INSERT INTO job_{table} (job_id, {table}_id, is_output) VALUES (?, ?, ?)",
            ((ids[j], items[i], way == "output") for way in links for j in added for i in links[way][j]),
        )
    return ids[len(old) :]


def _rows(
    new: Record, there: Place, plan: "PlannedJobs", marks: Sequence[Mapping[str, Any]], ids: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    kinds = ("requirements", "handlers", "schedulers")
    first = len(there.ids["jobs"])
    for number, mark in enumerate(marks, first):
        priority, cancels, config = plan.settings[number]
        named = (plan.requirement[number], plan.handler[number], plan.scheduler[number])
        yield (
            ids[number],
            new["workflow_id"],
            plan.names[number],
            plan.commands[number],
            plan.scripts[number],
            new["status"],
            new["run_id"],
            priority,
            cancels,
            *(None if index is None else there.ids[kind][index] for kind, index in zip(kinds, named, strict=True)),
            orjson.dumps({**config, "spawned": mark}).decode(),
        )


def judge(db: sqlite3.Connection, workflow_id: int, spawner: Spawner, status: int, added: Sequence[int]) -> None:
    """Note what became of an attempt that spawned, for the workers."""
    db.execute(
        "INSERT INTO spawn (workflow_id, job_id, run_id, attempt_id, status, first_id, count)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (workflow_id, *spawner, status, added[0] if added else 0, len(added)),
    )


def refused(db: sqlite3.Connection, workflow_id: int) -> list[int]:
    """Give the jobs that have failed because what they spawned was refused."""
    query = (
        "SELECT DISTINCT s.job_id FROM spawn s JOIN job j USING (job_id, run_id, attempt_id, status)"
        f" WHERE s.workflow_id = ? AND status = {states.FAILED} ORDER BY 1"
    )
    return [row[0] for row in db.execute(query, (workflow_id,))]


def untold(db: sqlite3.Connection, workflow_id: int) -> list[sqlite3.Row]:
    """Give the verdicts of which workers were not told, oldest first; none of a copy in memory, which tells nobody."""
    if not db.execute("PRAGMA database_list").fetchone()[2]:
        return []
    return db.execute(
        "SELECT spawn_id, job_id, run_id, attempt_id, status, first_id, count FROM spawn"
        " WHERE workflow_id = ? AND NOT is_told ORDER BY spawn_id",
        (workflow_id,),
    ).fetchall()


def told(db: sqlite3.Connection, spawn_ids: Sequence[int]) -> None:
    """Note that workers were told."""
    db.executemany("UPDATE spawn SET is_told = 1 WHERE spawn_id = ?", [(spawn_id,) for spawn_id in spawn_ids])


def last_id(db: sqlite3.Connection, workflow_id: int) -> int:
    """Give the id of the last verdict; 0 before the first."""
    found = db.execute("SELECT max(spawn_id) FROM spawn WHERE workflow_id = ?", (workflow_id,)).fetchone()[0]
    return int(found or 0)
