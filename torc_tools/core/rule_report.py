"""What rules did to the failures of a workflow, rule by rule: how a file of rules is tried out."""

from collections.abc import Iterable, Iterator, Sequence

from torc_tools.core import diagnosed, ruling
from torc_tools.core.rules import Rule
from torc_tools.records import Record


def folded(records: Iterable[Record], own: Sequence[Rule]) -> Iterator[Record]:
    """Give records with the diagnoses among them folded into `rule` records, which stand before the end."""
    report: dict[str, Record] = {_key(rule.name, ruling.place(rule)): _row(rule) for rule in own}
    told = False
    for record in records:
        if record["type"] == "diagnosis":
            _count(report, diagnosed.checked(record))
        elif record["type"] == "end":
            told = True
            yield from report.values()
            yield {**record, "count": len(report)}
        else:
            yield record
    if not told:
        yield from report.values()


class Unasked:
    """Counts, as records go by, the failures that rules of the user are not asked about: of certain cause."""

    def __init__(self) -> None:
        """Count none yet."""
        self.count = 0

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Give the records as they are."""
        for record in records:
            told = {"cause": "unknown", "certainty": None, **record}  # a line written by hand may lack either
            self.count += record["type"] == "diagnosis" and not ruling.may_speak(told, builtin=False)
            yield record


def _key(name: str, at: str) -> str:
    return f"{at} {name}"


def _row(rule: Rule) -> Record:
    shown = {"cause": rule.cause, "action": rule.action, "shadow": rule.shadow}
    return {"type": "rule", "rule": rule.name, "rule_at": ruling.place(rule), **shown, **_nothing()}


def _nothing() -> Record:
    return {"matched": 0, "decided": 0, "job_id": None, "job_name": None, "text": None}


def _count(report: dict[str, Record], diagnosis: Record) -> None:
    advised = (diagnosis.get("advised") or {}).get("rule")
    open_ = True
    for match in diagnosis.get("matches") or ():
        key = _key(match["rule"], match["rule_at"])
        if key not in report:  # of those built in only these are told of
            shown = {"cause": match["cause"], "action": None, "shadow": match["shadow"]}
            report[key] = {"type": "rule", "rule": match["rule"], "rule_at": match["rule_at"], **shown, **_nothing()}
        row = report[key]
        decides = open_ and not match["shadow"] and match["rule"] == advised
        open_ = open_ and not decides
        row["matched"] += 1
        row["decided"] += decides
        if row["job_id"] is None:
            row |= {"job_id": diagnosis["job_id"], "job_name": diagnosis.get("job_name"), "text": match["text"]}
