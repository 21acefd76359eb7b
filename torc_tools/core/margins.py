"""What of an allocation's time no job can use: to start, to warn the jobs, to end them; as execution_config says."""

from collections.abc import Mapping
from typing import Any

GRACE_S = 60  # from the start of an allocation until its worker starts the first job
LEAD_S = 30  # default of sigterm_lead_seconds
HEADROOM_S = 60  # default of sigkill_headroom_seconds, in an allocation


def warning_s(execution: Mapping[str, Any]) -> int:
    """Give how long before the end of an allocation its jobs are told to end."""
    lead, headroom = execution.get("sigterm_lead_seconds"), execution.get("sigkill_headroom_seconds")
    return int(LEAD_S if lead is None else lead) + int(HEADROOM_S if headroom is None else headroom)


def unusable_s(execution: Mapping[str, Any]) -> int:
    """Give how much of an allocation no job can use."""
    return GRACE_S + warning_s(execution)
