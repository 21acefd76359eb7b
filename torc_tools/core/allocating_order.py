"""In which order pending jobs can run, and which groups of allocations have to wait for which others."""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence

Edges = Mapping[str, Collection[str]]


def levels(
    pending: Collection[int], parents: Mapping[int, Sequence[int]], active: Collection[int], stuck: Collection[int]
) -> dict[int, int]:
    """Give each pending job its level: 1 where nothing unfinished is above it, else one more than the highest above.

    A job that runs counts as level 1. Jobs below `stuck` ones, which will not end by themselves, are left out.
    """
    children: dict[int, list[int]] = {}
    missing: dict[int, int] = {}
    for job in pending:
        above = [each for each in parents.get(job, ()) if each in pending or each in active or each in stuck]
        missing[job] = len(above)
        for parent in above:
            children.setdefault(parent, []).append(job)
    found: dict[int, int] = {}
    now = [job for job in pending if not missing[job]] + [job for job in active if job in children]
    level = 1
    while now:
        below = []
        for job in now:
            found[job] = level
            for child in children.get(job, ()):
                missing[child] -= 1
                if not missing[child]:
                    below.append(child)
        now, level = below, level + 1
    return {job: found[job] for job in pending if job in found}


def waits(edges: Edges) -> dict[str, list[str]]:
    """Give the groups that each group waits for: those whose jobs its own wait for, sorted.

    Groups that wait for each other in a circle have to run side by side: within a circle nobody waits.
    """
    circle = _circles(edges)
    return {
        name: sorted(other for other in others if other not in circle or circle[other] != circle.get(name))
        for name, others in edges.items()
    }


def in_order(names: Sequence[str], after: Mapping[str, Sequence[str]]) -> list[str]:
    """Give names so that each comes behind those that it waits for, and else as they are."""
    place = {name: number for number, name in enumerate(names)}
    followers: dict[str, list[str]] = {}
    missing = dict.fromkeys(names, 0)
    for name in names:
        for other in after[name]:
            if other in place:
                followers.setdefault(other, []).append(name)
                missing[name] += 1
    ready = [place[name] for name in names if not missing[name]]
    found = []
    while ready:
        name = names[heapq.heappop(ready)]
        found.append(name)
        for follower in followers.get(name, ()):
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready, place[follower])
    return found


def _circles(edges: Edges) -> dict[str, int]:
    """Give each group the number of its circle (strongly connected component): Tarjan's walk, without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    circle: dict[str, int] = {}
    stack: list[str] = []
    for root in edges:
        if root in index:
            continue
        todo: list[tuple[str, Iterable[str]]] = [(root, iter(sorted(edges[root])))]
        while todo:
            name, others = todo[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
            for other in others:
                if other not in edges:
                    continue
                if other not in index:
                    todo.append((other, iter(sorted(edges[other]))))
                    break
                if other not in circle:
                    low[name] = min(low[name], index[other])
            else:
                todo.pop()
                _close(name, index, low, circle, stack)
                if todo:
                    low[todo[-1][0]] = min(low[todo[-1][0]], low[name])
    return circle


def _close(name: str, index: dict[str, int], low: dict[str, int], circle: dict[str, int], stack: list[str]) -> None:
    """Where `name` is the first of its circle, take the circle off the stack."""
    if low[name] != index[name]:
        return
    while True:
        member = stack.pop()
        circle[member] = index[name]
        if member == name:
            return
