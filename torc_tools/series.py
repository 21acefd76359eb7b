"""Samples: those of one moment, as they are taken; those over time, as they are read."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from array import array


Gpu = tuple[float | None, int | None]  # percent, 100 for one GPU; bytes


class NodeSample(NamedTuple):
    """What a machine uses at one moment; CPU in percent of the whole machine, None at first."""

    at: float  # Unix seconds
    cpu_percent: float | None
    memory_bytes: int
    total_memory_bytes: int
    load_1m: float | None
    num_processes: int | None
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


class Request(NamedTuple):
    """What was asked for an attempt; None where it is not known."""

    memory_bytes: int | None
    num_cpus: int | None
    runtime_s: float | None
    started_at: float | None  # Unix seconds


class Series(NamedTuple):
    """One attempt of a job: columns of the same length, in order of time; nan is what is not known."""

    job_id: int
    job_name: str
    attempt_id: int
    hostname: str  # empty where it is not known
    times: "array[float]"  # Unix seconds
    cpu: "array[float]"  # percent, 100 for one core
    memory: "array[float]"  # bytes
    processes: "array[float]"
    request: Request | None = None
    gpu: "array[float] | None" = None  # percent, 100 for one GPU; None where none was seen
    gpu_memory: "array[float] | None" = None  # bytes


class NodeSummary(NamedTuple):
    """What a machine used over a whole run; CPU in percent of the whole machine."""

    samples: int
    peak_cpu: float
    avg_cpu: float
    peak_memory: float  # bytes
    avg_memory: float


class NodeSeries(NamedTuple):
    """One machine: columns of the same length, in order of time; nan is what is not known.

    CPU is in percent of the whole machine, as torc keeps it: 100 is all of its cores.
    """

    hostname: str
    times: "array[float]"
    cpu: "array[float]"
    memory: "array[float]"  # bytes in use
    total_memory: "array[float]"
    load: "array[float]"  # the load average of a minute
    processes: "array[float]"
    gpu: "array[float] | None" = None
    gpu_memory: "array[float] | None" = None
    summary: NodeSummary | None = None  # what the file says; there may be one without any sample
