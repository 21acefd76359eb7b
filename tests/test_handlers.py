"""Failure handlers: the cases 136 to 138 of torc 0.21, with retries counted as retries."""

from typing import Any

import pytest

from torc_tools.core.handlers import verdict

THREE = [{"exit_codes": [3], "max_retries": 3}]
ONE = [{"exit_codes": [3], "max_retries": 1}]
FIVE = {"exit_codes": [5], "max_retries": 3, "recovery_script": "fix"}
BOTH = [
    {"match_all_exit_codes": True, "max_retries": 2},
    {"exit_codes": [5], "max_retries": 3, "recovery_script": "fix"},
]


def last_attempt(rules: list[dict[str, Any]], code: int) -> int:
    attempt = 1
    while verdict(rules, code, attempt).retry:
        attempt += 1
    return attempt


@pytest.mark.parametrize(
    ("rules", "code", "last"),
    [(THREE, 3, 4), (ONE, 3, 2), (BOTH, 5, 4), (BOTH, 6, 3), (THREE, 4, 1), ([], 3, 1),
     ([{"exit_codes": [3], "max_retries": 0}], 3, 1),
     ([{"exit_codes": [3]}], 3, 4), ([{}], 3, 1),
     ([{"exit_codes": None, "match_all_exit_codes": True, "max_retries": None}], 3, 4)],
)  # fmt: skip
def test_attempts(rules: list[dict[str, Any]], code: int, last: int) -> None:
    assert last_attempt(rules, code) == last


def test_a_rule_that_lists_the_code_wins_over_an_earlier_match_all() -> None:
    assert verdict(BOTH, 5, 1) == (True, True, "fix")
    assert verdict(BOTH, 6, 1) == (True, True, None)


def test_no_rule_is_not_the_same_as_no_retry_left() -> None:
    assert verdict(THREE, 4, 1) == (False, False, None)
    assert verdict(THREE, 3, 4) == (True, False, None)
