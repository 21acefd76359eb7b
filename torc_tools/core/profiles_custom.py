"""Profiles that a site writes itself: plain data of a YAML or JSON file, read with every problem and where it is."""

import re
from typing import Any

from torc_tools import units
from torc_tools.core import fieldreaders
from torc_tools.core.fieldreaders import Known, Reader, flag, text
from torc_tools.core.problems import Path, Problems, nearest
from torc_tools.core.profiles import Partition, Profile


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError("not a whole number from 0 on")
    return value


def _some(value: Any) -> int:
    if not _count(value):
        raise ValueError("not a whole number from 1 on")
    return int(value)


def _factor(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError("not a number from 0 on")
    return float(value)


def _memory(value: Any) -> int:
    return units.parse_memory(value if type(value) is int else text(value))


def _duration(value: Any) -> int:
    return units.parse_duration(text(value))


def _of(unit: int) -> Reader:
    return lambda value: _some(value) * unit


def _environment(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*=.*", text(value), re.ASCII | re.DOTALL):
        raise ValueError("not NAME=value")
    return str(value)


def _pattern(value: Any) -> str:
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return str(value)


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("not a list of texts")
    return tuple(value)


PARTITION: Known = {  # key in the file: field of Partition, how it is read
    "name": ("name", text),
    "description": ("description", text),
    "cpus_per_node": ("cpus_per_node", _some),
    "memory": ("memory_bytes", _memory),
    "memory_mb": ("memory_bytes", _of(1 << 20)),
    "max_walltime": ("max_walltime_s", _duration),
    "max_walltime_secs": ("max_walltime_s", _some),
    "gpus_per_node": ("gpus_per_node", _count),
    "gpu_type": ("gpu_type", text),
    "gpu_memory": ("gpu_memory_bytes", _memory),
    "gpu_memory_gb": ("gpu_memory_bytes", _of(1 << 30)),
    "local_disk": ("local_disk_bytes", _memory),
    "local_disk_gb": ("local_disk_bytes", _of(1 << 30)),
    "shared": ("shared", flag),
    "requires_explicit_request": ("requires_explicit_request", flag),
    "default_qos": ("default_qos", text),
    "min_nodes": ("min_nodes", _count),
    "max_nodes": ("max_nodes", _some),
    "max_nodes_per_user": ("max_nodes_per_user", _some),
    "is_default": ("is_default", flag),
    "features": ("features", _words),
}
PROFILE: Known = {
    "display_name": ("display_name", text),
    "description": ("description", text),
    "detect_env_var": ("detect_env_var", _environment),
    "detect_hostname": ("detect_hostname", _pattern),
    "default_account": ("default_account", text),
    "charge_factor_cpu": ("charge_factor_cpu", _factor),
    "charge_factor_gpu": ("charge_factor_gpu", _factor),
}
_NEEDED = {"name": "name", "cpus_per_node": "cpus_per_node", "memory_bytes": "memory", "max_walltime_s": "max_walltime"}


def read(data: Any, problems: Problems) -> list[Profile]:
    """Read the `profiles` of a file, in its order; what is wrong goes to `problems`, and its profile is left out."""
    if not isinstance(data, dict):
        problems.add((), "not a map with the key 'profiles'")
        return []
    for key in data:
        if key != "profiles":
            problems.add((key,), f"unknown key{nearest(str(key), ['profiles'])}")
    found = data.get("profiles")
    if not isinstance(found, dict) or not found:
        problems.add(("profiles",) if "profiles" in data else (), "'profiles' is not a map of profiles by their names")
        return []
    return [_profile(name, given, problems) for name, given in found.items()]


def _profile(name: str, given: Any, problems: Problems) -> Profile:
    path: Path = ("profiles", name)
    partitions = given.get("partitions") if isinstance(given, dict) else None
    fields = fieldreaders.read(given, path, PROFILE, problems, {"partitions"})
    if isinstance(given, dict) and (not isinstance(partitions, list) or not partitions):
        problems.add(
            (*path, "partitions") if "partitions" in given else path, "'partitions' is not a list of partitions"
        )
    made: list[Partition] = []
    for number, each in enumerate(partitions if isinstance(partitions, list) else []):
        at = (*path, "partitions", number)
        one = _partition(each, at, problems)
        if one is not None and any(one.name == other.name for other in made):
            problems.add((*at, "name"), f"a second partition '{one.name}'")
        if one is not None:
            made.append(one)
    fields.setdefault("display_name", name)
    return Profile(name=name, partitions=tuple(made), source="custom", **fields)


def _partition(given: Any, path: Path, problems: Problems) -> Partition | None:
    fields = fieldreaders.read(given, path, PARTITION, problems, set())
    if not isinstance(given, dict):
        return None
    told = {PARTITION[key][0] for key in given if key in PARTITION}
    missing = [key for field, key in _NEEDED.items() if field not in told]
    if missing:
        problems.add(path, f"no {', '.join(repr(key) for key in missing)}")
    if (fields.get("min_nodes") or 0) > (fields.get("max_nodes") or 1 << 41):
        problems.add((*path, "min_nodes"), "more than 'max_nodes'")
    return Partition(**fields) if all(field in fields for field in _NEEDED) else None
