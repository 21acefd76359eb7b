"""What is wrong with a spec, and where: all of it is collected before anything is said."""

from collections.abc import Iterable
from typing import NamedTuple

Path = tuple[str | int, ...]  # ("jobs", 3, "command") is jobs[3].command


class Problem(NamedTuple):
    """One thing that is wrong: where in the spec, and what."""

    path: Path
    text: str


class Problems(list[Problem]):
    """Problems in the order in which they were found, each path and text once; `notes` are no errors."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Problem] = []
        self._seen: set[Problem] = set()

    def add(self, path: Path, text: str) -> None:
        """Keep a problem."""
        problem = Problem(path, text)
        if problem not in self._seen:
            self._seen.add(problem)
            self.append(problem)

    def note(self, path: Path, text: str, *, once: bool = False) -> None:
        """Keep something that a person should know and that stops nothing; `once`: at the first path alone."""
        if once and Problem((), text) in self._seen:
            return
        self._seen.add(Problem((), text))
        self.notes.append(Problem(path, text))


def shown(path: Path) -> str:
    """Write a path as people do: jobs[3].resource_requirements; the top is 'spec'."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "spec"


def nearest(word: str, known: Iterable[str]) -> str:
    """Give ", did you mean 'x'?" for the known word that is nearest to `word`, or nothing where none is near."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known)[:5000], n=1)
    return f", did you mean '{found[0]}'?" if found else ""
