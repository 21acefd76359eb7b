"""How attempts end (torc 0.21's cases 131 to 134, with ours), and what samples come to."""

import pytest

from torc_tools import states
from torc_tools.core import outcome
from torc_tools.core.outcome import Codes
from torc_tools.core.usage import Usage, cpu_percent


@pytest.mark.parametrize(
    ("exit_code", "stop", "killed", "expected"),
    [
        (0, None, False, (states.COMPLETED, 0, None)),
        (3, None, False, (states.FAILED, 3, None)),
        (-9, None, False, (states.FAILED, 137, None)),
        (-15, None, False, (states.FAILED, 143, None)),
        (-9, "memory_limit", True, (states.FAILED, 137, "memory_limit")),
        (-15, "runtime_limit", False, (states.TERMINATED, 152, "runtime_limit")),
        (143, "runtime_limit", False, (states.TERMINATED, 152, "runtime_limit")),
        (-9, "runtime_limit", True, (states.TERMINATED, 152, "runtime_limit")),
        (0, "runtime_limit", False, (states.TERMINATED, 0, "runtime_limit")),
        (5, "runtime_limit", False, (states.TERMINATED, 5, "runtime_limit")),
        (0, "allocation_end", False, (states.TERMINATED, 0, "allocation_end")),
        (-15, "allocation_end", False, (states.TERMINATED, 143, "allocation_end")),
        (-9, "allocation_end", True, (states.TERMINATED, 152, "allocation_end")),
        (-15, "interrupted", False, (states.TERMINATED, 143, "interrupted")),
        (-15, "canceled", False, (states.CANCELED, 143, None)),
    ],
)
def test_outcome(exit_code: int, stop: str | None, killed: bool, expected: tuple[object, ...]) -> None:
    assert outcome.outcome(exit_code, stop, Codes(), killed=killed) == expected


def test_the_codes_may_be_set() -> None:
    codes = Codes(oom=99, timeout=98)
    assert outcome.outcome(-9, "memory_limit", codes, killed=True).return_code == 99
    assert outcome.outcome(-9, "runtime_limit", codes, killed=True).return_code == 98


def test_usage_without_samples_is_not_known() -> None:
    usage = Usage(0.0)
    usage.sample(1.0, 5.0, 0, 0)
    assert (usage.peak_memory_bytes, usage.avg_memory_bytes, usage.peak_cpu_percent) == (None, None, None)


def test_usage_of_samples() -> None:
    usage = Usage(0.0)
    usage.sample(0.05, 0.05, 100, 1)
    assert usage.peak_cpu_percent is None
    usage.sample(1.0, 0.5, 300, 3)
    usage.sample(2.0, 2.5, 200, 2)
    usage.memory(900)
    assert (usage.peak_memory_bytes, usage.avg_memory_bytes) == (900, 245)
    assert (usage.peak_cpu_percent, usage.last_cpu_percent, usage.peak_num_processes) == (200.0, 200.0, 3)


def test_cpu_percent() -> None:
    assert [cpu_percent(1.0, 2.0), cpu_percent(1.0, 0.0)] == [50.0, None]
