"""NVIDIA GPUs, by nvidia-ml-py where it is installed and there is a driver; else there are none, without a word."""

import contextlib
import time
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from torc_tools.series import Gpu

_NONE: Gpu = (None, None)
_FRESH_S = 0.05
_NOT_KNOWN = 1 << 63  # what the driver says for memory that it cannot tell is above this


class _Look(NamedTuple):
    """What one GPU told: its use, and the memory and the use of each process on it."""

    use: float | None
    memory: dict[int, int | None]
    shares: dict[int, float] | None  # None where it does not tell processes apart


class Gpus:
    """The GPUs of this machine. What a GPU does not tell is None."""

    def __init__(self) -> None:
        """Begin; the driver is looked for with the first question."""
        self._nvml: Any = None
        self._handles: list[Any] | None = None
        self._since = int(time.time() * 1e6)  # microseconds: samples of the driver up to here were taken in
        self._looks: list[_Look] = []
        self._looked_at = 0.0

    def machine(self) -> Gpu:
        """Give the use of all of them, 100 percent for one, and their memory in use."""
        found = [self._device(handle) for handle in self._there()]
        return _sum(use for use, _ in found), _sum(memory for _, memory in found)

    def tree(self, pids: Collection[int]) -> Gpu:
        """Give what these processes use; None where the driver lists none of them.

        The driver is asked once for all trees that are looked at together.
        """
        if not self._there():
            return _NONE
        if time.monotonic() - self._looked_at > _FRESH_S:
            self._looks = [self._look(handle) for handle in self._there()]
            self._looked_at, self._since = time.monotonic(), int(time.time() * 1e6)
        uses: list[float | None] = []
        memories: list[int | None] = []
        for look in self._looks:
            mine = look.memory.keys() & pids
            if mine:
                memories.extend(look.memory[pid] for pid in mine)
                shares = look.shares
                use = look.use if shares is None else min(100.0, sum(shares.get(pid, 0.0) for pid in mine))
                uses.append(use)
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

    def _look(self, handle: Any) -> _Look:
        memory: dict[int, int | None] = {}
        for ask in ("nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetComputeRunningProcesses"):
            with contextlib.suppress(self._nvml.NVMLError):
                memory.update((one.pid, _known(one.usedGpuMemory)) for one in getattr(self._nvml, ask)(handle))
        shares = None
        with contextlib.suppress(self._nvml.NVMLError):
            by_pid: dict[int, list[int]] = {}
            for one in self._nvml.nvmlDeviceGetProcessUtilization(handle, self._since):
                by_pid.setdefault(one.pid, []).append(one.smUtil)
            shares = {pid: sum(uses) / len(uses) for pid, uses in by_pid.items()}
        return _Look(self._device(handle)[0], memory, shares)


def _known(memory: int | None) -> int | None:
    return None if memory is None or memory >= _NOT_KNOWN else memory


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
