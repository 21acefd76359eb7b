"""What users, nodes and daemons do at the wrong moment while torc-watch recovers: no job is lost, none is done twice.

TORC_CHAOS_ROUNDS=20 makes so many rounds of kills; the number of a round is its seed.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import street
from conftest import CHAOS_ROUNDS, Torc, command, said, script

from torc_tools.shell import procs

from .conftest import Bed

JOB = """\
#!/bin/bash
# ./job SECONDS [MEGABYTES]: work so long, hold so much where this is the first run; note the begin and the end.
echo "began $TORC_JOB_NAME $TORC_RUN_ID.$TORC_ATTEMPT_ID $EPOCHREALTIME" >> log
[ "$TORC_RUN_ID" = 1 ] && { python3 -c "held = bytearray(${2:-0} << 20)" || exit; }
sleep "$1"
echo "done $TORC_JOB_NAME $TORC_RUN_ID.$TORC_ATTEMPT_ID $EPOCHREALTIME" >> log
"""
SPEC = """\
name: chaos
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
  - {name: whole, num_cpus: 4, memory: 200m, runtime: PT1M}
jobs:
  - {name: first, command: ./job 0.5, resource_requirements: small}
  - {name: second, command: ./job 1, resource_requirements: small, depends_on: [first]}
  - {name: third, command: ./job 0.3, resource_requirements: small, depends_on: [second]}
  - {name: hog, command: ./job 0.5 120, resource_requirements: small}
  - {name: after_hog, command: ./job 0.3, resource_requirements: small, depends_on: [hog]}
  - {name: long, command: ./job 2, resource_requirements: small}
  - {name: wide, command: ./job 1.5, resource_requirements: whole}
  - {name: last, command: ./job 0.3, resource_requirements: small, depends_on: [third, after_hog, long, wide]}
"""
NAMES = ("first", "second", "third", "hog", "after_hog", "long", "wide", "last")
STRIKES = 5
SBATCHES = {
    "accepts and fails": '"$real" "$@" >/dev/null; exit 1',
    "accepts and hangs": '"$real" "$@" >/dev/null; exec tail -f /dev/null',
    "dies": "kill -9 $$",
}


class Chaos:
    """A workflow on Slurm, a torc-watch over it, and what is done to the two."""

    def __init__(self, torc: Torc, folder: Path, bed: Bed, *options: str, **env: str) -> None:
        """Submit it; `env` is for the watch, `options` for torc-run."""
        self.torc, self.folder, self.bed, self.env = torc, folder, bed, env
        self.told: list[str] = []
        self._began = time.monotonic()
        program = folder / "job"
        program.write_text(JOB)
        program.chmod(0o755)
        made = torc("torc-run", "--slurm", "-", "--account", "proj", "--partition", "debug", *options, input=SPEC)
        assert made.returncode == 0, said(made)
        self.watch = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        """Start a watch in a group of its own."""
        with open(self.folder / "watched", "ab") as file:
            return subprocess.Popen(
                [*command("torc-watch"), "1", "--recover", "-s", "-p", "1"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    def strike(self, dice: random.Random) -> None:
        """Wait a while, then kill torc-watch with all that it runs, or the worker of an allocation."""
        at_worker = dice.random() < 0.5
        if at_worker:
            self.bed.until(lambda: self.watch.poll() is not None or any(self.workers()), "a worker\n" + self.story())
        if self._ends_within(dice.uniform(0, 2.5)):
            return
        if not at_worker:
            self.kill_watch()
            self.watch = self._start()
        elif found := sorted(self.workers()):
            self._tell(f"kill -9 of torc-work {(pid := dice.choice(found))}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_watch(self) -> None:
        """Kill it with all that it runs."""
        self._tell("kill -9 of torc-watch")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.watch.pid, signal.SIGKILL)
        self.watch.wait()

    def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.watch.wait(seconds)
        return self.watch.poll() is not None

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._began:6.2f} s: {what}")

    def workers(self) -> Iterator[int]:
        """Give the workers in allocations."""
        folder = str(self.folder).encode()
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{name}/cmdline").read_bytes()
                if b"torc_tools.commands.work\0" in words and b"--allocation-id" in words and folder in words:
                    yield int(name)

    def story(self) -> str:
        """Tell what was done, what the watches said, what the jobs noted."""
        parts = [self.told, (self.folder / "watched").read_text().splitlines(), self.log()]
        return "\n".join("\n".join(map(str, part)) for part in parts)

    def said(self) -> str:
        """Give what the watches said."""
        return (self.folder / "watched").read_text()

    def looks(self) -> int:
        """Count how often the watch has looked."""
        return self.said().count("  completed=")

    def log(self) -> list[list[str]]:
        """Give what the jobs noted: began or done, name, run and attempt, time."""
        path = self.folder / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def end(self) -> None:
        """Let the last watch do its work; everything is completed, once each."""
        self.bed.until(lambda: self.watch.poll() is not None, "torc-watch to end\n" + self.story(), 150)
        assert self.watch.returncode == 0, self.story()
        assert street.statuses() == dict.fromkeys(NAMES, "completed"), self.story()
        assert self._successes() == dict.fromkeys(NAMES, 1), self.story()
        self._one_at_a_time()
        self._submitted_once()

    def _successes(self) -> Counter[str]:
        rows = street.query("SELECT j.name FROM result t JOIN job j USING (job_id) WHERE t.return_code = 0")
        return Counter(name for (name,) in rows)

    def _one_at_a_time(self) -> None:
        """Each attempt that was done is a success in the store, and no other; none began before the one before it was
        over; nothing is left.
        """
        done = {(name, attempt) for what, name, attempt, _ in self.log() if what == "done"}
        rows = street.query(
            "SELECT j.name, t.run_id, t.attempt_id, t.return_code FROM result t JOIN job j USING (job_id)"
        )
        codes = {(name, f"{run}.{attempt}"): code for name, run, attempt, code in rows}
        assert {key for key, code in codes.items() if code == 0} == done, self.story()
        last: dict[str, str] = {}
        for what, name, attempt, _ in self.log():
            assert what == "began" or last[name] == attempt, self.story()
            last[name] = attempt
        token = street.query("SELECT token FROM workflow")[0][0]
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        marks = [pid for pid in pids if any(token.encode() in each for each in procs.environment(pid))]
        assert not marks, f"left running: {marks}"

    def _submitted_once(self) -> None:
        """Every allocation that the store knows is one Slurm job, and every Slurm job is one that it knows.

        What ended while the controller was away may stay in its queue for minutes.
        """
        known = [row[0] for row in street.query("SELECT slurm_job_id FROM allocation WHERE slurm_job_id IS NOT NULL")]
        assert len(known) == len(set(known))
        assert set(map(str, self.bed.queue())) <= set(known), self.story()


@pytest.fixture
def begun(torc: Torc, work_dir: Path, slurm: Bed) -> Iterator[Callable[..., Chaos]]:
    """Give a function that submits the workflow, and starts a watch over it."""
    made: list[Chaos] = []

    def start(*options: str, **env: str) -> Chaos:
        made.append(Chaos(torc, work_dir, slurm, *options, **env))
        return made[0]

    yield start
    for each in made:
        each.kill_watch()


@pytest.mark.parametrize("seed", range(1, CHAOS_ROUNDS + 1))
def test_kills_at_random(begun: Callable[..., Chaos], seed: int) -> None:
    dice, chaos = random.Random(seed), begun()  # noqa: S311
    for _ in range(STRIKES):
        chaos.strike(dice)
    chaos.end()
    print(f"seed {seed}", json.dumps(chaos.told), f"{len(chaos.log())} notes")


@pytest.mark.parametrize("name", SBATCHES)
def test_an_sbatch_that_lies_while_a_watch_recovers(begun: Callable[..., Chaos], tmp_path: Path, name: str) -> None:
    """Of every three calls the second is ill."""
    folder = tmp_path / "wrapped"
    folder.mkdir()
    count = f'n=$(($(cat "{folder}/count" 2>/dev/null) + 1)); echo $n > "{folder}/count"'
    script(
        folder / "sbatch",
        f'real={shutil.which("sbatch")}\n{count}\n[ $((n % 3)) = 2 ] || exec "$real" "$@"\n{SBATCHES[name]}',
    )
    chaos = begun(PATH=f"{folder}:{os.environ['PATH']}", TORC_SLURM_TIMEOUT_S="4")
    chaos.end()
    assert int((folder / "count").read_text()) >= 2


def test_the_controller_is_restarted_while_jobs_run(begun: Callable[..., Chaos]) -> None:
    chaos = begun()
    chaos.bed.until(chaos.log, "a job to begin")
    chaos.bed.kill("slurmctld")
    try:
        chaos.bed.until(lambda: "nothing is concluded" in chaos.said(), "the watch to miss the controller")
    finally:
        chaos.bed.start("slurmctld")
    chaos.end()


def test_allocations_are_canceled_when_they_begin_and_while_they_wait(begun: Callable[..., Chaos]) -> None:
    chaos = begun()
    first, *_ = sorted(chaos.bed.queue())
    chaos.bed.until(lambda: chaos.bed.queue().get(first) != "PENDING", "an allocation to begin")
    chaos.bed.ask("scancel", *chaos.bed.queue())
    chaos.end()


def test_allocations_are_suspended_and_their_time_is_cut(begun: Callable[..., Chaos]) -> None:
    chaos = begun()
    chaos.bed.until(chaos.log, "a job to begin")
    running = [job for job, state in chaos.bed.queue().items() if state == "RUNNING"]
    for job in running:
        chaos.bed.attempt("scontrol", "suspend", job)
        chaos.bed.attempt("scontrol", "update", f"JobId={job}", "TimeLimit=2")
    chaos.bed.until(lambda: "SUSPENDED" in chaos.bed.queue().values(), "it to be suspended")
    noted = len(chaos.log())
    looks = chaos.looks()
    chaos.bed.until(lambda: chaos.looks() > looks + 2, "the watch to look at it")
    for job in running:
        chaos.bed.attempt("scontrol", "resume", job)
    chaos.end()
    assert len(chaos.log()) > noted


def test_what_is_held_or_has_no_partition_waits(begun: Callable[..., Chaos]) -> None:
    chaos = begun()
    chaos.bed.ask("scontrol", "update", "PartitionName=debug", "State=DOWN")
    try:
        held = [job for job, state in chaos.bed.queue().items() if state == "PENDING"]
        for job in held:
            chaos.bed.attempt("scontrol", "hold", job)
        looks = chaos.looks()
        chaos.bed.until(lambda: chaos.looks() > looks + 2, "the watch to look at it")
        assert chaos.watch.poll() is None, chaos.story()
        for job in held:
            chaos.bed.attempt("scontrol", "release", job)
    finally:
        chaos.bed.ask("scontrol", "update", "PartitionName=debug", "State=UP")
    chaos.end()


def test_a_node_fails_whose_processes_live_on(begun: Callable[..., Chaos]) -> None:
    """Its workers and jobs are still there when Slurm has given their allocations back to its queue."""
    chaos = begun()
    chaos.bed.until(lambda: any(name == "wide" for _, name, *_ in chaos.log()), "the wide job to begin")
    ids = [job for job, state in chaos.bed.queue().items() if state == "RUNNING"]
    nodes = {chaos.bed.ask("squeue", "-h", "-j", job, "-o", "%N") for job in ids}
    chaos.bed.kill(*nodes)
    for node in nodes:
        chaos.bed.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    chaos.bed.until(lambda: not any(chaos.workers()), "the workers to leave", 90)
    for job in ids:  # Slurm would wait for two minutes
        chaos.bed.attempt("scontrol", "update", f"JobId={job}", "StartTime=now")
    chaos.end()


@pytest.fixture
def small_disk(work_dir: Path) -> Iterator[Path]:
    """Give a folder on a disk of one megabyte."""
    folder = work_dir / 'out \'of "disk" 100%'
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_the_disk_is_full_for_a_while(begun: Callable[..., Chaos], small_disk: Path) -> None:
    chaos = begun("-o", str(small_disk))
    chaos.bed.until(chaos.log, "a job to begin")
    fill(small_disk)
    chaos.bed.until(lambda: "done" in [line[0] for line in chaos.log()], "a job to end")
    (small_disk / "full").unlink()
    chaos.end()


def test_the_disk_is_full_before_a_worker_begins(begun: Callable[..., Chaos], small_disk: Path) -> None:
    """Neither a worker nor a script of another allocation can be written; the watch goes on when there is room."""
    chaos = begun("-o", str(small_disk))
    fill(small_disk)
    chaos.bed.until(lambda: "trying again at the next poll" in chaos.said(), "the watch to miss the room")
    (small_disk / "full").unlink()
    chaos.end()


NAMES_OF_HELL = ("two\nlines", "<script>alert(1)</script>", 'it\'s "quoted" $HOME `id` %j', "; rm -rf ./* #", "x" * 300)


def test_names_from_hell_under_cron(torc: Torc, work_dir: Path, slurm: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """$USER and $HOME are not set, the folder of the output has a blank, quotes and a percent sign."""
    for name in ("USER", "HOME", "LOGNAME", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    need = {"name": "small", "num_cpus": 1, "memory": "60m", "runtime": "PT1M"}
    jobs = [{"name": name, "command": 'test $TORC_ATTEMPT_ID.$TORC_RUN_ID = 1.1 && exit 137; echo "$TORC_JOB_NAME"',
             "resource_requirements": "small"} for name in NAMES_OF_HELL]  # fmt: skip
    jobs.append({"name": "last", "command": "true", "depends_on": [NAMES_OF_HELL[1]], "resource_requirements": "small"})
    spec = json.dumps({"name": NAMES_OF_HELL[1], "resource_requirements": [need], "jobs": jobs})
    out = 'out \'of "hell" 100%'
    made = torc("torc-run", "--slurm", "-", "--account", "proj", "-o", out, input=spec)
    assert made.returncode == 0, said(made)
    ended = torc("torc-watch", 1, "--recover", "--retry-unknown", "-p", 1, timeout=120)
    assert ended.returncode == 0, said(ended)
    assert set(street.statuses().values()) == {"completed"}
    for number, name in enumerate(NAMES_OF_HELL, 1):
        assert (work_dir / out / f"job_stdio/job_wf1_j{number}_r2_a1.o").read_text() == f"{name}\n"


def fill(folder: Path) -> None:
    """Leave no byte on its disk."""
    with open(folder / "full", "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
