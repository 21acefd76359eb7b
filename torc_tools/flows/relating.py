"""What a job is tied to: the jobs that it waits for, the files and user data that it reads and writes."""

import sqlite3
from collections.abc import Iterable, Iterator

from torc_tools.records import Record
from torc_tools.shell import filerows, queries

_NAMES = {"file": "file_ids", "user_data": "user_data_ids"}


def added(db: sqlite3.Connection, workflow_id: int, jobs: Iterable[Record]) -> Iterator[Record]:
    """Add lists of ids to jobs: depends_on_job_ids, and input_ and output_ of file_ids and user_data_ids."""
    parents: dict[int, list[int]] = {}
    for job_id, parent in queries.edges(db, workflow_id):
        parents.setdefault(job_id, []).append(parent)
    ties: dict[tuple[int, str], list[int]] = {}
    for kind, name in _NAMES.items():
        for job_id, other, is_output in filerows.ties(db, workflow_id, kind):
            ties.setdefault((job_id, f"{'output' if is_output else 'input'}_{name}"), []).append(other)
    keys = [f"{way}_{name}" for name in _NAMES.values() for way in ("input", "output")]
    for record in jobs:
        job_id = record["job_id"]
        tied = {key: ties.get((job_id, key), []) for key in keys}
        yield {**record, "depends_on_job_ids": parents.get(job_id, []), **tied}
