"""What would fit the jobs of a requirement: figures beside the request, and groups where one request is wasteful."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared import GIB

from torc_tools.core import demand, grouping

ASKED = demand.Asked(8 * GIB, 4, 7200)


def used(number=1, memory=None, cpu=None, time=None, name=None):
    return demand.Used(number, name or f"job_{number}", memory, cpu, cpu, time, 8 * GIB, 4)


def fits(asked, *each, failed=False):
    found = demand.usage(asked, each, failed=failed)
    return found["fitting_memory"], found["fitting_num_cpus"], found["fitting_runtime"]


@pytest.mark.parametrize(
    ("one", "fitting"),
    [
        (used(memory=2 * GIB, cpu=150.0, time=300.0), ("3g", 2, "PT6M")),
        (used(memory=900 * 2**20, cpu=20.0, time=1.0), ("2g", 1, "PT1M")),
        (used(memory=10 * 2**20, cpu=250.0, time=599.5), ("12m", 3, "PT12M")),
        # not more than was asked for where that was enough, more where it was not
        (used(memory=8 * GIB, cpu=390.0, time=7000.0), ("8g", 4, "PT2H")),
        (used(memory=8 * GIB + 1, cpu=401.0, time=7199.0), ("10g", 4, "PT2H")),
        (used(memory=9 * GIB, cpu=410.0, time=7201.0), ("11g", 5, "PT2H25M")),
        # what was not measured fits nothing
        (used(time=60.0), (None, None, "PT2M")),
        (used(time=float("inf")), (None, None, None)),
    ],
)
def test_what_fits_one(one, fitting):
    assert fits(ASKED, one) == fitting


def test_a_requirement_with_failed_jobs_is_not_lowered():
    small = used(memory=GIB, cpu=100.0, time=60.0)
    assert fits(ASKED, small, failed=True) == ("8g", 4, "PT2H")
    assert fits(ASKED, used(memory=9 * GIB), failed=True) == ("11g", None, None)


def test_without_a_limit_the_margin_alone_counts():
    assert fits(demand.NOTHING, used(memory=8 * GIB, cpu=99.0, time=3600.0)) == ("10g", 2, "PT1H12M")


def test_figures_are_values_that_were_measured():
    found = demand.usage(ASKED, [used(n, memory=n * GIB) for n in range(1, 101)], failed=False)
    keys = ("peak_memory_measured", "peak_memory_p50_bytes", "peak_memory_p95_bytes", "peak_memory_max_bytes")
    assert [found[key] for key in keys] == [100, 50 * GIB, 95 * GIB, 100 * GIB]
    assert (found["exec_time_measured"], found["exec_time_p50_s"], found["exec_time_max_s"]) == (0, None, None)


def test_nothing_measured_is_null_and_never_zero():
    found = demand.usage(ASKED, [], failed=False)
    assert {key for key, value in found.items() if value == 0} == {
        "peak_memory_measured", "peak_cpu_measured", "exec_time_measured"
    }  # fmt: skip
    assert (found["groups"], found["groups_save_percent"], found["memory_efficiency_percent"]) == ([], None, None)


def test_efficiency_counts_each_by_its_time():
    found = demand.usage(ASKED, [used(1, 8 * GIB, 400.0, 10.0), used(2, 2 * GIB, 100.0, 30.0)], failed=False)
    assert found["memory_efficiency_percent"] == found["cpu_efficiency_percent"] == 43.8  # (10 + 30 / 4) / 40


def test_groups_by_memory_say_who_and_what_would_fit():
    small = [used(n, GIB, 100.0, 60.0, f"prepare_{n}") for n in range(1, 91)]
    large = [used(n, 5 * GIB, 300.0, 600.0, f"train_{n}") for n in range(91, 101)]
    one, other = demand.usage(ASKED, [*large, *small], failed=False)["groups"]
    assert (one["jobs"], one["job_ids"], one["names"]) == (90, list(range(1, 91)), [{"name": "prepare_*", "jobs": 90}])
    assert (one["fitting_memory"], one["fitting_num_cpus"], one["fitting_runtime"]) == ("2g", 2, "PT2M")
    assert (other["job_ids"], other["fitting_memory"], other["fitting_runtime"]) == (
        list(range(91, 101)), "6g", "PT12M"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "spans"),
    [
        ([], None),
        ([(2, 1.0)] * 5, None),
        ([(2, 1.0)] * 5 + [(10, 1.0)] * 5, [(0, 5), (5, 10)]),
        ([(9, 1.0)] * 5 + [(10, 1.0)] * 5, None),  # would save 5 %
        ([(2, 1.0)] * 99 + [(100, 1.0)], [(0, 99), (99, 100)]),  # one that stands out
        ([(2, 1.0)] * 5 + [(10, 1000.0)], None),  # they hardly run
        ([(1, 1.0)] * 9 + [(50, 1.0)] * 9 + [(100, 1.0)] * 2, [(0, 9), (9, 18), (18, 20)]),
        ([(n, 1.0) for n in range(1, 1001)], [(0, 500), (500, 1000)]),  # a fifth more is not to be had by a third
    ],
)
def test_groups_are_worth_it(needs, spans):
    found = grouping.grouped(needs)
    assert (found and found.spans) == spans


NEEDS = st.lists(st.tuples(st.integers(1, 100), st.floats(0.1, 1000)), max_size=60).map(sorted)


@pytest.mark.parametrize(("less", "groups"), [(1, 0), (2, 2)])
def test_groups_that_would_save_a_gibibyte_each_or_less_are_none(less, groups):
    each = [used(number, size * GIB * 5 // 6) for number, size in ((1, 1), (2, 1 + less))]
    assert len(demand.usage(ASKED, each, failed=False)["groups"]) == groups


@given(NEEDS)
def test_groups_hold_everyone_once_and_save_a_fifth_each(needs):
    found = grouping.grouped(iter(needs))
    if found is None:
        return
    assert [index for begin, end in found.spans for index in range(begin, end)] == list(range(len(needs)))
    assert 2 <= len(found.spans) <= grouping.MOST_GROUPS
    cost = sum(needs[end - 1][0] * sum(hours for _, hours in needs[begin:end]) for begin, end in found.spans)
    one = needs[-1][0] * sum(hours for _, hours in needs)
    assert found.saved_percent == pytest.approx(100 - 100 * cost / one)
    assert found.saved_percent >= (len(found.spans) - 1) * grouping.SAVED_PERCENT - 1e-6


@given(NEEDS)
def test_where_two_groups_would_save_a_fifth_there_are_groups(needs):
    one = needs[-1][0] * sum(hours for _, hours in needs) if needs else 0
    cuts = (
        (needs[-1][0] - needs[index - 1][0]) * sum(hours for _, hours in needs[:index])
        for index in range(1, len(needs))
    )
    most = max(cuts, default=0)
    if abs(most * 100 - one * grouping.SAVED_PERCENT) > 1e-6 * one:
        assert (grouping.grouped(needs) is not None) == (most * 100 >= one * grouping.SAVED_PERCENT and most > 0)
