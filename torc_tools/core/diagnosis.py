"""Why an attempt failed: one `result` in, one `diagnosis` out, with the facts it rests on.

The order of the verdicts: a word that says memory; Slurm's word for how the job ended; the worker's word; the return
code with run time and peak beside it; words in the log. A verdict is `certain` (someone who knows says so), `likely`
(the facts fit) or `weak`; a weak one never grows a request. What speaks against the verdict is listed. Where nothing
speaks, the cause is unknown: absence of evidence is a verdict of its own.
"""

import math
from collections.abc import Callable

from torc_tools import states
from torc_tools.core import patterns, slurmvalues, slurmverdicts
from torc_tools.records import Record, may, need

Verdict = tuple[str, str]  # cause, certainty

WORKER = {  # the reason in the worker's event -> verdict
    "memory_limit": ("oom", "certain"),
    "runtime_limit": ("timeout", "certain"),
    "allocation_end": ("allocation_end", "certain"),
    "interrupted": ("interrupted", "certain"),
    "superseded": ("interrupted", "certain"),  # a reset of other jobs made its worker leave
    "launch_failed": ("launch_fail", "certain"),
    "lost": ("orphan", "certain"),
    "missing_output": ("unknown", "certain"),
    "spawn_refused": ("unknown", "certain"),
}
CODES = {  # return code -> what it means by convention, and a verdict where that is one
    75: ("the program asks to be tried again", ("transient", "likely")),
    126: ("command not executable", None),
    127: ("command not found", None),
    134: ("aborted, SIGABRT", None),
    135: ("SIGBUS: a full /dev/shm or a truncated mapped file", None),
    137: ("killed, SIGKILL", None),
    139: ("crashed, SIGSEGV", None),
    143: ("told to end, SIGTERM", None),
    152: ("runtime limit, SIGXCPU", None),
    states.LOST_CODE: ("no worker reported an end", ("orphan", "likely")),
}
KILLS = frozenset({129, 130, 137, 138, 140, 143, 152})  # 128 + HUP INT KILL USR1 USR2 TERM XCPU: ended from outside
NEAR_RUNTIME = (
    90  # percent of the runtime from which a kill counts as a timeout (torc's documents: within 10 percent of it)
)
NEAR_MEMORY = 80  # percent of the memory below which an exact peak speaks against an out-of-memory kill
NOT_FAILED = ("completed", "disabled", *(states.NAMES[number] for number in (*states.WAITING, *states.ACTIVE)))


class Case:
    """One failed attempt, its facts checked and at hand. Raises Failure(65) for a field of the wrong type."""

    def __init__(self, result: Record) -> None:
        """Read a `result` record; only job_id is needed, what is absent is None."""
        facts = may(result, "facts", dict) or {}
        self.code: int | None = may(result, "return_code", int)
        self.status = str(may(result, "status", str) or ("completed" if self.code == 0 else "failed"))
        self.exec_s: float | None = may(result, "exec_time_s", (int, float))
        self.peak: int | None = may(result, "peak_memory_bytes", int)
        self.memory: int | None = may(result, "memory_bytes", int)
        self.runtime: int | None = may(result, "runtime_s", int)
        self.peak_source: str | None = may(facts, "peak_source", str)
        self.reason: str | None = may(facts, "reason", str)
        self.slurm: str | None = may(facts, "slurm_state", str)  # of the step
        self.slurm_exit: str | None = may(facts, "slurm_exit_code", str)
        self.allocation: str | None = may(facts, "allocation_state", str)
        self.allocation_exit: str | None = may(facts, "allocation_exit_code", str)
        self.told = {key: may(facts, key, str) for key in slurmverdicts.TOLD}
        self.was_alone = may(facts, "was_alone", bool) is True
        self.warned = may(facts, "warned_at", (int, float)) is not None
        self.signal: int | None = may(facts, "signal", int)
        self.tail: str = may(facts, "log_tail", str) or ""
        self.marks = patterns.marks(self.tail)
        self.aborted = slurmverdicts.ABORTED in (may(facts, "srun_said", str) or "")
        self.against: list[str] = []

    def over_memory(self) -> bool:
        """Say whether the peak was above the limit (equal is not above)."""
        return self.peak is not None and self.memory is not None and self.peak > self.memory

    def below_memory(self) -> bool:
        """Say whether a peak was measured that is far below the limit."""
        return self.peak is not None and self.memory is not None and 0 < self.peak * 100 < self.memory * NEAR_MEMORY

    def near_runtime(self) -> bool:
        """Say whether the job ran for nearly all of its runtime, or longer."""
        return self.exec_s is not None and self.runtime is not None and self.exec_s * 100 >= self.runtime * NEAR_RUNTIME

    def killed(self) -> bool:
        """Say whether the job was ended from outside and did not leave by itself."""
        return self.code in KILLS or self.status == "terminated" or self.warned

    def mark(self, cause: str, certainty: str) -> bool:
        """Say whether the log speaks for `cause` so surely."""
        return any(mark.cause == cause and mark.certainty == certainty for mark in self.marks)


def diagnose(result: Record, now: Record | None = None) -> Record:
    """Give the `diagnosis` of a failed attempt.

    `now` is what the job asks for at present (resource_requirements_id, memory_bytes, runtime_s, num_cpus); without
    it that is taken to be what the attempt had. Raises Failure(65) for a field of the wrong type.
    """
    job_id = need(result, "job_id", int)
    case = Case(result)
    cause, certainty = _verdict(case)
    present = result if now is None else now
    return {
        "type": "diagnosis",
        "workflow_id": may(result, "workflow_id", int),
        "job_id": job_id,
        "job_name": may(result, "job_name", str),
        "run_id": may(result, "run_id", int),
        "attempt_id": may(result, "attempt_id", int),
        "status": case.status,
        "return_code": case.code,
        "cause": cause,
        "certainty": certainty,
        "likely_oom": cause == "oom",
        "likely_timeout": cause == "timeout",
        "resource_requirements_id": may(present, "resource_requirements_id", int),
        "memory_bytes": may(present, "memory_bytes", int),
        "runtime_s": may(present, "runtime_s", int),
        "num_cpus": may(present, "num_cpus", int),
        "attempt_memory_bytes": case.memory,
        "attempt_runtime_s": case.runtime,
        "peak_memory_bytes": case.peak,
        "exec_time_s": case.exec_s,
        "same_failures": may(result, "same_failures", int) or 1,
        "attempts": may(result, "attempts", int) or 1,
        "node": may(result, "node", str),
        "ended_at": may(result, "ended_at", (int, float)),
        "evidence": _evidence(case),
        "contradictions": case.against,
        "matches": [],
        "advised": None,
    }


def diagnose_failed(result: Record) -> list[Record]:
    """Give the diagnosis of a result as a list: empty for an attempt that did not fail."""
    return [] if Case(result).status in NOT_FAILED else [diagnose(result)]


def _verdict(case: Case) -> Verdict:
    if case.status == "canceled":
        return "canceled", "certain"
    for rule in _RULES:
        verdict = rule(case)
        if verdict is not None:
            _contradict(case, verdict)
            return verdict
    return "unknown", "weak"


def _memory_word(case: Case) -> Verdict | None:
    """Believe any word that says memory: of the worker, of Slurm on any step, of the kernel in the log."""
    step = slurmvalues.bare(case.slurm) == "OUT_OF_MEMORY" or case.slurm_exit == slurmverdicts.OOM_MARK
    return ("oom", "certain") if step or case.reason == "memory_limit" or case.mark("oom", "certain") else None


def _slurm_says(case: Case) -> Verdict | None:
    """Take Slurm's word for the step; one that this program does not know is neither success nor failure."""
    word = slurmvalues.bare(case.slurm)
    if not word:
        return None
    if word not in slurmverdicts.STEP:
        case.against.append(f"Slurm says '{word}', which this program does not know")
        return "unknown", "weak"
    if word == "CANCELLED" and " by " in str(case.slurm):
        return "canceled", "likely"
    if word == "FAILED" and case.slurm_exit in slurmverdicts.LAUNCH:
        return "launch_fail", "certain"
    if word == "TIMEOUT" and not case.near_runtime() and (case.reason == "allocation_end" or _cut_off(case)):
        return "allocation_end", "certain"
    return slurmverdicts.STEP[word]


def _cut_off(case: Case) -> bool:
    return slurmvalues.bare(case.allocation) == "TIMEOUT"


def _allocation_says(case: Case) -> Verdict | None:
    """Take Slurm's word for the allocation that a job was lost with: the job is its victim, unless it had its time."""
    word = slurmvalues.bare(case.allocation)
    if not word or not (case.reason == "lost" or case.code == states.LOST_CODE):
        return None
    if word == "FAILED" and case.allocation_exit in slurmverdicts.LAUNCH:
        return "launch_fail", "certain"
    if word == "TIMEOUT" and case.near_runtime():
        return "timeout", "likely"
    if word == "OUT_OF_MEMORY" and case.was_alone and case.slurm is None:
        return "oom", "likely"
    if word == "OUT_OF_MEMORY":
        case.against.append("the allocation ran out of memory, but not in a step of this job")
    elif word not in slurmverdicts.ALLOCATION:
        case.against.append(f"Slurm says '{word}', which this program does not know")
    return slurmverdicts.ALLOCATION.get(word, ("unknown", "weak"))


def _worker_says(case: Case) -> Verdict | None:
    """Take the worker's word; a job that the allocation's end cut off after all of its own runtime was too long."""
    verdict = WORKER.get(case.reason or "")
    if case.reason == "allocation_end" and case.near_runtime():
        return "timeout", "likely"
    return verdict


def _log_is_sure(case: Case) -> Verdict | None:
    for mark in case.marks:
        if mark.certainty == "certain":
            return mark.cause, mark.certainty
    return None


def _killed_137(case: Case) -> Verdict | None:
    """Judge SIGKILL with no word about it: memory by torc's rule, unless the facts say otherwise."""
    if case.code != 137:
        return None
    if case.over_memory() or case.mark("oom", "likely"):
        return "oom", "likely"
    if case.near_runtime() and not _near_memory(case):
        return "timeout", "likely"
    if case.aborted:
        case.against.append("return code 137 may mean out of memory, but Slurm was told to end the step")
        return "unknown", "weak"
    if case.below_memory() and case.peak_source == "kernel":
        case.against.append("return code 137 may mean out of memory, but the kernel's peak is far below the limit")
        return "unknown", "weak"
    return "oom", "likely"


def _near_memory(case: Case) -> bool:
    return case.peak is not None and case.memory is not None and not case.below_memory() and case.peak > 0


def _late(case: Case) -> Verdict | None:
    """Judge a job that was ended from outside: a timeout where it had used up its runtime."""
    if case.killed() and case.near_runtime() and not case.over_memory():
        return "timeout", "likely"
    if case.code != 152:
        return None
    if case.exec_s is not None and case.runtime is not None:
        case.against.append("return code 152 may mean the runtime limit, but the job ended long before it")
        return "unknown", "weak"
    return "timeout", "likely"


def _over(case: Case) -> Verdict | None:
    """Judge a peak above the limit; a program that left by itself over a full GPU did not die of that."""
    if case.over_memory() and not (case.mark("gpu_oom", "likely") and not case.killed()):
        return "oom", "likely"
    return None


def _code_says(case: Case) -> Verdict | None:
    return CODES.get(case.code, ("", None))[1] if case.code is not None else None


def _log_says(case: Case) -> Verdict | None:
    for mark in case.marks:
        return mark.cause, mark.certainty
    return None


_RULES: tuple[Callable[[Case], Verdict | None], ...] = (
    _memory_word, _slurm_says, _allocation_says, _worker_says, _log_is_sure, _killed_137, _late, _over, _code_says,
    _log_says,
)  # fmt: skip


def _contradict(case: Case, verdict: Verdict) -> None:
    """Note what speaks against a verdict."""
    cause = verdict[0]
    if cause == "oom" and case.below_memory():
        case.against.append(f"peak {case.peak} bytes is below {NEAR_MEMORY} % of the limit of {case.memory} bytes")
    if cause == "oom" and case.near_runtime():
        case.against.append(f"the job had run for {NEAR_RUNTIME} % of its runtime or more")
    if cause == "timeout" and case.over_memory():
        case.against.append("the peak was above the memory limit")
    if cause == "timeout" and case.exec_s is not None and case.runtime is not None and not case.near_runtime():
        case.against.append(f"the job had run for less than {NEAR_RUNTIME} % of its runtime")
    for mark in case.marks:
        if cause not in (mark.cause, "unknown"):
            case.against.append(f"the log speaks for {mark.cause}: {mark.line}")


def _evidence(case: Case) -> list[Record]:
    """List the raw facts, each with its source."""
    found = [("worker", f"status {case.status}")]
    if case.code is None:
        found.append(("worker", "no return code"))
    else:
        meaning = CODES.get(case.code, ("", None))[0]
        found.append(("worker", f"return code {case.code}" + (f" ({meaning})" if meaning else "")))
    found += [("worker", f"reason {case.reason}")] if case.reason else []
    found += [("worker", f"signal {case.signal}")] if case.signal is not None else []
    found += [("worker", "was warned by a signal before its end")] if case.warned else []
    states_and_codes = (case.slurm, case.slurm_exit), (case.allocation, case.allocation_exit)
    found += [("slurm", said) for said in slurmverdicts.evidence(*states_and_codes, case.told)]
    if case.peak is not None:
        found.append((_peak_source(case), f"peak {case.peak} bytes of {_limit(case.memory, 'bytes')}"))
    if case.exec_s is not None and math.isfinite(case.exec_s):
        found.append(("worker", f"ran {case.exec_s:.1f} s of {_limit(case.runtime, 's')}"))
    found += [("log", mark.line) for mark in case.marks]
    if not case.marks and (said := patterns.last_line(case.tail)):
        found.append(("log", said))
    return [{"source": source, "fact": fact} for source, fact in found]


def _peak_source(case: Case) -> str:
    return case.peak_source if case.peak_source in ("kernel", "slurm") else "sampler"


def _limit(value: int | None, unit: str) -> str:
    return "no limit" if value is None else f"{value} {unit}"
