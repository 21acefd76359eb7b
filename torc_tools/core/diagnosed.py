"""A `diagnosis` that anyone may have written, checked before it is counted among others."""

from torc_tools.exits import DATA, Failure
from torc_tools.records import Record, may, need


def checked(diagnosis: Record) -> Record:
    """Give a diagnosis back whose fields are what groups and reports read. Raises Failure(65) where one is not."""
    need(diagnosis, "job_id", int)
    need(diagnosis, "cause", str)
    may(diagnosis, "ended_at", (int, float))
    for key in ("workflow_id", "return_code"):
        may(diagnosis, key, int)
    for key in ("job_name", "node", "certainty"):
        may(diagnosis, key, str)
    may({**(may(diagnosis, "advised", dict) or {}), "type": "advised"}, "rule", str)
    for each in _dicts(diagnosis, "evidence"):
        need(each, "fact", str)
        may(each, "source", str)
    for each in _dicts(diagnosis, "matches"):
        for key in ("rule", "rule_at"):
            need(each, key, str)
        may(each, "text", str)
        may(each, "cause", str)
        need(each, "shadow", bool)
    return diagnosis


def _dicts(diagnosis: Record, key: str) -> list[Record]:
    found = may(diagnosis, key, list) or []
    if not all(isinstance(each, dict) for each in found):
        raise Failure(DATA, f"diagnosis: '{key}' is not a list of objects")
    return [{**each, "type": key} for each in found]
