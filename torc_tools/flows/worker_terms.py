"""What a worker is given: the room on its nodes, its time, and whether its jobs are steps of srun."""

import argparse
import os
import time
from typing import TYPE_CHECKING

from torc_tools import exits
from torc_tools.core import margins
from torc_tools.core.packing import Capacity
from torc_tools.exits import Failure
from torc_tools.flows.worker import Terms
from torc_tools.flows.worker_manifest import Policy
from torc_tools.shell import machine, stream

if TYPE_CHECKING:
    from torc_tools.core.steps import Allocation
    from torc_tools.flows.worker_steps import Surroundings

_EARLY_S = 65.0  # Slurm may send --signal up to a minute before its time
_ALWAYS = float("-inf")
_NEVER = float("inf")


def terms(args: argparse.Namespace, policy: Policy) -> Terms:
    """Give the terms of a worker. Raises Failure(69) for mode slurm where there is no srun, or no allocation."""
    gpus = machine.gpus(os.environ)
    around = _around(len(gpus)) if os.environ.get("SLURM_JOB_ID") else None
    stepped = _is_stepped(args.mode or policy.mode, around)
    now = time.monotonic()
    end = _end(args, around, now)
    headroom = policy.headroom_s
    if headroom is None:
        headroom = margins.HEADROOM_S if around is not None else 0.0
    stop_at = None if end is None else max(end - headroom - policy.lead_s, now + (end - now) / 2)
    near = _near(args, around, stop_at)
    if stepped and around is not None:
        around = around._replace(nodes={name: _room(args, node) for name, node in around.nodes.items()})
        capacity = _sum(args, list(around.nodes.values()))
        return Terms(capacity, [], end, stop_at, near, _surroundings(around, end, headroom), now)
    name = os.environ.get("SLURMD_NODENAME", "")
    own = None if around is None else around.nodes.get(name) or next(iter(around.nodes.values()))
    capacity, names = _here(args, gpus, own)
    return Terms(capacity, names, end, stop_at, near, None, now)


def _around(gpus: int) -> "Allocation | None":
    """Give the allocation that this worker is in; `gpus` are those of this machine."""
    from torc_tools.core import steps  # a machine without Slurm needs none of this

    found = steps.allocation(os.environ, machine.num_cpus(), machine.memory_bytes(), gpus)
    return found if found is None or (found.end_at is not None and found.knows_memory) else _told(found)


def _is_stepped(mode: str, around: "Allocation | None") -> bool:
    """Say whether jobs are steps of srun. Raises Failure(69) where they are to be and cannot."""
    if mode == "direct" or (mode == "auto" and (around is None or around.in_step)):
        return False
    from torc_tools.shell import steps as srun

    if mode == "slurm" and (around is None or not srun.available()):
        raise Failure(
            exits.UNAVAILABLE, f"mode slurm needs {'srun' if around else 'a Slurm allocation'}, there is none"
        )
    return srun.available()


def _surroundings(around: "Allocation", end: float | None, headroom_s: float) -> "Surroundings":
    """Make ready for steps: what srun would take for an option leaves the environment."""
    from torc_tools.core import steps
    from torc_tools.flows.worker_steps import Surroundings
    from torc_tools.shell import steps as srun

    for key in os.environ.keys() - steps.environment(os.environ).keys():
        del os.environ[key]
    return Surroundings(around, srun.Finder(), end, headroom_s)


def _here(args: argparse.Namespace, gpus: list[str], node: Capacity | None) -> tuple[Capacity, list[str]]:
    """Give the room on this machine, which in an allocation is what Slurm gave of it, and the GPUs by name."""
    if args.num_gpus is not None:
        gpus = (gpus + [str(number) for number in range(args.num_gpus) if str(number) not in gpus])[: args.num_gpus]
    counted = args.max_parallel_jobs is not None
    capacity = Capacity(
        args.num_cpus or (None if counted else node.num_cpus if node else machine.num_cpus()),
        args.memory or (None if counted else node.memory_bytes if node else machine.memory_bytes()),
        args.num_gpus if args.num_gpus is not None else None if counted else len(gpus),
        args.max_parallel_jobs,
    )
    return capacity, gpus


def _room(args: argparse.Namespace, node: Capacity) -> Capacity:
    """Give what a node of the allocation has for jobs: what Slurm gave, or less where an option says so."""

    def least(given: int | None, asked: int | None) -> int | None:
        return min((part for part in (given, asked) if part is not None), default=None)

    cpus, memory = least(node.num_cpus, args.num_cpus), least(node.memory_bytes, args.memory)
    return Capacity(cpus, memory, least(node.num_gpus, args.num_gpus), args.max_parallel_jobs)


def _sum(args: argparse.Namespace, nodes: list[Capacity]) -> Capacity:
    """Give what several nodes have together."""
    cpus, memory, gpus = (sum(node[part] or 0 for node in nodes) for part in range(3))
    return Capacity(cpus, memory, gpus, args.max_parallel_jobs)


def _end(args: argparse.Namespace, around: "Allocation | None", now: float) -> float | None:
    """Give when the time is over: as the options say, and never after the allocation."""
    ends = []
    if args.time_limit is not None:
        ends.append(now + float(args.time_limit))
    elif args.end_time is not None:
        ends.append(now + float(args.end_time) - time.time())
    if around is not None and around.end_at is not None:
        ends.append(now + around.end_at - time.time())
    return min(ends, default=None)


def _told(around: "Allocation") -> "Allocation":
    """Ask Slurm once for what the environment does not say: when the allocation ends, what memory its nodes have."""
    from torc_tools.core import slurmtext, steps
    from torc_tools.shell import slurm

    try:
        return steps.completed(around, slurmtext.job(slurm.job(around.job_id)))
    except Failure as failure:
        stream.say(f"torc-work: cannot ask Slurm for the end of job {around.job_id}: {failure}")
        return around


def _near(args: argparse.Namespace, around: "Allocation | None", stop_at: float | None) -> float:
    """Give from when on a signal means that the time is over."""
    if args.on_signal:
        return _NEVER if args.on_signal == "requeue" else _ALWAYS
    if around is None:
        return _NEVER
    return _ALWAYS if stop_at is None else stop_at - _EARLY_S
