"""Before a recovery on Slurm changes anything: what jobs may grow to, and whether allocations can be planned at all."""

from collections.abc import Sequence

import orjson

from torc_tools import exits
from torc_tools.core import margins
from torc_tools.core.recovery_text import GIVES, job_ids, say_all
from torc_tools.exits import Failure
from torc_tools.flows import recovery_stages, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Voice
from torc_tools.records import Record
from torc_tools.shell import pipeline

_MB = 1 << 20
_MINUTE_S = 60


def capped(request: Request) -> Request:
    """Give the request with the most that a partition has as limits, where the user set none.

    Whatever says nothing of its partitions (a Slurm that does not answer) sets no limit: the plan finds out.
    """
    if request.engine != "slurm" or (request.max_memory is not None and request.max_runtime is not None):
        return request
    from torc_tools.flows import clusters  # most recoveries and looks need none

    try:
        profile = clusters.resolve()
    except Failure:
        return request
    usable = [each for each in profile.partitions if each.is_up and request.partition in (None, each.name)]
    if not usable:
        return request
    memory = max(each.memory_bytes for each in usable) // _MB * _MB
    longest = min([max(each.max_walltime_s for each in usable), *([request.walltime_s] if request.walltime_s else [])])
    config = recovery_steps.look(request).workflow["config"]
    room = margins.unusable_s(config.get("execution_config") or {})
    runtime = max(_MINUTE_S, (longest - room) // _MINUTE_S * _MINUTE_S)
    return request._replace(
        max_memory=request.max_memory or memory or None,
        max_runtime=request.max_runtime or runtime,
    )


def check(request: Request, voice: Voice, adjustments: Sequence[Record]) -> None:
    """Plan for the jobs of a recovery as if it had been made. Raises Failure where that fails: nothing is changed yet.

    Slurm that does not answer, an account that nobody knows, a partition that there is not, jobs that fit nowhere.
    """
    given = [each for each in adjustments if each.get("action", "adjust") in GIVES]
    tried: list[Record] = []
    for each in given:
        tried.append({**each, "type": "applied", "dry_run": True})
        reset = {"type": "reset", "workflow_id": request.workflow_id, "dry_run": True}
        tried += [{**reset, "job_id": job_id} for job_id in job_ids(each)]
    heard: list[str] = []
    data = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in tried)
    ran = pipeline.run(recovery_stages.preview(request), data=data, hear=heard.append)
    if ran.status:
        say_all(voice.say, heard)
        status = ran.status if ran.status != exits.PIPE else exits.SOFTWARE
        raise Failure(status, f"no Slurm allocation could be planned (exit code {ran.status}): nothing was changed")
