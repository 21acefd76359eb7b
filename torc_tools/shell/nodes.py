"""What the whole machine uses: CPU, memory, load, processes, GPUs. Where there is no /proc, psutil answers."""

import os
import time

from torc_tools.series import NodeSample
from torc_tools.shell import gpus, procs
from torc_tools.shell.procs import read

_PROC = os.path.exists("/proc/meminfo") and os.path.exists("/proc/stat")
_WINDOW_S = 0.05  # CPU is compared over at least this time: the kernel counts it in hundredths of a second


class Node:
    """The machine we are on."""

    def __init__(self) -> None:
        """Begin; the first sample can say nothing of CPU."""
        self.hostname = os.uname().nodename
        self.num_cpus = os.cpu_count() or 1
        self._gpus = gpus.Gpus()
        self._busy = self._whole = 0.0
        self._cpu: float | None = None
        self._at = 0.0

    def sample(self) -> NodeSample:
        """Give what it uses now; CPU since the sample before, in percent of the whole machine."""
        now = time.monotonic()
        if now - self._at >= _WINDOW_S:
            self._compare()
            self._at = now
        used, total = _memory()
        load = os.getloadavg()[0]
        return NodeSample(time.time(), self._cpu, used, total, round(load, 2), _processes(), *self._gpus.machine())

    def _compare(self) -> None:
        busy, whole = _cpu()
        if self._whole and whole > self._whole:
            share = (busy - self._busy) / (whole - self._whole)
            self._cpu = round(min(1.0, max(0.0, share)) * 100, 2)
        self._busy, self._whole = busy, whole


def _cpu() -> tuple[float, float]:
    """Give the time that CPUs were busy, and all time that passed on them, in any unit."""
    if not _PROC:
        return procs.others_machine()[:2]
    fields = list(map(int, read("/proc/stat").split(b"\n", 1)[0].split()[1:9]))  # guests are in the first two already
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _memory() -> tuple[int, int]:
    """Give the bytes in use (what could not be given to a new process) and all there are."""
    if not _PROC:
        return procs.others_machine()[2:4]
    found = {line.split(b":")[0]: int(line.split()[1]) << 10 for line in read("/proc/meminfo").splitlines() if line}
    total = found[b"MemTotal"]
    return total - found.get(b"MemAvailable", found[b"MemFree"]), total


def _processes() -> int:
    return len(procs.pids()) if _PROC else procs.others_machine()[4]
