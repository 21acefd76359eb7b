"""Which ready jobs no new allocation could take: the answer of torc-regenerate, for those that only look."""

import sqlite3

from torc_tools.core import allocating, allocating_text
from torc_tools.core.allocating_facts import Options
from torc_tools.exits import Failure
from torc_tools.flows import clusters, regenerating

PATIENCE_S = 5.0  # whoever looks waits no longer for a Slurm that does not answer


def jobs(db: sqlite3.Connection, workflow_id: int) -> dict[int, str]:
    """Give for each pending job that fits nowhere on this cluster why, and what would fit.

    None is given where that is not known: Slurm does not answer, or a file of profiles is wrong.
    """
    try:
        profile = clusters.detected(clusters.known()) or clusters.live(PATIENCE_S)
        planned = allocating.plan(regenerating.gather(db, workflow_id, profile), Options(), profile)
    except Failure:  # torc-regenerate says it
        return {}
    misfits = (record for record in planned.records if record["status"] == "unplannable")
    return {job: allocating_text.misfit(record) for record in misfits for job in record["job_ids"]}
