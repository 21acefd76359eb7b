"""The test bed that the sections on Slurm run on, and what they do to it."""

import fcntl
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchlib.measure import ROOT, clean_environment

_SCRIPT = ROOT / "scripts" / "slurm-testbed"
_NOT_HERE = 69
_LOOK_S = 0.01
_PATIENCE_S = 300.0
STAMP = "date +%s.%N"

Case = Callable[[int], Sequence[float]]  # is given the number of the round


class AbsentError(Exception):
    """This machine cannot have a test bed; the message says why."""


@contextmanager
def bed() -> Iterator[None]:
    """Let SLURM_CONF name a test bed that nobody else uses: instance TORC_TESTBED, else the first that is free.

    One that was not up is taken down again. Raises AbsentError.
    """
    instance = os.environ.get("TORC_TESTBED") or _free()
    was_up = _call(instance, "status").returncode == 0
    up = _call(instance, "up")
    if up.returncode:
        raise AbsentError((up.stderr.strip().splitlines() or ["no reason given"])[-1])
    found = re.search(r"SLURM_CONF=(\S+)", _call(instance, "env").stdout)
    if found is None:
        raise AbsentError("slurm-testbed env names no SLURM_CONF")
    with open(f"{Path(found[1]).parent}.tests", "w") as lock:
        _lock(lock.fileno(), instance)
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = found[1]
        try:
            settled()
            yield
        finally:
            del os.environ["SLURM_CONF"]
            if before is not None:
                os.environ["SLURM_CONF"] = before
            if not was_up:
                _call(instance, "down")


def ask(*words: object) -> str:
    """Run a client of Slurm, which must succeed; give what it printed."""
    argv = [str(word) for word in words]
    return subprocess.run(argv, env=clean_environment(), check=True, capture_output=True, text=True).stdout


def torc(here: Path, *words: object) -> str:
    """Run a command of ours in a folder; give what it wrote, whatever its exit status."""
    argv = [str(word) for word in words]
    done = subprocess.run(argv, cwd=here, env=clean_environment(), check=False, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL)  # fmt: skip
    return done.stdout


def batch(here: Path, command: str, *options: object) -> str:
    """Submit a batch job that runs `command` in `here`; give its id."""
    words = ("sbatch", "--parsable", f"--chdir={here}", "--output=/dev/null", *options, f"--wrap={command}")
    return ask(*words).strip()


def until(happened: Callable[[], object], what: str) -> None:
    """Look until it has happened. Raises RuntimeError after five minutes."""
    deadline = time.monotonic() + _PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {_PATIENCE_S:.0f} s for {what}")
        time.sleep(_LOOK_S)


def stamp(path: Path) -> float:
    """Give the last time that a job wrote into a file, once it has."""
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"a job to write {path.name}")
    return float(path.read_text().split()[-1])


def settled() -> None:
    """Wait until no job is left and all nodes are idle."""

    def empty() -> bool:
        time.sleep(0.1)
        return not ask("squeue", "--noheader") and set(ask("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}

    until(empty, "all nodes to be idle")


def medians(cases: Mapping[str, Case], rounds: int) -> dict[str, list[float]]:
    """Run every case once a round, nodes idle before each; the median of each figure."""
    taken: dict[str, list[Sequence[float]]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, case in cases.items():
            settled()
            taken[name].append(case(number))
    return {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in taken.items()}


def _free() -> str:
    return next((str(number) for number in range(10) if not Path(f"/run/torc-testbed-{number}").exists()), "0")


def _lock(fd: int, instance: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise AbsentError(f"instance {instance} of scripts/slurm-testbed is in use: set TORC_TESTBED") from None


def _call(instance: str, word: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TORC_TESTBED": instance}
    return subprocess.run([_SCRIPT, word], env=environment, check=False, capture_output=True, text=True)
