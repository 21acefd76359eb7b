"""What this machine has: CPUs, memory, GPUs."""

import os
from collections.abc import Mapping


def num_cpus() -> int:
    """Give the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Give the memory of the machine, or what its Slurm allocation has of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    slurm = os.environ.get("SLURM_MEM_PER_NODE", "")
    return min(total, int(slurm) << 20) if slurm.isdigit() and int(slurm) else total


def gpus(environ: Mapping[str, str]) -> list[str]:
    """Give the names of the GPUs that may be used: CUDA_VISIBLE_DEVICES, else those that the driver lists."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        return names[: names.index("-1")] if "-1" in names else names
    try:
        return [str(number) for number in range(len(os.listdir("/proc/driver/nvidia/gpus")))]
    except OSError:
        return []
