"""What a reset must touch, found without the store: the oracle that tests hold torc-reset to."""

from collections.abc import Iterable, Mapping


def dependents(roots: Iterable[int], children: Mapping[int, Iterable[int]]) -> set[int]:
    """Give every job that depends on one of `roots`, directly or through others, the roots themselves left out."""
    named = set(roots)
    found: set[int] = set()
    todo = list(named)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found and child not in named:
                found.add(child)
                todo.append(child)
    return found
