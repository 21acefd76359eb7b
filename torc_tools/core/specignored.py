"""The keys of a spec that torc knows and nothing here reads: they are accepted, and a note says so."""

from collections.abc import Mapping
from typing import Any

from torc_tools.core.problems import Path, Problems

_IGNORED = {  # keys that torc knows and nothing here reads, with the reason
    "access_groups": "the store is a file with permissions",
    "compute_node_expiration_buffer_seconds": "torc 0.21 does so, too (see sigkill_headroom_seconds)",
    "compute_node_ignore_workflow_completion": "a worker ends when nothing is left that it could run",
    "compute_node_wait_for_healthy_database_minutes": "workers need no database",
    "jobs_sort_method": "jobs start by priority, then the larger one first",
    "enable_ro_crate": "no RO-Crate is written",
    "flush_interval_seconds": "samples are written every few seconds",
    "generate_plots": "torc 0.21 does so, too",
    "supports_termination": "every job gets the termination signal",
    "identifier": "a file is known by its name",
    "st_mtime": "it is not stored",
}


def say(found: Mapping[str, Any], path: Path, problems: Problems) -> None:
    """Note keys that nothing reads, each at its first place alone; false asks for nothing."""
    if found.get("mode") == "direct" and found.get("srun_mpi"):
        problems.note((*path, "srun_mpi"), "'srun_mpi' is ignored: with mode 'direct' no job is started by srun")
    for key, value in found.items():
        if key in _IGNORED and value is not False:
            problems.note((*path, key), f"'{key}' is ignored: {_IGNORED[key]}", once=True)
