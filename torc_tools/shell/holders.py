"""Who may run the jobs of a workflow now: living workers of machines, and Slurm allocations as torc-sync saw them."""

import sqlite3

from torc_tools.records import Record
from torc_tools.shell import allocations, workers


def local(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the allocations of machines whose worker is not known to be dead, as rows."""
    return [row for row in workers.live(db, workflow_id) if row["kind"] != "slurm"]


def all_of(db: sqlite3.Connection, workflow_id: int) -> list[Record]:
    """Give the living local allocations, then the Slurm allocations that run or may run jobs, as rows."""
    return local(db, workflow_id) + allocations.working(db, workflow_id)


def name(row: Record) -> str:
    """Name one for people: 'a worker on n1 (pid 12)', 'Slurm allocation 1234 (queued)'."""
    if row["kind"] == "slurm":
        return f"Slurm allocation {row['slurm_job_id'] or row['allocation_id']} ({row['status']})"
    return f"a worker on {row['hostname']} (pid {row['pid']})"
