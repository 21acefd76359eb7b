"""SQL about the files that jobs read and write."""

import sqlite3
from collections.abc import Iterator

_USED = """
SELECT j.job_id, f.path, u.is_output,
    (SELECT t.started_at FROM result t WHERE t.job_id = j.job_id ORDER BY t.run_id DESC, t.attempt_id DESC LIMIT 1)
FROM job j JOIN job_file u USING (job_id) JOIN file f USING (file_id)
WHERE j.workflow_id = ? AND j.status = ?
"""


def ties(db: sqlite3.Connection, workflow_id: int, kind: str) -> Iterator[tuple[int, int, bool]]:
    """Give (job, id, is it an output) for what jobs read and write of a kind: file or user_data."""
    query = f"SELECT u.job_id, u.{kind}_id, u.is_output FROM job_{kind} u JOIN job j USING (job_id)"
    rows = db.execute(f"{query} WHERE j.workflow_id = ? ORDER BY 1, 2", (workflow_id,))
    return ((row[0], row[1], bool(row[2])) for row in rows)


def used(db: sqlite3.Connection, workflow_id: int, status: int) -> Iterator[tuple[int, str, bool, float | None]]:
    """Give (job, path, is it an output, start of its latest attempt) for the files of jobs in a state."""
    rows = db.execute(_USED, (workflow_id, status))
    return ((row[0], row[1], bool(row[2]), row[3]) for row in rows)
