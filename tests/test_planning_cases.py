"""The planning cases of torc 0.21 (torc-021.md 14.E) on Kestrel: what torc plans, what is planned here, and why not so.

torc asks for the runtime x 1.5 and for the partition's memory. Here the walltime has 150 s of head room, in whole
minutes (1 h of runtime: 01:33:00), and memory is what the jobs on a node need.
"""

from typing import Any, NamedTuple

import pytest
from plans import counts, facts, firsts, jobs, plan, size

from torc_tools import units
from torc_tools.core.allocating_size import WORKER_BYTES
from torc_tools.core.profiles_builtin import DANE

GIB = 2**30
HEAD = "150 s of head room, whole minutes"
SLOTS = "slots are counted after the head room"
FITS = "the runtime and the head room have to fit: another partition"


class Case(NamedTuple):
    number: int
    count: int
    need: Any
    torc: int  # allocations
    ours: int
    why: str = ""  # where we differ
    options: dict[str, Any] = {}  # noqa: RUF012  never changed


MAX = {"strategy": "max-partition-time"}
NUMBERS = (
    *(Case(107, 20, size(cpus), each, each) for cpus, each in ((4, 1), (13, 3), (26, 5), (52, 10), (104, 20))),
    *(
        Case(108, 20, size(4, memory, "PT8H"), each, each)
        for memory, each in (("30g", 3), ("60g", 5), ("120g", 10), ("240g", 20))
    ),
    Case(109, 20, size(4, "241g", "PT8H"), 7, 7),
    *(Case(110, 12, size(16, "10g", "PT1H", gpus), each, each) for gpus, each in ((1, 3), (2, 6), (4, 12))),
    Case(111, 12, size(64, "10g", "PT1H", 1), 6, 6),
    Case(111, 12, size(16, "180g", "PT1H", 1), 12, 12),
    Case(111, 12, size(32, "90g", "PT1H", 2), 6, 6),
    Case(111, 12, size(128, "90g", "PT1H", 2), 12, 12),
    Case(112, 10, size(52, nodes=2), 10, 5, "allocations of 2 nodes, two jobs side by side"),
    Case(112, 10, size(52, nodes=4), 20, 5, "allocations of 4 nodes, two jobs side by side"),
    *(Case(113, count, size(26), each, each) for count, each in ((4, 1), (5, 2), (8, 2), (9, 3))),
    Case(114, 20, size(26, runtime="P2D"), 5, 5),
    Case(114, 100, size(26, runtime="PT20H"), 25, 25),
    Case(117, 20, size(26), 5, 5, options={"multiplier": 1990}),
    Case(117, 20, size(26), 3, 3, options={"multiplier": 2000}),
    Case(117, 20, size(26), 2, 2, options={"multiplier": 3000}),
    Case(118, 1000, size(4, runtime="PT10M"), 2, 2, options=MAX),
    Case(118, 1000, size(26, runtime="PT10M"), 11, 11, options=MAX),
    Case(118, 1000, size(52, runtime="PT10M"), 21, 22, SLOTS, MAX),
    Case(118, 1000, size(104, runtime="PT10M"), 42, 44, SLOTS, MAX),
    *(
        Case(119, 100, size(cpus, runtime="PT20H"), each, each, options=MAX)
        for cpus, each in ((26, 13), (52, 25), (104, 50))
    ),
    Case(120, 10, size(26), 3, 3),
    Case(120, 100, size(52), 50, 50),
    Case(120, 10, size(4, "120g"), 5, 5),
    Case(120, 4, size(52, "60g"), 2, 2),
    Case(120, 8, size(32, "90g", "PT1H", 2), 4, 4),
    Case(121, 20, size(26), 1, 1, options={"single": True}),
)


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_number_of_allocations(case: Case) -> None:
    assert counts(plan(jobs((case.count, case.need)), **case.options)) == {"r1": case.ours}
    assert (case.torc == case.ours) == (not case.why)


@pytest.mark.parametrize(
    ("number", "need", "partition", "torc", "ours", "why"),
    [
        (107, size(), "short", "240g", 80 * GIB + WORKER_BYTES, "the 20 jobs on the node, and the worker"),
        (108, size(4, "60g", "PT8H"), "standard", "240g", 240 * GIB + WORKER_BYTES, "4 jobs on a node, and the worker"),
        (109, size(4, "241g", "PT8H"), "medmem", "961g", 723 * GIB + WORKER_BYTES, "3 jobs on a node of the 7"),
        (110, size(16, "10g", "PT1H", 1), "gpu-h100s", "351g", 40 * GIB + WORKER_BYTES, "4 jobs on a node"),
    ],
)
def test_memory_is_that_of_the_jobs_on_a_node(number, need, partition, torc, ours, why) -> None:
    (record,) = firsts(plan(jobs((20, need)))).values()
    assert (record["best_partition"], record["memory_bytes"]) == (partition, ours), (number, torc, why)
    assert record["partition"] is None  # Kestrel sends it there by itself


@pytest.mark.parametrize(
    ("gpus", "torc", "ours"), [(1, "gpu:1", "gpu:4"), (2, "gpu:2", "gpu:4"), (4, "gpu:4", "gpu:4")]
)
def test_110_gres_is_that_of_all_jobs_on_a_node(gpus: int, torc: str, ours: str) -> None:
    (record,) = firsts(plan(jobs((12, size(16, "10g", "PT1H", gpus))))).values()
    assert (record["gres"], record["num_gpus"], record["num_cpus"]) == (ours, 4, 64 // gpus), torc


@pytest.mark.parametrize("nodes", [2, 4])
def test_112_jobs_of_several_nodes_get_them(nodes: int) -> None:
    (record,) = firsts(plan(jobs((10, size(52, nodes=nodes))))).values()
    assert (record["nodes"], record["num_cpus"], record["jobs_per_allocation"]) == (nodes, 104, 2)


@pytest.mark.parametrize(
    ("number", "runtime", "torc", "ours", "partition", "why", "options"),
    [
        (107, "PT1H", "01:30:00", "01:33:00", "short", HEAD, {}),
        (108, "PT8H", "12:00:00", "12:03:00", "standard", HEAD, {}),
        (114, "P2D", "2-00:00:00", "3-00:03:00", "long", FITS, {}),
        (114, "PT20H", "1-06:00:00", "1-06:03:00", "standard", HEAD, {}),
        (115, "PT12H", "18:00:00", "18:03:00", "standard", HEAD, {}),
        (115, "P1DT12H", "2-00:00:00", "2-00:00:00", "standard", "", {}),
        (115, "PT4H", "04:00:00", "06:03:00", "standard", FITS, {}),
        (115, "PT3H", "04:00:00", "04:00:00", "short", "", {}),
        (115, "PT10M", "00:15:00", "00:18:00", "short", HEAD, {}),
        (115, None, "04:00:00", "04:00:00", "short", "", {}),  # PT0S is no duration here; none is known
        (116, "PT6H", "12:00:00", "12:03:00", "standard", HEAD, {"multiplier": 2000}),
        (116, "PT4H", "04:00:00", "04:03:00", "standard", FITS, {"multiplier": 1000}),
        (118, "PT10M", "04:00:00", "04:00:00", "short", "", MAX),
        (119, "PT20H", "2-00:00:00", "2-00:00:00", "standard", "", MAX),
    ],
)
def test_walltimes(number, runtime, torc, ours, partition, why, options) -> None:
    (record,) = firsts(plan(jobs((20, size(26, runtime=runtime))), **options)).values()
    assert (record["walltime"], record["best_partition"]) == (ours, partition), number
    assert (torc == ours) == (not why)


def test_116_a_factor_of_0_is_a_usage_error(torc) -> None:
    done = torc("regenerate", "1", "--walltime-multiplier", "0")
    assert done.returncode == 2  # torc: 1


def test_121_a_single_allocation_has_the_nodes_of_all() -> None:
    (record,) = firsts(plan(jobs((20, size(26))), single=True)).values()
    assert (record["nodes"], record["num_cpus"]) == (5, 104)  # torc: one node, whatever the jobs need


@pytest.mark.parametrize(
    ("need", "reason", "would_fit"),
    [
        (size(4, "2t"), "2048.00 GB of memory on a node", "memory on a node up to 1953.12 GB (bigmem)"),
        (size(200), "200 CPUs on a node", "CPUs on a node up to 128 (gpu-h100s)"),
        (size(runtime="P11D"), "11-00:02:30 of walltime (150 s of it head room)", "runtime up to 9-23:57:30 (long)"),
        (size(runtime="P10D"), "10-00:02:30 of walltime (150 s of it head room)", "runtime up to 9-23:57:30 (long)"),
        (size(gpus=8), "8 GPUs on a node", "GPUs on a node up to 4 (gpu-h100s)"),
        (
            size(4, "500g", nodes=100),
            "500.00 GB of memory on a node",
            "memory on a node up to 351.56 GB (gpu-h100s) or nodes up to 64 (medmem)",
        ),
    ],
)
def test_122_what_fits_nowhere_is_a_record(need, reason: str, would_fit: str) -> None:
    (record,) = plan(jobs((3, need))).records
    assert (record["status"], record["job_ids"], record["job_count"]) == ("unplannable", [1, 2, 3], 3)
    assert record["reason"] == f"no partition of NLR Kestrel gives {reason}"
    assert record["would_fit"] == would_fit


@pytest.mark.parametrize(("memory", "partition"), [("1t", "bigmem"), ("512k", "short")])
def test_122_units_are_read_as_everywhere(memory: str, partition: str) -> None:
    (record,) = firsts(plan(jobs((1, size(4, memory))))).values()  # torc: neither can be planned
    assert (record["best_partition"], record["num_allocations"]) == (partition, 1)
    assert record["memory_bytes"] == units.parse_memory(memory) + WORKER_BYTES


def test_123_jobs_that_wait_for_others_are_deferred() -> None:
    found = firsts(plan(facts(jobs((2, size())), {2: [1]})))
    waits = {name: (each["deferred"], each["after_groups"], each["job_ids"]) for name, each in found.items()}
    assert waits == {"r1": (False, [], [1]), "r1_deferred": (True, ["r1"], [2])}


def test_124_by_partition_what_waits_is_not_merged() -> None:
    found = plan(facts(jobs((2, size())), {2: [1]}), group_by="partition")
    assert counts(found) == {"short": 1, "short_deferred": 1}  # torc: one of 01:30:00 for two jobs of 1 h in a row


def test_125_by_partition_jobs_of_different_sizes_share() -> None:
    found = jobs((1, size()), (10, size(52, runtime="PT10M")), (1, size()))
    after = {job: [1] for job in range(2, 12)} | {12: list(range(2, 12))}
    planned = plan(facts(found, after), group_by="partition")
    assert counts(planned) == {"short": 1, "short_deferred": 1}  # torc: 6, as if all were of the largest size
    record = firsts(planned)["short_deferred"]
    assert (record["job_count"], record["walltime"], record["num_cpus"]) == (11, "03:03:00", 104)


def test_129_dane() -> None:
    (record,) = firsts(plan(jobs((1, size(1, "1g"))), DANE)).values()
    assert (record["partition"], record["best_partition"]) == (None, "pbatch")
    assert record["memory_bytes"] == GIB + WORKER_BYTES  # torc: 251g
