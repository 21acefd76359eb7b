"""The night in order: each run of the workflow, and between them what was changed, by which command, and for whom."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools.core import morning_words
from torc_tools.core.morning import Attempt, Night
from torc_tools.records import Record

APART_S = 60.0  # changes with less between them, and no job's start, are told as one


class Item(NamedTuple):
    """One thing that was done, and the jobs that it was done for."""

    text: str
    job_ids: Sequence[int] = ()


class Entry(NamedTuple):
    """One entry of the story: when, what, and of what kind: run, change, slurm."""

    at: float
    title: str
    kind: str
    items: Sequence[Item]
    by: str = ""
    until: float | None = None


def story(night: Night) -> list[Entry]:
    """Give the story, in order of time."""
    entries = [*_runs(night), *_changes(night)]
    return sorted(entries, key=lambda each: (each.at, each.kind == "run"))


def _runs(night: Night) -> Iterable[Entry]:
    by_run: dict[int, list[Attempt]] = {}
    for attempt in night.attempts:
        if attempt.started_at is not None:
            by_run.setdefault(attempt.run_id, []).append(attempt)
    for run_id, attempts in by_run.items():
        starts = [each.started_at for each in attempts if each.started_at is not None]
        ends = [each.ended_at for each in attempts if each.ended_at is not None]
        yield Entry(min(starts), f"Run {run_id}", "run", [_summed(night, attempts)], until=max(ends, default=None))


def _summed(night: Night, attempts: Sequence[Attempt]) -> Item:
    """Say what the attempts of a run came to."""
    words = morning_words
    good = sum(each.is_good for each in attempts)
    causes = Counter(night.cause(each) for each in attempts if not each.is_good)
    parts = [f"{good:,} completed"] if good else []
    parts += [f"{count:,} {words.cause_within(cause)}" for cause, count in causes.most_common()]
    return Item(f"{words.counted(len(attempts), 'attempt')}: {', '.join(parts)}")


def _changes(night: Night) -> Iterable[Entry]:
    """Tell the changes of the journal: those that belong together as one entry."""
    told = [each for each in night.facts.changes if each["subject"] != "allocation" or _allocation(each)]
    starts = sorted(each.started_at for each in night.attempts if each.started_at is not None)
    sizes = _Sizes(night, told)
    group: list[Record] = []
    for change in told:
        if group and not _together(group[-1]["at"], change["at"], starts):
            yield _entry(sizes, group)
            group = []
        group.append(change)
    if group:
        yield _entry(sizes, group)


def _allocation(change: Record) -> str:
    """Say what became of an allocation, where that is worth telling: not that one started, or ended as it should."""
    after = change["after"] or {}
    if after.get("status") == "queued" and after.get("slurm_job_id"):
        return "submitted"
    return after["status"] if after.get("status") in ("canceled", "lost") else ""


def _together(before: float, after: float, starts: Sequence[float]) -> bool:
    """Say whether two changes are told as one: little time between them, in which no job started."""
    return after - before < APART_S and bisect_left(starts, before) == bisect_left(starts, after)


def _entry(sizes: "_Sizes", changes: Sequence[Record]) -> Entry:
    commands = list(dict.fromkeys(each["command"] for each in changes))
    recovery = {"torc-apply", "torc-reset"} <= set(commands)
    resized = _resized(changes, sizes)
    grown = {job_id for item in resized for job_id in item.job_ids}
    items = [*resized, *_started_over(changes, grown), *_others(changes), *_slurm(changes)]
    slurm = all(each["subject"] == "allocation" for each in changes)
    title = "Recovery" if recovery else "Slurm" if slurm else "Changed"
    by = f"{', '.join(commands)} · {changes[0]['who']}"
    return Entry(changes[0]["at"], title, "slurm" if slurm else "change", items, by=by)


class _Sizes:
    """What each requirement row asked for before each change, and for whom: the journal read backwards from now."""

    def __init__(self, night: Night, changes: Sequence[Record]) -> None:
        self.before: dict[int, Record] = {}  # by change
        self.users: dict[int, list[int]] = {}  # by change: the jobs that use the row afterwards
        self._now = {row: dict(each) for row, each in night.facts.requirements.items()}
        self._using: dict[Any, set[int]] = {}
        for job in night.facts.jobs:
            self._using.setdefault(job.resource_requirements_id, set()).add(job.job_id)
        for change in reversed(changes):
            if change["subject"] == "resource_requirements":
                self._row(change)
            elif change["subject"] == "job" and "resource_requirements_id" in (change["after"] or {}):
                self._using.get(change["after"]["resource_requirements_id"], set()).discard(change["subject_id"])
                old = (change["before"] or {}).get("resource_requirements_id")
                self._using.setdefault(old, set()).add(change["subject_id"])

    def _row(self, change: Record) -> None:
        before, after, row = change["before"], change["after"] or {}, change["subject_id"]
        if before is None:  # a copy: its jobs are pointed at it by the changes that follow
            self.before[change["change_id"]] = dict(self._now.get(after.get("copy_of") or 0, {}))
            return
        self._now[row] = {**self._now.get(row, {}), **before}
        self.before[change["change_id"]] = self._now[row]
        self.users[change["change_id"]] = sorted(self._using.get(row, ()))


def _resized(changes: Sequence[Record], sizes: _Sizes) -> list[Item]:
    """Say which requests grew or shrank: one item for each (old, new), with the jobs that it was for."""
    moved: dict[int, list[int]] = {}
    for each in changes:
        made = (each["after"] or {}).get("resource_requirements_id") if each["subject"] == "job" else None
        if made is not None:
            moved.setdefault(made, []).append(each["subject_id"])
    found: dict[str, list[int]] = {}
    for each in changes:
        if each["subject"] == "resource_requirements":
            for text in _differences(sizes.before.get(each["change_id"], {}), each["after"] or {}):
                users = sizes.users.get(each["change_id"]) or moved.get(each["subject_id"], [])
                found.setdefault(text, []).extend(users)
    return [Item(text, job_ids) for text, job_ids in found.items()]


_FORMS: dict[str, tuple[str, Callable[[Any], str]]] = {  # column of a requirement -> its name, how it is written
    "memory_bytes": ("memory", morning_words.size),
    "runtime_s": ("time", morning_words.span),
    "num_cpus": ("CPUs", str),
    "num_gpus": ("GPUs", str),
    "num_nodes": ("nodes", str),
}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    for column, (name, write) in _FORMS.items():
        if column in after and after[column] != before.get(column):
            yield f"{name} {write(before.get(column))} → {write(after[column])}"


def _started_over(changes: Sequence[Record], resized: Container[int]) -> Iterable[Item]:
    """Say how many jobs a reset named and how many depend on them, and which of the named have what they had."""
    named = [each["subject_id"] for each in changes if _reset(each) == "named"]
    behind = sum(_reset(each) == "dependent" for each in changes)
    if not named:
        return
    same = [job_id for job_id in named if job_id not in resized]
    if same:
        yield Item("as before", same)
    text = f"{morning_words.counted(len(named), 'job')} started over"
    them = "them" if len(named) > 1 else "it"
    yield Item(f"{text}, and {behind:,} that depend on {them}" if behind else text)


def _reset(change: Record) -> Any:
    return (change["why"] or {}).get("reset") if change["subject"] == "job" else None


def _others(changes: Sequence[Record]) -> list[Item]:
    """Tell every other change: what became what, and for how many jobs."""
    found: dict[str, list[int]] = {}
    for each in changes:
        after = each["after"] or {}
        if each["subject"] == "workflow" and after.get("is_canceled") and not (each["before"] or {}).get("is_canceled"):
            found.setdefault("the workflow was canceled", [])
        elif each["subject"] == "job" and not _reset(each) and "resource_requirements_id" not in after:
            found.setdefault(_fields(each["before"] or {}, after), []).append(each["subject_id"])
    return [Item(text, job_ids) for text, job_ids in found.items() if text]


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    shown = [f"{key.replace('_', ' ')}: {before.get(key)} → {value}" for key, value in after.items() if key != "worker"]
    return ", ".join(shown)


def _slurm(changes: Sequence[Record]) -> list[Item]:
    """Say how many allocations were submitted, canceled or lost."""
    found = Counter(_allocation(each) for each in changes if each["subject"] == "allocation")
    return [Item(f"{morning_words.counted(count, 'allocation')} {what}") for what, count in found.items()]
