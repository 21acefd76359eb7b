"""The policy: what grows, by how much, what is tried again as it is, what is held and what would override that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared import GIB

from torc_tools import units
from torc_tools.core.heuristics import FAULTS, NOT_THE_JOBS, Policy, adjust
from torc_tools.exits import DATA, Failure

MIB = 2**20


def oom(memory=2 * GIB, peak=None, **more):
    return {
        "type": "diagnosis", "workflow_id": 1, "job_id": 7, "job_name": "train", "run_id": 1, "attempt_id": 1,
        "cause": "oom", "certainty": "likely", "memory_bytes": memory, "attempt_memory_bytes": memory,
        "peak_memory_bytes": peak, "return_code": 137, **more,
    }  # fmt: skip


def late(runtime=3600, exec_s=None, **more):
    return {
        "type": "diagnosis", "job_id": 7, "cause": "timeout", "runtime_s": runtime, "attempt_runtime_s": runtime,
        "exec_time_s": exec_s, **more,
    }  # fmt: skip


# Cases of torc 0.21 that a failed job can meet: (row, factor, limit, peak, new memory, why we differ)
MEMORY = [
    (31, 1200, 2 * GIB, 3_000_000_000, "4g", ""),
    (31, 1200, 8 * GIB, 10_500_000_000, "12g", ""),
    (31, 1200, 8 * GIB, 11_274_289_152, "13g", ""),
    (31, 1200, 8 * GIB, 11_811_160_064, "14g", ""),
    (32, 1500, 2 * GIB, 3_000_000_000, "5g", ""),
    (32, 1500, 8 * GIB, 11_274_289_152, "16g", ""),
    (32, 1500, 8 * GIB, 11_811_160_064, "17g", ""),
    (32, 1500, 20 * MIB, 97_521_664, "140m", ""),
    (33, 1200, MIB, 4_915_200, "6m", ""),
    (35, 1500, 2 * GIB, 0, "3g", ""),
    (36, 1500, 8 * GIB, GIB, "12g", "torc shrinks the request that was too small to 2g (N4)"),
    (37, 1500, 2 * GIB, GIB, "3g", "torc 'increases' 2g to 2g"),
    (38, 1500, 2 * GIB, 100, "3g", "torc takes the peak of 100 bytes for what is needed"),
    (39, 1500, 10 * GIB, None, "15g", ""),
    (39, 1500, 15 * GIB, None, "23g", ""),
    (39, 1500, 23 * GIB, None, "35g", ""),
    (39, 1500, 35 * GIB, None, "53g", ""),
    (40, 1500, GIB, 8_589_934_592, "12g", ""),
    (40, 1500, GIB, 8_589_934_593, "13g", ""),
]


@pytest.mark.parametrize(("row", "milli", "limit", "peak", "new", "note"), MEMORY)
def test_memory_grows_as_in_the_table(row: int, milli: int, limit: int, peak: int | None, new: str, note: str) -> None:
    planned = adjust(oom(limit, peak), Policy(memory_milli=milli))
    assert (planned["action"], planned["new_memory"]) == ("adjust", new), note
    assert planned["original_memory"] == units.format_memory(limit)
    assert planned["runtime_adjusted"] is False


# (row, factor, request, ran, new runtime, why we differ)
RUNTIME = [
    (41, 1400, "PT1H", None, "PT1H24M", ""),
    (41, 1200, "PT1H", None, "PT1H12M", ""),
    (41, 1500, "PT1H", None, "PT1H30M", ""),
    (42, 1400, "PT5M", None, "PT7M", ""),
    (42, 1500, "PT5M", None, "PT7M30S", "torc floors to whole minutes (N5)"),
    (43, 1400, "PT1M", None, "PT1M24S", "torc 'raises' PT1M to PT1M for ever"),
    (43, 1500, "PT1M", None, "PT1M30S", "the same"),
    (43, 1400, "PT2M", None, "PT2M48S", "the same"),
    (43, 1500, "PT2M", None, "PT3M", ""),
    (44, 1500, "PT7M30S", None, "PT11M15S", "torc: PT10M"),
    (44, 1500, "PT11M15S", None, "PT16M53S", "rounded up to whole seconds; torc: PT15M"),
    (45, 1200, "PT30M", 2700, "PT54M", ""),
    (46, 1200, "PT1H", 3654, "PT1H12M", "the request grows, as for every timeout; torc adds the seconds of its poll"),
    (47, 1400, "PT1H", 3654, "PT1H24M", ""),
    (0, 1500, "PT1H", 7200, "PT3H", "it was not done after two hours: 1.5 h would fail again"),
]


@pytest.mark.parametrize(("row", "milli", "request_", "ran", "new", "note"), RUNTIME)
def test_runtime_grows_as_in_the_table(row, milli, request_, ran, new, note) -> None:
    planned = adjust(late(units.parse_duration(request_), ran), Policy(runtime_milli=milli))
    assert (planned["action"], planned["new_runtime"]) == ("adjust", new), note
    assert planned["original_runtime"] == request_
    assert planned["memory_adjusted"] is False


def outcome(diagnosis, **policy):
    planned = adjust(diagnosis, Policy(**policy))
    return planned["action"], planned["held"]


@pytest.mark.parametrize(
    ("diagnosis", "policy", "expected"),
    [
        ({"cause": "unknown"}, {}, ("hold", "unknown")),
        ({"cause": "unknown"}, {"retry_unknown": True}, ("retry", None)),
        ({"cause": "oom", "certainty": "weak"}, {}, ("hold", "unknown")),
        ({"cause": "timeout", "certainty": "weak"}, {"retry_unknown": True}, ("retry", None)),
        ({"cause": "a word of tomorrow"}, {}, ("hold", "unknown")),
        ({"cause": "gpu_oom"}, {}, ("hold", "gpu_oom")),
        ({"cause": "storage"}, {}, ("hold", "storage")),
        ({"cause": "storage"}, {"retry_unknown": True}, ("retry", None)),
        ({"cause": "transient", "certainty": "weak"}, {}, ("hold", "unknown")),
        ({"cause": "transient", "certainty": "likely"}, {}, ("retry", None)),
        ({"cause": "transient", "certainty": "likely", "same_failures": 3}, {}, ("hold", "repeated")),
        ({"cause": "orphan"}, {}, ("retry", None)),
        ({"cause": "orphan", "same_failures": 3}, {}, ("hold", "repeated")),
        ({"cause": "launch_fail", "same_failures": 9}, {"retry_unknown": True}, ("retry", None)),
        ({"cause": "allocation_end", "same_failures": 2}, {}, ("retry", None)),
        ({"cause": "allocation_end", "same_failures": 3}, {}, ("hold", "repeated")),
        ({"cause": "preempted", "same_failures": 99}, {}, ("retry", None)),
        ({"cause": "interrupted"}, {}, ("retry", None)),
        ({"cause": "preempted"}, {}, ("retry", None)),
        ({"cause": "canceled"}, {"retry_unknown": True}, ("hold", "canceled")),
        ({"cause": "oom", "memory_bytes": None}, {}, ("hold", "no_limit")),
        ({"cause": "oom", "memory_bytes": 0}, {}, ("hold", "no_limit")),
        ({"cause": "oom", "memory_bytes": None}, {"retry_unknown": True}, ("retry", None)),
        ({"cause": "oom", "memory_bytes": None, "attempt_memory_bytes": GIB}, {}, ("retry", None)),
        ({"cause": "timeout", "runtime_s": None}, {}, ("hold", "no_limit")),
        ({"likely_oom": True, "memory_bytes": GIB}, {}, ("adjust", None)),
        ({"likely_timeout": True, "runtime_s": 60}, {}, ("adjust", None)),
    ],
)
def test_what_is_done_about_a_cause(diagnosis, policy, expected) -> None:
    assert outcome({"type": "diagnosis", "job_id": 7, **diagnosis}, **policy) == expected


def test_caps_clamp_and_then_hold() -> None:
    assert adjust(oom(8 * GIB), Policy(max_memory=10 * GIB))["new_memory"] == "10g"
    held = adjust(oom(10 * GIB), Policy(max_memory=10 * GIB))
    assert (held["action"], held["held"], held["override"]) == ("hold", "at_cap", "--max-memory 15g")
    assert adjust(oom(16 * GIB), Policy(max_memory=10 * GIB, retry_unknown=True))["action"] == "hold"
    assert adjust(late(3600), Policy(max_runtime=4000))["new_runtime"] == "PT1H6M40S"
    assert adjust(late(4000), Policy(max_runtime=4000))["override"] == "--max-runtime PT1H40M"
    assert adjust(oom(2**62 - 1), Policy())["held"] == "at_cap"


def test_a_factor_of_one_holds_unless_the_peak_asks_for_more() -> None:
    assert outcome(oom(2 * GIB), memory_milli=1000) == ("hold", "no_growth")
    assert adjust(oom(2 * GIB, 3_000_000_000), Policy(memory_milli=1000))["new_memory"] == "3g"
    assert outcome(late(3600), runtime_milli=1000) == ("hold", "no_growth")


def test_a_request_raised_since_the_attempt_is_respected() -> None:
    planned = adjust(oom(16 * GIB, attempt_memory_bytes=8 * GIB, peak_memory_bytes=8 * GIB), Policy())
    assert (planned["action"], planned["reason"]) == ("retry", "memory was raised since: 8g -> 16g")
    planned = adjust(late(7200, attempt_runtime_s=3600), Policy())
    assert (planned["action"], planned["reason"]) == ("retry", "runtime was raised since: PT1H -> PT2H")
    assert adjust(oom(10 * GIB, 12 * GIB, attempt_memory_bytes=8 * GIB), Policy())["new_memory"] == "18g"


def test_a_request_lowered_since_the_attempt_grows_from_what_failed() -> None:
    assert adjust(oom(4 * GIB, attempt_memory_bytes=8 * GIB), Policy())["new_memory"] == "12g"


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_id": None}, {"job_id": False}, {"memory_bytes": "2g"}, {"memory_bytes": -1}, {"memory_bytes": 2**62},
        {"cause": 5}, {"cause": None}, {"peak_memory_bytes": 2**63 - 1}, {"peak_memory_bytes": True},
        {"exec_time_s": float("nan"), "cause": "timeout", "runtime_s": 60}, {"same_failures": "2"},
    ],
)  # fmt: skip
def test_a_bad_field_is_refused(wrong) -> None:
    with pytest.raises(Failure) as caught:
        adjust({**oom(), **wrong}, Policy())
    assert caught.value.status == DATA


sizes = st.none() | st.integers(0, 2**50)
seconds = st.none() | st.integers(0, 2**33)
diagnoses = st.fixed_dictionaries(
    {
        "type": st.just("diagnosis"),
        "job_id": st.integers(1, 2**62),
        "cause": st.sampled_from(["oom", "timeout", "unknown", "orphan", "canceled", "transient", "preempted", "new"]),
        "certainty": st.sampled_from(["certain", "likely", "weak"]),
        "memory_bytes": sizes, "attempt_memory_bytes": sizes, "peak_memory_bytes": sizes,
        "runtime_s": seconds, "attempt_runtime_s": seconds, "exec_time_s": st.none() | st.floats(0, 1e10),
        "same_failures": st.integers(1, 5),
    }
)  # fmt: skip
policies = st.builds(
    Policy,
    memory_milli=st.integers(1000, 20000),
    runtime_milli=st.integers(1000, 20000),
    retry_unknown=st.booleans(),
    max_memory=st.none() | st.integers(1, 2**52),
    max_runtime=st.none() | st.integers(1, 2**34),
)


@given(diagnoses, policies)
def test_a_request_never_falls_and_only_the_resource_at_fault_grows(diagnosis, policy) -> None:
    planned = adjust(diagnosis, policy)
    if planned["action"] == "adjust":
        assert (planned["new_memory"] is None) != (planned["new_runtime"] is None)
    if planned["new_memory"] is not None:
        new = units.parse_memory(planned["new_memory"])
        assert diagnosis["cause"] == "oom"
        assert new > diagnosis["memory_bytes"]
        assert units.parse_memory(planned["original_memory"]) == diagnosis["memory_bytes"]
        if policy.max_memory is None:
            assert new >= (diagnosis["peak_memory_bytes"] or 0)
            assert new >= (diagnosis["attempt_memory_bytes"] or 0)
        else:
            assert new <= policy.max_memory
    if planned["new_runtime"] is not None:
        new = units.parse_duration(planned["new_runtime"])
        assert diagnosis["cause"] == "timeout"
        assert new > diagnosis["runtime_s"]
        assert policy.max_runtime is None or new <= policy.max_runtime


@given(diagnoses, policies)
def test_the_same_again_only_for_causes_that_are_not_the_jobs(diagnosis, policy) -> None:
    planned = adjust(diagnosis, policy._replace(retry_unknown=False))
    cause = diagnosis["cause"]
    changed = diagnosis["memory_bytes"] != diagnosis["attempt_memory_bytes"] or (
        diagnosis["runtime_s"] != diagnosis["attempt_runtime_s"]
    )
    assert planned["action"] != "retry" or cause in NOT_THE_JOBS | FAULTS | {"transient"} or changed


@given(diagnoses, policies)
def test_every_hold_says_why_and_what_would_override_it(diagnosis, policy) -> None:
    planned = adjust(diagnosis, policy)
    if planned["action"] == "hold":
        assert planned["held"]
        assert planned["reason"]
        assert planned["override"]
    if diagnosis["certainty"] == "weak":
        assert planned["action"] != "adjust"


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.integers(1000, 20000))
def test_more_before_is_never_less_after(small: int, more: int, milli: int) -> None:
    low, high = (
        adjust(oom(size), Policy(memory_milli=milli)).get("new_memory") for size in sorted((small, small + more))
    )
    if low and high:
        assert units.parse_memory(low) <= units.parse_memory(high)


def test_an_empty_cause_is_no_timeout() -> None:
    assert adjust(late(cause=""), Policy())["held"] == "unknown"


def test_a_certainty_that_is_not_known_grows_nothing() -> None:
    with pytest.raises(Failure, match="'certainty' is 'certian', expected one of certain, likely, weak") as failed:
        adjust(oom(certainty="certian"), Policy())
    assert failed.value.status == DATA


@pytest.mark.parametrize("left_out", ["memory_bytes", "attempt_memory_bytes"])
def test_a_limit_that_a_line_leaves_out_is_the_other_one(left_out: str) -> None:
    line = oom()
    del line[left_out]
    planned = adjust(line, Policy())
    assert (planned["action"], planned["original_memory"], planned["new_memory"]) == ("adjust", "2g", "3g")
