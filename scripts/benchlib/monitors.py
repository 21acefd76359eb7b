"""The monitors that are measured: how each is started, and which of its processes are its own."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchlib.measure import VENV

PEERS = ("con-duct", "psrecord", "psutil")
_TICKS = os.sysconf("SC_CLK_TCK")
_HERD = "import os, signal, sys\nfor _ in range(int(sys.argv[1]) - 1):\n    if not os.fork(): signal.pause()\n"
HERD = f"{_HERD}print(1, flush=True)\nsignal.pause()"
_CHILDREN = """
import sys, time, psutil
interval, roots = float(sys.argv[1]), [psutil.Process(int(pid)) for pid in sys.argv[2:]]
due = time.monotonic()
while True:
    for root in roots:
        for process in [root, *root.children(recursive=True)]:
            process.memory_info(), process.cpu_times()
    due = max(due + interval, time.monotonic())
    time.sleep(max(0.0, due - time.monotonic()))
"""
_TIMED = """
import sys, time
times = []
for _ in range({rounds}):
    time.sleep(0.05)
    began = time.process_time()
    look()
    times.append((time.process_time() - began) * 1000)
print(*times)
"""
ENGINES = {
    "ours": """
import sys
from torc_tools.shell.census import Census
from torc_tools.shell.trees import Tree
census = Census()
trees = [Tree(int(pid), census) for pid in sys.argv[1:]]
def look():
    census.look()
    for tree in trees: tree.sample(0)
look()
"""
    + _TIMED.format(rounds=21),
    "psutil process_iter once": """
import sys, psutil
def look():
    for _ in psutil.process_iter(["ppid", "cpu_times", "memory_info"]): pass
look()
"""
    + _TIMED.format(rounds=5),
    "psutil children() of each": """
import sys, psutil
roots = [psutil.Process(int(pid)) for pid in sys.argv[1:]]
def look():
    for root in roots:
        for process in [root, *root.children(recursive=True)]: process.memory_info(), process.cpu_times()
"""
    + _TIMED.format(rounds=3),
}


@dataclass
class Monitor:
    """A monitor: what is run, with `watched` beside it, whose pids it is given, or below it."""

    name: str
    argv: list[str]
    program: str  # in the arguments of its own processes
    ours: bool = False
    watched: list[list[str]] = field(default_factory=list)
    folder: Path | None = None
    text: str | None = None
    memory: int | None = None
    died: bool = False


def herd(count: int) -> list[str]:
    """Give a command that is `count` idle processes."""
    return [sys.executable, "-S", "-E", "-c", HERD, str(count)]


def peers() -> Path | None:
    """Install the peers where they are not yet; give the Python that has them, or None where that cannot be done."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torc-tools-bench" / "monitors"
    python = cache / "bin" / "python3"
    try:
        if not (cache / "bin" / "psrecord").exists():
            subprocess.run([sys.executable, "-m", "venv", cache], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        sys.stderr.write(f"monitor: {', '.join(PEERS)} cannot be installed: left out\n")
        return None
    return python


def all_of(folder: Path, python: Path | None, interval: float, count: int, jobs: int) -> list[Monitor]:
    """Give every monitor for `count` processes: as one tree, or where a monitor can, as `jobs` trees."""
    one = herd(count)
    sample = [str(VENV / "torc-sample"), "--interval", str(interval), "-o", str(folder / "usage")]
    found = [
        Monitor("torc-sample", [*sample, "--", *one], "torc-sample", ours=True, folder=folder),
        _worker("torc-work", folder, interval, (count, jobs), None),
        _worker("torc-work with memory limits", folder, interval, (count, jobs), 8 << 30),
    ]
    if python is None:
        return found
    here = python.parent
    prefix = str(folder / "duct_")
    every = ["--sample-interval", str(interval), "--report-interval", str(max(interval, 1.0)), "-c", "none"]
    duct = [str(here / "con-duct"), "run", *every, "-p", prefix, "--clobber", *one]
    record = [str(here / "psrecord"), shlex.join(one), "--interval", str(interval), "--include-children"]
    children = [str(python), "-c", _CHILDREN, str(interval)]
    return [
        *found,
        Monitor("duct", duct, "con-duct", folder=folder),
        Monitor("psrecord", [*record, "--log", str(folder / "psrecord.log")], "psrecord", folder=folder),
        Monitor("psutil children()", children, "psutil", watched=[herd(count // jobs)] * jobs, folder=folder),
    ]


def _worker(name: str, folder: Path, interval: float, shape: tuple[int, int], memory: int | None) -> Monitor:
    """Make a worker that runs the processes as so many jobs, and keeps the samples."""
    count, jobs = shape
    monitor = {"granularity": "time_series", "sample_interval_seconds": interval}
    workflow = {
        "type": "workflow",
        "workflow_id": 1,
        "run_id": 1,
        "token": "0123456789abcdef",
        "output_dir": str(folder / f"out-{name[-6:]}-{interval}-{count}"),
        "submission_dir": str(folder),
        "config": {"resource_monitor": monitor},
    }
    line = shlex.join(herd(count // jobs))
    made = [
        {"type": "job", "workflow_id": 1, "job_id": n + 1, "command": line, "memory_bytes": memory} for n in range(jobs)
    ]
    text = "".join(json.dumps(record) + "\n" for record in (workflow, *made))
    argv = [str(VENV / "torc-work"), "-j", str(jobs)]
    return Monitor(name, argv, "torc-work", ours=True, folder=folder, text=text)


def below(pid: int) -> list[int]:
    """Give a process and all that descends from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in below(int(child)))]


def own(pid: int, program: str) -> list[int]:
    """Give those processes of a monitor's tree that are the monitor's own."""
    return [each for each in below(pid) if each == pid or (program in _words(each) and "os.fork()" not in _words(each))]


def cpu_s(pids: Sequence[int]) -> float:
    """Give the CPU time of processes (in nanoseconds), with that of the children they have waited for (in ticks)."""
    threads = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    own_s = sum(int(path.read_text().split()[0]) for path in threads) / 1e9
    return own_s + sum(sum(map(int, _stat(pid)[13:15])) for pid in pids) / _TICKS


def memory(pids: Sequence[int]) -> int:
    """Give the resident memory of processes."""
    return sum(int(_stat(pid)[21]) * os.sysconf("SC_PAGE_SIZE") for pid in pids)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 50


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
