"""The order in which a workflow goes: which jobs become ready together, after which others. Pure."""

from collections.abc import Mapping, Sequence

from torc_tools.core import graph
from torc_tools.records import Record


def stages(workflow_id: int | None, jobs: Sequence[Record], parents: Mapping[int, Sequence[int]]) -> list[Record]:
    """Give a `stage` record for each set of jobs that wait for the same others, in the order of the graph.

    `jobs` are job records in order of id, `parents` gives the ids that a job waits for.
    """
    place = {job["job_id"]: at for at, job in enumerate(jobs)}
    levels = graph.stages([[place[parent] for parent in parents.get(job["job_id"], ())] for job in jobs])
    groups: dict[tuple[int, ...], list[int]] = {}
    for at in sorted(range(len(jobs)), key=lambda each: (levels[each], each)):
        groups.setdefault(tuple(sorted(parents.get(jobs[at]["job_id"], ()))), []).append(at)
    ids = _ids(groups, {job["job_id"]: job["job_name"] for job in jobs})
    home = {jobs[at]["job_id"]: ids[waits] for waits, members in groups.items() for at in members}
    unlocks: dict[str, dict[str, None]] = {}
    made = []
    for waits, members in groups.items():
        behind = list(dict.fromkeys(home[parent] for parent in waits))
        for each in behind:
            unlocks.setdefault(each, {})[ids[waits]] = None
        named = [jobs[at] for at in members]
        where = {"type": "stage", "workflow_id": workflow_id, "stage": levels[members[0]], "event": ids[waits]}
        waited = [jobs[place[parent]]["job_name"] for parent in waits]
        made.append({**where, **_needs(named), "waits_for": waited, "depends_on": behind})
    return [{**record, "unlocks": list(unlocks.get(record["event"], ()))} for record in made]


def _ids(groups: Mapping[tuple[int, ...], object], names: Mapping[int, str]) -> dict[tuple[int, ...], str]:
    """Name each set: 'start', 'after_A', 'after_A_and_2_more'; a number follows where two have one name."""
    found: dict[tuple[int, ...], str] = {}
    used: dict[str, int] = {}
    for waits in groups:
        more = f"_and_{len(waits) - 1}_more" if len(waits) > 1 else ""
        name = f"after_{names[waits[0]]}{more}" if waits else "start"
        used[name] = used.get(name, 0) + 1
        found[waits] = name if used[name] == 1 else f"{name}#{used[name]}"
    return found


def _needs(jobs: Sequence[Record]) -> Record:
    """Give the jobs of a set, and what they need when all run at once."""
    memory, runtimes = [job["memory_bytes"] for job in jobs], [job["runtime_s"] for job in jobs]
    return {
        "job_count": len(jobs),
        "job_ids": [job["job_id"] for job in jobs],
        "job_names": [job["job_name"] for job in jobs],
        "num_cpus": sum(job["num_cpus"] for job in jobs),
        "memory_bytes": None if None in memory else sum(memory),
        "runtime_s": None if None in runtimes else max(runtimes),
    }
