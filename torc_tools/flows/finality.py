"""Calling failures final that waited for somebody to judge them: pending_failed jobs become failed.

What depends on them hears of it by the one transition rule. Inside the caller's transaction.
"""

import sqlite3
from collections.abc import Sequence

from torc_tools import states
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import jobedit
from torc_tools.shell.journal import Change


def called(job_id: int, why: Record) -> Change:
    """Give the change of a job that is called failed, for the journal."""
    return _change(job_id, why, states.PENDING_FAILED, states.FAILED)


def make(db: sqlite3.Connection, workflow_id: int, job_ids: Sequence[int]) -> list[Change]:
    """Make jobs failed; give the changes of the jobs below them that this frees or cancels."""
    jobedit.update(db, "status", states.FAILED, job_ids)
    why: Record = {"below": sorted(job_ids)}
    return [_change(job_id, why, states.BLOCKED, status) for job_id, status in fold.settle(db, workflow_id)]


def _change(job_id: int, why: Record, before: int, after: int) -> Change:
    return Change("job", job_id, why, {"status": states.NAMES[before]}, {"status": states.NAMES[after]})
