"""What counts as a violation: the cases 14.A of torc 0.21, and what must hold for any result.

Where our answer is another than torc's, the reason stands beside the case.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared import GIB

from torc_tools.core import diagnosis, utilization

HOUR = 3600


def result(memory=None, cpus=1, runtime=HOUR, code=1, minutes=1.0, peak=None, cpu=None, status="failed", **facts):
    return {
        "type": "result", "workflow_id": 1, "job_id": 7, "job_name": "j", "run_id": 1, "attempt_id": 1,
        "status": status, "return_code": code, "exec_time_s": None if minutes is None else minutes * 60,
        "peak_memory_bytes": peak, "peak_cpu_percent": cpu, "memory_bytes": memory, "runtime_s": runtime,
        "num_cpus": cpus, "facts": facts,
    }  # fmt: skip


OOM = {"likely_oom": True, "memory_violation": True}  # by both names
EXCEEDED = {**OOM, "oom_reason": "memory_exceeded"}
KILLED = {**OOM, "oom_reason": "sigkill_137"}
LATE = {"likely_timeout": True}
FAILURES = [
    # number, result, flags and shares beside the peak
    ("1", result(2 * GIB, code=137, minutes=0.5, peak=3_000_000_000, cpu=50.0),
     {**EXCEEDED, "memory_over_utilization": "+39.7%", "runtime_utilization": "0.8%"}),
    ("2", result(2 * GIB, code=1, minutes=0.5, peak=3_000_000_000),
     {**EXCEEDED, "memory_over_utilization": "+39.7%", "runtime_utilization": "0.8%"}),
    ("3 equal is not over", result(2 * GIB, minutes=0.5, peak=2 * GIB), {"runtime_utilization": "0.8%"}),
    ("4", result(2 * GIB, code=137, minutes=47.94, peak=GIB), {**KILLED, "runtime_utilization": "79.9%"}),
    # torc: no flag from 80 % of the runtime on, so that a kill there is neither; only what is near the runtime is late
    ("5", result(2 * GIB, code=137, minutes=48.0), {**KILLED, "runtime_utilization": "80.0%"}),
    ("6", result(2 * GIB, code=137, minutes=51.0), {**KILLED, "runtime_utilization": "85.0%"}),
    ("7", result(minutes=54.0), {"runtime_utilization": "90.0%"}),
    # torc: likely_timeout; a program that left by itself was not ended for its time (its page: "was killed")
    ("8", result(minutes=54.01), {"runtime_utilization": "90.0%"}),
    # torc: likely_timeout, sigxcpu_152; long before the end of the runtime 152 is another limit (ulimit -t, say)
    ("9", result(code=152, minutes=1.0), {"runtime_utilization": "1.7%"}),
    ("10", result(code=152, minutes=3.0, status="terminated"), {"runtime_utilization": "5.0%"}),
    ("9 by the worker", result(code=152, minutes=1.0, reason="runtime_limit"),
     {**LATE, "timeout_reason": "sigxcpu_152", "runtime_utilization": "1.7%"}),
    ("9 near the end", result(code=152, minutes=60.0, status="terminated"),
     {**LATE, "timeout_reason": "sigxcpu_152", "runtime_utilization": "100.0%"}),
    ("11", result(code=143, minutes=59.9, status="terminated"), {**LATE, "runtime_utilization": "99.8%"}),
    ("12 lost: its cause says so", result(code=-128, minutes=0.0), {"runtime_utilization": "0.0%"}),
    ("13", result(cpus=2, cpu=250.0), {"likely_cpu_violation": True, "runtime_utilization": "1.7%"}),
    ("14", result(cpus=2, cpu=200.0), {"runtime_utilization": "1.7%"}),
    # torc: likely_cpu_violation; no clock is so fine
    ("14 and a little", result(cpus=2, cpu=200.4), {"runtime_utilization": "1.7%"}),
    # torc: likely_timeout, too; as 8
    ("15", result(minutes=60.9), {"likely_runtime_violation": True, "runtime_utilization": "101.5%"}),
    ("15 killed", result(code=143, minutes=60.9),
     {**LATE, "likely_runtime_violation": True, "runtime_utilization": "101.5%"}),
    # torc: +31.2%, it rounds halves to even; torc's reference shows this very case as +31.3%
    ("16", result(8 * GIB, peak=11_274_289_152, runtime=None), {**EXCEEDED, "memory_over_utilization": "+31.3%"}),
    ("17", result(2 * GIB, code=137, minutes=5.0, peak=0), {**KILLED, "runtime_utilization": "8.3%"}),
    ("18", result(3 * GIB // 2, peak=1_717_986_918, runtime=None),
     {**EXCEEDED, "memory_over_utilization": "+6.7%"}),
    # torc: +inf%, as over a limit of 0; torc-create refuses memory that is none, and no limit is none
    ("19", result(None, peak=100, runtime=None), {}),
    ("20", result(2 * GIB, code=137, peak=100, runtime=None), KILLED),
    # torc: no flag without a runtime; the code says it all the same
    ("21", result(code=152, runtime=None), {**LATE, "timeout_reason": "sigxcpu_152"}),
    ("Slurm saw it", result(2 * GIB, code=1, peak=GIB, runtime=None, slurm_state="OUT_OF_MEMORY"),
     {**OOM, "oom_reason": "slurm_out_of_memory"}),
    ("Slurm's mark", result(2 * GIB, code=1, peak=GIB, runtime=None, slurm_exit_code="0:125"),
     {**OOM, "oom_reason": "slurm_out_of_memory"}),
    ("Slurm's time", result(code=1, minutes=60.0, slurm_state="TIMEOUT"),
     {**LATE, "timeout_reason": "slurm_timeout", "runtime_utilization": "100.0%"}),
    ("the log says so", result(2 * GIB, code=1, runtime=None, log_tail="MemoryError\n"), {**OOM, "oom_reason": "log"}),
    # torc: memory_violation; what fell short was the memory of the GPU
    ("a full GPU", result(2 * GIB, code=1, peak=3 * GIB, runtime=None, log_tail="CUDA out of memory\n"),
     {"memory_over_utilization": "+50.0%"}),
    # torc: memory_violation, sigkill_137; the kernel's own peak is no sample, and speaks against it
    ("4 with an exact peak", result(2 * GIB, code=137, peak=GIB, runtime=None, peak_source="kernel"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "flags"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_what_a_failed_result_is_said_to_have_failed_of(given, flags):
    found = utilization.torc_failure(utilization.failure(given))
    assert {key: found[key] for key in flags} == flags
    always = {"job_id", "job_name", "return_code", "exec_time_minutes", "configured_memory", "configured_runtime",
              "configured_cpus"}  # fmt: skip
    measured = {"peak_memory_bytes", "peak_memory_formatted", "peak_cpu_percent"}
    assert set(found) - measured == always | set(flags)


@pytest.mark.parametrize("given", [case[1] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_the_report_says_what_recovery_acts_on(given):
    found, why = utilization.failure(given), diagnosis.diagnose(given)
    assert (found["likely_oom"], found["likely_timeout"]) == (why["likely_oom"], why["likely_timeout"])
    assert (found["cause"], found["certainty"]) == (why["cause"], why["certainty"])


def done(**given):
    return result(**{"status": "completed", "code": 0, "memory": 8 * GIB, **given})


ROWS = [
    ("23", done(cpus=3, cpu=501.4), {}, [("CPU", "300% (3 cores)", "501.4%", "+67.1%")]),
    ("23 one core", done(cpus=1, cpu=150.0), {}, [("CPU", "100% (1 cores)", "150.0%", "+50.0%")]),
    ("24", done(runtime=1800, minutes=45), {}, [("Runtime", "30m 0s", "45m 0s", "+50.0%")]),
    ("25", done(minutes=60.9), {}, [("Runtime", "1h 0m 0s", "1h 0m 54s", "+1.5%")]),
    ("26", done(minutes=60.5), {}, []),
    ("26 asked for", done(minutes=60.5), {"least_percent": 0.5}, [("Runtime", "1h 0m 0s", "1h 0m 30s", "+0.8%")]),
    ("27", done(peak=10_500_000_000), {}, [("Memory", "8.00 GB", "9.78 GB", "+22.2%")]),
    ("torc's own example", done(peak=21 * GIB // 2), {}, [("Memory", "8.00 GB", "10.50 GB", "+31.3%")]),
    ("28", done(peak=0, runtime=600, minutes=1.1 / 60), {"everything": True},
     [("Memory", "8.00 GB", "0.0 MB", "-100.0%"), ("Runtime", "10m 0s", "1.1s", "-99.8%")]),
    # torc: not listed, neither as over nor as within
    ("28 over by less", done(minutes=60.5), {"everything": True}, [("Runtime", "1h 0m 0s", "1h 0m 30s", "+0.8%")]),
    ("28 not measured", done(minutes=None), {"everything": True}, []),
    ("no limits", done(memory=None, cpus=None, runtime=None, peak=GIB, cpu=100.0), {"everything": True}, []),
    ("equal", done(peak=8 * GIB, minutes=None), {"everything": True}, [("Memory", "8.00 GB", "8.00 GB", "-0.0%")]),
    ("equal is not over by 0", done(peak=8 * GIB, minutes=None), {"least_percent": 0.0}, []),
    ("all three", done(peak=9 * GIB, cpu=300.0, minutes=90), {},
     [("Memory", "8.00 GB", "9.00 GB", "+12.5%"), ("CPU", "100% (1 cores)", "300.0%", "+200.0%"),
      ("Runtime", "1h 0m 0s", "1h 30m 0s", "+50.0%")]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "options", "rows"), [case[1:] for case in ROWS], ids=[case[0] for case in ROWS])
def test_rows_of_a_completed_result(given, options, rows):
    found = list(utilization.violations(given, **options))
    assert [tuple(utilization.torc_violation(each).values())[2:] for each in found] == rows
    assert all(each["is_over"] for each in found if not options.get("everything"))


NUMBERS = st.none() | st.floats(0, 1e15) | st.just(math.inf)
LIMITS = st.none() | st.integers(0, 2**50)


@given(st.none() | st.integers(0, 2**50), NUMBERS, NUMBERS, LIMITS, LIMITS, LIMITS, st.floats(0, 500))
def test_a_row_is_over_exactly_where_more_was_used_than_given(peak, cpu, seconds, memory, cpus, runtime, least):
    given = done(peak=peak, cpu=cpu, memory=memory, cpus=cpus, runtime=runtime) | {"exec_time_s": seconds}
    every = {each["resource_type"]: each for each in utilization.violations(given, 0.0, everything=True)}
    some = {each["resource_type"]: each for each in utilization.violations(given, least)}
    for each in every.values():
        assert each["is_over"] is (each["used"] > each["limit"])
        assert math.isfinite(each["over_percent"])
    exact = {kind: (each["used"] - each["limit"]) * 100 / each["limit"] for kind, each in every.items()}
    assert some == {kind: each for kind, each in every.items() if each["is_over"] and exact[kind] >= least}
    both = {each["resource_type"]: each for each in utilization.violations(given, least, everything=True)}
    assert set(both) == set(every)
    assert {kind for kind, each in both.items() if each["is_over"]} == set(some)


@pytest.mark.parametrize(
    ("percent", "text"), [(31.25, "+31.3%"), (-31.25, "-31.3%"), (0.04, "+0.0%"), (1e6, "+1000000.0%")]
)
def test_halves_are_rounded_away_from_zero(percent, text):
    assert utilization.signed(percent) == text
