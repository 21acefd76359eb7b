"""What requests should have been, by what jobs used: one adjustment for each job whose request is to change.

Up: a job that ran out of memory or time, or used more than it had asked for. Only such jobs get more; those that share
a requirement get the same. Down: a requirement all of whose jobs are done, none of which had too little, where there
is much to save.
"""

from collections.abc import Iterable, Iterator, Mapping

from torc_tools import units
from torc_tools.core import fitting
from torc_tools.core.fitting import Policy, Use, Want
from torc_tools.records import Record

OVER, UNDER = "over_use", "under_use"  # the causes of adjustments for jobs that did not fail of it

Pair = tuple[Use, Want]


def root(row: int, copies: Mapping[int, int | None]) -> int:
    """Give the requirement row that `row` comes from, through any number of copies; a row that is none is its own."""
    seen = {row}
    while (source := copies.get(row)) is not None and source not in seen:
        seen.add(source)
        row = source
    return row


def plan(uses: Iterable[Use], policy: Policy) -> tuple[Iterator[Record], int]:
    """Give an `adjustment` for each job whose request is to change, made as it is taken; how many had too little."""
    families: dict[int, list[Pair]] = {}
    analyzed = 0
    for use in uses:
        want = fitting.more(use, policy)
        families.setdefault(use.family, []).append((use, want))
        analyzed += want.violated and _is_chosen(use, policy)
    return _adjustments(families.values(), policy), analyzed


def _is_chosen(use: Use, policy: Policy) -> bool:
    return policy.job_ids is None or use.job_id in policy.job_ids


def _adjustments(families: Iterable[list[Pair]], policy: Policy) -> Iterator[Record]:
    for pairs in families:
        falls = policy.downsize and all(fitting.had_enough(use, want) for use, want in pairs)
        for row in _by_row(pairs):
            chosen = [pair for pair in row if _is_chosen(pair[0], policy)]
            yield from _upscaled(chosen)
            if falls and len(chosen) == len(row):  # a part of a row is not judged
                yield from _downscaled([use for use, _ in row], policy)


def _by_row(pairs: Iterable[Pair]) -> Iterable[list[Pair]]:
    rows: dict[int, list[Pair]] = {}
    for pair in pairs:
        rows.setdefault(pair[0].row, []).append(pair)
    return rows.values()


def _upscaled(pairs: list[Pair]) -> Iterable[Record]:
    """Give the adjustments of the jobs of a row that had too little: what they lack, and the same for all."""
    memory, runtime, cpus = (max((want[at] or 0 for _, want in pairs), default=0) for at in range(3))
    for use, want in pairs:
        new = Want(want.memory and memory, want.runtime and runtime, want.cpus and cpus)
        if new.changes():
            peaks = fitting.known(use.peak_memory) if new.memory else None, use.peak_cpu if new.cpus else None
            yield _adjustment(use, new, "upscale", peaks)


def _downscaled(uses: list[Use], policy: Policy) -> Iterable[Record]:
    """Give the adjustments of all jobs of a row that asks for much more than they used."""
    new = fitting.less(uses, policy)
    if new.changes():
        for use in uses:
            yield _adjustment(use, new, "downscale", (fitting.known(use.peak_memory), use.peak_cpu))


def _adjustment(use: Use, new: Want, direction: str, peaks: tuple[int | None, float | None]) -> Record:
    """Write the `adjustment` of one job; `peaks` are those of memory and CPU."""
    memory, runtime = new.memory is not None, new.runtime is not None
    cause = (use.diagnosis or {}).get("cause")
    at_fault = cause in ("oom", "timeout") and direction == "upscale"
    return {
        "type": "adjustment",
        "workflow_id": None,
        "action": "adjust",
        "job_ids": [use.job_id],
        "job_names": [use.job_name],
        "run_id": use.run_id,
        "attempt_id": use.attempt_id,
        "resource_requirements_id": use.row,
        "direction": direction,
        "memory_adjusted": memory,
        "original_memory": units.format_memory(use.memory) if memory and use.memory is not None else None,
        "new_memory": units.format_memory(new.memory) if new.memory is not None else None,
        "max_peak_memory_bytes": peaks[0],
        "runtime_adjusted": runtime,
        "original_runtime": units.format_duration(use.runtime) if runtime and use.runtime is not None else None,
        "new_runtime": units.format_duration(new.runtime) if new.runtime is not None else None,
        "cpu_adjusted": new.cpus is not None,
        "original_cpus": use.cpus if new.cpus is not None else None,
        "new_cpus": new.cpus,
        "max_peak_cpu_percent": peaks[1],
        "because": {
            "cause": cause if at_fault else OVER if direction == "upscale" else UNDER,
            "certainty": (use.diagnosis or {}).get("certainty") if at_fault else "certain",
            "likely_oom": at_fault and cause == "oom",
            "likely_timeout": at_fault and cause == "timeout",
            "return_code": use.return_code,
        },
        "held": None,
        "reason": None,
        "override": None,
    }
