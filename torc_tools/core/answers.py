"""What a program of the user's answers about failures without a known cause: checked, then put into the plan.

An answer is one `adjustment` a line, as torc-apply reads them. It may leave out what the question says: which attempt
it is for, and what the job asks for now. It takes the place of the plan's own adjustment for its jobs.
"""

from collections.abc import Iterable

from torc_tools import units
from torc_tools.core import adjusting, recovery_text
from torc_tools.exits import DATA, Failure
from torc_tools.records import Record

_SIZES = ("memory", "runtime", "cpus")
KEYS = frozenset(
    ["type", "workflow_id", "action", "job_ids", "job_names", "run_id", "attempt_id", "resource_requirements_id"]
    + [f"{which}_{what}" for what in _SIZES for which in ("original", "new")]
    + ["memory_adjusted", "runtime_adjusted", "cpu_adjusted", "max_peak_memory_bytes", "max_peak_cpu_percent"]
    + ["direction", "because", "held", "reason", "override"]
)
REASON = "recovery hook"
_TOLD = "workflow_id", "run_id", "attempt_id", "resource_requirements_id"  # a question says them: they must agree


def check(record: Record) -> None:
    """Check a line of an answer as torc-apply does, and closer. Raises Failure(65) naming the field."""
    if record["type"] != "adjustment":
        raise Failure(DATA, f"an answer is made of 'adjustment' lines, not of '{record['type']}'")
    strange = sorted(record.keys() - KEYS)
    if strange:
        raise Failure(DATA, f"adjustment: '{strange[0]}' is no field of it")
    adjusting.check(record)


class Answers:
    """Puts checked answers into a plan, job by job."""

    def __init__(self, found: Iterable[Record]) -> None:
        """Take the answers. Raises Failure(65) where two are for the same job."""
        self._by_job: dict[int, Record] = {}
        for record in found:
            for job_id in record["job_ids"]:
                if job_id in self._by_job:
                    raise Failure(DATA, f"the answer names job {job_id} twice")
                self._by_job[job_id] = record

    def instead(self, diagnosis: Record, planned: Record) -> Record:
        """Give what is to be done: the answer where there is one, else what was planned.

        Raises Failure(65) where the answer is for another attempt, and where the cause is known: nobody asked.
        """
        (job_id,) = planned["job_ids"]
        answer = self._by_job.pop(job_id, None)
        if answer is None:
            return planned
        if not recovery_text.is_unknown(planned):
            raise Failure(DATA, f"the answer names job {job_id}, of whose failure the cause is known")
        for key in _TOLD:
            if answer.get(key) not in (None, planned[key]):
                raise Failure(DATA, f"the answer for job {job_id} has {key} {answer[key]}, the job has {planned[key]}")
        return _filled(answer, diagnosis, planned)

    def finish(self) -> None:
        """Say that the plan is whole. Raises Failure(65) where answers are left over: nobody asked for those jobs."""
        if self._by_job:
            raise Failure(DATA, f"the answer names job {min(self._by_job)}, which was not asked about")


def _filled(answer: Record, diagnosis: Record, planned: Record) -> Record:
    """Give the answer for one job as a whole adjustment."""
    action = answer.get("action") or "adjust"
    acts = action == "adjust"
    news = {key: answer.get(key) if acts else None for key in ("new_memory", "new_runtime", "new_cpus")}
    made = {
        **planned,
        "action": action,
        "direction": answer.get("direction") or "upscale",
        **_values("memory", news["new_memory"], answer, _memory(diagnosis)),
        **_values("runtime", news["new_runtime"], answer, _runtime(diagnosis)),
        "because": {**planned["because"], **(answer.get("because") or {}), "hook": True},
        "held": (answer.get("held") or "hook") if action == "hold" else None,
        "reason": answer.get("reason") or REASON,
        "override": answer.get("override") if action == "hold" else None,
    }
    if news["new_cpus"] is not None:
        made |= {"cpu_adjusted": True, "original_cpus": answer.get("original_cpus"), "new_cpus": news["new_cpus"]}
    return made


def _values(what: str, new: str | None, answer: Record, now: str | None) -> Record:
    original = (answer.get(f"original_{what}") or now) if new is not None else None
    return {f"{what}_adjusted": new is not None, f"original_{what}": original, f"new_{what}": new}


def _memory(diagnosis: Record) -> str | None:
    size = diagnosis.get("memory_bytes")
    return units.format_memory(size) if size else None


def _runtime(diagnosis: Record) -> str | None:
    seconds = diagnosis.get("runtime_s")
    return units.format_duration(seconds) if seconds else None
