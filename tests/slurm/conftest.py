"""A real Slurm for the tests of this folder: scripts/slurm-testbed, as it was before each test.

    def test_one(slurm): ...        # SLURM_CONF is set; `slurm` is a Bed

TORC_TESTBED=N (0 to 9) takes instance N; with `-n 2` two of them are wanted: TORC_TESTBED="0 1". The beds are left up;
scripts/test takes down what it brought up.
"""

import fcntl
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, TESTBED
from waiting import until

SCRIPT = str(ROOT / "scripts" / "slurm-testbed")
HERE = Path(__file__).resolve().parent
NODES = ("n1", "n2", "n3", "big1")


@dataclass(frozen=True)
class Bed:
    """The cluster, and what a test does to it."""

    conf: str

    def ask(self, *command: object, timeout_s: float = 60) -> str:
        """Run a client of Slurm, which must succeed; give what it printed, without the last newline."""
        done = self.attempt(*command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{' '.join(done.args)}: status {done.returncode}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def attempt(self, *command: object, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a client of Slurm, which may fail."""
        return subprocess.run(
            [*map(str, command)],
            env={**os.environ, "SLURM_CONF": self.conf},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def submit(self, command: str, *options: object) -> int:
        """Give the id of a batch job that runs `command` in the shell."""
        return int(self.ask("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={command}"))

    def queue(self) -> dict[int, str]:
        """Give the state of each job that is waiting, running or completing."""
        lines = self.ask("squeue", "--noheader", "--format=%A %T").splitlines()
        return {int(job): state for job, state in map(str.split, lines)}

    def accounts(self, job_id: int) -> dict[str, tuple[str, str]]:
        """Give (state, exit code) of a job and its steps: {'': (...), 'batch': (...), '0': (...)}."""
        text = self.ask("sacct", "-n", "-P", "--duplicates", "-j", job_id, "-o", "JobID,State,ExitCode")
        rows = [line.split("|") for line in text.splitlines()]
        return {name.partition(".")[2]: (state.partition(" ")[0], code) for name, state, code in rows}

    def until_accounted(self, job_id: int, step: str, state: str, timeout_s: float = 60) -> str:
        """Wait until accounting has the state; give the exit code. A record may take five seconds to get there."""

        def there() -> bool:
            return self.accounts(job_id).get(step, ("", ""))[0] == state

        self.until(there, f"{job_id}.{step} to be {state}", timeout_s)
        return self.accounts(job_id)[step][1]

    def until(self, happened: Callable[[], object], what: str, timeout_s: float = 60) -> None:
        """Look until it has happened; fail after timeout_s, saying what the cluster looked like."""
        try:
            until(happened, what, timeout_s)
        except AssertionError as error:
            seen = self.attempt("sinfo", "-N", "-o", "%N %T %E"), self.attempt("squeue"), self.attempt("sacct")
            raise AssertionError("\n".join([str(error), *(done.stdout + done.stderr for done in seen)])) from error

    def kill(self, *names: str, saved: bool = True) -> None:
        """SIGKILL daemons: slurmctld, slurmdbd, n1, n2, n3, big1. The steps of a node live on.

        slurmctld writes jobs down every five seconds only: killed sooner it forgets them, their steps are ended, and
        their ids are given again. `saved` waits until those in the queue are written.
        """
        if "slurmctld" in names and saved:
            self.until_saved()
        testbed("kill", *names)

    def until_saved(self) -> None:
        """Wait until slurmctld has written down the jobs of the queue: a mark on one of them says so."""
        mark = f"saved-{uuid.uuid4().hex}"
        marked = (self.attempt("scontrol", "update", f"JobId={job}", f"AdminComment={mark}") for job in self.queue())
        if any(done.returncode == 0 for done in marked):
            state = Path(self.conf).parent / "state" / "job_state"
            self.until(lambda: state.exists() and mark.encode() in state.read_bytes(), "slurmctld to save its jobs")

    def start(self, *names: str) -> None:
        """Start daemons again and wait until they answer; a node that is down is resumed."""
        testbed("start", *names)

    def nodes(self) -> dict[str, str]:
        """Give the state of each node: idle, mixed, allocated, down*, ..."""
        return dict(line.split() for line in self.ask("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def reset(self) -> None:
        """End all jobs, mend the bed, wait until all nodes are idle."""
        testbed("up")

        def empty() -> bool:
            if jobs := self.queue():
                self.attempt("scancel", "--quiet", *jobs)
            return not jobs

        self.until(empty, "the queue to be empty")
        self.until(self.idle, "all nodes to be idle")

    def idle(self) -> bool:
        """Tell whether all nodes are idle; resume those that are down or drained."""
        states = self.nodes()
        for node, state in states.items():
            if re.match("down|drain|fail", state):
                self.attempt("scontrol", "update", f"NodeName={node}", "State=RESUME")
        return states == dict.fromkeys(NODES, "idle")


def testbed(*words: str) -> str:
    """Run scripts/slurm-testbed; skip the test where this machine cannot have one."""
    done = subprocess.run(
        [SCRIPT, *words],
        env={**os.environ, "TORC_TESTBED": TESTBED},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode == 69:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"slurm-testbed {' '.join(words)}: status {done.returncode}: {done.stderr}"
    return done.stdout


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker that every test of this folder gets."""
    config.addinivalue_line("markers", "slurm: needs scripts/slurm-testbed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Bring the bed up, for this test run alone; it stays up after the tests."""
    testbed("up")
    conf = re.search(r"SLURM_CONF=(\S+)", testbed("env"))
    assert conf
    with open(f"{Path(conf[1]).parent}.tests", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pytest.fail(f"another test run uses instance {TESTBED}: set TORC_TESTBED to one of 0 to 9", pytrace=False)
        yield Bed(conf[1])


@pytest.fixture
def slurm(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """Give the cluster with all daemons up, no job and four idle nodes; set SLURM_CONF."""
    monkeypatch.setenv("SLURM_CONF", bed.conf)
    bed.reset()
    return bed
