"""Answers to a question about failures of unknown cause: what is taken, what is refused, what stays of the plan."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import ROOT, Torc, said
from prepared import GIB

from torc_tools.core import answers, recovery_text
from torc_tools.core.answers import Answers
from torc_tools.core.heuristics import Policy, adjust
from torc_tools.exits import DATA, Failure
from torc_tools.records import Record


def diagnosis(job_id: int, cause: str = "unknown", **more: Any) -> Record:
    return {
        "type": "diagnosis", "workflow_id": 1, "job_id": job_id, "job_name": f"job\n{job_id}", "run_id": 2,
        "attempt_id": 3, "cause": cause, "certainty": "likely", "memory_bytes": 2 * GIB, "runtime_s": 60,
        "attempt_memory_bytes": 2 * GIB, "attempt_runtime_s": 60, "return_code": 3, **more,
    }  # fmt: skip


def answer(*job_ids: int, **more: Any) -> Record:
    return {"type": "adjustment", "job_ids": list(job_ids), **more}


def planned(*given: Record, about: tuple[Record, ...] = (diagnosis(7), diagnosis(8)), again: bool = False) -> list[Any]:
    """Plan with answers."""
    for each in given:
        answers.check(each)
    found = Answers(given)
    policy = Policy(retry_unknown=again)
    made = [found.instead(each, adjust(each, policy)) for each in about]
    found.finish()
    return made


def test_an_answer_is_filled_from_the_question() -> None:
    made, other = planned(answer(7, new_memory="4g", because={"cause": "oom"}))
    assert (made["action"], made["job_ids"], made["job_names"]) == ("adjust", [7], ["job\n7"])
    assert (made["workflow_id"], made["run_id"], made["attempt_id"]) == (1, 2, 3)
    assert (made["original_memory"], made["new_memory"], made["memory_adjusted"]) == ("2g", "4g", True)
    assert (made["runtime_adjusted"], made["new_runtime"]) == (False, None)
    assert (made["because"]["cause"], made["because"]["return_code"], made["because"]["hook"]) == ("oom", 3, True)
    assert other == adjust(diagnosis(8), Policy())


def test_one_line_may_speak_of_several_jobs_each_in_its_own_attempt() -> None:
    about = diagnosis(7), diagnosis(8, run_id=1)
    made = planned(answer(8, 7, action="retry", reason="licence server"), about=about, again=True)
    assert [(each["job_ids"], each["run_id"], each["action"]) for each in made] == [
        ([7], 2, "retry"),
        ([8], 1, "retry"),
    ]
    assert recovery_text.plan(made) == (0, 0, 2, 0, 0, 0, None, 2, 0)


def test_lines_for_people_say_what_the_hook_said() -> None:
    made = planned(
        answer(7, new_memory="4g", new_cpus=2, reason="wants more"), answer(8, action="fail", reason="bad input")
    )
    lines = recovery_text.proposals(made, dry_run=False)
    assert lines[1:] == [
        "  Job 7 (job\n7): wants more: memory 2g -> 4g, cpus none -> 2",
        "  Job 8 (job\n8): failed for good: bad input",
        "  1 job(s) as the recovery hook answered",
    ]
    held = planned(answer(7, action="hold", reason="ask Ann"))[0]
    assert (held["held"], recovery_text.proposals([held], dry_run=True)[1:]) == (
        "hook", ["  Job 7 (job\n7): held: ask Ann"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([{"type": "diagnosis", "job_id": 7}], "an answer is made of 'adjustment' lines, not of 'diagnosis'"),
        ([answer(7, new_memmory="4g")], "'new_memmory' is no field of it"),
        ([answer(7)], "'new_memory' is missing"),
        ([answer(7, new_memory=4)], "'new_memory' is 4, expected a string"),
        ([answer(7, new_memory="lots")], "not a memory size: 'lots'"),
        ([answer(7, new_cpus=0)], "'new_cpus' is 0"),
        ([answer(7, action="explode")], "'action' is 'explode', expected one of adjust, retry, hold, fail"),
        ([answer(7, action="retry", direction="up")], "'direction' is 'up'"),
        ([answer(7, action="retry", reason=7)], "'reason' is 7, expected a string"),
        ([answer(action="retry")], "'job_ids' is not a list of ids"),
        ([{"type": "adjustment", "job_ids": ["7"], "action": "retry"}], "'job_ids' is not a list of ids"),
        ([answer(7, 8, action="retry"), answer(8, action="hold")], "the answer names job 8 twice"),
        ([answer(7, 7, action="retry")], "the answer names job 7 twice"),
        ([answer(9, action="retry")], "the answer names job 9, which was not asked about"),
        ([answer(7, action="retry", attempt_id=1)], "the answer for job 7 has attempt_id 1, the job has 3"),
        ([answer(7, action="retry", run_id=9)], "has run_id 9, the job has 2"),
        ([answer(7, action="retry", workflow_id=9)], "has workflow_id 9, the job has 1"),
    ],
)
def test_what_is_no_answer_is_refused(given: list[Record], text: str) -> None:
    with pytest.raises(Failure) as failed:
        planned(*given)
    assert failed.value.status == DATA
    assert text in failed.value.message


def test_nobody_asked_about_a_failure_of_known_cause() -> None:
    with pytest.raises(Failure, match="the answer names job 7, of whose failure the cause is known"):
        planned(answer(7, action="hold"), about=(diagnosis(7, cause="oom"),))


def test_the_fields_of_an_answer_are_those_of_the_schema() -> None:
    schema = json.loads((ROOT / "schemas" / "adjustment.json").read_text())
    assert schema["properties"].keys() - {"refused"} == answers.KEYS


def test_the_command_asks_and_takes_answers_whole_or_not_at_all(torc: Torc, work_dir: Path) -> None:
    frame = [{"type": "begin", "stage": "x", "v": 1, "workflow_id": 1}, {"type": "end", "stage": "x"}]
    given = [frame[0], diagnosis(7), {"type": "note"}, diagnosis(8, cause="oom"), frame[1]]
    data = b"".join(orjson.dumps(each) + b"\n" for each in given)
    asked = torc("torc-heuristics", "--unknown", input=data)
    assert [orjson.loads(line) for line in asked.stdout.splitlines()] == [*given[:3], frame[1]]
    Path("good").write_bytes(orjson.dumps(answer(7, new_runtime="PT2M")))
    done = torc("torc-heuristics", "--answers", "good", input=data)
    made = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [each.get("new_runtime", each["type"]) for each in made] == ["begin", "PT2M", "note", None, "end"]
    Path("bad").write_bytes(Path("good").read_bytes() + b"\n" + orjson.dumps(answer(8, action="retry")))
    bad = torc("torc-heuristics", "--answers", "bad", input=data)
    assert (bad.returncode, bad.stdout) == (65, b"")
    assert "the answer names job 8, of whose failure the cause is known" in said(bad)[0]
    Path("half").write_bytes(orjson.dumps(frame[0]) + b"\n" + Path("good").read_bytes())
    half = torc("torc-heuristics", "--answers", "half", input=data)
    assert (half.returncode, half.stdout) == (65, b"")
    assert torc("torc-heuristics", "--answers", "good", "--unknown", input=data).returncode == 2
    assert torc("torc-heuristics", "--answers", "nowhere", input=data).returncode == 66
