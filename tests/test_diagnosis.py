"""Verdicts: the worker's, Slurm's and the log's words; codes with run time and peak beside them; what is not known."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared import GIB

from torc_tools import states
from torc_tools.core import diagnosis, patterns, slurmverdicts
from torc_tools.core.diagnosis import diagnose, diagnose_failed
from torc_tools.exits import DATA, Failure

HOUR = 3600


def result(code=1, exec_s=30.0, peak=None, memory=2 * GIB, runtime=HOUR, status="failed", **facts):
    return {
        "type": "result", "workflow_id": 1, "job_id": 7, "job_name": "train", "run_id": 1, "attempt_id": 1,
        "status": status, "return_code": code, "exec_time_s": exec_s, "peak_memory_bytes": peak,
        "memory_bytes": memory, "runtime_s": runtime, "facts": facts,
    }  # fmt: skip


def verdict(*args, **kwargs):
    found = diagnose(result(*args, **kwargs))
    return found["cause"], found["certainty"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"reason": "memory_limit"}, ("oom", "certain")),
        ({"reason": "runtime_limit"}, ("timeout", "certain")),
        ({"reason": "allocation_end"}, ("allocation_end", "certain")),
        ({"reason": "interrupted"}, ("interrupted", "certain")),
        ({"reason": "superseded"}, ("interrupted", "certain")),
        ({"reason": "launch_failed"}, ("launch_fail", "certain")),
        ({"reason": "lost"}, ("orphan", "certain")),
        ({"reason": "missing_output"}, ("unknown", "certain")),
        ({"reason": "spawn_refused"}, ("unknown", "certain")),
        ({"reason": "a word of tomorrow"}, ("unknown", "weak")),
        ({"slurm_state": "OUT_OF_MEMORY"}, ("oom", "certain")),
        ({"slurm_state": "TIMEOUT"}, ("timeout", "certain")),
        ({"slurm_state": "NODE_FAIL"}, ("node_fail", "certain")),
        ({"slurm_state": "BOOT_FAIL"}, ("launch_fail", "certain")),
        ({"slurm_state": "PREEMPTED"}, ("preempted", "certain")),
        ({"slurm_state": "CANCELLED by 1000"}, ("canceled", "likely")),
        ({"slurm_state": "CANCELLED"}, ("unknown", "weak")),
        ({"slurm_state": "CANCELLED+"}, ("unknown", "weak")),
        ({"slurm_state": "FAILED"}, ("unknown", "weak")),
        ({"slurm_state": "COMPLETED"}, ("unknown", "weak")),
        ({"slurm_state": "FROBNICATED"}, ("unknown", "weak")),
        ({"slurm_state": "NODE_FAIL", "reason": "lost"}, ("node_fail", "certain")),
        ({"slurm_state": "FAILED", "reason": "memory_limit"}, ("oom", "certain")),
        ({"slurm_state": ""}, ("unknown", "weak")),
        ({"log_tail": "MemoryError\n"}, ("oom", "likely")),
        ({"log_tail": "numpy._core._exceptions._ArrayMemoryError: Unable to allocate\n"}, ("oom", "likely")),
        ({"log_tail": "class MyMemoryError is raised on purpose\n"}, ("unknown", "weak")),
        ({"log_tail": "terminate called after throwing an instance of 'std::bad_alloc'\n"}, ("oom", "likely")),
        ({"log_tail": "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some"}, ("oom", "certain")),
        ({"log_tail": "slurmstepd: error: Detected 3 oom-kill event(s) in StepId=7.batch"}, ("oom", "certain")),
        ({"log_tail": "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***"},
         ("timeout", "certain")),
        ({"log_tail": "*** JOB 7 ON n CANCELLED AT 2026-01-01T00 DUE TO PREEMPTION ***"}, ("preempted", "certain")),
        ({"log_tail": "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"}, ("gpu_oom", "likely")),
        ({"log_tail": "OSError: [Errno 28] No space left on device"}, ("storage", "likely")),
        ({"log_tail": "slurmstepd: hit memory+swap limit at least once"}, ("unknown", "weak")),
        ({"log_tail": "ValueError: no\n"}, ("unknown", "weak")),
    ],
)  # fmt: skip
def test_words(facts: dict[str, object], expected: tuple[str, str]) -> None:
    assert verdict(**facts) == expected


LATE = {"exec_s": HOUR - 1}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"allocation_state": "CANCELLED by 0"}, ("allocation_end", "certain")),
        ({"allocation_state": "CANCELLED by 0", "slurm_state": "CANCELLED"}, ("allocation_end", "certain")),
        ({"allocation_state": "TIMEOUT"}, ("allocation_end", "certain")),
        ({"allocation_state": "TIMEOUT", "slurm_state": "TIMEOUT"}, ("allocation_end", "certain")),
        ({"allocation_state": "TIMEOUT", **LATE}, ("timeout", "likely")),
        ({"allocation_state": "TIMEOUT", "slurm_state": "TIMEOUT", **LATE}, ("timeout", "certain")),
        ({"allocation_state": "FAILED", "slurm_state": "TIMEOUT"}, ("timeout", "certain")),
        ({"allocation_state": "NODE_FAIL", "slurm_state": "CANCELLED"}, ("node_fail", "certain")),
        ({"allocation_state": "PREEMPTED", "slurm_state": "CANCELLED"}, ("preempted", "certain")),
        ({"allocation_state": "DEADLINE"}, ("deadline", "certain")),
        ({"allocation_state": "BOOT_FAIL"}, ("launch_fail", "certain")),
        ({"allocation_state": "FAILED", "allocation_exit_code": "0:53"}, ("launch_fail", "certain")),
        ({"allocation_state": "FAILED", "allocation_exit_code": "9:0"}, ("orphan", "certain")),
        ({"allocation_state": "COMPLETED"}, ("orphan", "certain")),
        ({"allocation_state": "REQUEUED"}, ("interrupted", "certain")),
        ({"allocation_state": "REQUEUE_HOLD"}, ("interrupted", "certain")),
        ({"allocation_state": "OUT_OF_MEMORY", "slurm_state": "OUT_OF_MEMORY"}, ("oom", "certain")),
        ({"allocation_state": "OUT_OF_MEMORY", "slurm_state": "CANCELLED", "was_alone": True}, ("orphan", "likely")),
        ({"allocation_state": "OUT_OF_MEMORY", "was_alone": True}, ("oom", "likely")),
        ({"allocation_state": "OUT_OF_MEMORY"}, ("orphan", "likely")),
        ({"allocation_state": "SOMETHING_NEW"}, ("unknown", "weak")),
        ({"slurm_state": "FAILED", "slurm_exit_code": "0:125"}, ("oom", "certain")),
        ({"slurm_state": "FAILED", "slurm_exit_code": "0:53"}, ("launch_fail", "certain")),
        ({"slurm_state": "CANCELLED", "slurm_exit_code": "0:9"}, ("orphan", "certain")),
        ({"slurm_state": "CANCELLED", "slurm_exit_code": "0:53"}, ("orphan", "certain")),  # its srun was killed
        ({}, ("orphan", "certain")),
    ],
)  # fmt: skip
def test_what_became_of_the_allocation_that_a_job_was_lost_with(facts, expected):
    exec_s = facts.pop("exec_s", 30.0)
    assert verdict(states.LOST_CODE, exec_s, reason="lost", **facts) == expected


def test_what_became_of_the_allocation_says_nothing_of_a_job_that_ended_before():
    assert verdict(1, allocation_state="NODE_FAIL") == ("unknown", "weak")


def test_the_evidence_tells_what_slurm_said():
    facts = {"slurm_state": "CANCELLED", "slurm_exit_code": "0:9", "allocation_state": "FAILED"}
    facts |= {"allocation_exit_code": "0:53", "canceled_by": "root", "accounting": "pending", "reason": "lost"}
    found = diagnose(result(states.LOST_CODE, **facts))["evidence"]
    assert [each["fact"] for each in found if each["source"] == "slurm"] == [
        "state CANCELLED, exit code 0:9",
        "allocation FAILED, exit code 0:53",
        "an output file could not be opened: a missing folder, a quota, a dead mount",
        "it was canceled by root",
        "accounting is pending",
    ]


# Cases of torc 0.21, by number; the note says why we differ where we do.
TORC = [
    (1, (137, 30, 3_000_000_000), {}, "oom", ""),
    (2, (1, 30, 3_000_000_000), {}, "oom", ""),
    (3, (1, 30, 2 * GIB), {}, "unknown", ""),
    (4, (137, 47.94 * 60, GIB), {}, "oom", ""),
    (5, (137, 48.0 * 60, None), {}, "oom", "torc has a gap between 80 and 90 % (N13)"),
    (6, (137, 51.0 * 60, None), {}, "oom", "the same gap"),
    (7, (1, 54.0 * 60, None), {}, "unknown", ""),
    (8, (1, 54.01 * 60, None), {}, "unknown", "it left by itself; torc documents ask that it was killed"),
    (9, (152, 60, None), {}, "unknown", "152 after 1.7 % of the runtime is no timeout (seen: FAILED in accounting)"),
    (10, (152, 180, None), {"status": "terminated"}, "unknown", "5 %: the same"),
    (11, (143, 59.9 * 60, None), {"status": "terminated"}, "timeout", ""),
    (12, (-128, 0.0, None), {}, "orphan", "torc has no word for it"),
    (13, (1, 30, None), {}, "unknown", "CPU use is no cause of a failure"),
    (15, (1, 60.9 * 60, None), {}, "unknown", "it left by itself"),
    (16, (1, 30, 11_274_289_152), {"memory": 8 * GIB}, "oom", ""),
    (17, (137, 300, 0), {}, "oom", "a peak of 0 is no sample, no evidence against"),
    (18, (1, 30, 1_717_986_918), {"memory": 1_610_612_736}, "oom", ""),
    (19, (1, 30, 100), {"memory": None}, "unknown", "a bad memory string never gets into a store of ours"),
    (20, (137, 30, 100), {"runtime": None}, "oom", ""),
    (21, (152, 30, None), {"runtime": None}, "timeout", "152 is a timeout with or without a known limit"),
]


@pytest.mark.parametrize(("number", "values", "more", "cause", "note"), TORC, ids=[str(row[0]) for row in TORC])
def test_cases_of_torc(number: int, values, more, cause: str, note: str) -> None:
    code, exec_s, peak = values
    assert diagnose(result(code, exec_s, peak, **more))["cause"] == cause, note


def test_152_at_its_limit_is_a_timeout() -> None:
    assert verdict(152, 3601.0, status="terminated") == ("timeout", "likely")


def test_137_against_an_exact_peak_is_weak_and_says_why() -> None:
    found = diagnose(result(137, 30.0, GIB // 4, peak_source="kernel"))
    assert (found["cause"], found["certainty"], found["likely_oom"]) == ("unknown", "weak", False)
    assert "kernel's peak is far below" in found["contradictions"][0]
    assert verdict(137, 30.0, GIB // 4, peak_source="sampled") == ("oom", "likely")  # a spike is easily missed
    assert verdict(137, 30.0, GIB // 4, peak_source="kernel", log_tail="std::bad_alloc") == ("oom", "likely")
    assert verdict(137, 30.0, 2 * GIB - 1, peak_source="kernel") == ("oom", "likely")


def test_137_of_a_step_that_slurm_was_told_to_end_is_no_memory() -> None:
    said = "srun: Job step aborted: Waiting up to 4 seconds for job step to finish.\nsrun: error: n1: task 0: Killed"
    found = diagnose(result(137, 30.0, srun_said=said))
    assert (found["cause"], found["certainty"]) == ("unknown", "weak")
    assert found["contradictions"] == ["return code 137 may mean out of memory, but Slurm was told to end the step"]
    assert verdict(137, 30.0, 3 * GIB, srun_said=said) == ("oom", "likely")


def test_137_late_is_a_timeout_unless_memory_was_short() -> None:
    assert verdict(137, 3500.0, GIB // 4) == ("timeout", "likely")
    assert verdict(137, 3500.0, 2 * GIB - 1) == ("oom", "likely")
    assert verdict(137, 3500.0, 3 * GIB) == ("oom", "likely")


def test_an_allocation_that_ends_takes_its_jobs_with_it_unless_they_had_all_their_runtime() -> None:
    assert verdict(143, 100.0, reason="allocation_end") == ("allocation_end", "certain")
    assert verdict(143, 3600.0, reason="allocation_end") == ("timeout", "likely")


def test_a_full_gpu_is_not_host_memory() -> None:
    tail = "torch.OutOfMemoryError: CUDA out of memory"
    assert verdict(1, 30.0, 3 * GIB, log_tail=tail) == ("gpu_oom", "likely")
    assert verdict(137, 30.0, 3 * GIB, log_tail=tail) == ("oom", "likely")


def test_contradictions_are_listed() -> None:
    found = diagnose(result(137, 10.0, GIB // 4, reason="memory_limit", log_tail="No space left on device"))
    assert found["cause"] == "oom"
    assert any("below 80 %" in text for text in found["contradictions"])
    assert any("storage" in text for text in found["contradictions"])


def test_what_the_job_has_now_is_kept_apart_from_what_the_attempt_had() -> None:
    now = {"resource_requirements_id": 9, "memory_bytes": 4 * GIB, "runtime_s": None, "num_cpus": 2}
    found = diagnose(result(137), now)
    assert (found["memory_bytes"], found["attempt_memory_bytes"]) == (4 * GIB, 2 * GIB)
    assert (found["runtime_s"], found["attempt_runtime_s"]) == (None, HOUR)
    assert (found["resource_requirements_id"], found["num_cpus"]) == (9, 2)


def test_a_line_written_by_hand_is_enough() -> None:
    found = diagnose({"type": "result", "job_id": 7, "return_code": 137})
    assert (found["cause"], found["likely_oom"], found["status"]) == ("oom", True, "failed")
    assert diagnose_failed({"type": "result", "job_id": 7, "return_code": 0}) == []
    assert diagnose({"type": "result", "job_id": 7})["evidence"][1]["fact"] == "no return code"


@pytest.mark.parametrize("status", states.NAMES)
def test_only_failures_are_diagnosed(status: str) -> None:
    found = diagnose_failed(result(status=status))
    assert bool(found) == (status in ("failed", "terminated", "canceled", "pending_failed"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_id": None}, {"job_id": True}, {"job_id": "7"}, {"job_id": 2**63}, {"return_code": "137"},
        {"facts": []}, {"facts": {"log_tail": 5}}, {"memory_bytes": 1.5}, {"exec_time_s": "1"}, {"status": 6},
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Failure) as caught:
        diagnose({**result(), **wrong})
    assert caught.value.status == DATA
    assert repr(next(iter(wrong)))[1:-1].split(".")[0] in caught.value.message or "log_tail" in caught.value.message


def test_the_table_of_texts_finds_its_own_words_anywhere_and_in_any_case() -> None:
    for row in patterns.TABLE:
        assert any(stem in row.words[0] for stem in patterns._STEMS), row
        if row.pattern is None:
            for text in (row.words[0], row.words[0].upper(), "x\n" * 500 + row.words[0] + "\ny"):
                assert (row.cause, row.certainty) in {mark[:2] for mark in patterns.marks(text)}


def test_evidence_of_a_log_is_its_line() -> None:
    (mark,) = patterns.marks("one\n  Disk quota exceeded: /home\nİ two")
    assert mark.line.lower() == "disk quota exceeded: /home"


results = st.fixed_dictionaries(
    {"type": st.just("result"), "job_id": st.integers(1, 2**62)},
    optional={
        "status": st.sampled_from(states.NAMES) | st.text(max_size=5),
        "return_code": st.integers(-200, 300) | st.none(),
        "exec_time_s": st.floats(0, 1e9) | st.none(),
        "peak_memory_bytes": st.integers(0, 2**50) | st.none(),
        "memory_bytes": st.integers(0, 2**50) | st.none(),
        "runtime_s": st.integers(0, 2**40) | st.none(),
        "facts": st.fixed_dictionaries(
            {},
            optional={
                "reason": st.sampled_from([*diagnosis.WORKER, "new"]) | st.none(),
                "slurm_state": st.sampled_from([*slurmverdicts.STEP, "NEW", "CANCELLED by 0"]) | st.text(max_size=9),
                "slurm_exit_code": st.sampled_from(["0:0", "0:125", "0:53", "9:0"]),
                "allocation_state": st.sampled_from([*slurmverdicts.ALLOCATION, "NEW"]) | st.text(max_size=9),
                "allocation_exit_code": st.sampled_from(["0:0", "0:53"]),
                "was_alone": st.booleans(),
                "log_tail": st.text(max_size=40) | st.sampled_from([row.words[0] for row in patterns.TABLE]),
                "peak_source": st.sampled_from(["kernel", "sampled"]),
                "warned_at": st.floats(0, 1e9),
            },
        ),
    },
)


@given(results)
def test_any_result_has_a_verdict_that_agrees_with_itself(record) -> None:
    found = diagnose(record)
    assert found["certainty"] in ("certain", "likely", "weak")
    assert found["likely_oom"] == (found["cause"] == "oom")
    assert found["likely_timeout"] == (found["cause"] == "timeout")
    assert not (found["certainty"] == "weak" and (found["likely_oom"] or found["likely_timeout"]))
    assert found["evidence"]
    assert orjson.loads(orjson.dumps(found)) == found


@given(results)
def test_a_word_that_nobody_knows_is_neither_success_nor_failure(record) -> None:
    facts = {**record.get("facts", {}), "slurm_state": "FROBNICATED", "log_tail": "", "reason": None}
    facts["slurm_exit_code"] = "1:0"
    if record.get("status") != "canceled":
        assert diagnose({**record, "facts": facts})["cause"] == "unknown"


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        ("Traceback (most recent call last):\n  x\nValueError: bad input\n\n", ["ValueError: bad input"]),
        ("one line", ["one line"]),
        ("MemoryError\nbye\n", ["MemoryError"]),
        (" \n", []),
        ("", []),
    ],
)
def test_where_no_pattern_speaks_the_last_line_of_the_log_is_evidence(tail, said):
    found = diagnosis.diagnose({"type": "result", "job_id": 1, "return_code": 1, "facts": {"log_tail": tail}})
    assert [each["fact"] for each in found["evidence"] if each["source"] == "log"] == said
