"""From pending jobs to `allocation` records: what to ask Slurm for, so that every pending job can run.

Deterministic: the same facts and options give the same records in the same order. The caller adds token and plan.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from torc_tools.core import allocating_groups, allocating_order, allocating_own, allocating_size
from torc_tools.core.allocating_cover import Coverage
from torc_tools.core.allocating_facts import Facts, Options
from torc_tools.core.allocating_groups import Group
from torc_tools.core.profiles import Profile
from torc_tools.records import Record


class Planned(NamedTuple):
    """A plan: its records, and the numbers of jobs that were left out.

    covered: jobs that live allocations will run. stuck: jobs below one that will not end by itself or fits nowhere.
    is_canceled: the workflow is, and nothing was planned.
    """

    records: list[Record]
    pending: int
    covered: int
    stuck: int
    is_canceled: bool = False


def plan(facts: Facts, options: Options, profile: Profile) -> Planned:
    """Plan the allocations of a workflow; for one that is canceled there are none."""
    if facts.workflow.get("is_canceled"):
        return Planned([], len(facts.jobs), 0, 0, is_canceled=True)
    pending = {job.job_id: job.slurm_scheduler_id for job in facts.jobs}
    groups, levels = _groups(facts, options, profile, pending)
    cover = Coverage(facts)
    _defer_actions(groups, facts, pending)
    new = _uncovered(groups, facts, cover, pending)
    allocating_groups.name(new, cover.names())
    edges = _edges(new, facts)
    after = allocating_order.waits(edges)
    last = max((int(row["allocation_id"]) for row in facts.allocations), default=0)
    by_name = {group.name: group for group in new}
    records = []
    for name in allocating_order.in_order(list(by_name), after):
        group = by_name[name]
        live = cover.holders(_awaited(group, facts)) if group.is_deferred else set()
        waits = sorted({*after[name], *live})
        records += [
            {**record, "after_groups": waits, "planned_after": last} for record in _records(group, facts, options)
        ]
    kept = sum(len(group.jobs()) for group in new)
    return Planned(records, len(pending), len(levels) - kept, len(pending) - len(levels))


def _groups(
    facts: Facts, options: Options, profile: Profile, pending: Collection[int]
) -> tuple[list[Group], dict[int, int]]:
    """Give the groups, and the level of each job that has one; what is below a job that fits nowhere has none."""
    levels = allocating_order.levels(pending, facts.parents, facts.active, facts.stuck)
    groups = allocating_groups.Planner(facts, options, profile, levels).groups()
    misfits = [group for group in groups if group.misfit is not None]
    if not misfits:
        return groups, levels
    bad = {job: levels[job] for group in misfits for job in group.jobs()}
    rest = [job for job in pending if job not in bad]
    levels = allocating_order.levels(dict.fromkeys(rest), facts.parents, facts.active, {*facts.stuck, *bad})
    fitting = allocating_groups.Planner(facts, options, profile, levels).groups()
    return sorted([*fitting, *misfits], key=Group.order), levels | bad


def _records(group: Group, facts: Facts, options: Options) -> Iterable[Record]:
    if group.misfit is not None:
        return [allocating_size.unplannable(group, facts)]
    made = allocating_size.records(group, facts, options, facts.default_account)
    return allocating_size.with_gres(made, group)


def _uncovered(groups: list[Group], facts: Facts, cover: Coverage, pending: dict[int, int | None]) -> list[Group]:
    """Give the groups that need new allocations, without the jobs that live ones will run."""
    new: list[Group] = []
    planned: set[int] = set()
    for group in groups:
        if group.misfit is None and cover.live:
            after_new = group.is_deferred and not planned.isdisjoint(_awaited(group, facts))
            cover.cover(group, pending, after_new=after_new)
        if group.buckets or (group.action is not None and not cover.live):
            new.append(group)
            planned.update(group.jobs() if group.misfit is None else ())
    return new


def _defer_actions(groups: Iterable[Group], facts: Facts, pending: dict[int, int | None]) -> None:
    """Mark the groups of actions that wait for jobs which have not ended."""
    for group in groups:
        if group.action is not None:
            group.is_deferred = any(job in pending or job in facts.active for job in _awaited(group, facts))


def _awaited(group: Group, facts: Facts) -> set[int]:
    return allocating_own.awaited(group.action, group.jobs(), facts)


def _edges(groups: Iterable[Group], facts: Facts) -> dict[str, set[str]]:
    """Give for each group the others in which the jobs run that it waits for; what fits nowhere is not waited for."""
    home = {job: group for group in groups if group.misfit is None for job in group.jobs()}
    found: dict[str, set[str]] = {}
    for group in groups:
        above = _awaited(group, facts) if group.is_deferred else set()
        found[group.name] = {home[job].name for job in above if job in home and home[job] is not group}
    return found
