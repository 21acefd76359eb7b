"""What torc-watch publishes of a workflow beside its counts: the SQL of the metrics."""

import sqlite3

from torc_tools import states
from torc_tools.records import Record

ENDS = ("completed", "failed", "terminated", "canceled")  # named even where there is none yet: a rate starts at 0


def attempts(db: sqlite3.Connection, workflow_id: int) -> dict[str, tuple[int, float]]:
    """Give by state how many attempts have ended so, and their run time together in seconds."""
    query = "SELECT status, count(*), total(exec_time_s) FROM result WHERE workflow_id = ? GROUP BY status"
    found = {states.NAMES[row[0]]: (int(row[1]), float(row[2])) for row in db.execute(query, (workflow_id,))}
    return {**dict.fromkeys(ENDS, (0, 0.0)), **found}


def peak_memory_bytes(db: sqlite3.Connection, workflow_id: int) -> int | None:
    """Give the largest peak of memory of any attempt that is known."""
    peak = db.execute("SELECT max(peak_memory_bytes) FROM result WHERE workflow_id = ?", (workflow_id,)).fetchone()[0]
    return None if peak is None else int(peak)


def allocations(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give how many allocations there are (`count`) of each kind, status, slurm_state and slurm_reason."""
    columns = "kind, status, slurm_state, slurm_reason"
    query = f"SELECT {columns}, count(*) AS count FROM allocation WHERE workflow_id = ? GROUP BY {columns}"
    return [dict(row) for row in db.execute(query, (workflow_id,))]
