"""Running a command and what it took: wall time, CPU time, peak memory.

This process stays small: the peak that the kernel tells of a child is never below what its parent had at the fork.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bin"


class Usage(NamedTuple):
    """What one run took."""

    wall_s: float
    cpu_s: float  # with its waited-for children
    peak_bytes: int  # resident memory of its largest process
    status: int


def clean_environment() -> dict[str, str]:
    """Give the environment without what changes how Python, torc-tools or the shell behave."""
    dropped = ("PYTHON", "TORC_", "SLURM_")
    kept = {key: value for key, value in os.environ.items() if key == "SLURM_CONF" or not key.startswith(dropped)}
    return kept | {"LC_ALL": "C.UTF-8", "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}"}


def run(argv: Sequence[str | Path], cwd: Path, *, source: Path | None = None, target: Path | None = None) -> Usage:
    """Run a command in `cwd`, its input from `source` and its output to `target` (else /dev/null), and measure it."""
    with open(source or os.devnull, "rb") as stdin, open(target or os.devnull, "wb") as stdout:
        began = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env=clean_environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, child.returncode)


def median(usages: Sequence[Usage]) -> Usage:
    """Give the median of each figure, and the worst exit status."""
    wall, cpu = (statistics.median(usage[i] for usage in usages) for i in range(2))
    peak = int(statistics.median(usage.peak_bytes for usage in usages))
    return Usage(wall, cpu, peak, max((usage.status for usage in usages), key=abs))


def interleaved(cases: Mapping[str, Callable[[int], Usage]], rounds: int) -> dict[str, Usage]:
    """Run every case once a round (each is given the round's number), so that peers meet the same noise; medians."""
    taken: dict[str, list[Usage]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, case in cases.items():
            taken[name].append(case(number))
    return {name: median(usages) for name, usages in taken.items()}


def tree_peak(argv: Sequence[str | Path], cwd: Path, interval_s: float = 0.01) -> int:
    """Run a command and give the peak of the memory (shared pages shared out) of all its processes together."""
    child = subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended = threading.Event()

    def wait() -> None:
        child.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    peak = 0
    while not ended.wait(interval_s):
        peak = max(peak, sum(map(_pss, _tree(child.pid))))
    return peak


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _tree(int(child)))]


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def machine() -> str:
    """Say what was measured on: CPU, cores, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    version = ".".join(map(str, sys.version_info[:3]))
    load = os.getloadavg()[0]
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {version}, load {load:.2f} at the start"
