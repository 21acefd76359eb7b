"""Rules: how a file is read, what is wrong in one, which rule comes first, what its conditions hold for."""

import re

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from torc_tools.core import rules, rules_read
from torc_tools.core.problems import Problems
from torc_tools.core.rules import Facts, Index, Match, Name, Rule, Text
from torc_tools.shell import regexes, yamlfile


def read(text):
    data, line_of = yamlfile.load(text)
    problems = Problems()
    found = rules_read.read(data, "f.yaml", problems, regexes.trouble)
    return [rule for rule, _ in found], [(line_of(each.path), each.text) for each in problems]


def one(**match):
    text = repr({"name": "x", "cause": "c", "match": match})
    (found,), problems = read(f"- {text}")
    assert problems == []
    return found


def facts(log="", **given):
    base = {"state": "failed", "return_code": 1, "node": "n12", "attempt": 1, "cause": "unknown", "job_name": "fit_7"}
    base |= {"slurm_states": frozenset({"FAILED"}), "texts": lambda: [Text(None, log)] if log else []}
    return Facts(**{**base, **given})


def search(_rule, expression, text):
    match = regex.search(expression, text, regex.MULTILINE)
    return None if match is None else match.start()


def find(rule, text):
    return rules.log_match(rule, text.text, rules.small(text.text), search)


def applies(rule, about):
    return bool(rules.hits([rule], about, search, find))


@pytest.mark.parametrize(
    ("match", "about", "expected"),
    [
        ({}, {}, True),
        ({"state": "failed"}, {}, True),
        ({"state": ["terminated", "pending_failed"]}, {}, False),
        ({"return_code": 1}, {}, True),
        ({"return_code": 2}, {}, False),
        ({"return_code": "129-143"}, {"return_code": 129}, True),
        ({"return_code": "129-143"}, {"return_code": 143}, True),
        ({"return_code": "129-143"}, {"return_code": 144}, False),
        ({"return_code": [3, "10-12"]}, {"return_code": 11}, True),
        ({"return_code": "-128--1"}, {"return_code": -9}, True),
        ({"return_code": 1}, {"return_code": None}, False),
        ({"node": "n1*"}, {}, True),
        ({"node": "n1"}, {}, False),
        ({"node": "/^n(12|13)$/"}, {}, True),
        ({"node": "n*"}, {"node": None}, False),
        ({"job_name": "fit_[0-9]"}, {}, True),
        ({"job_name": "fit_[0-9]"}, {"job_name": "fit_x"}, False),
        ({"attempt": 1}, {}, True),
        ({"attempt": ">= 2"}, {}, False),
        ({"attempt": ">= 2"}, {"attempt": 2}, True),
        ({"attempt": "<3"}, {"attempt": 3}, False),
        ({"attempt": "!= 1"}, {"attempt": 3}, True),
        ({"attempt": 1}, {"attempt": None}, False),
        ({"cause": ["oom", "unknown"]}, {}, True),
        ({"cause": "oom"}, {}, False),
        ({"slurm_state": "failed"}, {}, True),
        ({"slurm_state": "TIMEOUT"}, {}, False),
        ({"log": "bad (input|output)$"}, {"log": "one\nbad input\ntwo"}, True),
        ({"log": "Bad input"}, {"log": "bad input"}, False),
        ({"log": "(?i)Bad input"}, {"log": "bad input"}, True),
        ({"log": "x"}, {}, False),
        ({"log_words": "Bad Input"}, {"log": "a BAD INPUT b"}, True),
        ({"log_words": ["one", "two"]}, {"log": "xtwox"}, True),
        ({"log_words": ["one", "two"], "log": "^three"}, {"log": "two"}, False),
        ({"return_code": 1, "node": "m*"}, {}, False),
    ],
)  # fmt: skip
def test_conditions(match, about, expected) -> None:
    assert applies(one(**match), facts(**about)) is expected


def test_most_specific_first_and_then_as_they_stand() -> None:
    found, problems = read("""
- {name: all, cause: a, match: {}}
- {name: range, cause: a, match: {return_code: 1-255}}
- {name: code, cause: a, match: {return_code: 3}}
- {name: log, cause: a, match: {log: x}}
- {name: words, cause: a, match: {log: x, log_words: x}}
- {name: pattern, cause: a, match: {node: 'n*'}}
- {name: name, cause: a, match: {node: n1}}
- {name: two patterns, cause: a, match: {node: 'n*', return_code: 1-2}}
- {name: two, cause: a, match: {node: n1, return_code: 1-2}}
- {name: at least, cause: a, match: {attempt: '>= 2'}}
- {name: exactly, cause: a, match: {attempt: 2}}
""")
    assert problems == []
    expected = "two,two patterns,code,log,words,name,exactly,range,pattern,at least,all"
    assert ",".join(rule.name for rule in rules.ordered(found)) == expected


def test_a_list_may_stand_under_rules_and_every_key_is_read() -> None:
    (found,), problems = read("""
rules:
  - name: grow
    match: {cause: oom, log: x}
    cause: oom
    certainty: likely
    action: adjust
    reason: it is known
    advice: mend it
    memory_factor: 2
    runtime_factor: 1.25
    max_attempts: 4
    shadow: false
""")
    assert problems == []
    assert found == Rule(
        name="grow", match=Match(cause=frozenset({"oom"}), log="x"), file="f.yaml", cause="oom", action="adjust",
        reason="it is known", advice="mend it", memory_milli=2000, runtime_milli=1250, max_attempts=4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("7", 1, "not a list of rules"),
        ("[]", 1, "not a list of rules"),
        ("- 7", 1, "not a rule: a rule is a map with 'name' and 'match'"),
        ("- name: x\n  cause: c", 1, "no map 'match' of conditions"),
        ("- cause: c\n  match: {}", 1, "no 'name'"),
        ("- name: x\n  match: {}", 1, "it says nothing: give it a 'cause', an 'action', or 'shadow: true'"),
        ("- name: x\n  match: {}\n  cause: Bad", 3, "not a word of small letters, digits and '_'"),
        ("- name: x\n  match: {}\n  acton: hold\n  cause: c", 3, "unknown key, did you mean 'action'?"),
        ("- name: x\n  match:\n    retrun_code: 1\n  cause: c", 3, "unknown key, did you mean 'return_code'?"),
        ("- name: x\n  match:\n    log: '('\n  cause: c", 3, "not a regular expression: missing ) at position 1"),
        ("- name: x\n  match:\n    node: '/(/'\n  cause: c", 3, "not a regular expression: missing ) at position 1"),
        ("- name: x\n  match: {return_code: [1, x]}\n  cause: c", 2,
         "not a code, a range of them such as '129-143', or a list of these"),
        ("- name: x\n  match: {return_code: 9-3}\n  cause: c", 2, "the range 9-3 holds no code"),
        ("- name: x\n  match: {return_code: []}\n  cause: c", 2, "an empty list matches nothing"),
        ("- name: x\n  match: {return_code: true}\n  cause: c", 2,
         "not a code, a range of them such as '129-143', or a list of these"),
        ("- name: x\n  match: {state: faild}\n  cause: c", 2, "no state 'faild', did you mean 'failed'?"),
        ("- name: x\n  match: {attempt: '~ 2'}\n  cause: c", 2,
         "not a comparison such as '>= 2' (with <, <=, ==, !=, >=, >)"),
        ("- name: x\n  match: {}\n  action: adjust", 3,
         "'adjust' needs a cause (oom or timeout), a 'memory_factor' or a 'runtime_factor'"),
        ("- name: x\n  match: {}\n  action: hold\n  memory_factor: 2", 4, "goes with action 'adjust', not with 'hold'"),
        ("- name: x\n  match: {}\n  action: hold\n  max_attempts: 2", 4,
         "goes with an action that runs the job again, not with 'hold'"),
        ("- name: x\n  match: {}\n  action: adjust\n  memory_factor: 1", 4, "not above 1: nothing grows by it"),
        ("- name: x\n  match: {}\n  cause: oom\n  action: adjust\n  certainty: weak", 5,
         "'weak' does not go with 'adjust': a weak verdict makes no request grow"),
        ("- name: x\n  match: {}\n  cause: c\n  shadow: maybe", 4, "not true or false"),
        ("- name: x\n  match: {}\n  cause: c\n- name: x\n  match: {}\n  cause: c", 4, "a second rule 'x'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(text, line, said) -> None:
    assert read(text)[1] == [(line, said)]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-200, 300) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["name", "match", "cause", "action", "memory_factor", "max_attempts", "shadow", "reason"])
asked = st.sampled_from(["state", "return_code", "log", "log_words", "node", "attempt", "cause", "slurm_state"])
maps = st.dictionaries(keys, anything | st.dictionaries(asked, anything, max_size=3), max_size=5)


@given(anything | st.lists(maps, max_size=3))
def test_any_data_is_read_or_has_problems(data) -> None:
    problems = Problems()
    found = rules_read.read(data, "f", problems, regexes.trouble)
    assert found or problems
    rules.ordered(rule for rule, _ in found)


words = st.sampled_from(["ab", "b c", "é", "İ", "d"])
lines = st.lists(st.sampled_from(["xabx", "B C", "É", "nothing", "İ d", ""]), max_size=6).map("\n".join)


@given(st.lists(st.lists(words, min_size=1, max_size=2), max_size=5), st.lists(lines, min_size=1, max_size=4))
def test_the_index_finds_every_rule_that_applies(wanted, texts) -> None:
    made = [Rule(f"r{at}", Match(log_words=tuple(each)), "f") for at, each in enumerate(wanted)]
    made += [Rule("code", Match(return_code=((1, 1),)), "f"), Rule("any", Match(node=Name("n*")), "f")]
    index = Index(made)
    for text in texts:
        about = facts(log=text)
        some = index.candidates(1, index.of_text(text))
        assert rules.hits(some, about, search, find) == rules.hits(made, about, search, find)


@given(st.text(max_size=30))
def test_small_letters_keep_their_places(text) -> None:
    low = rules.small(text)
    assert len(low) == len(text)
    assert rules.small(low) == low or not low.isascii()


def test_an_expression_that_takes_too_long_is_told_of_once_and_left_out() -> None:
    told = []
    searcher = regexes.Searcher(told.append, limit_s=0.05)
    slow = "a" * 40 + "b"
    assert searcher.search("rule 'x'", "(a|aa)+$", slow) is None
    assert told == ["rule 'x': '(a|aa)+$' took longer than 0.05 s on a log: it is left out from now"]
    assert searcher.search("rule 'x'", "(a|aa)+$", "aa") is None
    assert searcher.search("rule 'y'", "a$", "ba") == 1
    assert len(told) == 1


def test_an_expression_that_calls_itself_without_end_is_left_out() -> None:
    told = []
    searcher = regexes.Searcher(told.append)
    assert [searcher.search("rule 'x'", "(?R)", "text") for _ in range(2)] == [None, None]
    assert told == ["rule 'x': '(?R)' has no end on a log: it is left out from now"]
    with pytest.raises(TimeoutError):
        regexes.bounded("(?R)")("text")


@pytest.mark.parametrize(
    ("expression", "is_large"),
    [
        ("a{400000000}", True),
        ("(?:a{1000}){1000}", True),
        ("((a{100}b){100}){100}", True),
        ("a" * 100_001, True),
        (r"[(]{3}(\d{4}-\d{2}){2} \{9999999\} [{9999999}] [](\]{9999999}] a{,9999999} (?:b{0,1000}){1,1000}", False),
        ("))((", False),
        ("", False),
    ],
)
def test_an_expression_that_is_too_large_to_be_read_is_refused(expression, is_large) -> None:
    assert (regexes.trouble(expression) or "").startswith("too large: ") is is_large
    if is_large:
        with pytest.raises(re.error, match=r"^too large: "):
            regexes.bounded(expression)


def test_the_line_of_a_match() -> None:
    assert rules.spot("one\n two \nthree", 5) == (1, "two")
    assert rules.spot("one", 0) == (0, "one")
    assert rules.spot("one\n", 4) == (1, "")
