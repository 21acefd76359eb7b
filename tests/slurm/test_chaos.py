"""kill -9 of torc-watch, of what it runs, and of torc-work, at random moments: no job is lost, none is done twice.

TORC_CHAOS_ROUNDS=20 makes so many rounds; the number of a round is its seed.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import street
from conftest import CHAOS_ROUNDS, Torc, command, said

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
STRIKES = 4


class Chaos:
    """A workflow on Slurm, a torc-watch over it, and what is done to the two."""

    def __init__(self, torc: Torc, folder: Path, bed: Bed) -> None:
        """Submit it."""
        self.torc, self.folder, self.bed = torc, folder, bed
        self.told: list[str] = []
        self._began = time.monotonic()
        program = folder / "job"
        program.write_text(JOB)
        program.chmod(0o755)
        made = torc("torc-run", "--slurm", "-", "--account", "proj", "--partition", "debug", input=SPEC)
        assert made.returncode == 0, said(made)
        self.watch = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        """Start a watch in a group of its own."""
        with open(self.folder / "watched", "ab") as file:
            return subprocess.Popen(
                [*command("torc-watch"), "1", "--recover", "-p", "1"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def strike(self, dice: random.Random) -> None:
        """Wait a while, then kill torc-watch with all that it runs, or the worker of an allocation."""
        if self._ends_within(dice.uniform(0, 4)):
            return
        if dice.random() < 0.5:
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
        """No attempt is done whose result says that it was lost; none began before the one before it was over."""
        done = Counter(name for what, name, *_ in self.log() if what == "done")
        assert done == dict.fromkeys(NAMES, 1), self.story()
        last: dict[str, str] = {}
        for what, name, attempt, _ in self.log():
            assert what == "began" or last[name] == attempt, self.story()
            last[name] = attempt
        token = street.query("SELECT token FROM workflow")[0][0]
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        marks = [pid for pid in pids if any(token.encode() in each for each in procs.environment(pid))]
        assert not marks, f"left running: {marks}"

    def _submitted_once(self) -> None:
        """Every allocation that the store knows is one Slurm job, and every Slurm job is one that it knows."""
        known = [row[0] for row in street.query("SELECT slurm_job_id FROM allocation WHERE slurm_job_id IS NOT NULL")]
        assert len(known) == len(set(known))
        assert not self.bed.queue()


@pytest.fixture
def chaos(torc: Torc, work_dir: Path, slurm: Bed) -> Iterator[Chaos]:
    """Give a workflow that is submitted, and a watch over it."""
    made = Chaos(torc, work_dir, slurm)
    yield made
    made.kill_watch()


@pytest.mark.parametrize("seed", range(1, CHAOS_ROUNDS + 1))
def test_kills_at_random(chaos: Chaos, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    for _ in range(STRIKES):
        chaos.strike(dice)
    chaos.end()
    print(f"seed {seed}", json.dumps(chaos.told), f"{len(chaos.log())} notes")
