"""torc-recover and torc-watch on a real Slurm: memory that the kernel refuses, daemons that die, two at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import street
from conftest import Torc, command, said
from waiting import until

from .conftest import Bed

SPEC = """\
name: oom
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: prepare, command: "sleep 1", resource_requirements: small}
  - name: hog
    command: "python3 -c 'import time; held = bytearray(120 << 20); time.sleep(2)'"
    resource_requirements: small
    depends_on: [prepare]
  - {name: healthy, command: "sleep 3", resource_requirements: small}
  - {name: report, command: "sleep 1; echo done > report", resource_requirements: small, depends_on: [hog]}
"""
DONE = dict.fromkeys(("prepare", "hog", "healthy", "report"), "completed")


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Give a list of processes that are killed at the end."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def submit(torc: Torc, spec: str) -> None:
    done = torc("torc-run", "--slurm", "-", "--account", "proj", "--partition", "debug", input=spec)
    assert done.returncode == 0, said(done)


def over(slurm: Bed) -> None:
    slurm.until(lambda: not slurm.queue(), "the allocations to end")


def attempts() -> dict[str, list[tuple[int, int]]]:
    """Give (run, return code) of every attempt by job."""
    found: dict[str, list[tuple[int, int]]] = {}
    rows = "SELECT j.name, t.run_id, t.return_code FROM result t JOIN job j USING (job_id) ORDER BY t.result_id"
    for name, run, code in street.query(rows):
        found.setdefault(name, []).append((run, code))
    return found


def test_an_oom_is_recovered_by_a_watch_soon_and_alone(torc: Torc, slurm: Bed, work_dir: Path) -> None:
    """The workflow of the design's table: the sibling on the same requirement keeps its memory and its result."""
    submit(torc, SPEC)
    done = torc("torc-watch", "--recover", "-p", 5, 1, timeout=180)
    assert done.returncode == 0, said(done)
    assert "  Job 2 (hog): OOM detected, increasing memory 100m -> 150m" in said(done)
    assert street.statuses() == DONE
    assert attempts() == {"prepare": [(1, 0)], "healthy": [(1, 0)], "hog": [(1, 137), (2, 0)], "report": [(2, 0)]}
    assert {name: size >> 20 for name, (size, _) in street.limits().items()} == {
        "prepare": 100, "hog": 150, "healthy": 100, "report": 100,
    }  # fmt: skip


def test_the_controller_may_be_away_while_a_watch_recovers(
    torc: Torc, slurm: Bed, work_dir: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    submit(torc, SPEC)
    over(slurm)
    slurm.kill("slurmctld")
    words = [*command("torc-watch"), "--recover", "-p", "2", "1"]
    with open("watch.out", "wb") as log:
        watch = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        started.append(watch)
        text = work_dir / "watch.out"
        until(lambda: "nothing is concluded" in text.read_text(), "the watch to miss the controller", 90)
        slurm.start("slurmctld")
        assert watch.wait(120) == 0, text.read_text()
    assert street.statuses() == DONE
    assert len(attempts()["hog"]) == 2


def test_accounting_may_be_away_for_the_whole_recovery(torc: Torc, slurm: Bed, work_dir: Path) -> None:
    slurm.kill("slurmdbd")
    try:
        submit(torc, SPEC)
        done = torc("torc-watch", "--recover", "-p", 2, 1, timeout=180)
        assert done.returncode == 0, said(done)
        assert street.statuses() == DONE
        assert len(attempts()["hog"]) == 2
    finally:
        slurm.start("slurmdbd")


def test_of_two_recoveries_at_once_one_is_made(torc: Torc, slurm: Bed, work_dir: Path) -> None:
    submit(torc, SPEC)
    over(slurm)
    assert torc("torc-sync", 1).returncode == 0
    both = [
        subprocess.Popen([*command("torc-recover"), "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ended = [(process.communicate(timeout=120)[1].decode(), process.returncode) for process in both]
    assert 0 in [status for _, status in ended], ended
    for text, status in ended:  # the second is told who has it, or that Slurm has it already
        assert status in (0, 75) or (status == 1 and "Cannot recover" in text), ended
    over(slurm)
    assert torc("torc-sync", 1).returncode == 0
    assert street.statuses() == DONE
    assert attempts()["hog"] == [(1, 137), (2, 0)]
