"""Which files hold what the attempts of jobs wrote."""

import os
import sqlite3
from collections.abc import Iterable, Iterator

from torc_tools.records import Record
from torc_tools.shell import layout, queries


def added(db: sqlite3.Connection, workflow_id: int, results: Iterable[Record]) -> Iterator[Record]:
    """Add job_stdout and job_stderr to results: the paths of files that are there, else null.

    Where both streams went to one file, both name it.
    """
    folder = queries.workflow(db, workflow_id)["output_dir"]
    for record in results:
        ids = (record["workflow_id"], record["job_id"], record["run_id"], record["attempt_id"])
        both = _there(layout.stdio_path(folder, ids, "log"))
        out, err = (both or _there(layout.stdio_path(folder, ids, suffix)) for suffix in ("o", "e"))
        yield {**record, "job_stdout": out, "job_stderr": err}


def _there(path: str) -> str | None:
    return path if os.path.exists(path) else None
