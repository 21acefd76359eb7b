"""What rules make of a diagnosis: which may speak, what the one that decides says, what is kept of the others."""

from collections.abc import Sequence

from torc_tools import units
from torc_tools.core.rules import Hit, Rule, spot
from torc_tools.records import Record

SHOWN = 200  # characters of a line of a log that are kept
RULED = "ruled"  # the cause where a rule says what to do, and neither it nor anyone else says why
AGAIN = frozenset({"transient", "allocation_end", "node_fail", "launch_fail", "orphan", "interrupted", "preempted"})


def may_speak(diagnosis: Record, *, builtin: bool) -> bool:
    """Say whether rules are asked about a failure: those of users where nobody knows for certain what it was."""
    if diagnosis["cause"] == "unknown":
        return True
    return bool(diagnosis["certainty"] == "weak" if builtin else diagnosis["certainty"] != "certain")


def matched(hit: Hit, file: str | None, first_line: int | None) -> Record:
    """Give the record of a rule that applies; `first_line` is the number of the first line of the text in the file."""
    number, said = (0, None) if hit.text is None else spot(hit.text.text, hit.at)
    line = None if first_line is None or said is None else first_line + number
    rule = hit.rule
    text = None if said is None else said[:SHOWN]
    kept = {"rule": rule.name, "cause": rule.cause, "file": file, "line": line, "text": text, "shadow": rule.shadow}
    return {**kept, "rule_at": place(rule)}


def place(rule: Rule) -> str:
    """Say where a rule stands: 'site.yaml:7', or 'built in'."""
    if rule.builtin:
        return "built in"
    return f"{rule.file}:{rule.line}" if rule.line else rule.file


def decided(diagnosis: Record, hits: Sequence[Hit], matches: list[Record]) -> Record:
    """Give the diagnosis with what the rules that apply make of it; the first that is no shadow decides."""
    found = {**diagnosis, "matches": matches}
    at = next((index for index, hit in enumerate(hits) if not hit.rule.shadow), None)
    if at is None:
        return found
    rule, match = hits[at].rule, matches[at]
    cause = rule.cause or (RULED if diagnosis["cause"] == "unknown" else diagnosis["cause"])
    found |= {"cause": cause, "certainty": rule.certainty, "advised": _advice(rule, cause)}
    found |= {"likely_oom": cause == "oom", "likely_timeout": cause == "timeout"}
    evidence = [{"source": "rule", "fact": f"rule '{rule.name}' ({place(rule)})"}]
    said = {"source": "log", "fact": match["text"]}
    if match["text"] and said not in diagnosis["evidence"]:
        evidence.append(said)
    found["evidence"] = [*diagnosis["evidence"], *evidence]
    if diagnosis["cause"] not in ("unknown", cause):
        against = f"without the rule: {diagnosis['cause']}, {diagnosis['certainty']}"
        found["contradictions"] = [*diagnosis["contradictions"], against]
    return found


def unlinked(diagnosis: Record, path: str, maker_id: int, maker_name: str) -> Record:
    """Give a diagnosis that knows which job makes the file that was missing, and that this one does not wait for it."""
    fact = f"'{path}' is an output of job {maker_id} ({maker_name}), which this job does not wait for"
    advised = diagnosis["advised"]
    if advised["builtin"]:
        advised = {**advised, "advice": f"{fact}: name it under input_files"}
    return {**diagnosis, "evidence": [*diagnosis["evidence"], {"source": "spec", "fact": fact}], "advised": advised}


def _advice(rule: Rule, cause: str) -> Record:
    by_cause = "adjust" if cause in ("oom", "timeout") else "retry" if cause in AGAIN else "hold"
    return {
        "action": rule.action or by_cause,
        "reason": rule.reason or cause.replace("_", " "),
        "advice": rule.advice,
        "rule": rule.name,
        "builtin": rule.builtin,
        "max_attempts": rule.max_attempts,
        "memory_factor": _factor(rule.memory_milli),
        "runtime_factor": _factor(rule.runtime_milli),
    }


def _factor(milli: int | None) -> float | None:
    return None if milli is None else float(units.format_factor(milli))
