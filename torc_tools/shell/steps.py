"""Steps of srun as processes: how srun is started, and what a step's processes on this machine use.

A step's processes are children of slurmstepd, not ours: they are found by the mark in their environment, and from
then on by the step's cgroup where there is one. What runs on other nodes is not seen.
"""

import os
import re
import signal
import time
from collections.abc import Mapping, Sequence

from torc_tools.shell import cgroups, launch, procs, trees
from torc_tools.shell.census import Census

_SPARE_S = 0.2  # between two passes over /proc, and
_SPARE_TIMES, _MOST_SPARE_S = 50, 2.0  # so many times the CPU time that one takes
_STEP = re.compile(rb"^(.*/job_\d+/step_[^/]+)((?:/.*)?)$")
_MOUNT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60


def available() -> bool:
    """Say whether there is an srun."""
    return any(os.access(os.path.join(folder, "srun"), os.X_OK) for folder in os.get_exec_path())


class Words:
    """What an srun writes on its standard error: kept in memory, whatever the disk does."""

    def __init__(self) -> None:
        """Make the place."""
        self.fd = os.memfd_create("torc-srun")

    def text(self) -> str:
        """Give what was written so far."""
        return os.pread(self.fd, 1 << 16, max(0, os.fstat(self.fd).st_size - (1 << 16))).decode(errors="replace")

    def close(self) -> None:
        """Let it go."""
        os.close(self.fd)


def place(output: launch.Output) -> None:
    """Make the folder of a step's output again where a job has removed it: without it a step hangs. Raises OSError."""
    for path in filter(None, output):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)


def start(argv: Sequence[str], env: Mapping[str, str], words: Words) -> int:
    """Start srun in a session of its own; give its pid. Raises OSError."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in ((null, 0), (null, 1), (words.fd, 2))]
        return os.posix_spawnp(
            argv[0], list(argv), env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=launch.DEFAULT_SIGNALS
        )
    finally:
        os.close(null)


def command(line: str, path: str, bash: str) -> list[str]:
    """Give the words that run a command line on any node; one too long for an argument is put into a file at `path`."""
    text = os.fsencode(line)
    if len(text) <= launch.LONGEST:
        return [bash, "-c", line]
    with open(path, "wb") as file:
        file.write(text)
    return [bash, path]


class StepTree(trees.Tree):
    """The processes of one step on this machine. `found` says whether any was ever seen."""

    def __init__(self, srun: int, mark: bytes, slurm_job_id: str, census: Census) -> None:
        """Take the pid of the srun, what the step's processes have in their environment, what follows them."""
        super().__init__(srun)
        self._census, self._alone = census, False
        self.mark = mark
        self.allocation = f"SLURM_JOB_ID={slurm_job_id}".encode()
        self.found = False
        self.first: int | None = None  # the first process: a shell that passes signals on to its child
        self.start_ticks: int | None = None  # of the first process
        self.peak_bytes: int | None = None  # the kernel's, of the whole step, without the files it had cached
        self.seen_at: float | None = None  # when its processes were last seen; it had used then
        self.used_s = 0.0
        self._cpu: str | None = None
        self._memory: str | None = None
        self._procs: str | None = None

    def find(self, marked: Mapping[int, int]) -> None:
        """Take in the processes that have the mark: pid to parent."""
        own = {pid: parent for pid, parent in marked.items() if not _of_srun(pid, self.root)}
        first = sorted(pid for pid, parent in own.items() if parent not in own)
        if not first:
            return
        self.orphans.update(first)
        self.found, self.first = True, first[0]
        fields = procs.stat_fields(first[0])
        self.start_ticks = int(fields[19]) if fields else None
        self._find_cgroups(first[0])
        for pid in first:
            self._census.join(self, pid)
        for pid in procs.descendants(first):
            self._census.own(pid, self)

    def members(self) -> list[int]:
        """Give the pids of the step's processes here."""
        if not self.found:
            return []
        if self._procs is not None:
            return [int(pid) for pid in procs.read(f"{self._procs}/cgroup.procs").split()]
        return procs.descendants(sorted(self.orphans))

    def look(self) -> None:
        """Bring what the step uses up to date: from its cgroup where there is one, else from its processes."""
        if not self.found:
            return
        if self._memory is None or self._cpu is None:
            super().look()
        else:
            size, cpu_s = self._memory_now(self._memory), cgroups.cpu_seconds(self._cpu)
            self.alive = 0 if size is None or cpu_s is None else len(self.members())
            self.resident, self.cpu_s = size or 0, self.cpu_s if cpu_s is None else cpu_s
        if self.alive:
            self.used_s, self.seen_at = self.cpu_s, time.monotonic()

    def memory(self, peak_bytes: int = 0, *, rise: bool = True) -> int:
        """Give the memory of the step at the last look."""
        if self._memory is None or self._cpu is None:
            return super().memory(peak_bytes, rise=rise)
        return self.resident if self.alive else 0

    def proportional_bytes(self) -> int:
        """Give the memory of the step now, shared pages counted once."""
        size = None if self._memory is None else self._memory_now(self._memory)
        return super().proportional_bytes() if size is None else size

    def signal(self, number: int) -> None:
        """Send a signal to the step's processes here, to each once."""
        for pid in self.members():
            if number == signal.SIGKILL or self._parent(pid) != self.first:
                trees.send(pid, number)

    def _parent(self, pid: int) -> int | None:
        fields = procs.stat_fields(pid)
        return int(fields[1]) if fields else None

    def limited(self) -> bool:
        """Say whether the kernel holds the step's memory."""
        for name in ("memory.limit_in_bytes", "memory.max"):
            limit = cgroups.number(f"{self._memory}/{name}") if self._memory else None
            if limit is not None and limit < _NO_LIMIT:
                return True
        return False

    def _find_cgroups(self, pid: int) -> None:
        for line in procs.read(f"/proc/{pid}/cgroup").splitlines():
            _, names, path = line.split(b":", 2)
            step = _STEP.match(path)
            if step is None:
                continue
            mount = os.path.join(_MOUNT, os.fsdecode(names.split(b",")[0]) if names else "")
            folder = mount + os.fsdecode(step[1])
            if names in (b"memory", b"") and os.path.exists(folder):
                self._memory, self._procs = folder, mount + os.fsdecode(path)
            if (b"cpuacct" in names.split(b",") or not names) and os.path.exists(folder):
                self._cpu = folder

    def _memory_now(self, folder: str) -> int | None:
        """Give the memory that is not a file's cache; note the peak."""
        used, peak = cgroups.memory_bytes(folder)
        if peak is not None:
            self.peak_bytes = max(self.peak_bytes or 0, peak)
        return used


class Finder:
    """Looks for the processes of steps, of all in one pass over /proc."""

    def __init__(self) -> None:
        """Begin with none."""
        self._wanted: dict[bytes, StepTree] = {}
        self._looked_at, self._spare_s = 0.0, _SPARE_S

    def want(self, tree: StepTree) -> None:
        """Look for the processes of a step from now on."""
        self._wanted[tree.mark] = tree

    def forget(self, tree: StepTree) -> None:
        """Look no more for them."""
        self._wanted.pop(tree.mark, None)

    def look(self) -> None:
        """Look for those that were not found yet, unless that was just done."""
        now = time.monotonic()
        if not self._wanted or now - self._looked_at < self._spare_s:
            return
        began = time.thread_time()
        marked: dict[bytes, dict[int, int]] = {}
        for pid in procs.pids():
            settings = procs.environment(pid)
            for mark in self._wanted.keys() & settings:
                if self._wanted[mark].allocation in settings and (fields := procs.stat_fields(pid)):
                    marked.setdefault(mark, {})[pid] = int(fields[1])
        for mark, pids in marked.items():
            tree = self._wanted[mark]
            tree.find(pids)
            if tree.found:
                del self._wanted[mark]
        self._looked_at = time.monotonic()
        self._spare_s = min(_MOST_SPARE_S, max(_SPARE_S, _SPARE_TIMES * (time.thread_time() - began)))


def _of_srun(pid: int, srun: int) -> bool:
    try:
        return os.getsid(pid) == srun
    except OSError:
        return True
