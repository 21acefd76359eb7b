"""Hundreds of failures as the few causes that they have: folded by signature, one record for each."""

import functools
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from torc_tools.core import diagnosed, heuristics
from torc_tools.records import Record

NAMED = 20  # jobs up to which a command names them
NODES = 10  # that a group names
_SHOWN = 200
_PARTS = (  # what differs from job to job in lines that say the same
    (re.compile(r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "ID"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(r"(?<![\w.])(~|\.{1,2})?(/[^\s:;,'\"()\[\]<>|/]+)+/?"), "PATH"),
    (re.compile(r"\b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "ID"),
    (re.compile(r"\d+([.,:]\d+)*"), "N"),
    (re.compile(r"\s+"), " "),
)


def groups(diagnoses: Iterable[Record]) -> list[Record]:
    """Fold diagnoses into `failure_group` records, that of the most jobs first."""
    found: dict[tuple[object, ...], list[Record]] = {}
    for each in diagnoses:
        found.setdefault(_signature(each), []).append(each)
    made = [_group(signature, members) for signature, members in found.items()]
    return sorted(made, key=lambda group: (-group["count"], group["job_ids"][0]))


def folded(records: Iterable[Record]) -> Iterator[Record]:
    """Give records with the diagnoses among them folded; these stand before the end of the stream."""
    kept: list[Record] = []
    for record in records:
        if record["type"] == "diagnosis":
            kept.append(diagnosed.checked(record))
        elif record["type"] == "end":
            made, kept = groups(kept), []
            yield from made
            yield {**record, "count": len(made)}
        else:
            yield record
    yield from groups(kept)


def commands(groups: Iterable[Record]) -> list[str]:
    """Give a line for each command that handles groups: how many jobs, of which causes."""
    found: dict[str, list[Record]] = {}
    for group in groups:
        if group["type"] == "failure_group" and group["command"] is not None:
            found.setdefault(group["command"], []).append(group)
    lines = []
    for command, members in found.items():
        causes = ", ".join(dict.fromkeys(str(each["cause"]) for each in members))
        lines.append(f"{sum(each['count'] for each in members)} job(s) ({causes}): {command}")
    return lines


@functools.lru_cache(maxsize=4096)
def normalised(line: str, job_name: str | None = None) -> str:
    """Give a line of a log without what differs from job to job: its name, numbers, paths, addresses, ids."""
    if job_name and len(job_name) > 2:
        line = line.replace(job_name, "JOB")
    for pattern, word in _PARTS:
        line = pattern.sub(word, line)
    return line.strip()[:_SHOWN]


def _said(diagnosis: Record) -> str:
    """Give the line of a log that a diagnosis rests on, '' where there is none."""
    rule = _rule(diagnosis)
    for match in diagnosis.get("matches") or ():
        if match.get("text") and match.get("rule") == rule:
            return str(match["text"])
    return next((str(fact["fact"]) for fact in diagnosis.get("evidence") or () if fact.get("source") == "log"), "")


def _rule(diagnosis: Record) -> str | None:
    return (diagnosis.get("advised") or {}).get("rule")


def _signature(diagnosis: Record) -> tuple[object, ...]:
    line = normalised(_said(diagnosis), diagnosis.get("job_name"))
    keys = (diagnosis.get(key) for key in ("workflow_id", "cause", "return_code"))
    return (*keys, _rule(diagnosis), line)


def _group(signature: tuple[object, ...], members: Sequence[Record]) -> Record:
    workflow_id, cause, code, rule, line = signature
    first = members[0]
    job_ids = sorted({each["job_id"] for each in members})
    nodes = Counter(each["node"] for each in members if each.get("node"))
    times = sorted(at for each in members if (at := each.get("ended_at")) is not None)
    plan = heuristics.adjust(first, heuristics.Policy())
    return {
        "type": "failure_group",
        "workflow_id": workflow_id,
        "count": len(job_ids),
        "cause": cause,
        "certainty": first.get("certainty"),
        "return_code": code,
        "rule": rule,
        "line": line,
        "job_id": first["job_id"],
        "job_name": first.get("job_name"),
        "example": _said(first),
        "job_ids": job_ids,
        "node_count": len(nodes),
        "nodes": dict(nodes.most_common(NODES)),
        "first_at": times[0] if times else None,
        "last_at": times[-1] if times else None,
        "action": plan["action"],
        "reason": plan["reason"],
        "command": _command(first, plan, job_ids),
    }


def _command(first: Record, plan: Record, job_ids: Sequence[int]) -> str | None:
    """Give the command that handles such failures; None where the workflow is not known."""
    workflow_id = first.get("workflow_id")
    if workflow_id is None:
        return None
    override = plan["override"] or ""
    if plan["action"] in ("adjust", "retry", "fail"):
        advised = first.get("advised") or {}
        at = next((each["rule_at"] for each in first.get("matches") or () if each["rule"] == advised.get("rule")), "")
        file = shlex.quote(at.rpartition(":")[0])
        rules = (
            f"--rules{'=' if file[:1] == '-' else ' '}{file} " if advised and not advised.get("builtin") and at else ""
        )
        return f"torc-recover {rules}{workflow_id}"
    if override.startswith("-"):
        return f"torc-recover {override} {workflow_id}"
    if len(job_ids) <= NAMED:
        return f"torc-reset --job-ids {','.join(map(str, job_ids))}"
    code = first.get("return_code")
    return f"torc-reset -w {workflow_id} " + (f"--return-code={code}" if code is not None else "--failed")
