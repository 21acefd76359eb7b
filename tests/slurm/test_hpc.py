"""torc-hpc and the readers beside a real Slurm."""

import json
from typing import TYPE_CHECKING

from conftest import Torc

from torc_tools.core import slurmtext
from torc_tools.shell import slurm as asking

if TYPE_CHECKING:
    from slurm.conftest import Bed


def records(torc: Torc, *words: object) -> list[dict[str, object]]:
    done = torc("torc-hpc", *words)
    assert done.returncode == 0, done.stderr.decode()
    found = map(json.loads, done.stdout.splitlines())
    return [record for record in found if record["type"] not in ("begin", "end")]


def test_the_cluster_and_its_partitions(slurm: "Bed", torc: Torc) -> None:
    (profile,) = records(torc, "detect")
    assert (profile["name"], profile["source"], profile["detected"]) == ("torctest", "slurm", True)
    found = {record["name"]: record for record in records(torc, "partitions")}
    assert list(found) == profile["partitions"] == ["debug", "standard", "bigmem"]
    assert [(each["cpus_per_node"], each["memory_bytes"], each["max_walltime_s"]) for each in found.values()] == [
        (4, 6000 << 20, 600),
        (4, 6000 << 20, 4 * 3600),
        (4, 16000 << 20, 8 * 3600),
    ]
    assert [each["max_nodes"] for each in found.values()] == [3, 3, 1]
    assert [name for name, each in found.items() if each["is_default"]] == ["debug"]
    best = records(torc, "match", "--cpus=4", "--memory=8g", "--walltime=PT1H")
    assert [record["name"] for record in best if record["is_best"]] == ["bigmem"]


def test_a_job_as_each_client_tells_of_it(slurm: "Bed") -> None:
    """Nothing is asked of a user, and $USER plays no part."""
    held = slurm.submit("true", "--hold", "--mem=50M", "--comment=torc:here", "--job-name=one\ntwo")
    (row,) = slurmtext.queue(asking.squeue([held, 99999999]))
    assert (row.job_id, row.kind, row.comment, row.name) == (str(held), "queued", "torc:here", "one\ntwo")
    assert asking.squeue([99999999]) == ""
    assert asking.job(99999999) == ""
    assert slurmtext.job(asking.job(held))["JobState"] == "PENDING"
    asking.scancel([held, 99999999], pending_only=True)
    slurm.until_accounted(held, "", "CANCELLED")
    (step,) = slurmtext.accounting(asking.sacct([held, 99999999]))
    assert (step.job_id_raw, step.state, step.by_uid, step.start_s) == (str(held), "CANCELLED", 0, step.end_s)
    assert asking.default_account() == "proj"


def test_a_submission_and_its_refusal(slurm: "Bed") -> None:
    options = ["--output=/dev/null", "--mem=50M", "--wrap=true"]
    when = slurmtext.starts_at(asking.test_only(options).stderr)
    assert when is not None
    answer = asking.sbatch(["--hold", *options])
    job_id = slurmtext.submitted(answer.stdout)
    assert (answer.returncode, slurm.queue()) == (0, {int(job_id or 0): "PENDING"})
    refused = asking.sbatch(["--partition=nosuch", *options])
    assert (refused.returncode, slurmtext.submitted(refused.stdout)) == (1, None)
    assert "Invalid partition" in refused.stderr


def test_a_refusal_that_leaves_a_record(slurm: "Bed") -> None:
    refused = asking.sbatch(["--output=/dev/null", "--mem=99G", "--job-name=too_large_for_all", "--wrap=true"])
    assert (refused.returncode, slurmtext.submitted(refused.stdout)) == (1, None)
    rows = slurmtext.queue(asking.squeue(names=["too_large_for_all"]))
    assert all(row.refused for row in rows)
