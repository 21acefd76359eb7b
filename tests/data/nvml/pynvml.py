"""A stand-in for nvidia-ml-py: FAKE_NVML says how many GPUs there are, or what is wrong with the driver.

A stranger is on every GPU; the youngest child of whoever asks is on the first.
"""

# ruff: noqa: N802

import os
from types import SimpleNamespace

HOW = os.environ.get("FAKE_NVML", "0")
if HOW == "broken":
    raise OSError("this module is not fit for this machine")
STRANGER = 1


class NVMLError(Exception):
    pass


def nvmlInit():
    if HOW == "0":
        raise NVMLError("no driver")


def nvmlDeviceGetCount():
    return 1 if HOW == "silent" else int(HOW)


def nvmlDeviceGetHandleByIndex(number):
    return number


def _silent(*_):
    raise NVMLError("not supported")


def nvmlDeviceGetUtilizationRates(number):
    return SimpleNamespace(gpu=70, memory=1)


def nvmlDeviceGetMemoryInfo(number):
    return SimpleNamespace(used=3 << 30)


def nvmlDeviceGetComputeRunningProcesses(number):
    found = [SimpleNamespace(pid=STRANGER, usedGpuMemory=None)]
    if number == 0:
        me = os.getpid()
        with open(f"/proc/{me}/task/{me}/children") as file:
            found += [SimpleNamespace(pid=int(pid), usedGpuMemory=1 << 30) for pid in file.read().split()]
    return found


def nvmlDeviceGetGraphicsRunningProcesses(number):
    return nvmlDeviceGetComputeRunningProcesses(number)


def nvmlDeviceGetProcessUtilization(number, since):
    return [
        SimpleNamespace(pid=one.pid, smUtil=use)
        for one in nvmlDeviceGetComputeRunningProcesses(number)
        for use in (20, 40)
    ]


if HOW == "silent":
    for name in [
        name for name in globals() if name.startswith("nvmlDeviceGet") and name[13:] not in ("Count", "HandleByIndex")
    ]:
        globals()[name] = _silent
