"""The graph of a workflow: stages and cycles."""

from collections.abc import Sequence

Parents = Sequence[Sequence[int]]


def stages(parents: Parents) -> list[int]:
    """Give the stage of each job, from 1: one more than the highest of its parents; 0 for jobs in or behind a cycle."""
    children: dict[int, list[int]] = {}
    missing = [len(each) for each in parents]
    stage = [0] * len(parents)
    for job, each in enumerate(parents):
        for parent in each:
            if parent in children:
                children[parent].append(job)
            else:
                children[parent] = [job]
    level = 1
    now = [job for job, count in enumerate(missing) if not count]
    while now:
        following = []
        for job in now:
            stage[job] = level
            for child in children.get(job, ()):
                missing[child] -= 1
                if not missing[child]:
                    following.append(child)
        now, level = following, level + 1
    return stage


def cycles(parents: Parents, stage: Sequence[int], most: int = 20) -> list[list[int]]:
    """Give cycles among the jobs of stage 0, as jobs that each depend on the next, the first again at the end."""
    seen: set[int] = set()
    found = []
    for start, level in enumerate(stage):
        if level or start in seen:
            continue
        walk: dict[int, int] = {}
        job = start
        while job not in seen:
            seen.add(job)
            walk[job] = len(walk)
            job = next(parent for parent in parents[job] if not stage[parent])
        if job in walk:
            found.append([*list(walk)[walk[job] :], job])
            if len(found) == most:
                break
    return found
