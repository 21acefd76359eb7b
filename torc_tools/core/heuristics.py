"""What to do about a failure: one `diagnosis` in, one `adjustment` out, by a policy that is stated.

`adjust` grows the resource at fault and no other; `retry` runs the job again with what it has, for causes that are not
the job's; `hold` leaves it, with the reason and what would override it. A request never falls. Memory is rounded up to
whole g, m or k; all arithmetic is in integers, factors in thousandths.
"""

import math
from typing import NamedTuple

from torc_tools import units
from torc_tools.core.unknowns import UNKNOWN
from torc_tools.exits import DATA, Failure
from torc_tools.records import Record, may, need

MOST_MEMORY = 2**60  # bytes: what a request may grow to where the policy has no cap
MOST_RUNTIME = 2**40  # seconds
MOST = 2**62  # what a record may hold

NOT_THE_JOBS = frozenset({"interrupted", "preempted"})  # run again as is, as often as it takes
FAULTS = frozenset({"allocation_end", "node_fail", "launch_fail", "orphan"})  # run again as is, a few times
ADVICE = {  # known causes that no memory and no time mends
    "gpu_oom": "GPU memory was full: host memory does not help, a smaller batch or a larger GPU does",
    "storage": "storage was full or not writable: make room, then try again",
}
CERTAINTIES = ("certain", "likely", "weak")
TRIES = 3  # failures of one kind after which the job itself is suspected


class Policy(NamedTuple):
    """Factors in thousandths, caps in bytes and seconds (None: none)."""

    memory_milli: int = 1500
    runtime_milli: int = 1500
    retry_unknown: bool = False
    max_memory: int | None = None
    max_runtime: int | None = None


class Outcome:
    """What is to be done with one job; the default is to leave it."""

    def __init__(self, action: str = "hold", reason: str | None = None, override: str | None = None) -> None:
        """Take the action (adjust, retry, hold), why, and what would override a hold."""
        self.action, self.reason, self.override = action, reason, override
        self.held: str | None = None
        self.memory: int | None = None
        self.runtime: int | None = None


def adjust(diagnosis: Record, policy: Policy) -> Record:
    """Give the `adjustment` for a `diagnosis`. Raises Failure(65) for a field of the wrong type or out of range."""
    cause = _cause(diagnosis)
    outcome = _planned(cause, diagnosis, policy)
    return _adjustment(diagnosis, cause, outcome)


def memory_for(size: int, milli: int) -> int:
    """Give the request for a use of `size` bytes: times the factor, rounded up to whole g, m or k."""
    return units.round_up_memory(units.scale(size, milli))


def _cause(diagnosis: Record) -> str:
    """Give the cause; a line written by hand may have likely_oom or likely_timeout instead."""
    cause = may(diagnosis, "cause", str)
    flags = [may(diagnosis, f"likely_{name}", bool) for name in ("oom", "timeout")]
    if cause is None and any(flags):
        return "oom" if flags[0] else "timeout"
    return str(need(diagnosis, "cause", str)) or "unknown"


def _planned(cause: str, diagnosis: Record, policy: Policy) -> Outcome:
    failures = may(diagnosis, "same_failures", int) or 1
    advised = may(diagnosis, "advised", dict)
    if advised and not (_certainty(diagnosis) == "weak" and advised.get("action") == "adjust"):
        return _advised({**advised, "type": "advised"}, cause, diagnosis, policy)
    if cause == "oom" and _certainty(diagnosis) != "weak":
        return _memory(diagnosis, policy)
    if cause == "timeout" and _certainty(diagnosis) != "weak":
        return _runtime(diagnosis, policy)
    if cause in NOT_THE_JOBS or (cause in FAULTS and failures < TRIES):
        return Outcome("retry", f"{cause.replace('_', ' ')}: not the job's doing")
    if cause == "canceled":
        return _held("canceled", "canceled: run again only on request", f"torc-reset --job-ids {_job(diagnosis)}")
    return _unknown(cause, diagnosis, policy, failures)


def _unknown(cause: str, diagnosis: Record, policy: Policy, failures: int) -> Outcome:
    if cause == "transient" and _certainty(diagnosis) != "weak" and failures < TRIES:
        return Outcome("retry", "transient: the program asks to be tried again")
    if policy.retry_unknown:
        return Outcome("retry", f"{UNKNOWN}: tried again on request")
    if cause in FAULTS or (cause == "transient" and failures >= TRIES):
        suspicion = "it needs a longer allocation" if cause == "allocation_end" else "the job itself is suspected"
        return _held("repeated", f"{cause.replace('_', ' ')} {failures} times: {suspicion}", "--retry-unknown")
    if cause in ADVICE:
        return _held(cause, ADVICE[cause], "--retry-unknown")
    detail = "" if cause in ("unknown", "oom", "timeout") else f" ({cause.replace('_', ' ')})"
    return _held("unknown", f"{UNKNOWN}{detail}", "--retry-unknown")


def _advised(advised: Record, cause: str, diagnosis: Record, policy: Policy) -> Outcome:
    """Do what a rule says. Those of users are final; a hold of one that is built in yields to --retry-unknown."""
    action, rule = need(advised, "action", str), need(advised, "rule", str)
    said = ": ".join(filter(None, (may(advised, "reason", str) or cause, may(advised, "advice", str))))
    reason, is_builtin = f"{said} (rule '{rule}')", may(advised, "builtin", bool) is True
    if action in ("adjust", "retry"):
        attempts = may(diagnosis, "attempts", int) or 1
        most = may(advised, "max_attempts", int) or (MOST if action == "adjust" or cause in NOT_THE_JOBS else TRIES)
        if attempts < most:
            return _grown(advised, cause, diagnosis, policy) if action == "adjust" else Outcome("retry", reason)
        reason = f"{reason}: tried {attempts} time{'s' * (attempts > 1)}"
    elif action == "fail" and may(diagnosis, "status", str) == "pending_failed":
        return Outcome("fail", reason)
    elif action not in ("hold", "fail"):
        raise Failure(DATA, f"advised: 'action' is '{action}', expected adjust, retry, hold or fail")
    if not is_builtin:
        return _held("rule", reason, f"torc-reset --job-ids {_job(diagnosis)}")
    if policy.retry_unknown:
        return Outcome("retry", f"{UNKNOWN}: tried again on request")
    return _held("unknown", f"{UNKNOWN} ({said})", "--retry-unknown")


def _grown(advised: Record, cause: str, diagnosis: Record, policy: Policy) -> Outcome:
    """Grow what a rule says, by its factors; without one what is at fault, by those of the policy."""
    memory, runtime = _milli(advised, "memory_factor"), _milli(advised, "runtime_factor")
    found = []
    if memory or (cause == "oom" and not runtime):
        found.append(_memory(diagnosis, policy._replace(memory_milli=memory or policy.memory_milli)))
    if runtime or (cause == "timeout" and not memory):
        found.append(_runtime(diagnosis, policy._replace(runtime_milli=runtime or policy.runtime_milli)))
    if not found:
        return _unknown(cause, {**diagnosis, "certainty": "weak"}, policy, 1)
    by_action = {outcome.action: outcome for outcome in reversed(found)}
    chosen = by_action.get("adjust") or by_action.get("retry") or found[0]
    for outcome in found:
        chosen.memory, chosen.runtime = chosen.memory or outcome.memory, chosen.runtime or outcome.runtime
    if chosen.action == "adjust":
        chosen.reason = f"{may(advised, 'reason', str) or cause} (rule '{advised['rule']}')"
    return chosen


def _milli(advised: Record, key: str) -> int | None:
    """Give a factor of a rule in thousandths."""
    value = may(advised, key, (int, float))
    if value is None:
        return None
    if not 1 <= value < 1e6:
        raise Failure(DATA, f"advised: '{key}' is {value}, out of range")
    return round(float(value) * 1000)


def _memory(diagnosis: Record, policy: Policy) -> Outcome:
    now, had = _now_and_had(diagnosis, "memory_bytes")
    peak = _size(diagnosis, "peak_memory_bytes") or 0
    if now is None:
        return _no_limit("memory", had, policy)
    if had is not None and now > had and peak <= now:
        return Outcome("retry", f"memory was raised since: {units.format_memory(had)} -> {units.format_memory(now)}")
    base = max(now, had or 0, peak)
    grown = memory_for(base, policy.memory_milli)
    wanted = grown if base * policy.memory_milli > now * 1000 else now
    outcome = Outcome("adjust")
    outcome.memory = min(wanted, policy.max_memory or MOST_MEMORY)
    if outcome.memory > now:
        return outcome
    return _stuck("memory", units.format_memory(now), units.format_memory(wanted), wanted > now)


def _runtime(diagnosis: Record, policy: Policy) -> Outcome:
    now, had = _now_and_had(diagnosis, "runtime_s")
    ran = _seconds(diagnosis)
    if now is None:
        return _no_limit("runtime", had, policy)
    if had is not None and now > had and ran < now:
        return Outcome(
            "retry", f"runtime was raised since: {units.format_duration(had)} -> {units.format_duration(now)}"
        )
    wanted = units.scale(max(now, had or 0), policy.runtime_milli)
    if ran >= wanted > now:  # it was left to run on, and was not done even then
        wanted = units.scale(ran, policy.runtime_milli)
    outcome = Outcome("adjust")
    outcome.runtime = min(wanted, policy.max_runtime or MOST_RUNTIME)
    if outcome.runtime > now:
        return outcome
    return _stuck("runtime", units.format_duration(now), units.format_duration(wanted), wanted > now)


def _no_limit(what: str, had: int | None, policy: Policy) -> Outcome:
    """Plan for a job that asks for no limit now: nothing can grow."""
    if had is not None:
        return Outcome("retry", f"the {what} limit was taken away since")
    if policy.retry_unknown:
        return Outcome("retry", f"no {what} limit to raise: tried again on request")
    return _held("no_limit", f"no {what} limit to raise", "--retry-unknown")


def _stuck(what: str, now: str, wanted: str, capped: bool) -> Outcome:
    """Hold a job whose request would not change: a retry would be the failed attempt once more."""
    if capped:
        return _held("at_cap", f"at cap: {what} {now} may not grow", f"--max-{what} {wanted}")
    return _held("no_growth", f"{what} {now} would not grow by this multiplier", f"--{what}-multiplier 1.5")


def _held(word: str, reason: str, override: str) -> Outcome:
    outcome = Outcome("hold", reason, override)
    outcome.held = word
    return outcome


def _adjustment(diagnosis: Record, cause: str, outcome: Outcome) -> Record:
    (now_memory, _), (now_runtime, _) = _now_and_had(diagnosis, "memory_bytes"), _now_and_had(diagnosis, "runtime_s")
    grows, lasts = outcome.memory is not None, outcome.runtime is not None
    return {
        "type": "adjustment",
        "workflow_id": may(diagnosis, "workflow_id", int),
        "action": outcome.action,
        "job_ids": [_job(diagnosis)],
        "job_names": [may(diagnosis, "job_name", str)],
        "run_id": may(diagnosis, "run_id", int),
        "attempt_id": may(diagnosis, "attempt_id", int),
        "resource_requirements_id": may(diagnosis, "resource_requirements_id", int),
        "direction": "upscale",
        "memory_adjusted": grows,
        "original_memory": units.format_memory(now_memory) if grows and now_memory is not None else None,
        "new_memory": units.format_memory(outcome.memory) if outcome.memory is not None else None,
        "max_peak_memory_bytes": _size(diagnosis, "peak_memory_bytes"),
        "runtime_adjusted": lasts,
        "original_runtime": units.format_duration(now_runtime) if lasts and now_runtime is not None else None,
        "new_runtime": units.format_duration(outcome.runtime) if outcome.runtime is not None else None,
        "because": {
            "cause": cause,
            "certainty": _certainty(diagnosis),
            "likely_oom": cause == "oom",
            "likely_timeout": cause == "timeout",
            "return_code": may(diagnosis, "return_code", int),
            **_by_rule(diagnosis),
        },
        "held": outcome.held,
        "reason": outcome.reason,
        "override": outcome.override,
    }


def _by_rule(diagnosis: Record) -> Record:
    advised = may(diagnosis, "advised", dict)
    return {"rule": need({**advised, "type": "advised"}, "rule", str)} if advised else {}


def _job(diagnosis: Record) -> int:
    return int(need(diagnosis, "job_id", int))


def _certainty(diagnosis: Record) -> str:
    """Give how sure the verdict is; a line written by hand may leave it out, but a word not known grows nothing."""
    certainty = str(may(diagnosis, "certainty", str) or "likely")
    if certainty not in CERTAINTIES:
        raise Failure(DATA, f"diagnosis: 'certainty' is '{certainty}', expected one of {', '.join(CERTAINTIES)}")
    return certainty


def _seconds(diagnosis: Record) -> int:
    """Give the time that the attempt ran, rounded up; 0 where it is not known."""
    value = may(diagnosis, "exec_time_s", (int, float)) or 0
    if not math.isfinite(value) or not 0 <= value < MOST:
        raise Failure(DATA, f"diagnosis: 'exec_time_s' is {value}, out of range")
    return math.ceil(value)


def _now_and_had(diagnosis: Record, key: str) -> tuple[int | None, int | None]:
    """Give what the job asks for now and what its attempt had; where a line leaves one out, it is the other."""
    return _size(diagnosis, key, f"attempt_{key}"), _size(diagnosis, f"attempt_{key}", key)


def _size(diagnosis: Record, key: str, otherwise: str | None = None) -> int | None:
    """Give a size or time as a number from 0 on (a limit of 0 is none); `otherwise` stands in for an absent key."""
    if otherwise is not None and key not in diagnosis:
        key = otherwise
    value = may(diagnosis, key, int)
    if value is not None and not 0 <= value < MOST:
        raise Failure(DATA, f"diagnosis: '{key}' is {value}, out of range")
    return None if value is None or (value == 0 and not key.startswith("peak")) else int(value)
