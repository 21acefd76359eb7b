"""torc-hpc: which cluster this is, what its partitions offer, and which of them suits a job."""

import argparse
from collections.abc import Iterator, Sequence

from torc_tools import exits, records, units
from torc_tools.core import profiles
from torc_tools.core.packing import Need
from torc_tools.core.profiles import Partition, Profile
from torc_tools.exits import Failure
from torc_tools.flows import clusters, looking
from torc_tools.records import Record
from torc_tools.shell import options, output, slurm, stream

PROG = "torc-hpc"
VERBS = ("detect", "list", "show", "partitions", "match")
PROFILES = ("name", "display_name", "source", "detected", "partition_count")
PARTITIONS = ("name", "cpus", "memory", "walltime", "gpus", "gpu_type", "max_nodes", "shared", "explicit")
USAGE = """torc-hpc detect | list
       torc-hpc show [NAME]
       torc-hpc partitions [--gpu | --cpu] [--shared] [NAME]
       torc-hpc match --cpus N --memory SIZE --walltime TIME [--gpus N]
                [--nodes N] [--profile NAME]"""
_ONLY = {  # options that mean something with one verb only
    "partitions": ("gpu", "cpu", "shared"),
    "match": ("cpus", "memory", "walltime", "gpus", "nodes", "profile"),
}


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Say which cluster this is, what its partitions offer, which of them suits a job.")
    made.usage = USAGE
    made.add_argument("verb", choices=VERBS, help="detect, list, show and match profiles; list their partitions")
    made.add_argument("name", metavar="NAME", nargs="?", help="a profile (default: that of this cluster)")
    made.add_argument("--profiles", metavar="FILE", help="a site's own profiles (default: $TORC_PROFILES)")
    _add_filters(made.add_argument_group("partitions"))
    _add_need(made.add_argument_group("match"))
    options.add_output(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `profile` and `partition` records."""
    made = parser()
    args = made.parse_intermixed_args(argv)
    _check(made, args)
    people = looking.for_people(args)
    if args.verb in ("detect", "list"):
        found = _list(args) if args.verb == "list" else [_profile(clusters.resolve(None, args.profiles), detected=True)]
        return output.emit(records.framed(PROG, None, found), args, PROFILES if people else ())
    profile = clusters.resolve(args.name or args.profile, args.profiles)
    listed = _match(profile, args) if args.verb == "match" else _partitions(profile, args)
    if people:
        columns = (*PARTITIONS, "best") if args.verb == "match" else PARTITIONS
        return output.emit(records.framed(PROG, None, map(_for_people, listed)), args, columns)
    here = profile.source == "slurm" or clusters.is_here(profile)
    head = [_profile(profile, detected=here)] if args.verb == "show" else []
    return output.emit(records.framed(PROG, None, [*head, *listed]), args)


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _add_filters(made: argparse._ArgumentGroup) -> None:
    kind = made.add_mutually_exclusive_group()
    kind.add_argument("--gpu", action="store_true", help="only partitions with GPUs")
    kind.add_argument("--cpu", action="store_true", help="only partitions without GPUs")
    made.add_argument("--shared", action="store_true", help="only partitions whose nodes are shared")


def _add_need(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--cpus", metavar="N", type=options.number, help="CPUs on each node")
    made.add_argument("--memory", metavar="SIZE", type=options.memory, help="memory on each node, such as 240g")
    made.add_argument("--walltime", metavar="TIME", type=options.duration, help="how long, such as PT4H or 04:00:00")
    made.add_argument("--gpus", metavar="N", type=options.natural, help="GPUs on each node (default: 0)")
    made.add_argument("--nodes", metavar="N", type=options.number, help="nodes (default: 1)")
    made.add_argument("--profile", metavar="NAME", help="a profile (default: that of this cluster)")


def _check(made: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that mean nothing with the verb, and a match that does not say what is needed."""
    for verb, names in _ONLY.items():
        given = [name for name in names if getattr(args, name)]
        if given and verb != args.verb:
            made.error(f"--{given[0]} is for {verb}")
    missing = [name for name in ("cpus", "memory", "walltime") if args.verb == "match" and not getattr(args, name)]
    if missing:
        made.error(f"match needs {', '.join(f'--{name}' for name in missing)}")
    if args.name and (args.verb in ("detect", "list") or args.profile):
        made.error(f"{args.verb} takes no NAME" if not args.profile else "NAME and --profile say the same")


def _list(args: argparse.Namespace) -> list[Record]:
    """List the profiles: custom, built in, and that of the Slurm that answers here, where one does."""
    offered = clusters.known(args.profiles)
    here = clusters.detected(offered)
    try:
        offered.append(clusters.live())
    except slurm.Unavailable as failure:
        stream.say(f"note: {failure.message}")
    return [_profile(each, detected=each is here or (here is None and each.source == "slurm")) for each in offered]


def _profile(profile: Profile, *, detected: bool) -> Record:
    fields = profile._asdict()
    partitions: tuple[Partition, ...] = fields.pop("partitions")
    found = {"type": "profile", **fields, "detected": detected}
    return {**found, "partition_count": len(partitions), "partitions": [each.name for each in partitions]}


def _partition(profile: Profile, partition: Partition) -> Record:
    fields = partition._asdict()
    return {"type": "partition", "profile": profile.name, **fields, "features": list(partition.features)}


def _partitions(profile: Profile, args: argparse.Namespace) -> Iterator[Record]:
    for each in profile.partitions:
        wanted = not (args.gpu and not each.gpus_per_node) and not (args.cpu and each.gpus_per_node)
        if wanted and (each.shared or not args.shared):
            yield _partition(profile, each)


def _match(profile: Profile, args: argparse.Namespace) -> list[Record]:
    """Give the partitions that fit, the best first. Raises Failure(1) where there is none, saying why."""
    need = Need(args.cpus, args.memory, args.gpus or 0, args.walltime)
    nodes = args.nodes or 1
    best = profiles.best(profile, need, nodes)
    if best is None:
        from torc_tools.core import profiles_unfit

        raise Failure(exits.EMPTY, *profiles_unfit.lines(profile, need, nodes))
    found = [best, *(each for each in profiles.matching(profile, need, nodes) if each != best)]
    return [{**_partition(profile, each), "is_best": each == best} for each in found]


def _for_people(record: Record) -> Record:
    return {
        **record,
        "cpus": record["cpus_per_node"],
        "memory": units.human_bytes(record["memory_bytes"]),
        "walltime": units.format_duration(record["max_walltime_s"]),
        "gpus": record["gpus_per_node"],
        "explicit": record["requires_explicit_request"],
        "best": record.get("is_best"),
    }


if __name__ == "__main__":
    run()
