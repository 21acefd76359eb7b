"""Calling failures final that waited for somebody to judge them: pending_failed jobs become failed.

What depends on them hears of it by the one transition rule. Inside the caller's transaction.
"""

import sqlite3
from collections.abc import Mapping

from torc_tools import states
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import jobedit
from torc_tools.shell.journal import Change


def make(db: sqlite3.Connection, workflow_id: int, whys: Mapping[int, Record]) -> list[Change]:
    """Make jobs failed, each with its reason; give their changes in this order, then those of the jobs below them."""
    jobedit.update(db, "status", states.FAILED, list(whys))
    below: Record = {"below": sorted(whys)}
    final = [_change(job_id, why, states.PENDING_FAILED, states.FAILED) for job_id, why in whys.items()]
    moved = [_change(job_id, below, states.BLOCKED, status) for job_id, status in fold.settle(db, workflow_id)]
    return final + moved


def _change(job_id: int, why: Record, before: int, after: int) -> Change:
    return Change("job", job_id, why, {"status": states.NAMES[before]}, {"status": states.NAMES[after]})
