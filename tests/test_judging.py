"""torc-diagnose with rules: whom they may overrule, where they find their lines, what becomes of it further on."""

from pathlib import Path

import orjson
import pytest
from conftest import said
from hypothesis import given
from hypothesis import strategies as st
from prepared import dump, execute

from torc_tools import units
from torc_tools.core import failure_groups, heuristics, rule_report
from torc_tools.exits import DATA, Failure
from torc_tools.flows import judging, rulebook
from torc_tools.shell import regexes

BUG = "job_stdio/job_wf1_j4_r1_a1"
WRONG = "bad.yaml:2: rule 'x': match.log: not a regular expression: missing )"
RULE = """\
- name: bad-input
  match: {return_code: 1, log: 'ValueError: bad \\w+'}
  cause: bad_input
  action: hold
  reason: the input is bad
  advice: ask Ann
"""


@pytest.fixture
def rules(store_file: Path) -> Path:
    """Give a file with one rule for job 4 of the workflow in ./torc.db."""
    path = Path("site.yaml")
    path.write_text(RULE)
    return path


def write_log(name: str, text: str) -> None:
    path = Path("torc_output", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def diagnosed(torc, *args, **more):
    done = torc("torc-diagnose", *args, 1, **more)
    assert done.returncode == 0, done.stderr
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    return {each["job_id"]: each for each in found if each["type"] == "diagnosis"}


def test_a_rule_of_the_user_names_the_cause_and_the_line(torc, rules) -> None:
    write_log(f"{BUG}.o", "nothing\n")
    write_log(f"{BUG}.e", "x" * 70 + "\n" + "more\n" * 30000 + "ValueError: bad input\nand after it\n")
    found = diagnosed(torc, "--rules", rules)
    (match,) = found[4]["matches"]
    assert match == {
        "rule": "bad-input", "cause": "bad_input", "file": str(Path.cwd() / "torc_output" / f"{BUG}.e"),
        "line": 30002, "text": "ValueError: bad input", "shadow": False, "rule_at": "site.yaml:1",
    }  # fmt: skip
    assert (found[4]["cause"], found[4]["certainty"]) == ("bad_input", "likely")
    assert found[4]["evidence"][-1] == {"source": "rule", "fact": "rule 'bad-input' (site.yaml:1)"}
    assert found[4]["advised"] == {
        "action": "hold", "reason": "the input is bad", "advice": "ask Ann", "rule": "bad-input", "builtin": False,
        "max_attempts": None, "memory_factor": None, "runtime_factor": None,
    }  # fmt: skip
    assert [found[job]["advised"] for job in (2, 3)] == [None, None]


def test_where_the_logs_are_gone_the_record_has_their_end(torc, rules) -> None:
    (match,) = diagnosed(torc, "--rules", rules)[4]["matches"]
    assert (match["file"], match["line"], match["text"]) == (None, None, "ValueError: bad input")


def test_only_the_end_of_a_log_is_looked_at(torc, rules) -> None:
    write_log(f"{BUG}.e", "ValueError: bad input\n" + "more\n" * 30000)
    assert diagnosed(torc, "--rules", rules)[4]["matches"] == []


def test_rules_of_the_environment_follow_those_of_the_command_line(torc, rules) -> None:
    Path("other.yaml").write_text("- {name: other, match: {return_code: 1, state: failed}, cause: c, shadow: true}\n")
    found = diagnosed(torc, "--rules", rules, env={"TORC_RULES": ":other.yaml:"})[4]
    assert [match["rule"] for match in found["matches"]] == ["bad-input", "other"]
    found = diagnosed(torc, env={"TORC_RULES": "other.yaml:site.yaml"})[4]
    assert [match["rule"] for match in found["matches"]] == ["other", "bad-input"]
    assert (found["cause"], found["advised"]["rule"]) == ("bad_input", "bad-input")


def test_a_shadow_changes_nothing_but_the_matches(torc, rules) -> None:
    before = diagnosed(torc)[4]
    rules.write_text(RULE + "  shadow: true\n")
    after = diagnosed(torc, "--rules", rules)[4]
    assert [match["shadow"] for match in after["matches"]] == [True]
    assert {**after, "matches": []} == before


def test_a_rule_overrules_the_likely_and_never_the_certain(torc, store_file) -> None:
    Path("r.yaml").write_text("- {name: all, match: {}, cause: mine, action: hold}\n")
    execute(store_file, "UPDATE result SET facts = '{}' WHERE job_id = 3")  # 152 at its limit: likely
    found = diagnosed(torc, "--rules=r.yaml")
    assert {job: each["cause"] for job, each in found.items()} == {2: "oom", 3: "mine", 4: "mine"}
    assert found[2]["matches"] == []
    assert found[3]["contradictions"] == ["without the rule: timeout, likely"]
    assert (found[3]["likely_timeout"], found[3]["likely_oom"]) == (False, False)


def test_a_rule_may_speak_where_it_is_certain_that_nobody_knows(torc, rules, store_file) -> None:
    facts = orjson.dumps({"reason": "missing_output", "log_tail": "ValueError: bad input"}).decode()
    execute(store_file, f"UPDATE result SET facts = '{facts}' WHERE job_id = 4")
    assert diagnosed(torc, "--rules", rules)[4]["cause"] == "bad_input"


def test_what_is_built_in_is_found_in_the_log_of_the_record(torc, store_file) -> None:
    tail = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'scipy'\n"
    facts = orjson.dumps({"log_tail": tail}).decode().replace("'", "''")
    execute(store_file, f"UPDATE result SET facts = '{facts}' WHERE job_id = 4")
    write_log(f"{BUG}.e", "loading\n" * 3 + tail)
    found = diagnosed(torc)[4]
    assert [(match["rule"], match["line"], match["shadow"]) for match in found["matches"]] == [
        ("python-module", 5, False), ("python-traceback", 4, True),
    ]  # fmt: skip
    assert found["matches"][0]["file"].endswith(f"{BUG}.e")
    assert (found["cause"], found["advised"]["builtin"]) == ("missing_module", True)
    write_log(f"{BUG}.e", "written over by another attempt\n")
    assert diagnosed(torc)[4]["matches"][0]["line"] is None


def test_results_from_a_pipe_have_the_rules_too(torc, rules) -> None:
    line = {"type": "result", "job_id": 7, "return_code": 1, "worker": "wf1_r1_a_b_77_4711"}
    line["facts"] = {"log_tail": "ValueError: bad node\n"}
    rules.write_text(RULE.replace("return_code: 1", "node: a_b"))
    done = torc("torc-diagnose", "--rules", rules, input=orjson.dumps(line))
    assert orjson.loads(done.stdout)["cause"] == "bad_input"


@pytest.mark.parametrize("name", ["it's\n\x1b[31m", "<script>", 'a"b'])
def test_names_that_others_chose(torc, store_file, name) -> None:
    execute(store_file, f"UPDATE job SET name = '{name.replace(chr(39), 2 * chr(39))}' WHERE job_id = 4")
    Path("r.yaml").write_text(orjson.dumps([{"name": name, "match": {}, "cause": "c", "shadow": True}]).decode())
    assert diagnosed(torc, "--rules=r.yaml")[4]["matches"][0]["rule"] == name
    for fold in ("--group", "--by-rule"):
        shown = torc("torc-diagnose", "--rules=r.yaml", fold, "-f", "table", 1)
        assert shown.returncode == 0
        assert b"\x1b" not in shown.stdout


@pytest.mark.parametrize(
    ("command", "file", "status", "words"),
    [
        (["torc-diagnose"], "none.yaml", 66, "cannot open 'none.yaml'"),
        (["torc-diagnose"], "-", 2, "rules are read from a file, not from standard input"),
        (["torc-diagnose"], "yaml.yaml", 65, "yaml.yaml:2: not YAML"),
        (["torc-diagnose"], "bad.yaml", 65, WRONG),
        (["torc-recover"], "bad.yaml", 65, WRONG),
        (["torc-watch", "--once"], "bad.yaml", 65, WRONG),
        (["torc-logs", "analyze"], "bad.yaml", 65, WRONG),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_before_anything_is_done(torc, store_file, command, file, status, words) -> None:
    Path("bad.yaml").write_text("- name: x\n  match: {log: '('}\n  cause: c\n")
    Path("yaml.yaml").write_text("- name: x\n   match: [\n")
    before = dump(store_file)
    done = torc(*command, f"--rules={file}", 1)
    assert done.returncode == status
    assert words in said(done)[0]
    assert dump(store_file) == before


def test_an_expression_that_takes_too_long_ends_nothing(work_dir, monkeypatch, capsys) -> None:
    monkeypatch.setattr(regexes, "LIMIT_S", 0.05)
    Path("r.yaml").write_text("- {name: slow, match: {log: '(a|aa)+$'}, cause: c, action: hold}\n")
    judge = judging.Judge(rulebook.own(["r.yaml"]))
    line = {"type": "result", "job_id": 4, "return_code": 1, "facts": {"log_tail": "a" * 60 + "b\n"}}
    assert [judge.diagnose(line)["cause"] for _ in range(2)] == ["unknown", "unknown"]
    told = "rule 'slow' (r.yaml:1): '(a|aa)+$' took longer than 0.05 s on a log: it is left out from now\n"
    assert capsys.readouterr().err == told


def test_logs_are_looked_through_with_the_same_rules(torc, rules) -> None:
    write_log(f"{BUG}.e", "ok\nModuleNotFoundError: x\nValueError: bad input\nCUDA out of memory\n")
    rules.write_text(RULE.replace("return_code: 1, ", ""))
    done = torc("torc-logs", "analyze", "--rules", rules, 1)
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    issues = [(each["line_number"], each["cause"], each["rule"]) for each in found if each["type"] == "log_issue"]
    assert issues == [(2, "missing_module", "python-module"), (3, "bad_input", "bad-input"), (4, "gpu_oom", None)]


def advised(action, builtin=False, status="failed", cause="c", certainty="likely", attempts=1, **more):
    line = {"type": "diagnosis", "job_id": 7, "cause": cause, "certainty": certainty, "status": status}
    line |= {"memory_bytes": 2**31, "runtime_s": 3600, "attempts": attempts}
    return {**line, "advised": {"action": action, "rule": "r", "reason": "so", "builtin": builtin, **more}}


@pytest.mark.parametrize(
    ("line", "retry_unknown", "expected"),
    [
        (advised("hold"), False, ("hold", "rule", "so (rule 'r')", "torc-reset --job-ids 7")),
        (advised("hold"), True, ("hold", "rule", "so (rule 'r')", "torc-reset --job-ids 7")),
        (advised("hold", advice="do"), False, ("hold", "rule", "so: do (rule 'r')", "torc-reset --job-ids 7")),
        (advised("hold", builtin=True), False, ("hold", "unknown", "unknown failure cause (so)", "--retry-unknown")),
        (advised("hold", builtin=True), True, ("retry", None, "unknown failure cause: tried again on request", None)),
        (advised("fail"), True, ("hold", "rule", "so (rule 'r')", "torc-reset --job-ids 7")),
        (advised("fail", status="pending_failed"), False, ("fail", None, "so (rule 'r')", None)),
        (advised("retry"), False, ("retry", None, "so (rule 'r')", None)),
        (advised("retry", attempts=2), False, ("retry", None, "so (rule 'r')", None)),
        (advised("retry", attempts=3), False,
         ("hold", "rule", "so (rule 'r'): tried 3 times", "torc-reset --job-ids 7")),
        (advised("retry", attempts=9, max_attempts=10), False, ("retry", None, "so (rule 'r')", None)),
        (advised("retry", attempts=1, max_attempts=1), True,
         ("hold", "rule", "so (rule 'r'): tried 1 time", "torc-reset --job-ids 7")),
        (advised("retry", attempts=99, cause="preempted"), False, ("retry", None, "so (rule 'r')", None)),
        (advised("adjust", memory_factor=2, attempts=3, max_attempts=3), False,
         ("hold", "rule", "so (rule 'r'): tried 3 times", "torc-reset --job-ids 7")),
        (advised("adjust", memory_factor=2, certainty="weak"), False,
         ("hold", "unknown", "unknown failure cause (c)", "--retry-unknown")),
        (advised("adjust"), False, ("hold", "unknown", "unknown failure cause (c)", "--retry-unknown")),
    ],
)  # fmt: skip
def test_heuristics_do_as_a_rule_says(line, retry_unknown, expected) -> None:
    planned = heuristics.adjust(line, heuristics.Policy(retry_unknown=retry_unknown))
    assert (planned["action"], planned["held"], planned["reason"], planned["override"]) == expected
    assert planned["because"]["rule"] == "r"


@pytest.mark.parametrize(
    ("line", "policy", "grown"),
    [
        (advised("adjust", memory_factor=2), {}, ("4g", None)),
        (advised("adjust", memory_factor=2.5, cause="unknown"), {}, ("5g", None)),
        (advised("adjust", runtime_factor=3), {}, (None, "PT3H")),
        (advised("adjust", memory_factor=2, runtime_factor=3), {}, ("4g", "PT3H")),
        (advised("adjust", cause="oom"), {}, ("3g", None)),
        (advised("adjust", cause="timeout"), {}, (None, "PT1H30M")),
        (advised("adjust", cause="oom", runtime_factor=2), {}, (None, "PT2H")),
        (advised("adjust", memory_factor=2, runtime_factor=3), {"max_memory": 2**31}, (None, "PT3H")),
        (advised("adjust", memory_factor=2), {"max_memory": 3 * 2**30}, ("3g", None)),
    ],
)
def test_what_a_rule_makes_grow(line, policy, grown) -> None:
    planned = heuristics.adjust(line, heuristics.Policy(**policy))
    assert planned["action"] == "adjust"
    assert (planned["new_memory"], planned["new_runtime"]) == grown


def test_a_rule_grows_nothing_past_a_cap() -> None:
    planned = heuristics.adjust(advised("adjust", memory_factor=2), heuristics.Policy(max_memory=2**31))
    assert (planned["action"], planned["held"]) == ("hold", "at_cap")


@pytest.mark.parametrize(
    "wrong",
    [{"action": "explode"}, {"action": None}, {"rule": None}, {"memory_factor": "2"}, {"memory_factor": 0.5},
     {"max_attempts": "3"}, {"reason": 7}],
)  # fmt: skip
def test_advice_that_is_none_is_refused(wrong) -> None:
    line = advised("adjust", cause="oom")
    line["advised"] |= wrong
    with pytest.raises(Failure) as caught:
        heuristics.adjust(line, heuristics.Policy())
    assert caught.value.status == DATA


def test_recover_does_as_a_rule_says(torc, rules) -> None:
    rules.write_text(RULE.replace("action: hold", "action: adjust\n  memory_factor: 4"))
    done = torc("torc-recover", "--no-run", "--rules", rules, 1)
    assert done.returncode == 0, done.stderr
    memory = "SELECT memory_bytes FROM job JOIN resource_requirements USING (resource_requirements_id) WHERE job_id = 4"
    assert execute("torc.db", memory) == [(4 * 2**30,)]
    assert execute("torc.db", "SELECT status FROM job WHERE job_id = 4") != [(6,)]


def test_recover_tells_what_a_rule_holds(torc, rules) -> None:
    done = torc("torc-recover", "--dry-run", "--retry-unknown", "--rules", rules, 1)
    assert any("the input is bad: ask Ann (rule 'bad-input')" in line for line in said(done))
    assert "Would reset 2 job(s)" in done.stderr.decode()


def test_print_shows_the_rules(torc, rules) -> None:
    done = torc("torc-recover", "--print", "--rules", rules, "--rules=my other.yaml", 1)
    assert done.returncode == 66  # what it would say at night, it says now
    Path("my other.yaml").write_text(RULE)
    shown = torc("torc-recover", "--print", "--rules", rules, "--rules=my other.yaml", 1).stdout.decode()
    assert "torc-diagnose --rules=site.yaml '--rules=my other.yaml' 1 |" in shown


def failure(job_id, line="", cause="unknown", code=1, **more):
    base = {"type": "diagnosis", "workflow_id": 1, "job_id": job_id, "job_name": f"fit_{job_id}", "status": "failed"}
    base |= {"return_code": code, "cause": cause, "certainty": "weak", "evidence": [], "contradictions": []}
    evidence = [{"source": "worker", "fact": "w"}, {"source": "log", "fact": line}] if line else []
    return {**base, "evidence": evidence, **more}


def test_412_failures_of_one_cause_are_one_line() -> None:
    many = [failure(n, f"[fit_{n}] cannot read '/data/run{n}/in.h5' at 0x7f{n:04x}", node=f"n{n % 3}", ended_at=n)
            for n in range(1, 413)]  # fmt: skip
    first, second = failure_groups.groups([failure(999, "KeyError: 'a'"), *many])
    assert (first["count"], second["count"]) == (412, 1)
    assert first["line"] == "[JOB] cannot read 'PATH' at ADDRESS"
    assert first["example"] == "[fit_1] cannot read '/data/run1/in.h5' at 0x7f0001"
    assert (first["job_id"], first["job_ids"]) == (1, list(range(1, 413)))
    assert (first["node_count"], first["nodes"]) == (3, {"n1": 138, "n2": 137, "n0": 137})
    assert (first["first_at"], first["last_at"]) == (1, 412)
    assert first["command"] == "torc-recover --retry-unknown 1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("line 12: x", "line 7: x", True),
        ("took 1.5 s", "took 22.25 s", True),
        ("job 0191d2f0-6f7a-7cc0-b2a3-000000000001", "job 0191d2f0-6f7a-7cc0-b2a3-00000000000f", True),
        ("commit 4f3a9bc1", "commit deadbe01", True),
        ("in ../a/b.py", "in /c/d/e.py", True),
        ("a\tb", "a  b", True),
        ("KeyError: 'a'", "KeyError: 'b'", False),
        ("facade", "decade", False),
        ("x", "y", False),
    ],
)
def test_what_lines_have_in_common(one, other, same) -> None:
    assert (failure_groups.normalised(one) == failure_groups.normalised(other)) is same


def ruled(at):
    return {"advised": {"action": "retry", "rule": "r", "reason": "so"}, "matches": [{"rule": "r", "rule_at": at}]}


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({"cause": "oom", "certainty": "certain", "memory_bytes": 2**30}, "torc-recover 1"),
        ({"cause": "unknown"}, "torc-recover --retry-unknown 1"),
        ({"cause": "canceled"}, "torc-reset --job-ids 3,4"),
        ({"cause": "oom", "certainty": "certain", "memory_bytes": None}, "torc-recover --retry-unknown 1"),
        (ruled("site.yaml:3"), "torc-recover --rules site.yaml 1"),
        (ruled("my rules; id:3"), "torc-recover --rules 'my rules; id' 1"),
        (ruled("-s.yaml:3"), "torc-recover --rules=-s.yaml 1"),
        ({"workflow_id": None}, None),
    ],
)
def test_the_command_that_handles_a_group(given, command) -> None:
    (found,) = failure_groups.groups([failure(n, **given) for n in (3, 4)])
    assert found["command"] == command


def test_groups_in_a_pipe_stand_inside_the_frame(torc, store_file) -> None:
    first = torc("torc-diagnose", 1)
    done = torc("torc-diagnose", "--group", input=first.stdout)
    kinds = [orjson.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds == ["begin", "failure_group", "failure_group", "failure_group", "end"]
    assert orjson.loads(done.stdout.splitlines()[-1])["count"] == 3
    assert torc("torc-diagnose", "--group", 1).stdout == done.stdout


@pytest.mark.parametrize(
    "wrong",
    [{"job_id": None}, {"cause": 7}, {"matches": [7]}, {"matches": [{"rule": "x"}]}, {"evidence": [{"fact": 7}]},
     {"advised": {"rule": 7}}, {"advised": 7}, {"job_name": []}, {"node": {}}, {"ended_at": "x"}, {"return_code": "1"},
     {"workflow_id": []}, {"certainty": "sure"}, {"evidence": "x"}],
)  # fmt: skip
def test_a_diagnosis_written_by_hand_that_is_none_is_refused(wrong) -> None:
    with pytest.raises(Failure) as caught:
        list(failure_groups.folded([{**failure(7), **wrong}]))
    assert caught.value.status == DATA
    if "certainty" not in wrong:
        with pytest.raises(Failure):
            list(rule_report.folded([{**failure(7), **wrong}], []))


def test_the_least_that_a_diagnosis_needs_to_be_folded() -> None:
    (found,) = failure_groups.folded([{"type": "diagnosis", "job_id": 7, "cause": "unknown"}])
    assert (found["count"], found["line"], found["command"]) == (1, "", None)
    unasked = rule_report.Unasked()
    assert list(unasked.passing([{"type": "diagnosis", "job_id": 7, "cause": "oom"}]))
    assert unasked.count == 0


def test_a_result_whose_worker_is_no_name_is_refused(torc) -> None:
    done = torc("torc-diagnose", input=b'{"type":"result","job_id":7,"return_code":1,"worker":[1]}')
    assert (done.returncode, said(done)) == (65, ["torc-diagnose: line 1: result: 'worker' is [1], expected a string"])


def test_rules_one_by_one(torc, rules) -> None:
    rules.write_text(RULE + "- {name: never, match: {return_code: 99}, cause: c}\n")
    done = torc("torc-diagnose", "--by-rule", "--rules", rules, 1)
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    shown = [
        (each["rule"], each["matched"], each["decided"], each["job_id"]) for each in found if each["type"] == "rule"
    ]
    assert shown == [("bad-input", 1, 1, 4), ("never", 0, 0, None)]
    assert found[-1]["count"] == 2
    assert said(done) == ["torc-diagnose: 2 failure(s) of certain cause: no rule is asked about these"]
    assert said(torc("torc-diagnose", "--by-rule", 1)) == []
    assert torc("torc-diagnose", "--by-rule", "--group", 1).returncode == 2


def test_an_attempt_is_counted_over_all_runs(torc, store_file) -> None:
    execute(store_file, "INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, facts)"
                        " SELECT 1, 4, 2, 1, status, 1, '{}' FROM result WHERE job_id = 4",
            "INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, facts)"
            " SELECT 1, 4, 2, 2, status, 3, '{}' FROM result WHERE job_id = 4 LIMIT 1")  # fmt: skip
    Path("r.yaml").write_text("- {name: third, match: {attempt: 3}, cause: c, action: retry, max_attempts: 4}\n")
    found = diagnosed(torc, "--rules=r.yaml")[4]
    assert (found["attempts"], found["same_failures"], found["cause"]) == (3, 1, "c")
    every = torc("torc-diagnose", "--all-runs", "-j", 4, "--query", "attempts", 1).stdout
    assert every.split() == [b"1", b"2", b"3"]


def test_recover_tells_what_rules_know_of_the_unknown(torc, store_file) -> None:
    facts = orjson.dumps({"log_tail": "ModuleNotFoundError: scipy"}).decode()
    execute(store_file, f"UPDATE result SET facts = '{facts}' WHERE job_id = 4")
    lines = said(torc("torc-recover", "--dry-run", 1))
    at = lines.index("  1 job(s) with unknown failure cause (skipped, use --retry-unknown to include)")
    assert lines[at + 1].startswith("    1: a Python module is missing: activate")
    lines = said(torc("torc-recover", "--dry-run", "--retry-unknown", 1))
    assert "  1 job(s) with unknown failure cause (would retry)" in lines
    assert not any("Python module" in line for line in lines)


def test_recover_calls_no_memory_what_was_none(torc, rules) -> None:
    rules.write_text(RULE.replace("action: hold", "action: adjust\n  memory_factor: 4\n  runtime_factor: 2"))
    lines = said(torc("torc-recover", "--dry-run", "--rules", rules, 1))
    assert "  Job 4 (bug): the input is bad (rule 'bad-input'): memory 1g -> 4g, runtime PT1M -> PT2M" in lines


def test_the_page_of_the_morning_knows_the_rules(torc, store_file) -> None:
    facts = orjson.dumps({"log_tail": "ModuleNotFoundError: scipy"}).decode()
    execute(store_file, f"UPDATE result SET facts = '{facts}' WHERE job_id = 4")
    shown = torc("torc-report", "--html", "-", 1).stdout.decode()
    assert "Missing module" in shown
    assert "a Python module is missing" in shown.lower().replace("a python", "a Python")


def test_a_user_who_wrote_the_rule_of_what_is_built_in_is_obeyed(torc, store_file) -> None:
    """The rules of the user come first, however specific the others are."""
    execute(store_file, "UPDATE result SET return_code = 127 WHERE job_id = 4")
    Path("r.yaml").write_text("- {name: mine, match: {return_code: 1-255}, cause: late_mount, action: retry}\n")
    found = diagnosed(torc, "--rules=r.yaml")[4]
    assert [match["rule"] for match in found["matches"]] == ["mine", "code-127"]
    assert (found["cause"], found["advised"]["action"]) == ("late_mount", "retry")


def test_people_see_the_groups_and_below_them_the_commands(torc, store_file) -> None:
    done = torc("torc-diagnose", "--group", "-f", "table", 1)
    head = done.stdout.decode().splitlines()[0]
    assert head.split() == ["jobs", "cause", "code", "nodes", "job_id", "action", "line"]
    assert said(done) == [
        "2 job(s) (oom, timeout): torc-recover 1",
        "1 job(s) (unknown): torc-recover --retry-unknown 1",
    ]
    done = torc("torc-diagnose", "--group", "-f", "table", "--where", "cause == 'oom'", 1)
    assert said(done) == ["1 job(s) (oom): torc-recover 1"]


sizes = st.none() | st.integers(1, 2**50)
factors = st.none() | st.floats(1, 1000)
advice = st.fixed_dictionaries(
    {"action": st.sampled_from(["adjust", "retry", "hold", "fail"]), "rule": st.text(max_size=9),
     "builtin": st.booleans(), "reason": st.text(min_size=1, max_size=9), "memory_factor": factors,
     "runtime_factor": factors, "max_attempts": st.none() | st.integers(1, 5)}
)  # fmt: skip
ruled = st.fixed_dictionaries(
    {"type": st.just("diagnosis"), "job_id": st.just(7), "advised": advice, "attempts": st.integers(1, 6),
     "cause": st.sampled_from(["oom", "timeout", "c", "unknown", "preempted"]),
     "certainty": st.sampled_from(["likely", "weak"]), "status": st.sampled_from(["failed", "pending_failed"]),
     "memory_bytes": sizes, "runtime_s": sizes, "attempt_memory_bytes": sizes, "peak_memory_bytes": sizes,
     "exec_time_s": st.none() | st.floats(0, 1e9)}
)  # fmt: skip


@given(ruled, st.booleans())
def test_whatever_a_rule_says_no_request_falls_and_every_hold_has_its_reason(line, retry_unknown) -> None:
    planned = heuristics.adjust(line, heuristics.Policy(retry_unknown=retry_unknown))
    if planned["new_memory"] is not None:
        assert units.parse_memory(planned["new_memory"]) > line["memory_bytes"]
    if planned["new_runtime"] is not None:
        assert units.parse_duration(planned["new_runtime"]) > line["runtime_s"]
    grows = planned["new_memory"] is not None or planned["new_runtime"] is not None
    assert grows == (planned["action"] == "adjust")
    assert not (grows and line["certainty"] == "weak")
    assert planned["action"] != "fail" or line["status"] == "pending_failed"
    if planned["action"] == "hold":
        assert planned["held"]
        assert planned["reason"]
        assert planned["override"]
    most = line["advised"]["max_attempts"]
    weak = line["certainty"] == "weak" and line["advised"]["action"] == "adjust"  # no rule says so; it is not heard
    if most is not None and not weak and line["attempts"] >= most and line["advised"]["action"] in ("adjust", "retry"):
        assert planned["action"] == "hold" or (retry_unknown and not grows)


def test_few_logs_are_opened_to_say_only_a_line(work_dir, monkeypatch) -> None:
    monkeypatch.setattr(judging, "LOCATED", 2)
    judge = judging.Judge((), "torc_output")
    line = {"type": "result", "workflow_id": 1, "job_id": 4, "run_id": 1, "attempt_id": 1, "return_code": 1}
    line["facts"] = {"log_tail": "no such module: ModuleNotFoundError\n"}
    write_log(f"{BUG}.e", line["facts"]["log_tail"])
    assert [judge.diagnose(line)["matches"][0]["line"] for _ in range(3)] == [1, 1, None]


def test_a_failure_that_a_rule_names_is_no_matter_for_a_hook(torc, rules) -> None:
    hook = Path("hook.sh")
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    torc("torc-recover", "--no-run", "--rules", rules, "--recovery-hook", "./hook.sh", 1)
    assert not Path("ran").exists()


def test_what_is_built_in_leaves_the_hook_its_failures(torc, store_file) -> None:
    execute(store_file, "UPDATE result SET return_code = 127 WHERE job_id = 4")
    hook = Path("hook.sh")
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    done = torc("torc-recover", "--no-run", "--recovery-hook", "./hook.sh", 1)
    assert done.returncode == 0, done.stderr
    assert Path("ran").exists()
    assert "1 job(s) with unknown failure cause (retrying)" in done.stderr.decode()


def test_a_job_that_really_ran(torc, work_dir) -> None:
    """What it wrote to standard output is in no record, and a rule of the user finds it in the log."""
    command = "echo begun; echo 'mesh 7 has no end'; exit 3"
    Path("spec.yaml").write_text(f'name: real\njobs:\n  - {{name: mesh, command: "{command}"}}\n')
    torc("torc-create", "spec.yaml")
    torc("torc-run", 1)
    Path("r.yaml").write_text("- {name: mesh, match: {log: '^mesh [0-9]+ has', node: '*'}, cause: bad_mesh}\n")
    (found,) = diagnosed(torc, "--rules=r.yaml").values()
    (match,) = found["matches"]
    assert (match["line"], match["text"]) == (2, "mesh 7 has no end")
    assert Path(match["file"]).read_text().splitlines()[1] == match["text"]
    assert (found["cause"], found["advised"]["action"]) == ("bad_mesh", "hold")


def test_the_watch_passes_the_rules_on(torc, rules) -> None:
    rules.write_text(RULE.replace("action: hold", "action: retry"))
    shown = torc("torc-watch", "--recover", "--print", "--rules", rules, 1).stdout.decode()
    assert "torc-diagnose --rules=site.yaml 1 |" in shown
