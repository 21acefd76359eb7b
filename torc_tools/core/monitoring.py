"""What `resource_monitor` asks for: of the jobs, and of the machine they run on."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Scope(NamedTuple):
    """Whether something is watched, and whether each sample is kept."""

    enabled: bool
    series: bool


def scopes(top: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any] | None]) -> tuple[Scope, Scope]:
    """Give what is asked of the jobs and of the machine; `sections` holds `jobs` and `compute_node`, None if absent.

    Jobs are watched unless that is switched off, in their section or, where they have none, at the top; the machine is
    watched where it has a section that is not switched off. A section that does not say how keeps no samples.
    """
    jobs, node = sections["jobs"], sections["compute_node"]
    return _scope(top if jobs is None else jobs), _scope({"enabled": False} if node is None else node)


def _scope(section: Mapping[str, Any]) -> Scope:
    enabled = section.get("enabled") is not False
    return Scope(enabled, enabled and section.get("granularity") == "time_series")
