"""Which cluster this is: a site's own profile, one that torc knows, or the Slurm that answers here."""

import os
import re
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.core import profiles_builtin
from torc_tools.core.profiles import Profile
from torc_tools.exits import Failure
from torc_tools.shell import slurm
from torc_tools.texts import visible

LIVE = "slurm"  # names the cluster that answers here, whatever its name


def resolve(name: str | None = None, profiles_file: str | None = None) -> Profile:
    """Give the profile `name`, or without one that of this cluster: a custom one, one built in, else as Slurm says.

    `profiles_file`, else $TORC_PROFILES, holds the custom ones. Raises Failure(66) for an unknown name, Failure(65)
    for a bad file, Unavailable (69) where no profile says that it is here, and Slurm does not answer.
    """
    offered = known(profiles_file)
    if name is None:
        return detected(offered) or live()
    found = next((each for each in offered if each.name == name), None)
    if found is not None:
        return found
    names = ", ".join(each.name for each in offered)
    if name != LIVE:
        try:
            here = live()
        except slurm.Unavailable:
            here = None
        if here is not None and here.name == name:
            return here
        names += f", {here.name}" if here else ""
        raise Failure(
            exits.NO_INPUT, f"no profile '{name}' (there are: {names}; '{LIVE}': the cluster that answers here)"
        )
    return live()


def known(profiles_file: str | None = None) -> list[Profile]:
    """Give the custom profiles and those built in; a custom one hides one of the same name."""
    own = custom(profiles_file)
    taken = {each.name for each in own}
    return [*own, *(each for each in profiles_builtin.ALL if each.name not in taken)]


def detected(offered: Sequence[Profile]) -> Profile | None:
    """Give the first profile that says that it is here: by an environment variable or by the name of this machine."""
    return next((each for each in offered if is_here(each)), None)


def is_here(profile: Profile) -> bool:
    """Say whether a profile is that of this machine."""
    if profile.detect_env_var is not None:
        name, _, value = profile.detect_env_var.partition("=")
        if os.environ.get(name) == value:
            return True
    pattern = profile.detect_hostname
    return pattern is not None and re.search(pattern, os.uname().nodename) is not None


def live(timeout_s: float = slurm.TIMEOUT_S) -> Profile:
    """Ask the Slurm that answers here what it has, at most `timeout_s` for each question. Raises Unavailable."""
    from torc_tools.core import slurmcluster  # a cluster with a profile is not asked

    found = slurmcluster.profile(
        slurm.sinfo(timeout_s), slurm.partitions(timeout_s), slurm.config(timeout_s), slurm.nodes(timeout_s)
    )
    if not found.partitions:
        raise slurm.Unavailable("Slurm has no partition here")
    return found


def custom(profiles_file: str | None = None) -> list[Profile]:
    """Read the site's own profiles, none where no file is named. Raises Failure(65) with every problem, (66)."""
    file = profiles_file or os.environ.get("TORC_PROFILES")
    if not file:
        return []
    from torc_tools.core import profiles_custom  # most have no such file
    from torc_tools.core.problems import Problems, shown
    from torc_tools.shell import specfile

    spec = specfile.load(file)
    problems = Problems()
    found = profiles_custom.read(spec.data, problems)
    if problems:
        problems.sort(key=lambda problem: spec.line_of(problem.path) or 0)
        lines = []
        for problem in problems:
            line = spec.line_of(problem.path)
            at = f":{line}" if line else ""
            lines.append(visible(f"{spec.name}{at}: {shown(problem.path)}: {problem.text}"))
        raise Failure(exits.DATA, *lines)
    return found
