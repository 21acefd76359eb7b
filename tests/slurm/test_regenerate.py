"""torc-regenerate on a real Slurm: its partitions, and plans that sbatch takes."""

import pytest
from test_apply import lines

from torc_tools.core import sbatch, slurmtext
from torc_tools.shell import slurm as client

SPEC = """\
name: planned
slurm_defaults: {comment: "kept"}
resource_requirements:
  - {name: small, num_cpus: 2, memory: 1g, runtime: PT2M}
  - {name: long, num_cpus: 1, memory: 100m, runtime: PT1H}
  - {name: wide, num_cpus: 4, memory: 2g, runtime: PT1M, num_nodes: 2}
  - {name: large, num_cpus: 1, memory: 12g, runtime: PT10M}
  - {name: huge, num_cpus: 1, memory: 17g, runtime: PT10M}
jobs:
  - {name: "small_{i}", command: "true", resource_requirements: small, parameters: {i: "1:8"}}
  - {name: long, command: "true", resource_requirements: long}
  - {name: wide, command: "true", resource_requirements: wide, depends_on: [long]}
  - {name: large, command: "true", resource_requirements: large}
  - {name: huge, command: "true", resource_requirements: huge}
  - {name: none, command: "true"}
"""


@pytest.fixture
def planned(slurm, torc, work_dir):
    """Plan SPEC on the cluster with some options; give the records."""
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "spec.yaml").returncode == 0

    def call(*options: str) -> list[dict]:
        done = torc("regenerate", "1", "--account", "proj", *options)
        assert done.returncode == 0, done.stderr
        return [each for each in lines(done.stdout) if each["type"] == "allocation"]

    return call


def test_every_planned_allocation_is_one_that_sbatch_takes(planned) -> None:
    found = {each["group"]: each for each in planned()}
    shown = {name: (each.get("partition"), each.get("nodes")) for name, each in found.items()}
    assert shown["huge"] == (None, None)
    assert "memory" in found["huge"]["would_fit"]
    assert shown["large"] == ("bigmem", 1)
    assert shown["wide_deferred"][1] == 2
    for record in found.values():
        if record["status"] == "planned":
            answer = client.test_only(sbatch.question(record))
            assert slurmtext.starts_at(answer.stderr) is not None, (record, answer)


def test_many_small_allocations_are_compared_with_a_large_one(planned) -> None:
    found = [each for each in planned("--compare") if each["group"] == "small" and each["number"] == 1]
    comparison = found[0]["comparison"]
    assert (comparison["many_small"]["nodes"], comparison["many_small"]["num_allocations"]) == (1, 4)
    assert comparison["many_small"]["starts_at"] is not None
    assert comparison["one_large"]["nodes"] == 4
    assert comparison["suggested"] in ("many_small", "one_large")


def test_the_default_account_is_that_of_the_user(slurm, torc, work_dir) -> None:
    (work_dir / "spec.yaml").write_text(SPEC)
    assert torc("create", "spec.yaml").returncode == 0
    found = [each for each in lines(torc("regenerate", "1").stdout) if each["type"] == "allocation"]
    assert {each["account"] for each in found if each["status"] == "planned"} == {"proj"}
