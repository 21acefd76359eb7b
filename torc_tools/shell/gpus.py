"""NVIDIA GPUs, by nvidia-ml-py where it is installed and there is a driver; else there are none, without a word."""

import contextlib
import time
from collections.abc import Collection
from typing import Any

from torc_tools.shell.series import Gpu

_NONE: Gpu = (None, None)
_NOT_KNOWN = 1 << 63  # what the driver says for memory that it cannot tell is above this


class Gpus:
    """The GPUs of this machine. What a GPU does not tell is None."""

    def __init__(self) -> None:
        """Begin; the driver is looked for with the first question."""
        self._nvml: Any = None
        self._handles: list[Any] | None = None
        self._since = int(time.time() * 1e6)  # microseconds: samples of the driver up to here were taken in

    def machine(self) -> Gpu:
        """Give the use of all of them, 100 percent for one, and their memory in use."""
        found = [self._device(handle) for handle in self._there()]
        return _sum(use for use, _ in found), _sum(memory for _, memory in found)

    def tree(self, pids: Collection[int]) -> Gpu:
        """Give what these processes use; None where the driver lists none of them."""
        uses: list[float | None] = []
        memories: list[int | None] = []
        now = int(time.time() * 1e6)
        for handle in self._there():
            mine = {one.pid: one.usedGpuMemory for one in self._running(handle) if one.pid in pids}
            if mine:
                memories.extend(_known(memory) for memory in mine.values())
                uses.append(self._share(handle, mine))
        self._since = now
        return _sum(uses), _sum(memories)

    def _there(self) -> list[Any]:
        """Give the GPUs; the driver is started once. A driver that fails later has none any more."""
        if self._handles is None:
            self._handles = []
            try:
                import pynvml
            except Exception:  # noqa: BLE001  not installed, or not fit for this machine
                return []
            self._nvml = pynvml
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                count = pynvml.nvmlDeviceGetCount()
                self._handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        return self._handles

    def _device(self, handle: Any) -> Gpu:
        use = memory = None
        with contextlib.suppress(self._nvml.NVMLError):
            use = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(self._nvml.NVMLError):
            memory = int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        return use, memory

    def _running(self, handle: Any) -> list[Any]:
        found: dict[int, Any] = {}
        for ask in ("nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetComputeRunningProcesses"):
            with contextlib.suppress(self._nvml.NVMLError):
                found.update((one.pid, one) for one in getattr(self._nvml, ask)(handle))
        return list(found.values())

    def _share(self, handle: Any, pids: Collection[int]) -> float | None:
        """Give the use of one GPU by these processes; of the whole GPU where the driver does not tell them apart."""
        with contextlib.suppress(self._nvml.NVMLError):
            taken = self._nvml.nvmlDeviceGetProcessUtilization(handle, self._since)
            by_pid: dict[int, list[int]] = {}
            for one in taken:
                by_pid.setdefault(one.pid, []).append(one.smUtil)
            return min(100.0, sum(sum(uses) / len(uses) for pid, uses in by_pid.items() if pid in pids))
        use, _ = self._device(handle)
        return use


def _known(memory: int | None) -> int | None:
    return None if memory is None or memory >= _NOT_KNOWN else memory


def _sum(values: Any) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
