"""What requests should have been: torc 0.21's cases of what grows and what falls, and what is not known."""

import pytest
from prepared import GIB

from torc_tools import units
from torc_tools.core import correcting, diagnosis
from torc_tools.core.fitting import Policy, Use

MIB = 2**20
HOUR = 3600


def use(job_id=1, *, memory=None, runtime=None, cpus=1, code=0, status=None, minutes=None, peak=None, cpu=None, **more):
    """Give a job and its latest attempt, which had what the job asks for now; limits as a person writes them."""
    limit = None if memory is None else units.parse_memory(memory)
    time = None if runtime is None else units.parse_duration(runtime)
    status = status or ("completed" if code == 0 else "failed")
    exec_s = None if minutes is None else minutes * 60
    if cpu is not None and peak is None:
        peak = 1  # a job whose CPU was measured has a peak of memory, too
    found = None
    if status in ("failed", "terminated"):
        result = {
            "type": "result", "job_id": job_id, "status": status, "return_code": code, "exec_time_s": exec_s,
            "peak_memory_bytes": peak, "memory_bytes": limit, "runtime_s": time, "facts": more.pop("facts", {}),
        }  # fmt: skip
        found = diagnosis.diagnose(result)
    known = {
        "job_name": f"j{job_id}", "run_id": 1, "attempt_id": 1, "row": 7, "family": 7, "memory": limit, "runtime": time,
        "cpus": cpus, "nodes": 1, "had_memory": limit, "had_runtime": time, "had_cpus": cpus, "status": status,
        "return_code": code, "exec_s": exec_s, "peak_memory": peak, "peak_cpu": cpu, "diagnosis": found,
    }  # fmt: skip
    return Use(job_id=job_id, **{**known, **more})


def planned(uses, policy) -> tuple[list[dict], int]:
    """Give all of a plan."""
    adjustments, analyzed = correcting.plan(uses, policy)
    return list(adjustments), analyzed


def corrected(uses, **policy) -> list[tuple]:
    """Give (direction, job, changes) of a plan, changes as 'memory 8g -> 12g'."""
    return [
        (
            each["direction"],
            each["job_ids"][0],
            *(
                f"{what} {each[f'original_{what}']} -> {each[f'new_{what}']}"
                for what in ("memory", "runtime", "cpus")
                if each[f"new_{what}"] is not None
            ),
        )
        for each in planned(uses, Policy(**policy))[0]
    ]


def both(change: str, *more: str) -> list[tuple]:
    return [("downscale", 1, change, *more), ("downscale", 2, change, *more)]


def up(*changes: str) -> list[tuple]:
    return [("upscale", 1, *changes)]


def down(*changes: str) -> list[tuple]:
    return [("downscale", 1, *changes)]


def m(milli: int) -> dict:
    return {"memory_milli": milli}


def r(milli: int) -> dict:
    return {"runtime_milli": milli}


def c(milli: int) -> dict:
    return {"cpu_milli": milli}


# (row of torc-021.md 14.B, jobs of one requirement, factors, what comes of it, why it is not what torc does)
CASES = [
    (31, [use(memory="2g", code=137, peak=3_000_000_000)], m(1200), up("memory 2g -> 4g"), ""),
    (31, [use(memory="8g", code=1, peak=10_500_000_000)], m(1200), up("memory 8g -> 12g"), ""),
    (31, [use(memory="8g", peak=10_500_000_000)], m(1200), up("memory 8g -> 12g"), "of a job that is done, too"),
    (31, [use(memory="8g", code=1, peak=11_274_289_152)], m(1200), up("memory 8g -> 13g"), ""),
    (31, [use(memory="8g", code=1, peak=11_811_160_064)], m(1200), up("memory 8g -> 14g"), ""),
    (32, [use(memory="2g", code=137, peak=3_000_000_000)], m(1500), up("memory 2g -> 5g"), ""),
    (32, [use(memory="8g", code=1, peak=11_274_289_152)], m(1500), up("memory 8g -> 16g"), ""),
    (32, [use(memory="8g", code=1, peak=11_811_160_064)], m(1500), up("memory 8g -> 17g"), ""),
    (32, [use(memory="20m", peak=97_521_664)], m(1500), up("memory 20m -> 140m"), ""),
    (33, [use(memory="1m", peak=4_915_200)], m(1200), up("memory 1m -> 6m"), ""),
    (34, [use(at, memory="8g", code=137, peak=gib * GIB) for at, gib in ((1, 9), (2, 11), (3, 10))], m(1200),
     [("upscale", at, "memory 8g -> 14g") for at in (1, 2, 3)], ""),
    (34, [use(at, memory="8g", code=137, peak=gib * GIB) for at, gib in ((1, 9), (2, 11), (3, 10))], m(1500),
     [("upscale", at, "memory 8g -> 17g") for at in (1, 2, 3)], ""),
    (35, [use(memory="2g", code=137, peak=0)], m(1500), up("memory 2g -> 3g"), ""),
    (36, [use(memory="8g", code=137, peak=GIB)], m(1500), up("memory 8g -> 12g"),
     "torc shrinks the request that was too small to 2g"),
    (37, [use(memory="2g", code=137, peak=GIB)], m(1500), up("memory 2g -> 3g"), "torc 'increases' 2g to 2g"),
    (38, [use(memory="2g", code=137, peak=100)], m(1500), up("memory 2g -> 3g"),
     "torc takes the peak of 100 bytes for what is needed: 150b"),
    (39, [use(memory="10g", code=137)], m(1500), up("memory 10g -> 15g"), ""),
    (39, [use(memory="15g", code=137)], m(1500), up("memory 15g -> 23g"), ""),
    (39, [use(memory="35g", code=137)], m(1500), up("memory 35g -> 53g"), ""),
    (40, [use(memory="1g", code=137, peak=8_589_934_592)], m(1500), up("memory 1g -> 12g"), ""),
    (40, [use(memory="1g", code=137, peak=8_589_934_593)], m(1500), up("memory 1g -> 13g"), ""),
    (41, [use(runtime="PT1H", code=152, minutes=60)], r(1400), up("runtime PT1H -> PT1H24M"), ""),
    (41, [use(runtime="PT1H", code=152, minutes=60)], r(1200), up("runtime PT1H -> PT1H12M"), ""),
    (41, [use(runtime="PT1H", code=152, minutes=60)], r(1500), up("runtime PT1H -> PT1H30M"), ""),
    (42, [use(runtime="PT5M", code=152, minutes=5)], r(1400), up("runtime PT5M -> PT7M"), ""),
    (42, [use(runtime="PT5M", code=152, minutes=5)], r(1500), up("runtime PT5M -> PT7M30S"), "torc floors to PT7M"),
    (43, [use(runtime="PT1M", code=152, minutes=1)], r(1400), up("runtime PT1M -> PT1M24S"),
     "torc 'raises' PT1M to PT1M for ever"),
    (43, [use(runtime="PT2M", code=152, minutes=2)], r(1400), up("runtime PT2M -> PT2M48S"), "the same"),
    (43, [use(runtime="PT2M", code=152, minutes=2)], r(1500), up("runtime PT2M -> PT3M"), ""),
    (44, [use(runtime="PT7M30S", code=152, minutes=7.5)], r(1500), up("runtime PT7M30S -> PT11M15S"), "torc: PT10M"),
    (45, [use(runtime="PT30M", minutes=45)], r(1200), up("runtime PT30M -> PT54M"), ""),
    (46, [use(runtime="PT1H", minutes=60.9)], r(1200), up("runtime PT1H -> PT1H13M5S"), "torc floors to PT1H13M"),
    (46, [use(runtime="PT1H", code=1, minutes=60.9)], r(1200), up("runtime PT1H -> PT1H13M5S"), "of a bug, too"),
    (47, [use(runtime="PT1H", code=152, minutes=60.9)], r(1400), up("runtime PT1H -> PT1H24M"), ""),
    (48, [use(cpus=2, code=1, cpu=250.0)], c(1200), up("cpus 2 -> 3"), ""),
    (48, [use(cpus=2, code=1, cpu=250.0)], c(1500), up("cpus 2 -> 4"), ""),
    (49, [use(cpus=3, cpu=501.4)], c(1200), up("cpus 3 -> 7"), ""),
    (50, [use(cpus=1, cpu=101.0)], c(1200), up("cpus 1 -> 2"), ""),
    (50, [use(cpus=1, cpu=100.9)], c(1200), [], "torc doubles the request for what is within the clock's grain"),
    (51, [use(at, memory="8g", runtime="PT1H", peak=2 * GIB, minutes=5) for at in (1, 2)], {},
     both("memory 8g -> 3g", "runtime PT1H -> PT6M"), ""),
    (52, [use(at, memory="32g", runtime="PT4H", peak=2147483648, minutes=10) for at in (1, 2)], {},
     both("memory 32g -> 3g", "runtime PT4H -> PT12M"), ""),
    (53, [use(cpus=8, cpu=150.0)], {}, down("cpus 8 -> 2"), ""),
    (54, [use(at, runtime="PT2H", minutes=10) for at in (1, 2, 3)], {},
     [("downscale", at, "runtime PT2H -> PT12M") for at in (1, 2, 3)], ""),
    (55, [use(memory="3g", peak=2_500_000_000)], {}, [], ""),
    (55, [use(cpus=2, cpu=198.0)], {}, [], ""),
    (55, [use(runtime="PT40M", minutes=15)], {}, [], ""),
    (55, [use(memory="4g", peak=5 * GIB // 2)], {}, [], "saves 1 GiB, and no more"),
    (56, [use(runtime="PT2H30M", minutes=100)], {}, [], ""),
    (57, [use(runtime="PT2H30M", minutes=99.9)], {}, down("runtime PT2H30M -> PT1H59M53S"), "torc floors to PT1H59M"),
    (58, [use(memory="2105m", peak=900 * MIB)], {}, [],
     "torc: 2g, for a saving of 57 MiB: it looks at what would be saved before it rounds up"),
    (59, [use(cpus=4, cpu=250.0)], {}, down("cpus 4 -> 3"), ""),
    (59, [use(cpus=4, cpu=251.0)], {}, [], ""),
    (60, [use(1, memory="8g", peak=GIB), use(2, memory="8g", peak=GIB, code=1)], {}, [], ""),
    (61, [use(memory="8g", runtime="PT1H", minutes=5)], {}, down("runtime PT1H -> PT6M"), ""),
    (62, [use(memory="8g", cpus=4, runtime="PT2H", peak=0, cpu=0.0, minutes=0.2)], {}, down("runtime PT2H -> PT1M"),
     "torc takes 0 for what a job used that ended before its first sample: 1m, 1 CPU"),
    (62, [use(memory="8g", peak=1000)], {}, down("memory 8g -> 1m"), ""),
    (64, [use(runtime="PT1H", code=152, status="terminated", minutes=60)], {}, up("runtime PT1H -> PT1H12M"),
     "torc does not read terminated results here"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "uses", "policy", "expected", "note"), CASES)
def test_the_cases_of_torc(row: int, uses: list[Use], policy: dict, expected: list[tuple], note: str) -> None:
    assert corrected(uses, **policy) == expected, note


# Rows 65 and 66, how new values are written, are those of tests/test_units.py and test_heuristics.py.


@pytest.mark.parametrize(
    ("uses", "why"),
    [
        ([use(memory="8g", peak=5 * GIB), use(2, memory="8g")], "one has no peak"),
        ([use(memory="8g", peak=GIB, nodes=2, cpus=8, cpu=50.0, had_cpus=8)], "what other nodes used is not known"),
        ([use(runtime="PT4H", minutes=1, was_warned=True)], "it stopped because it was told to"),
        ([use(memory="8g", peak=GIB), use(2, memory="8g", status=None, code=None)], "one has not run"),
        ([use(memory="8g", peak=GIB), use(2, memory="8g", status="canceled", code=143)], "one was canceled"),
        ([use(at, memory="8g", peak=at * 5 * GIB, had_memory=None, runtime="PT4H", minutes=1) for at in (1, 2)],
         "one had too little"),
        ([use(memory="8g", peak=GIB, code=0, status="terminated", minutes=1)], "it was stopped"),
        ([use(memory="8g", peak=GIB, code=0, status="canceled")], "it was canceled"),
        ([use(memory="8g", peak=GIB), use(2, memory="2g", row=9, code=1)], "a job that had this requirement failed"),
        ([use(memory="16g", peak=9 * GIB, had_memory=8 * GIB, runtime="PT4H", minutes=1)], "not run since then"),
        ([use(memory="8g", peak=GIB, runtime="PT2H", had_runtime=HOUR, minutes=90)], "nor here"),
        ([use(memory="8g", peak=GIB, cpus=3, had_cpus=2, cpu=250.0)], "nor here"),
        ([use(memory="8g", peak=GIB, code=3, status="completed")], "it did not end with 0"),
        ([use(runtime="PT4H", minutes=float("nan"))], "no time is known"),
        ([use(cpus=8, cpu=float("inf"))], "no CPU use is known"),
        ([use(cpus=8, cpu=0.0, peak=0)], "never looked at"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_taken_for_little(uses: list[Use], why: str) -> None:
    assert [each for each in corrected(uses) if each[0] == "downscale"] == [], why


def test_a_weak_verdict_grows_nothing() -> None:
    kernel = {"peak_source": "kernel"}
    assert corrected([use(memory="8g", code=137, peak=GIB, facts=kernel)]) == []  # killed, but surely not for memory
    assert corrected([use(runtime="PT1H", code=152, minutes=1)]) == []  # no limit was near
    late = use(runtime="PT1H", code=152, minutes=60)
    weak = late._replace(diagnosis={**late.diagnosis, "certainty": "weak"})
    assert planned([weak], Policy()) == ([], 0)


def test_a_canceled_attempt_says_nothing() -> None:
    assert planned([use(memory="8g", peak=9 * GIB, code=143, status="canceled")], Policy()) == ([], 0)


def test_a_request_that_was_raised_or_set_since_the_attempt_is_enough() -> None:
    late = use(runtime="PT1H", code=152, minutes=60)
    raised = late._replace(runtime=2 * HOUR, diagnosis={**late.diagnosis, "runtime_s": 2 * HOUR})
    assert planned([raised], Policy()) == ([], 0)
    small = use(memory="8g", code=137, peak=0)
    given_since = small._replace(had_memory=None, diagnosis={**small.diagnosis, "attempt_memory_bytes": None})
    assert planned([given_since], Policy()) == ([], 0)
    given_since = late._replace(had_runtime=None, diagnosis={**late.diagnosis, "attempt_runtime_s": None})
    assert planned([given_since], Policy()) == ([], 0)


def test_what_cannot_be_corrected_is_counted() -> None:
    no_limit = use(1, code=137, facts={"reason": "memory_limit"})
    factor_one = use(2, memory="8g", code=137, row=8, family=8)
    assert planned([no_limit, factor_one], Policy(memory_milli=1000)) == ([], 2)


def test_each_job_gets_what_it_lacked_and_no_more() -> None:
    uses = [
        use(1, memory="8g", runtime="PT1H", cpus=2, code=137, peak=9 * GIB, minutes=3),
        use(2, memory="8g", runtime="PT1H", cpus=2, code=152, minutes=60),
        use(3, memory="8g", runtime="PT1H", cpus=2, peak=12 * GIB, cpu=300.0, minutes=30),
        use(4, memory="8g", runtime="PT1H", cpus=2, peak=GIB, minutes=3),
    ]
    assert corrected(uses) == [
        ("upscale", 1, "memory 8g -> 15g"),
        ("upscale", 2, "runtime PT1H -> PT1H12M"),
        ("upscale", 3, "memory 8g -> 15g", "cpus 2 -> 4"),
    ]


def test_the_jobs_that_are_named_are_looked_at_and_a_part_of_a_requirement_does_not_fall() -> None:
    uses = [
        use(1, memory="8g", peak=GIB), use(2, memory="8g", peak=2 * GIB),
        use(3, memory="8g", code=137, peak=9 * GIB, row=8, family=8), use(4, memory="8g", code=137, row=8, family=8),
    ]  # fmt: skip
    assert corrected(uses, job_ids={1, 3}) == [("upscale", 3, "memory 8g -> 11g")]
    assert corrected(uses, job_ids={1, 2}) == both("memory 8g -> 3g")
    assert planned(uses, Policy(job_ids={1, 3}))[1] == 1
    assert corrected(uses, downsize=False) == [
        ("upscale", 3, "memory 8g -> 11g"), ("upscale", 4, "memory 8g -> 11g"),
    ]  # fmt: skip


def test_what_was_seen_is_kept_within_what_the_store_holds() -> None:
    (grown,) = corrected([use(memory="8g", peak=2**62, runtime="PT1H", minutes=1.8e10, cpus=2, cpu=2e11)])
    longest = units.format_duration(2**40)
    assert grown == up("memory 8g -> 1048576t", f"runtime PT1H -> {longest}", "cpus 2 -> 2147483647")[0]


def test_the_origin_of_a_copy_is_found_whatever_the_journal_says() -> None:
    copies = {9: 8, 8: 7, 5: 6, 6: 5, 4: None}
    assert [correcting.root(row, copies) for row in (9, 8, 7, 4)] == [7, 7, 7, 4]
    assert correcting.root(5, copies) in (5, 6)
