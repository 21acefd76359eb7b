"""(a) The start of each command, beside bare Python and jq."""

import tomllib
from collections.abc import Callable
from pathlib import Path

from benchlib.measure import ROOT, VENV, Usage, interleaved, run
from benchlib.table import Row, ratio

ROUNDS = 15
_BARE = "python3 -c pass"


def commands() -> list[str]:
    """Give the names of the console scripts of the project."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return sorted(tomllib.load(file)["project"]["scripts"])


def measured(folder: Path, _at_most: int) -> list[Row]:
    """Measure --version of each command, by its launcher in bin/ and by its console script."""
    cases: dict[str, Callable[[int], Usage]] = {
        _BARE: _case(folder, VENV / "python3", "-c", "pass"),
        "jq --version": _case(folder, "jq", "--version"),
    }
    for name in commands():
        cases[f"{name} --version, bin/"] = _case(folder, ROOT / "bin" / name, "--version")
        cases[f"{name} --version, console script"] = _case(folder, VENV / name, "--version")
    taken = interleaved(cases, ROUNDS)
    bare = taken[_BARE].wall_s
    return [_row(name, usage, bare) for name, usage in taken.items()]


def _case(folder: Path, *argv: str | Path) -> Callable[[int], Usage]:
    return lambda _round: run(argv, folder)


def _row(name: str, usage: Usage, bare: float) -> Row:
    peers = "" if name == _BARE else f"{ratio(usage.wall_s, bare)} {_BARE}"
    note = f"exit status {usage.status}!" if usage.status else ""
    aim = "4x bare" if name.startswith("torc-") else ""
    return Row("start", name, usage.wall_s * 1000, "ms", ROUNDS, None, peers, aim, note=note)
