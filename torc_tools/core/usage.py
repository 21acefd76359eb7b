"""What a process tree used, from samples of it: peaks and averages. Absence is None, never 0."""

from torc_tools.records import Record

# why nobody knows the peak of memory
TOO_SHORT = "too_short"  # it ended before it was looked at, and had no more than the kernel counts for any child
NOT_MONITORED = "not_monitored"
NOT_RUN = "not_run"
NOT_SEEN = "not_seen"  # its processes are elsewhere
WINDOW_S = 0.1  # CPU is compared over at least this time: the kernel counts it in hundredths of a second
PEAK_WINDOW_S = 0.5  # and for the peak over this, or two hundredths more or less would make one


class Usage:
    """Takes samples of one tree in order of time: seconds of any clock, bytes, percent of one core."""

    def __init__(self, at: float, cpu_s: float = 0.0) -> None:
        """Begin at the time the tree began, or when it had used `cpu_s` of CPU."""
        self.peak_memory_bytes: int | None = None
        self.peak_cpu_percent: float | None = None
        self.peak_num_processes: int | None = None
        self.last_cpu_percent: float | None = None
        self._at = at
        self._byte_seconds, self._seconds = 0.0, 0.0
        self._now_bytes: int | None = None
        self._mark = self._peak_mark = (at, cpu_s)

    @property
    def avg_memory_bytes(self) -> int | None:
        """Give the mean over time: each sample stands for the time since the one before."""
        return round(self._byte_seconds / self._seconds) if self._seconds else self._now_bytes

    def memory(self, size: int) -> None:
        """Take in a size seen at some moment between samples; 0 is what a tree shows that is already gone."""
        if size:
            self.peak_memory_bytes = max(size, self.peak_memory_bytes or 0)

    def sample(
        self, at: float, cpu_s: float, memory_bytes: int, num_processes: int, *, now_bytes: int | None = None
    ) -> None:
        """Take in one sample: CPU seconds used so far, memory and number of processes.

        Memory is the most since the sample before; `now_bytes`, where it is less now, counts for the average.
        """
        if not num_processes:
            return
        self.memory(memory_bytes)
        self._now_bytes = memory_bytes if now_bytes is None else now_bytes
        self._byte_seconds += self._now_bytes * (at - self._at)
        self._seconds += at - self._at
        self._at = at
        self.peak_num_processes = max(num_processes, self.peak_num_processes or 0)
        since, before = self._mark
        if at - since >= WINDOW_S:
            self.last_cpu_percent = max(0.0, round((cpu_s - before) / (at - since) * 100, 1))
            self._mark = (at, cpu_s)
        since, before = self._peak_mark
        if at - since >= PEAK_WINDOW_S:
            self.peak_cpu_percent = max(round((cpu_s - before) / (at - since) * 100, 1), self.peak_cpu_percent or 0.0)
            self._peak_mark = (at, cpu_s)

    def whole(self, cpu_s: float, exec_time_s: float, kernel_peak_bytes: int, own_peak_bytes: int) -> Record:
        """Give what a process tree used that has ended, as fields of its record.

        The kernel's peak, which is of one process, counts where it is more than the samples saw and than the process
        had that started it: the kernel gives each child that much.
        """
        sampled = self.peak_memory_bytes
        known = kernel_peak_bytes > own_peak_bytes and kernel_peak_bytes > (sampled or 0)
        average = cpu_percent(cpu_s, exec_time_s)
        peaks = [value for value in (self.peak_cpu_percent, average) if value is not None]
        return {
            "peak_memory_bytes": kernel_peak_bytes if known else sampled,
            "avg_memory_bytes": self.avg_memory_bytes,
            "peak_cpu_percent": max(peaks) if peaks else None,
            "avg_cpu_percent": average,
            "peak_source": "kernel" if known else "sampled" if sampled else None,
            "peak_missing": None if known or sampled else TOO_SHORT,
        }


def cpu_percent(cpu_s: float, exec_time_s: float) -> float | None:
    """Give the average use of CPU, 100 for one core; None for a time too short to say."""
    return round(cpu_s / exec_time_s * 100, 1) if exec_time_s > 0 else None
