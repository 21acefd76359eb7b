"""Completed jobs that would have to run again, as make sees it: output that is gone, or older than its input."""

import os
import sqlite3

from torc_tools import states
from torc_tools.shell import filerows, queries


def jobs(db: sqlite3.Connection, workflow_id: int) -> list[int]:
    """Give the completed jobs that name an output file which is not there, or an input file written since they ran.

    Times are those of the files and, for the job, when its latest attempt began.
    """
    folder = queries.workflow(db, workflow_id)["submission_dir"]
    found: set[int] = set()
    changed: dict[str, float | None] = {}
    for job_id, path, is_output, started_at in filerows.used(db, workflow_id, states.COMPLETED):
        if path not in changed:
            changed[path] = _changed(os.path.join(folder, path))
        at = changed[path]
        if (at is None) if is_output else (at is not None and started_at is not None and at > started_at):
            found.add(job_id)
    return sorted(found)


def _changed(path: str) -> float | None:
    """Give when a file was last written, in Unix seconds; None where there is none."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
