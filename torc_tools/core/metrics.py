"""How a watched workflow stands, as Prometheus reads it: the text exposition format, version 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torc_tools import states
from torc_tools.core import standing
from torc_tools.texts import visible

Labels = Mapping[str, str]


class Seen(NamedTuple):
    """What is published of a workflow; times in Unix seconds, None where something is not known yet.

    attempts: by state (attempts that ended, their seconds). allocations: by (kind, status). held: allocations that
    Slurm holds. held_jobs: left alone by the last recovery. poll_s: None for steps from cron.
    """

    workflow: Mapping[str, Any]
    counts: Mapping[str, int]
    attempts: Mapping[str, tuple[int, float]]
    peak_memory_bytes: int | None
    allocations: Mapping[tuple[str, str], int]
    held: int
    held_jobs: int
    recoveries: int
    max_retries: int | None
    polled_at: float | None
    poll_s: float | None
    runs: bool
    gave_up: bool


class _Family(NamedTuple):
    name: str
    kind: str
    about: str
    samples: Iterable[tuple[Labels, float | None]]


def text(seen: Seen) -> str:
    """Write all families, each sample with the workflow's id and name; a value that is not known has no sample."""
    base = {"workflow_id": str(seen.workflow["workflow_id"]), "workflow": str(seen.workflow["name"])}
    lines: list[str] = []
    for family in _families(seen):
        samples = [(labels, value) for labels, value in family.samples if value is not None]
        if samples:
            name = family.name
            lines += [f"# HELP {name} {family.about}", f"# TYPE {name} {family.kind}"]
            lines += [f"{name}{_labels({**base, **labels})} {_number(value)}" for labels, value in samples]
    return "\n".join([*lines, ""])


def _families(seen: Seen) -> Iterator[_Family]:
    jobs = [({"status": name}, float(seen.counts[name])) for name in states.NAMES]
    yield _Family("torc_jobs", "gauge", "Jobs by status.", jobs)
    yield _gauge("torc_jobs_held", "Failed jobs that the last recovery left alone.", seen.held_jobs)
    ended = [({"status": name}, float(count)) for name, (count, _) in seen.attempts.items()]
    yield _Family("torc_attempts_total", "counter", "Attempts of jobs that have ended, by how.", ended)
    spent = [({"status": name}, seconds) for name, (_, seconds) in seen.attempts.items()]
    about = "Run time of attempts that have ended, by how: what did not complete was spent in vain."
    yield _Family("torc_attempts_seconds_total", "counter", about, spent)
    peak = seen.peak_memory_bytes
    yield _gauge("torc_attempts_peak_memory_bytes", "The largest known peak of memory of an attempt.", peak)
    allocations = [({"kind": kind, "status": name}, float(count)) for (kind, name), count in seen.allocations.items()]
    yield _Family("torc_allocations", "gauge", "Allocations by kind (slurm, local) and status.", allocations)
    yield _gauge("torc_allocations_held", "Allocations in the queue that Slurm holds.", seen.held)
    yield _gauge("torc_workflow_run", "The present run of the workflow.", seen.workflow["run_id"])
    outcome = standing.outcome(seen.counts)
    yield _gauge("torc_workflow_complete", "Whether every job has ended.", outcome["is_complete"])
    yield _gauge("torc_workflow_success", "Whether every job is completed or disabled.", outcome["is_success"])
    yield _gauge("torc_workflow_canceled", "Whether the workflow is canceled.", bool(seen.workflow["is_canceled"]))
    yield from _watch(seen)


def _watch(seen: Seen) -> Iterator[_Family]:
    """Give what is about the watch itself."""
    yield _gauge("torc_watch_recoveries", "Recoveries made since the workflow was last completed.", seen.recoveries)
    yield _gauge("torc_watch_max_recoveries", "How many may be made; absent without limit.", seen.max_retries)
    yield _gauge("torc_watch_last_poll_timestamp_seconds", "When the workflow was last looked at.", seen.polled_at)
    yield _gauge("torc_watch_poll_interval_seconds", "Seconds between two looks; absent with --once.", seen.poll_s)
    yield _gauge("torc_watch_running", "Whether the watch goes on; stale where it was killed.", seen.runs)
    yield _gauge("torc_watch_gave_up", "Whether it ended before every job was completed.", seen.gave_up)


def _gauge(name: str, about: str, value: float | None) -> _Family:
    return _Family(name, "gauge", about, [({}, None if value is None else float(value))])


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """Escape what the format asks for; what controls a terminal or breaks a line is made visible before."""
    return visible(value).replace("\\", r"\\").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
