"""torc-regenerate: groups, waits, the user's schedulers and actions, what is queued already, accounts, the command."""

import conftest
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import HEAD_S, counts, facts, firsts, jobs, plan, queued, size
from prepared import dump, execute
from test_apply import lines

from torc_tools import states
from torc_tools.core import allocating_order, allocating_text
from torc_tools.core.allocating_facts import Size, slurm_memory
from torc_tools.core.allocating_size import WORKER_BYTES
from torc_tools.core.packing import Need
from torc_tools.core.profiles import best, named
from torc_tools.core.profiles_builtin import KESTREL
from torc_tools.shell import store

KESTREL_HERE = ("--profile", "kestrel")
GIB = 2**30
NOT_IN = "that does not fit into a walltime of"


def waits(planned) -> dict[str, list[str]]:
    return {name: each["after_groups"] for name, each in firsts(planned).items()}


# Groups and waits.


def test_requirements_of_the_same_content_share_whatever_their_names() -> None:
    assert counts(plan(jobs((1, size()), (1, size()), (1, size(8))))) == {"r1": 1, "r3": 1}


def test_requirements_of_one_name_and_different_content_have_groups_of_their_own() -> None:
    found = [job._replace(requirements="small") for job in jobs((2, size()), (1, size(memory="8g")))]
    assert counts(plan(found)) == {"small": 1, "small_2": 1}


def test_a_chain_gets_one_allocation_with_time_for_all_of_it() -> None:
    planned = plan(facts(jobs((4, size())), {2: [1], 3: [2], 4: [3]}))
    assert counts(planned) == {"r1": 1, "r1_deferred": 1}
    record = firsts(planned)["r1_deferred"]
    assert (record["job_ids"], record["walltime"], record["walltime_s"]) == ([2, 3, 4], "04:00:00", 14400)
    assert record["slots"] >= 3


def test_a_chain_longer_than_the_partition_allows_is_cut_into_allocations_one_after_the_other() -> None:
    count = 300  # of a minute each: 4 h of short hold 237 of them after the head room
    planned = plan(facts(jobs((count, size(runtime="PT1M"))), {job: [job - 1] for job in range(2, count + 1)}))
    assert waits(planned) == {"r1": [], "r1_deferred": ["r1"], "r1_deferred_2": ["r1_deferred"]}
    assert firsts(planned)["r1_deferred"]["job_count"] == (4 * 3600 - HEAD_S) // 60


def test_a_chain_through_two_requirements_waits_step_by_step() -> None:
    small, big = size(), size(104, "200g", "PT10H")
    found = jobs((1, small), (1, big), (1, small), (1, big))
    found = [job._replace(requirements="big" if job.size == big else "small") for job in found]
    assert waits(plan(facts(found, {2: [1], 3: [2], 4: [3]}))) == {
        "small": [],
        "big_deferred": ["small"],
        "small_deferred": ["big_deferred"],
        "big_deferred_2": ["small_deferred"],
    }


def test_groups_that_wait_for_each_other_in_turn_start_side_by_side() -> None:
    """Levels 2 and 3 of both requirements, crosswise: neither group can be over before the other starts."""
    one, other = size(runtime="PT20M"), size(8, runtime="PT20M")
    found = jobs((1, one), (1, one), (1, other), (1, one), (1, other))
    found = [job._replace(requirements="one" if job.size == one else "other") for job in found]
    after = {2: [1], 3: [1], 4: [3], 5: [2]}
    assert waits(plan(facts(found, after))) == {"one": [], "one_deferred": ["one"], "other_deferred": ["one"]}


def test_circles_are_told_from_chains() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a", "outside"}}
    assert allocating_order.waits(edges) == {"a": ["b"], "b": [], "c": ["d"], "d": [], "e": ["a", "outside"]}


def test_jobs_below_one_that_will_not_end_are_left_out() -> None:
    planned = plan(facts(jobs((3, size())), {2: [9], 3: [2]}, stuck=frozenset({9})))
    assert (planned.stuck, firsts(planned)["r1"]["job_ids"]) == (2, [1])


def test_jobs_below_one_that_runs_wait_for_its_allocation() -> None:
    rows = queued(plan(jobs((1, size()))), status="active")
    planned = plan(facts(jobs((1, size())), {1: [9]}, active={9: (size(), 1)}, allocations=rows, fresh=False))
    assert waits(planned) == {"r1_deferred": ["r1"]}


def test_what_fits_nowhere_stands_beside_what_fits() -> None:
    planned = plan(facts(jobs((2, size()), (1, size(500))), {1: [3]}))
    assert counts(planned) == {"r1": 1, "r2": 0}
    assert (planned.stuck, firsts(planned)["r1"]["job_ids"]) == (1, [2])  # job 1 cannot run before job 3


def test_jobs_without_requirement_get_a_cpu_its_share_of_memory_and_at_most_a_day() -> None:
    none = [job._replace(requirements=None) for job in jobs((3, Size()))]
    record = firsts(plan(none))["default"]
    assert (record["num_cpus"], record["walltime"]) == (3, "04:00:00")
    assert record["memory_bytes"] == 3 * (246_064 * 2**20 // 104) + WORKER_BYTES
    assert firsts(plan(none, partition="long"))["default"]["walltime"] == "1-00:00:00"


def test_a_node_is_never_asked_for_more_than_it_has() -> None:
    record = firsts(plan(jobs((1, size(104, f"{246_064}m")))))["r1"]
    assert record["memory_bytes"] == 246_064 * 2**20  # no room is left for the worker


def test_a_partition_that_is_named_is_written_and_must_hold_the_jobs() -> None:
    long = firsts(plan(jobs((1, size())), partition="debug"))["r1"]
    assert long["reason"] == "partition 'debug' does not give 01:02:30 of walltime (150 s of it head room)"
    assert long["would_fit"] == "runtime up to 00:57:30 (debug)"
    short = firsts(plan(jobs((1, size(runtime="PT30M"))), partition="debug"))["r1"]
    assert (short["partition"], short["walltime"]) == ("debug", "00:48:00")
    wide = firsts(plan(jobs((3, size(runtime="PT30M"))), partition="hbw"))["r1"]
    assert (wide["nodes"], wide["partition"]) == (2, "hbw")  # which takes no job of one node


def test_a_walltime_that_is_written_is_asked_for_and_must_hold_the_jobs() -> None:
    record = firsts(plan(jobs((60, size(26))), walltime_s=4 * 3600))["r1"]
    assert (record["walltime"], record["slots"], record["num_allocations"]) == ("04:00:00", 3, 5)
    short = firsts(plan(jobs((1, size())), walltime_s=3600))["r1"]
    assert short["status"] == "unplannable"
    assert short["would_fit"] == "a walltime of 01:03:00"


def test_head_room_follows_the_execution_config() -> None:
    config = {"execution_config": {"sigkill_headroom_seconds": 300, "sigterm_lead_seconds": 240}}
    assert firsts(plan(facts(jobs((1, size())), config=config)))["r1"]["walltime"] == "01:40:00"


def test_one_large_allocation_keeps_to_the_partitions_nodes() -> None:
    found = plan(jobs((10, size(104, "1900g"))), single=True)  # bigmem: 10 nodes, 4 for each user
    assert [(each["nodes"], each["num_allocations"]) for each in found.records] == [(4, 3)] * 3


def test_a_worker_that_starts_jobs_itself_is_started_on_every_node() -> None:
    config = {"execution_config": {"mode": "direct"}}
    record = firsts(plan(facts(jobs((20, size(26))), config=config), single=True))["r1"]
    assert (record["start_one_worker_per_node"], record["mode"], record["nodes"]) == (True, "direct", 5)
    alone = firsts(plan(facts(jobs((1, size())), config=config)))["r1"]
    assert (alone["start_one_worker_per_node"], alone["mode"]) == (False, "direct")


def test_slurm_defaults_are_kept() -> None:
    config = {"slurm_defaults": {"qos": "high", "reservation": "r7", "mail_type": "END", "constraint": "lscratch"}}
    record = firsts(plan(facts(jobs((1, size())), config=config)))["r1"]
    assert [record[key] for key in ("qos", "reservation", "constraint")] == ["high", "r7", "lscratch"]
    assert record["sbatch"] == {"mail-type": "END"}


# The user's own schedulers and actions.

OWN = {
    "name": "mine", "account": "acc", "partition": "standard", "qos": "high", "walltime": "12:00:00", "mem": "64g",
    "nodes": 1, "tmp": "10g", "extra": "--reservation=x", "serialize_allocations": True,
}  # fmt: skip


def start(scheduler: int = 1, trigger: str = "on_workflow_start", **more) -> dict:
    return {"trigger_type": trigger, "action_type": "schedule_nodes", "slurm_scheduler_id": scheduler, **more}


def test_a_job_that_names_a_scheduler_gets_what_the_user_wrote() -> None:
    record = firsts(plan(facts(jobs((20, size()), scheduler=1), schedulers={1: OWN}, fresh=False)))["mine"]
    kept = ("account", "partition", "qos", "walltime", "memory_bytes", "tmp", "extra", "singleton")
    wanted = ["acc", "standard", "high", "12:00:00", 64 * GIB, "10g", "--reservation=x", True]
    assert [record[key] for key in kept] == wanted
    assert (record["slurm_scheduler_id"], record["num_allocations"], record["slots"]) == (1, 1, 11)


def test_jobs_of_different_sizes_share_the_allocations_of_their_scheduler() -> None:
    found = jobs((100, size(1, "1g", "PT10M")), (1, size(52, "2g", "PT1H")), scheduler=1)
    assert counts(plan(facts(found, schedulers={1: OWN}, fresh=False))) == {"mine": 1}


def test_the_number_of_an_action_counts_while_nothing_has_run() -> None:
    found = jobs((3, size()), scheduler=1)
    mine = facts(found, {3: [1]}, schedulers={1: OWN}, actions=[start(num_allocations=5, max_parallel_jobs=2)])
    record = firsts(plan(mine))["mine"]
    assert (record["num_allocations"], record["job_ids"], record["deferred"]) == (5, [1, 2, 3], False)
    assert (record["max_parallel_jobs"], record["action_id"]) == (2, 1)
    later = plan(mine._replace(fresh=False))
    assert counts(later) == {"mine": 1, "mine_deferred": 1}
    assert firsts(later)["mine"]["qos"] == "high"


def test_one_worker_per_node_is_passed_on() -> None:
    own = {**OWN, "nodes": 3}
    mine = facts(jobs((1, size())), schedulers={1: own}, actions=[start(start_one_worker_per_node=True)])
    record = firsts(plan(mine))["mine"]
    assert (record["start_one_worker_per_node"], record["mode"], record["nodes"]) == (True, "direct", 3)


def test_jobs_that_name_no_scheduler_run_where_the_actions_provide() -> None:
    own = {1: {**OWN, "name": "cpu"}, 2: {**OWN, "name": "gpu", "gres": "gpu:2", "partition": "gpu-h100"}}
    found = jobs((2, size(runtime="PT20H")), (2, size()), (2, size(gpus=2)))
    given = facts(found, {5: [3]}, schedulers=own, actions=[start(1), start(2, "on_jobs_ready", job_ids=[5, 6])])
    planned = plan(given)
    assert counts(planned) == {"cpu": 1, "r1": 1, "gpu_deferred": 1}  # 20 h do not fit into 12
    assert waits(planned)["gpu_deferred"] == ["cpu"]
    assert firsts(planned)["gpu_deferred"]["gres"] == "gpu:2"


def test_an_action_that_waits_for_jobs_to_complete_waits_for_their_groups() -> None:
    after = start(2, "on_jobs_complete", job_ids=[1], num_allocations=2)
    given = facts(jobs((3, size())), {2: [1]}, schedulers={1: OWN, 2: {**OWN, "name": "then"}}, actions=[after])
    planned = plan(given)
    assert counts(planned) == {"r1": 1, "then_deferred": 2}
    assert waits(planned)["then_deferred"] == ["r1"]
    assert firsts(planned)["then_deferred"]["job_ids"] == [2]


def test_every_action_of_a_scheduler_counts() -> None:
    given = facts(jobs((2, size()), scheduler=1), schedulers={1: OWN}, actions=[start(), start(num_allocations=2)])
    assert counts(plan(given)) == {"mine": 1, "mine_2": 2}


@pytest.mark.parametrize(
    ("own", "need", "reason", "would_fit"),
    [
        ({}, size(nodes=2), "a job needs 2 nodes, scheduler 'mine' asks for 1", "'nodes: 2' in scheduler 'mine'"),
        ({"mem": 2000}, size(), "a job needs 4.00 GB of memory, scheduler 'mine' asks for 1.95 GB",
         "'mem: 4g' in scheduler 'mine'"),
        ({"gres": "gpu:1"}, size(gpus=2), "a job needs 2 GPUs, scheduler 'mine' asks for 'gpu:1'",
         "'gres: gpu:2' in scheduler 'mine'"),
        ({"walltime": 30}, size(), f"a job may run 01:00:00; with {HEAD_S} s of head room {NOT_IN} 00:30:00",
         "a walltime of 01:03:00"),
    ],
)  # fmt: skip
def test_a_job_that_its_scheduler_cannot_hold_is_told(own, need, reason, would_fit) -> None:
    (record,) = plan(facts(jobs((1, need), scheduler=1), schedulers={1: {**OWN, **own}})).records
    assert (record["status"], record["reason"], record["would_fit"]) == ("unplannable", reason, would_fit)


def test_a_scheduler_of_an_unknown_partition_is_told() -> None:
    (record,) = plan(facts(jobs((1, size()), scheduler=1), schedulers={1: {**OWN, "partition": "gone"}})).records
    assert record["reason"] == "NLR Kestrel has no partition 'gone'"


def test_sizes_are_read_as_slurm_does() -> None:
    assert [slurm_memory(text) for text in (8000, "8000", "8g", "8G", "1.5g", "0")] == [
        8000 << 20, 8000 << 20, 8 << 30, 8 << 30, 3 << 29, 0,
    ]  # fmt: skip


def test_memory_0_of_a_scheduler_is_the_whole_node() -> None:
    record = firsts(plan(facts(jobs((1, size()), scheduler=1), schedulers={1: {**OWN, "mem": 0}})))["mine"]
    assert record["memory_bytes"] == 246_064 * 2**20


def test_options_overrule_the_users_scheduler() -> None:
    mine = facts(jobs((1, size()), scheduler=1), schedulers={1: OWN})
    record = firsts(plan(mine, partition="long", walltime_s=7200, account="cli", max_parallel_jobs=3))["mine"]
    kept = [record[key] for key in ("partition", "walltime", "account", "qos", "max_parallel_jobs")]
    assert kept == ["long", "02:00:00", "cli", "high", 3]


# What is queued already.


def test_a_plan_that_is_queued_is_not_planned_again() -> None:
    given = facts(jobs((30, size(26)), (5, size(52, runtime="PT2H"))), {35: [1]})
    first = plan(given)
    again = plan(given._replace(allocations=queued(first), fresh=False))
    assert (again.records, again.covered, again.pending) == ([], 35, 35)


def test_what_a_queued_allocation_has_no_room_for_is_planned() -> None:
    first = plan(jobs((4, size(26))))
    again = plan(facts(jobs((6, size(26))), allocations=queued(first), fresh=False))
    assert (again.covered, firsts(again)["r1_2"]["job_ids"]) == (4, [5, 6])
    assert firsts(again)["r1_2"]["planned_after"] == 1


def test_a_running_allocation_counts_with_the_time_and_the_room_that_is_left() -> None:
    rows = queued(plan(jobs((4, size(26)))), status="active", ends_at=1000.0 + 3600 + HEAD_S)
    left = {9: (size(26), 1), 8: (size(26), 1)}
    again = plan(facts(jobs((4, size(26))), allocations=rows, active=left, fresh=False))
    assert again.covered == 2
    late = queued(plan(jobs((4, size(26)))), status="active", ends_at=1000.0 + 3600)
    assert plan(facts(jobs((4, size(26))), allocations=late, fresh=False)).covered == 0


def test_retries_are_planned_beside_what_runs_and_not_beside_what_was_queued_for_them() -> None:
    given = facts(jobs((4, size(26))), fresh=False, beside=True)
    runs = queued(plan(jobs((4, size(26)))), status="active", ends_at=1000.0 + 9 * 3600)
    assert plan(given._replace(allocations=runs)).covered == 0
    assert plan(given._replace(allocations=queued(plan(jobs((4, size(26))))))).covered == 4


@pytest.mark.parametrize("status", ["planned", "complete", "lost", "canceled"])
def test_an_allocation_that_is_over_or_was_never_sent_takes_nothing(status: str) -> None:
    rows = queued(plan(jobs((4, size()))), status=status)
    assert plan(facts(jobs((4, size())), allocations=rows, fresh=False)).covered == 0


def test_a_job_that_grew_out_of_a_queued_allocation_is_planned() -> None:
    rows = queued(plan(jobs((1, size()))))
    assert plan(facts(jobs((1, size(memory="8g"))), allocations=rows, fresh=False)).covered == 0
    assert plan(facts(jobs((1, size(runtime="PT3H"))), allocations=rows, fresh=False)).covered == 0


def test_a_job_that_names_a_scheduler_needs_an_allocation_of_it() -> None:
    rows = queued(plan(jobs((1, size()))))
    own = facts(jobs((1, size()), scheduler=1), schedulers={1: OWN}, allocations=rows, fresh=False)
    assert plan(own).covered == 0


def test_deferred_allocations_count_until_they_would_start_too_early() -> None:
    given = facts(jobs((2, size()), (2, size(52))), {3: [1], 4: [2]})
    rows = queued(plan(given))
    grown = [each._replace(size=size(memory="20g")) if each.job_id == 1 else each for each in given.jobs]
    half = plan(given._replace(jobs=grown, allocations=rows, fresh=False))
    assert half.covered == 3  # those below wait for job 2's allocation anyway
    over = [{**row, "status": "complete"} if row["config"]["group"] == "r1" else row for row in rows]
    early = plan(given._replace(jobs=grown, allocations=over, fresh=False))
    assert early.covered == 1  # job 2: nothing keeps the queued one from starting with it
    assert waits(early) == {"r1": [], "r2_deferred_2": ["r1"]}


def test_the_users_number_stands_while_one_of_its_allocations_lives() -> None:
    given = facts(jobs((500, size(104)), scheduler=1), schedulers={1: OWN}, actions=[start()])
    rows = queued(plan(given))
    assert len(rows) == 1
    assert plan(given._replace(allocations=rows, fresh=False)).records == []
    over = [{**row, "status": "complete"} for row in rows]
    assert len(plan(given._replace(allocations=over, fresh=False)).records) == 46


# Properties.

sizes = st.builds(
    Size,
    st.integers(1, 130),
    st.none() | st.integers(1, 1200).map(lambda gigabytes: gigabytes * GIB),
    st.sampled_from([0, 0, 0, 1, 4, 5]),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.none() | st.integers(1, 900_000),
)


@st.composite
def workflows(draw: st.DrawFn):
    """Draw jobs of a few sizes, some with schedulers, each perhaps below earlier ones."""
    few = draw(st.lists(sizes, min_size=1, max_size=4))
    found = jobs(*((draw(st.integers(0, 40)), each) for each in few))
    own = draw(st.booleans())
    if own:
        found = [job._replace(slurm_scheduler_id=draw(st.sampled_from([None, 1]))) for job in found]
    parents = {}
    for job in found:
        above = draw(st.lists(st.integers(1, max(1, job.job_id - 1)), max_size=2))
        parents[job.job_id] = sorted({each for each in above if each < job.job_id})
    schedulers = {1: {"name": "mine", "account": "a", "nodes": draw(st.integers(1, 3)), "walltime": "2-00:00:00"}}
    return facts(found, parents, schedulers=schedulers if own else {})


choices = st.fixed_dictionaries(
    {
        "group_by": st.sampled_from(["requirements", "partition"]),
        "strategy": st.sampled_from(["max-job-runtime", "max-partition-time"]),
        "single": st.booleans(),
        "multiplier": st.sampled_from([500, 1000, 1500, 3000]),
    }
)


@settings(max_examples=150)
@given(workflows(), choices)
def test_every_job_is_planned_for_once_and_what_is_asked_for_holds_it(given, options) -> None:
    planned = plan(given, **options)
    assert planned == plan(given, **options)
    heads = firsts(planned)
    named_jobs = [job for each in heads.values() for job in each["job_ids"]]
    assert len(set(named_jobs)) == len(named_jobs) == len(given.jobs) - planned.stuck
    need = {job.job_id: job.size for job in given.jobs}
    for name, head in heads.items():
        if head["status"] == "unplannable":
            continue
        group = [each for each in planned.records if each["group"] == name]
        assert len(group) == head["num_allocations"]
        assert sum(each["jobs_per_allocation"] for each in group) >= head["job_count"] == len(head["job_ids"])
        where = named(KESTREL, head["best_partition"])
        assert head["num_cpus"] <= where.cpus_per_node
        assert 0 < head["memory_bytes"] <= where.memory_bytes
        assert head["num_gpus"] <= where.gpus_per_node
        assert head["walltime_s"] <= where.max_walltime_s
        assert head["nodes"] <= (where.max_nodes or head["nodes"])
        for job in head["job_ids"]:
            each = need[job]
            assert each.num_cpus <= head["num_cpus"]
            assert (each.memory_bytes or 0) <= head["memory_bytes"]
            assert each.num_gpus <= head["num_gpus"]
            assert each.num_nodes <= head["nodes"]
            assert (each.runtime_s or 0) + HEAD_S <= head["walltime_s"]
    order = list(heads)
    assert all(order.index(other) < order.index(name) for name in order for other in heads[name]["after_groups"])


@settings(max_examples=150)
@given(workflows(), choices)
def test_planning_again_what_is_queued_gives_nothing(given, options) -> None:
    first = plan(given, **options)
    fits_not = {job for each in first.records if each["status"] == "unplannable" for job in each["job_ids"]}
    again = plan(given._replace(allocations=queued(first), fresh=False), **options)
    assert {each["status"] for each in again.records} <= {"unplannable"}
    assert {job for each in again.records for job in each["job_ids"]} == fits_not


@given(sizes)
def test_a_size_is_unplannable_only_where_no_partition_holds_it(each: Size) -> None:
    (record, *_) = plan(jobs((1, each))).records
    need = Need(each.num_cpus, each.memory_bytes or 0, each.num_gpus, (each.runtime_s or 0) + HEAD_S)
    assert (record["status"] == "unplannable") == (best(KESTREL, need, each.num_nodes) is None)


# The command.

SPEC = """\
name: planned
resource_requirements:
  - {name: small, num_cpus: 4, memory: 4g, runtime: PT1H}
  - {name: wide, num_cpus: 52, memory: 10g, runtime: PT2H, num_nodes: 2}
jobs:
  - {name: "work_{i}", command: "true", resource_requirements: small, parameters: {i: "1:5"}}
  - {name: join, command: "true", resource_requirements: wide, depends_on_regexes: ["^work_"]}
"""


@pytest.fixture
def created(torc, work_dir):
    """Make workflow 1 of SPEC; give a function that runs torc-regenerate on it as on Kestrel."""
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "spec.yaml").returncode == 0

    def call(*args, account: str | None = "proj", **more):
        paid = () if account is None else ("--account", account)
        operand = () if "input" in more else ("1",)
        return torc("regenerate", *(args or operand), *KESTREL_HERE, *paid, **more)

    return call


def records_of(done) -> list[dict]:
    return [each for each in lines(done.stdout) if each["type"] == "allocation"]


def test_the_command_writes_a_plan_and_changes_nothing(created) -> None:
    before = dump("torc.db")
    done = created()
    assert (done.returncode, done.stderr) == (0, b"")
    found = records_of(done)
    shown = [(each["group"], each["nodes"], each["walltime"], each["account"]) for each in found]
    assert shown == [("small", 1, "01:33:00", "proj"), ("wide_deferred", 2, "03:03:00", "proj")]
    assert len({each["token"] for each in found}) == 2
    assert len({each["plan"] for each in found}) == 1
    assert dump("torc.db") == before


def test_the_plan_is_the_same_each_time_but_for_its_names(created) -> None:
    plans = [[{**each, "token": "", "plan": ""} for each in records_of(created())] for _ in range(2)]
    assert plans[0] == plans[1]


def test_jobs_that_a_reset_names_are_planned_for(created, torc) -> None:
    execute("torc.db", f"UPDATE job SET status = {states.FAILED} WHERE job_id = 1",
            f"UPDATE job SET status = {states.COMPLETED} WHERE job_id IN (2, 3, 4, 5)",
            f"UPDATE job SET status = {states.CANCELED} WHERE job_id = 6")  # fmt: skip
    tried = torc("reset", "-w", "1", "--failed", "--dry-run").stdout
    preview = created("--dry-run", input=tried + b'{"type":"note","text":"kept"}\n')
    assert [(each["group"], each["job_ids"]) for each in records_of(preview)] == [
        ("small", [1]),
        ("wide_deferred", [6]),
    ]
    assert b'"kept"' in preview.stdout
    assert b'"reset"' not in preview.stdout.replace(b'"stage":"torc-reset"', b"")
    by_id = created("1", "--include-job-ids", "1,6")
    assert [each["job_ids"] for each in records_of(by_id)] == [[1], [6]]
    done = torc("reset", "-w", "1", "--failed").stdout
    assert [each["job_ids"] for each in records_of(created("-", input=done))] == [[1], [6]]


def test_a_stream_that_breaks_off_is_refused(created) -> None:
    assert created(input='{"type":"begin","stage":"torc-reset"}\n').returncode == 65


def test_a_stream_without_reset_plans_nothing(created) -> None:
    done = created(input='{"type":"note"}\n')
    assert (done.returncode, conftest.said(done)) == (0, ["torc-regenerate: no reset records: nothing to plan for"])


def test_no_pending_jobs_is_said(created) -> None:
    execute("torc.db", f"UPDATE job SET status = {states.COMPLETED}")
    done = created()
    assert (done.returncode, records_of(done)) == (0, [])
    assert conftest.said(done) == ["torc-regenerate: no pending jobs in workflow 1: nothing to plan"]


def test_a_canceled_workflow_needs_none(created) -> None:
    execute("torc.db", "UPDATE workflow SET is_canceled = 1")
    done = created()
    assert (done.returncode, records_of(done)) == (0, [])
    assert conftest.said(done)[0].startswith("torc-regenerate: workflow 1 is canceled: torc-reset -w 1")
    assert records_of(created("1", "--include-job-ids", "1"))


def test_what_fits_nowhere_is_said_and_ends_with_1_where_nothing_else_is_planned(created) -> None:
    execute("torc.db", "UPDATE resource_requirements SET num_cpus = 500 WHERE name = 'wide'")
    done = created()
    assert done.returncode == 0
    (line,) = conftest.said(done)
    assert line.startswith("torc-regenerate: group 'wide' (1 job) fits nowhere: ") or "wide_deferred" in line
    execute("torc.db", "UPDATE resource_requirements SET num_cpus = 500")
    assert created().returncode == 1


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("1", "--partition", "gone"), 66, "no such partition: 'gone' (NLR Kestrel has debug, short,"),
        (("1", "--include-job-ids", "77"), 66, "no such job in workflow 1: '77'"),
        (("7",), 66, "no such workflow: '7'"),
        (("1", "--walltime-multiplier", "-1"), 2, "not a factor"),
        (("1", "--walltime", "soon"), 2, "not a duration"),
        (("1", "--group-by", "mood"), 2, "invalid choice"),
    ],
)
def test_what_cannot_be_is_refused(created, args, status, words) -> None:
    done = created(*args)
    assert done.returncode == status
    assert words in done.stderr.decode()


@pytest.fixture
def accounts(work_dir):
    """Give a function that puts a sacctmgr on PATH which says what it is given; the answer is the environment."""

    def fake(text: str) -> dict[str, str]:
        folder = work_dir / "fakes"
        folder.mkdir(exist_ok=True)
        conftest.script(folder / "sacctmgr", text)
        return {"PATH": f"{folder}:/usr/bin:/bin"}

    return fake


def test_the_account_comes_from_the_nearest_that_knows_one(created, torc, accounts) -> None:
    env = accounts("exit 1")
    done = created(account=None, env=env)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no account: give --account" in done.stderr
    execute(
        "torc.db",
        """INSERT INTO allocation (workflow_id, kind, status, created_at, config)
        VALUES (1, 'slurm', 'complete', 0, '{"account": "earlier"}')""",
    )
    assert {each["account"] for each in records_of(created(account=None, env=env))} == {"earlier"}
    execute("torc.db", """UPDATE workflow SET config = '{"slurm_defaults": {"account": "default"}}'""")
    assert {each["account"] for each in records_of(created(account=None, env=env))} == {"default"}
    assert {each["account"] for each in records_of(created(account="cli", env=env))} == {"cli"}


def test_a_terminal_gets_a_row_for_each_group(created) -> None:
    text = created("1", "--format", "table", env={"COLUMNS": "200"}).stdout.decode()
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["group", "jobs", "allocations"], ["small", "5", "1"], ["wide_deferred", "1", "1"],
    ]  # fmt: skip


def test_a_table_says_nowhere_and_the_reason_stands_on_a_line_of_its_own(created) -> None:
    execute("torc.db", "UPDATE resource_requirements SET num_cpus = 500 WHERE name = 'small'")
    done = created("1", "--format", "table", env={"COLUMNS": "120"})
    head, *rows = done.stdout.decode().splitlines()
    assert head.split()[-2:] == ["partition", "waits_for"]
    assert rows[0].split()[-2:] == ["nowhere", "-"]
    (line,) = [line for line in conftest.said(done) if " (5 jobs) fits nowhere: " in line]
    assert "500 CPUs on a node; would fit: CPUs on a node up to" in line


@pytest.mark.parametrize(
    ("starts", "sooner", "suggested"),
    [
        ((None, None), None, None),
        ((None, 5.0), "one_large", "one_large"),
        ((5.0, None), "many_small", "many_small"),
        ((100.0, 159.0), None, "many_small"),
        ((159.0, 100.0), None, "many_small"),
        ((160.0, 100.0), "one_large", "one_large"),
        ((100.0, 160.0), "many_small", "many_small"),
    ],
)
def test_of_two_ways_the_sooner_is_suggested_and_of_equals_many_small(starts, sooner, suggested) -> None:
    small, large = (
        {"num_allocations": number, "nodes": 1, "starts_at": at, "wait_s": at, "error": "refused"}
        for number, at in zip((4, 1), starts, strict=True)
    )
    found = allocating_text.comparison(small, large)
    assert (found["sooner"], found["suggested"]) == (sooner, suggested)
    alone = allocating_text.comparison({**small, "num_allocations": 1}, large)
    assert (alone["sooner"], alone["suggested"]) == (None, None)


def test_both_ways_are_compared(created, work_dir) -> None:
    """A sbatch that says what Slurm says to --test-only: many nodes are far away, one starts soon."""
    execute("torc.db", "UPDATE resource_requirements SET num_cpus = 104 WHERE name = 'small'")
    folder = work_dir / "fakes"
    folder.mkdir()
    conftest.script(
        folder / "sbatch",
        'case "$*" in *--nodes=5*) y=2099 ;; *) y=2098 ;; esac\n'
        'echo "sbatch: Job 7 to start at $y-01-01T00:00:00 using 1 processors on nodes n1" >&2',
    )
    done = created("1", "--compare", env={"PATH": f"{folder}:/usr/bin:/bin"})
    assert done.returncode == 0
    comparison = records_of(done)[0]["comparison"]
    assert [comparison[way]["nodes"] for way in ("many_small", "one_large")] == [1, 5]
    assert comparison["sooner"] == "many_small"
    assert conftest.said(done)[0].endswith("sooner: many small")
    assert comparison["suggested"] == "many_small"
    stamp = "$(date -d '+5 seconds' +%Y-%m-%dT%H:%M:%S)"
    conftest.script(folder / "sbatch", f'echo "sbatch: Job 7 to start at {stamp} using 1 processors on nodes n1" >&2')
    done = created("1", "--compare", env={"PATH": f"{folder}:/usr/bin:/bin"})
    comparison = records_of(done)[0]["comparison"]
    assert (comparison["sooner"], comparison["suggested"]) == (None, "many_small")
    table = created(
        "1", "--compare", "-f", "table", env={"PATH": f"{folder}:/usr/bin:/bin", "COLUMNS": "120"}
    ).stdout.decode()
    assert table.splitlines()[1].endswith(" many small")
    assert "both start at the same time; suggested: many small, whose jobs" in conftest.said(done)[0]
    conftest.script(folder / "sbatch", "echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1")
    assert created("1", "--compare", env={"PATH": f"{folder}:/usr/bin:/bin"}).returncode == 69


@pytest.mark.parametrize("count", [10_000])
def test_many_jobs_make_one_plan(torc, work_dir, count: int) -> None:
    db = store.create("torc.db")
    with store.transaction(db):
        db.execute("INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
                   " VALUES ('t', 'w', 0, 'o', 's', '{}')")  # fmt: skip
        db.execute("INSERT INTO resource_requirements (workflow_id, name, num_cpus, memory_bytes, runtime_s)"
                   f" VALUES (1, 'r', 1, {GIB}, 60)")  # fmt: skip
        rows = ((job, states.BLOCKED if job % 2 == 0 else states.READY) for job in range(1, count + 1))
        db.executemany("INSERT INTO job (job_id, workflow_id, name, command, status, resource_requirements_id)"
                       " VALUES (?, 1, 'j', 'true', ?, 1)", rows)  # fmt: skip
        db.executemany("INSERT INTO job_depends_on VALUES (?, ?)", ((job, job - 1) for job in range(2, count + 1, 2)))
    db.close()
    done = torc("regenerate", "1", *KESTREL_HERE, "--account", "a")
    found = records_of(done)
    assert sum(len(each["job_ids"]) for each in found) == count
    assert len(done.stdout) < 20 * count  # the ids once, not once for each allocation
    assert orjson.loads(done.stdout.splitlines()[-1])["count"] == len(found)
