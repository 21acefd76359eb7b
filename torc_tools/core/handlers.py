"""Failure handlers: what the rules of a job say about a return code.

The first rule that lists the code counts, else the first with match_all_exit_codes. max_retries counts retries: 3
allows the attempts 1 to 4.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_RETRIES = 3  # of a rule that does not say


class Verdict(NamedTuple):
    """What is to be done with a failed attempt: run it again, perhaps after a script; matched: some rule speaks."""

    matched: bool
    retry: bool
    recovery_script: str | None = None


def verdict(rules: Sequence[dict[str, Any]], return_code: int, attempt_id: int) -> Verdict:
    """Give what `rules` say about attempt `attempt_id` (from 1) that ended with `return_code`."""
    rule = _rule(rules, return_code)
    if rule is None:
        return Verdict(matched=False, retry=False)
    most = rule.get("max_retries")
    if attempt_id > (MAX_RETRIES if most is None else most):
        return Verdict(matched=True, retry=False)
    return Verdict(matched=True, retry=True, recovery_script=rule.get("recovery_script") or None)


def _rule(rules: Sequence[dict[str, Any]], return_code: int) -> dict[str, Any] | None:
    for rule in rules:
        if return_code in (rule.get("exit_codes") or ()):
            return rule
    return next((rule for rule in rules if rule.get("match_all_exit_codes")), None)
