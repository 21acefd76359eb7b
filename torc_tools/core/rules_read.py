"""Rules as users write them: plain data of a YAML file, read with every problem and where it is."""

import re
from collections.abc import Callable
from typing import Any

from torc_tools import states, units
from torc_tools.core import fieldreaders
from torc_tools.core.fieldreaders import Known, Reader, flag
from torc_tools.core.problems import Path, Problems, nearest
from torc_tools.core.rules import ACTIONS, COMPARISONS, Match, Name, Rule

_RANGE = re.compile(r"(-?\d{1,10})\s*-\s*(-?\d{1,10})", re.ASCII)
_ATTEMPT = re.compile(r"(<=|>=|==|!=|<|>|=)?\s*(\d{1,9})", re.ASCII)
_STATES = frozenset(states.NAMES)
Check = Callable[[str], str | None]  # says what is wrong with a regular expression


def _text(value: Any) -> str:
    return fieldreaders.text(value).strip()


def _word(value: Any) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", _text(value), re.ASCII):
        raise ValueError("not a word of small letters, digits and '_'")
    return str(value)


def _one_of(known: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in known:
            raise ValueError(f"not one of {', '.join(known)}{nearest(str(value), known)}")
        return str(value)

    return read


def _factor(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004  one error for all that is wrong
    milli = units.parse_factor(str(value))
    if milli <= 1000:
        raise ValueError("not above 1: nothing grows by it")
    return int(milli)


def _some(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ValueError("not a whole number from 1 on")
    return value


def _list(value: Any) -> list[Any]:
    if isinstance(value, list) and not value:
        raise ValueError("an empty list matches nothing")
    return value if isinstance(value, list) else [value]


def _words(value: Any) -> frozenset[str]:
    return frozenset(map(_word, _list(value)))


def _state(value: Any) -> frozenset[str]:
    found = _words(value)
    for each in sorted(found - _STATES):
        raise ValueError(f"no state '{each}'{nearest(each, states.NAMES)}")
    return found


def _slurm_state(value: Any) -> frozenset[str]:
    return frozenset(_text(each).upper() for each in _list(value))


def _needles(value: Any) -> tuple[str, ...]:
    return tuple(_text(each).lower() for each in _list(value))


def _codes(value: Any) -> tuple[tuple[int, int], ...]:
    return tuple(map(_code, _list(value)))


def _code(value: Any) -> tuple[int, int]:
    if type(value) is int and abs(value) < 1 << 31:
        return value, value
    match = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a code, a range of them such as '129-143', or a list of these")
    low, high = int(match[1]), int(match[2])
    if low > high:
        raise ValueError(f"the range {low}-{high} holds no code")
    return low, high


def _attempt(value: Any) -> tuple[str, int]:
    match = _ATTEMPT.fullmatch(str(value).strip()) if type(value) in (int, str) else None
    if match is None:
        raise ValueError(f"not a comparison such as '>= 2' (with {', '.join(COMPARISONS)})")
    return {None: "==", "=": "=="}.get(match[1], match[1]), int(match[2])


_RULE: Known = {  # key: field of Rule, how it is read
    "name": ("name", _text),
    "cause": ("cause", _word),
    "certainty": ("certainty", _one_of(("likely", "weak"))),
    "action": ("action", _one_of(ACTIONS)),
    "reason": ("reason", _text),
    "advice": ("advice", _text),
    "memory_factor": ("memory_milli", _factor),
    "runtime_factor": ("runtime_milli", _factor),
    "max_attempts": ("max_attempts", _some),
    "shadow": ("shadow", flag),
}


def _conditions(check: Check) -> Known:
    def expression(value: Any) -> str:
        wrong = check(_text(value))
        if wrong is not None:
            raise ValueError(f"not a regular expression: {wrong}")
        return str(value)

    def name(value: Any) -> Name:
        text = _text(value)
        if len(text) > 2 and text[0] == text[-1] == "/":
            return Name(expression(text[1:-1]), is_regex=True)
        return Name(text)

    readers: dict[str, Reader] = {
        "state": _state,
        "return_code": _codes,
        "log": expression,
        "log_words": _needles,
        "node": name,
    }
    readers |= {"attempt": _attempt, "cause": _words, "job_name": name, "slurm_state": _slurm_state}
    return {key: (key, reader) for key, reader in readers.items()}


def read(data: Any, file: str, problems: Problems, check: Check, *, builtin: bool = False) -> list[tuple[Rule, Path]]:
    """Read a list of rules, each with its path in the file; what is wrong goes to `problems`.

    `check` says what is wrong with a regular expression, None where nothing is.
    """
    top: Path = ()
    if isinstance(data, dict) and set(data) == {"rules"}:
        data, top = data["rules"], ("rules",)
    if not isinstance(data, list) or not data:
        problems.add(top, "not a list of rules")
        return []
    found: list[tuple[Rule, Path]] = []
    names: set[str] = set()
    conditions = _conditions(check)
    for number, given in enumerate(data):
        path = (*top, number)
        rule = _rule(given, path, conditions, problems)
        if rule is None:
            continue
        if rule.name in names:
            problems.add((*path, "name"), f"a second rule '{rule.name}'")
        names.add(rule.name)
        found.append((rule._replace(file=file, builtin=builtin), path))
    return found


def _rule(given: Any, path: Path, conditions: Known, problems: Problems) -> Rule | None:
    if not isinstance(given, dict):
        problems.add(path, "not a rule: a rule is a map with 'name' and 'match'")
        return None
    before = len(problems)
    fields = fieldreaders.read(given, path, _RULE, problems, {"match"})
    match = given.get("match")
    if not isinstance(match, dict):
        problems.add((*path, "match") if "match" in given else path, "no map 'match' of conditions")
        match = {}
    asked = fieldreaders.read(match, (*path, "match"), conditions, problems, set())
    if "name" not in fields and "name" not in given:
        problems.add(path, "no 'name'")
    if len(problems) > before:
        return None
    rule = Rule(match=Match(**asked), file="", **fields)
    wrong = _contradiction(rule)
    if wrong is not None:
        problems.add((*path, wrong[0]) if wrong[0] in given else path, wrong[1])
    return rule


def _contradiction(rule: Rule) -> tuple[str, str] | None:
    """Say which key of a rule makes no sense beside the others, and why."""
    grows = rule.memory_milli is not None or rule.runtime_milli is not None
    if rule.cause is None and rule.action is None and not rule.shadow:
        return "name", "it says nothing: give it a 'cause', an 'action', or 'shadow: true'"
    if rule.action not in (None, "adjust") and grows:
        key = "memory_factor" if rule.memory_milli is not None else "runtime_factor"
        return key, f"goes with action 'adjust', not with '{rule.action}'"
    if rule.action == "adjust" and rule.certainty == "weak":
        return "certainty", "'weak' does not go with 'adjust': a weak verdict makes no request grow"
    told = rule.match.cause if rule.cause is None else {rule.cause}
    if rule.action == "adjust" and not grows and not (told and told <= {"oom", "timeout"}):
        return "action", "'adjust' needs a cause (oom or timeout), a 'memory_factor' or a 'runtime_factor'"
    if rule.max_attempts is not None and rule.action in ("hold", "fail"):
        return "max_attempts", f"goes with an action that runs the job again, not with '{rule.action}'"
    return None
