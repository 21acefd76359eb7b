"""A spec made of plain command lines, as `torc-run -c CMD --param i=1:10` takes them."""

import re
from collections.abc import Sequence
from typing import Any

from torc_tools.exits import USAGE, Failure

_PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)


def spec(
    commands: Sequence[str], parameters: Sequence[str] = (), link: str = "product", name: str = ""
) -> dict[str, Any]:
    """Give the spec that runs each of `commands`, once for each combination of `parameters` ('i=1:10').

    `link` is product or zip. Jobs are named job_1, job_2, ... with the values of the parameters behind: job_1_7.
    Every parameter makes instances, whether a command holds it or not. Raises Failure(2) for what is no parameter.
    """
    if not commands:
        raise Failure(USAGE, "no command was given")
    width = len(str(len(commands)))
    given = dict(map(parameter, parameters))
    tail = "".join(f"_{{{each}}}" for each in given)
    jobs: list[dict[str, Any]] = []
    for number, command in enumerate(commands, 1):
        job: dict[str, Any] = {"name": f"job_{number:0{width}d}{tail}", "command": command}
        if given:
            job |= {"parameters": given, "parameter_mode": link}
        jobs.append(job)
    return {"name": name or title(commands[0]), "jobs": jobs}


MONITORS = ("off", "summary", "time-series", "time_series")  # torc's word for it, and that of a spec
STDIO = ("separate", "combined", "no_stdout", "no_stderr", "none")


def settings(monitor: str | None, stdio: str | None) -> dict[str, Any]:
    """Give what a spec says of sampling (one of MONITORS) and of where output goes (one of STDIO); None: nothing."""
    found: dict[str, Any] = {}
    if monitor:
        found["resource_monitor"] = {"enabled": monitor != "off"}
        if monitor != "off":
            found["resource_monitor"]["granularity"] = monitor.replace("-", "_")
    if stdio:
        found["execution_config"] = {"stdio": {"mode": stdio}}
    return found


def parameter(text: str) -> tuple[str, str]:
    """Read NAME=VALUES; the values are those of a spec ('1:10', '[a,b]', '@file', one value). Raises Failure(2)."""
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise Failure(USAGE, f"not a parameter: '{text}' (write i=1:10 or x=[a,b])")
    return match[1], match[2]


def lines(text: str) -> list[str]:
    """Give the commands of a file: one a line; blank lines and those that start with # are left out."""
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def title(command: str) -> str:
    """Give a workflow's name for a command: its first words."""
    return " ".join(command.split())[:40] or "commands"
