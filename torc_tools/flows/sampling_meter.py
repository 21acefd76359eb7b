"""What torc-sample looks at: a process tree, a control group, the machine. Each look gives a `sample` record.

Each also sums up what it saw, as a `usage` record.
"""

import os
import time
from collections.abc import Mapping
from typing import Protocol

from torc_tools import exits
from torc_tools.core.usage import NOT_MONITORED, Usage, cpu_percent
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.series import Gpu
from torc_tools.shell import liveness, procs
from torc_tools.shell.cgroups import Cgroup
from torc_tools.shell.gpus import Gpus
from torc_tools.shell.nodes import Node
from torc_tools.shell.trees import Tree

_PSS_SHARE = 0.05  # of the time, for reading which memory is shared: the process waits meanwhile
_PSS_CHANGED = 0.25  # the same where processes came or went: then nothing is known of what they share


class Meter(Protocol):
    """What can be looked at."""

    name: str  # what it is called in a database

    @property
    def pid(self) -> int | None:
        """Give the process whose end is the end, if it is one."""

    def look(self) -> Record | None:
        """Give a `sample` record; None where it is gone."""

    def usage(self) -> Record:
        """Give a `usage` record of all looks."""


class GpuUse:
    """The GPUs' part of a `usage` record: nothing where there are none."""

    def __init__(self) -> None:
        self._uses: list[float] = [0, 0.0, 0.0]  # how many, sum, most
        self._memory: int | None = None

    def take(self, gpu: Gpu) -> Record:
        """Take in what was seen; give it as fields of a `sample` record."""
        use, memory = gpu
        if use is not None:
            self._uses = [self._uses[0] + 1, self._uses[1] + use, max(self._uses[2], use)]
        if memory is not None:
            self._memory = max(memory, self._memory or 0)
        fields = {"gpu_percent": None if use is None else round(use, 1), "gpu_memory_bytes": memory}
        return {} if gpu == (None, None) else fields

    def fields(self) -> Record:
        """Give the fields."""
        count, total, most = self._uses
        found: Record = {}
        if count:
            found.update(peak_gpu_percent=round(most, 1), avg_gpu_percent=round(total / count, 1))
        if self._memory is not None:
            found["peak_gpu_memory_bytes"] = self._memory
        return found


class TreeMeter:
    """A process tree. `usage_so_far` is what was seen of it."""

    def __init__(self, tree: Tree, began: float, about: Record, *, pss: bool) -> None:
        """Take the tree, since when its CPU time counts, what every record says of it; `pss`: look at shared pages."""
        self.usage_so_far = Usage(began)
        self.gpus, self.gpu = Gpus(), GpuUse()
        self._tree, self._about, self._pss = tree, about, pss
        self._found, self._resident, self._pss_at, self._pss_cost = 0, 0, 0.0, 0.0  # of shared pages, when last read
        self._members: set[int] = set()
        self._most_resident = 0

    def look(self) -> Record | None:
        """Give a `sample` record; None where the tree has no process."""
        tree, usage = self._tree, self.usage_so_far
        tree.look()
        if not tree.alive:
            return None
        if self._pss:
            self._most_resident = max(self._most_resident, tree.resident + tree.rise)
            rise = tree.rise
            now_bytes = self._proportional()
            peak = now_bytes + max(rise, tree.rise)
        else:
            before = usage.peak_memory_bytes or 0
            peak, now_bytes = tree.memory(before), tree.memory(before, rise=False)
        usage.sample(time.monotonic(), tree.cpu_s, peak, tree.alive, now_bytes=now_bytes)
        gpu = self.gpu.take(self.gpus.tree(tree.processes))
        return sample(self._about, usage.last_cpu_percent, peak, tree.alive, gpu)

    def whole(self, cpu_s: float, exec_time_s: float, kernel_peak_bytes: int, own_peak_bytes: int) -> Record:
        """Give what the tree used that has ended, as core.usage does.

        Where shared pages are looked at in every sample, the kernel's peak, which has them all, counts only where it
        is more than the samples saw of any memory.
        """
        if not self._pss:
            return self.usage_so_far.whole(cpu_s, exec_time_s, kernel_peak_bytes, own_peak_bytes)
        known = kernel_peak_bytes if kernel_peak_bytes > self._most_resident else 0
        whole = self.usage_so_far.whole(cpu_s, exec_time_s, known, own_peak_bytes)
        return {**whole, "peak_source": "pss"} if whole["peak_source"] == "sampled" else whole

    def _proportional(self) -> int:
        """Give the memory with shared pages counted once, read anew unless that would take too much time.

        In between the same part of it counts as shared; while processes come and go, what was found last.
        """
        tree, started = self._tree, time.monotonic()
        same = self._members == tree.processes.keys()
        if tree.resident and started - self._pss_at >= self._pss_cost / (_PSS_SHARE if same else _PSS_CHANGED):
            self._found = tree.proportional_bytes()
            tree.look()  # processes may have come meanwhile
            self._members, self._pss_at = set(tree.processes), time.monotonic()
            self._pss_cost, self._resident = self._pss_at - started, tree.resident
        elif same and self._resident:
            return round(tree.resident * min(1.0, self._found / self._resident))
        return min(self._found, tree.resident)


class PidMeter:
    """A process that runs, and all that descends from it."""

    def __init__(self, pid: int, environ: Mapping[str, str], *, pss: bool) -> None:
        """Take the pid. Raises Failure(66) where there is no such process."""
        self._start = liveness.start_ticks(pid)
        if self._start is None:
            raise Failure(exits.NO_INPUT, f"no such process: '{pid}'")
        self.pid = pid
        self._command = [word.decode(errors="backslashreplace") for word in procs.arguments(pid)[:-1]]
        self.name = f"pid {pid} {' '.join(self._command)}".strip()
        self._tree = Tree(pid)
        self._about = {"pid": pid, **identity(environ)}
        self._pss = pss
        self._tree.look()
        self._cpu_s, self._at, self._began = self._tree.cpu_s, time.time(), time.monotonic()
        self._meter = TreeMeter(self._tree, self._began, self._about, pss=pss)
        self._meter.usage_so_far = Usage(self._began, self._cpu_s)

    def look(self) -> Record | None:
        """Give a `sample` record; None where the process is gone."""
        return self._meter.look() if liveness.start_ticks(self.pid) == self._start else None

    def usage(self) -> Record:
        """Give a `usage` record since we came."""
        seen, cpu_s = self._meter.usage_so_far, self._tree.cpu_s - self._cpu_s
        whole = self._meter.whole(cpu_s, time.monotonic() - self._began, 0, 0)
        about = {"command": self._command, **self._about}
        return {**_attached(about, self._at, self._began, cpu_s, seen), **whole, **self._meter.gpu.fields()}


class CgroupMeter:
    """A control group."""

    pid = None

    def __init__(self, path: str, environ: Mapping[str, str]) -> None:
        """Take its folder or name. Raises Failure(66)."""
        self._cgroup = Cgroup(path)
        self._about = {"cgroup": readable(self._cgroup.name), **identity(environ)}
        self.name = self._about["cgroup"]
        self._at, self._began = time.time(), time.monotonic()
        self._usage: Usage | None = None
        self._cpu_s = (0.0, 0.0)  # at first, and at last
        self._lived = False

    def look(self) -> Record | None:
        """Give a `sample` record; None where it is gone, or where its last process is."""
        taken = self._cgroup.sample()
        if taken is None or (self._lived and not taken.num_processes):
            return None
        self._lived = taken.num_processes > 0
        now = time.monotonic()
        if self._usage is None:
            self._usage, self._cpu_s = Usage(now, taken.cpu_s), (taken.cpu_s, taken.cpu_s)
        self._usage.sample(now, *taken)
        self._cpu_s = self._cpu_s[0], taken.cpu_s
        cpu = self._usage.last_cpu_percent if self._cgroup.knows_cpu else None
        memory = taken.memory_bytes if self._cgroup.knows_memory else None
        return sample(self._about, cpu, memory, taken.num_processes, {})

    def usage(self) -> Record:
        """Give a `usage` record since we came; the peak of memory is the kernel's, since the group was made."""
        seen, cpu_s = self._usage or Usage(self._began), self._cpu_s[1] - self._cpu_s[0]
        whole = seen.whole(cpu_s, time.monotonic() - self._began, 0, 0)
        if self._cgroup.peak_bytes is not None:
            whole.update(peak_memory_bytes=self._cgroup.peak_bytes, peak_source="cgroup", peak_missing=None)
        if not self._cgroup.knows_memory:
            whole.update(avg_memory_bytes=None, peak_missing=NOT_MONITORED)
        attached = _attached(self._about, self._at, self._began, cpu_s, seen)
        if not self._cgroup.knows_cpu:
            whole.update(dict.fromkeys(("cpu_time_s", "peak_cpu_percent", "avg_cpu_percent")))
        return {**attached, **whole}


class NodeMeter:
    """The machine."""

    pid = None

    def __init__(self) -> None:
        """Begin."""
        self._node = Node()
        self._gpu = GpuUse()
        self.name = self._node.hostname
        self._about = {"node": self.name, "num_cpus": self._node.num_cpus}
        self._at, self._began = time.time(), time.monotonic()
        self._memory = [0, 0, 0]  # how many, sum, most
        self._cpu = [0.0, 0.0]  # CPU seconds, most percent
        self._last, self._processes, self._total = self._began, 0, 0

    def look(self) -> Record:
        """Give a `sample` record."""
        taken, now = self._node.sample(), time.monotonic()
        cpu = None if taken.cpu_percent is None else round(taken.cpu_percent * self._node.num_cpus, 1)
        if cpu is not None:
            self._cpu = [self._cpu[0] + cpu / 100 * (now - self._last), max(self._cpu[1], cpu)]
        self._last = now
        used = taken.memory_bytes
        self._memory = [self._memory[0] + 1, self._memory[1] + used, max(self._memory[2], used)]
        self._processes, self._total = max(self._processes, taken.num_processes or 0), taken.total_memory_bytes
        more = {"total_memory_bytes": self._total, "load_1m": taken.load_1m}
        gpu = self._gpu.take((taken.gpu_percent, taken.gpu_memory_bytes))
        made = sample(self._about, cpu, used, taken.num_processes or 0, {**more, **gpu})
        return {**made, "at": taken.at}

    def usage(self) -> Record:
        """Give a `usage` record of the machine since we came."""
        span = time.monotonic() - self._began
        count, total, most = self._memory
        return {
            "type": "usage",
            "command": [],
            **self._about,
            "return_code": None,
            "started_at": self._at,
            "exec_time_s": round(span, 6),
            "cpu_time_s": round(self._cpu[0], 3),
            "peak_num_processes": self._processes or None,
            "peak_memory_bytes": most if count else None,
            "avg_memory_bytes": round(total / count) if count else None,
            "peak_cpu_percent": self._cpu[1] or None,
            "avg_cpu_percent": cpu_percent(self._cpu[0], self._last - self._began) if self._cpu[1] else None,
            "peak_source": "sampled" if count else None,
            "total_memory_bytes": self._total or None,
            **self._gpu.fields(),
        }


def identity(environ: Mapping[str, str]) -> Record:
    """Give what tells where a sample is from: the machine, and the job where we run inside one."""
    found: Record = {"hostname": os.uname().nodename}
    job, attempt = environ.get("TORC_JOB_ID", ""), environ.get("TORC_ATTEMPT_ID", "")
    if _is_id(job):
        found["job_id"] = int(job)
        found["attempt_id"] = int(attempt) if _is_id(attempt) else 1
        found["job_name"] = readable(environ.get("TORC_JOB_NAME") or f"job_{job}")
    return found


def readable(text: str) -> str:
    """Give a name of the system as text that can be written: what is not UTF-8 is made visible."""
    return os.fsencode(text).decode(errors="backslashreplace")


def sample(about: Record, cpu: float | None, memory_bytes: int | None, num_processes: int, more: Record) -> Record:
    """Make a `sample` record, taken now."""
    taken = {"cpu_percent": cpu, "memory_bytes": memory_bytes, "num_processes": num_processes}
    return {"type": "sample", "at": time.time(), **about, **taken, **more}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 2**63


def _attached(about: Record, at: float, began: float, cpu_s: float, seen: Usage) -> Record:
    return {
        "type": "usage",
        "command": [],
        **about,
        "return_code": None,
        "started_at": at,
        "exec_time_s": round(time.monotonic() - began, 6),
        "cpu_time_s": round(cpu_s, 6),
        "peak_num_processes": seen.peak_num_processes,
    }
