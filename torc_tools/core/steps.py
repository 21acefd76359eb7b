"""Steps of srun: the allocation as its environment tells of it, how a step is asked for, what srun's own words mean.

srun relays a job's output to files and tells of the job's end in words of its own, which are kept apart: a code with
no word of a task is srun's, not the job's.
"""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torc_tools.core import slurmvalues
from torc_tools.core.packing import Capacity

_KEPT = re.compile(  # what a step inherits; everything else that begins so is an option of srun, sbatch or salloc
    r"SLURM_(CONF|CONF_SERVER|JWT|CLUSTER_NAME|JOB_.*|JOBID|RESTART_COUNT|ARRAY_.*|SUBMIT_.*|TOPOLOGY_.*"
    r"|WORKING_CLUSTER|NODELIST|NNODES|HET_SIZE)"
)
_OPTIONS = re.compile(r"(SLURM|SRUN|SLURMD|SBATCH|SALLOC)_.*")
_HEEDED = re.compile(rf"{_OPTIONS.pattern}|SLURMSTEPD_.*|LD_.*|PMI_.*|PMIX_.*")
_ENDED = re.compile(r"^srun: (?:error: )?\S+: tasks? [\d,\[\]-]+: (.*)$", re.MULTILINE)
_OOM = re.compile(r"Out Of Memory|oom[-_ ]kill", re.IGNORECASE)
_NODE_FAILED = re.compile(r"^srun: error: Node failure on ", re.MULTILINE)
_NEVER = re.compile(
    r"More processors requested than permitted|Requested node configuration is not available|Memory required by task"
    r"|Invalid (?:generic resource|number of|partition|qos|account)|unrecognized option|invalid option"
    r"|Invalid (?:mpi|plugin)|Couldn't find the specified plugin",
    re.IGNORECASE,
)
_WAITING = re.compile(r"step creation (?:temporarily|still) disabled", re.IGNORECASE)
_CREATED = re.compile(r"Step created for", re.IGNORECASE)
_DULL = re.compile(
    r"step creation (?:temporarily|still) disabled|Step created for|Exited with exit code", re.IGNORECASE
)
_SAID = 1000  # characters of srun's words that an event keeps


class Allocation(NamedTuple):
    """What the environment says of the allocation that a worker is in. `nodes` with what each has."""

    job_id: str
    nodes: dict[str, Capacity]
    in_step: bool  # this worker itself was started by srun
    has_gpus: bool
    knows_memory: bool  # the environment says how much there is
    end_at: float | None
    restart_count: int


class Step(NamedTuple):
    """What one step is asked for. Memory None: all of the allocation's, shared with others; 0 GPUs: none."""

    allocation: str
    name: str
    node: str | None
    num_cpus: int
    memory_bytes: int | None
    num_gpus: int
    no_gpus: bool  # say that it gets none: the allocation has some
    minutes: int | None
    overlap: bool
    bind: bool
    mpi: str | None


class Said(NamedTuple):
    """What srun's words mean. `words` are those worth keeping."""

    ended: bool  # a task ended: the code is the job's
    by_signal: bool  # a signal ended it
    oom: bool
    node_failed: bool  # srun gave the step up, with any code; it may live on
    never: bool  # such a step cannot be made here
    waiting: bool  # it waits for the controller to make the step
    words: str | None


def allocation(environ: Mapping[str, str], cpus: int, memory_bytes: int, gpus: int) -> Allocation | None:
    """Read the environment of a Slurm job; None outside of one. The figures are this machine's, where Slurm is silent.

    A worker that srun started on one node of several has that node alone.
    """
    job_id = environ.get("SLURM_JOB_ID")
    if not job_id:
        return None
    in_step = environ.get("SLURM_STEP_ID", "").isdigit()
    per_node = in_step and _count(environ, "SLURM_NTASKS", 1) > 1
    own = environ.get("SLURMD_NODENAME")
    names = slurmvalues.hosts(environ.get("SLURM_JOB_NODELIST") or environ.get("SLURM_NODELIST") or "")
    if per_node or not names:
        names = [own or "localhost"]
    counts = _per_node(environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    if per_node or len(counts) != len(names):
        counts = [_count(environ, "SLURM_CPUS_ON_NODE", cpus)] * len(names)
    have = _count(environ, "SLURM_GPUS_ON_NODE", gpus)
    memory = [_memory(environ, number) for number in counts]
    nodes = {
        name: Capacity(number, size or memory_bytes, have, None)
        for name, number, size in zip(names, counts, memory, strict=True)
    }
    end_at = slurmvalues.moment(environ.get("SLURM_JOB_END_TIME", ""))
    restarts = _count(environ, "SLURM_RESTART_COUNT", 0)
    return Allocation(job_id, nodes, in_step, have > 0, all(memory), end_at, restarts)


def completed(found: Allocation, job: Mapping[str, str]) -> Allocation:
    """Give an allocation with what `scontrol show job` says besides: its end, and the memory of a node."""
    end_at = found.end_at or slurmvalues.moment(job.get("EndTime", ""))
    match = re.search(r"\bmem=([^,]+)", job.get("AllocTRES") or job.get("TRES") or "")
    size = slurmvalues.size(match[1]) if match else None
    count = slurmvalues.number(job.get("NumNodes", "")) or len(found.nodes)
    if size is None or found.knows_memory:
        return found._replace(end_at=end_at)
    nodes = {name: node._replace(memory_bytes=size // count) for name, node in found.nodes.items()}
    return found._replace(end_at=end_at, nodes=nodes)


def _memory(environ: Mapping[str, str], cpus: int) -> int | None:
    per_node, per_cpu = _count(environ, "SLURM_MEM_PER_NODE", 0), _count(environ, "SLURM_MEM_PER_CPU", 0)
    return (per_node or per_cpu * cpus) << 20 or None


def _count(environ: Mapping[str, str], key: str, otherwise: int) -> int:
    found = slurmvalues.number(environ.get(key, ""))
    return otherwise if found is None else found


def _per_node(text: str) -> list[int]:
    """Give the numbers of '4(x2),8'."""
    counts: list[int] = []
    for number, times in re.findall(r"(\d{1,6})(?:\(x(\d{1,6})\))?", text, re.ASCII):
        counts += [int(number)] * int(times or 1)
    return counts


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give an environment without what srun would take for its options."""
    return {key: value for key, value in environ.items() if _KEPT.fullmatch(key) or not _OPTIONS.fullmatch(key)}


def apart(env: Mapping[str, str], environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Split the environment of a job: what srun is started with, and words before the command line that set the rest.

    What srun itself or its loader would heed is as in `environ`, the worker's; the job alone gets its own.
    """
    own = {key: value for key, value in env.items() if _HEEDED.fullmatch(key) and environ.get(key) != value}
    outer = {key: value for key, value in environ.items() if key in own}
    given = {key: value for key, value in env.items() if key not in own}
    return given | outer, "".join(f"export {key}={shlex.quote(value)}; " for key, value in own.items())


def minutes(runtime_s: float | None, left_s: float | None, headroom_s: float) -> int | None:
    """Give the time limit of a step, a net below the worker's own: what is left less head room, rounded up.

    Never less than the job's runtime; None where nothing is known of the end.
    """
    if left_s is None:
        return None
    return max(1, math.ceil((left_s - headroom_s) / 60), math.ceil((runtime_s or 0) / 60))


def delay_s(place: int, count: int) -> float:
    """Give how long the allocation at `place` (from 0) of `count` waits before its first job; the first one never."""
    if count < 2:
        return 0.0
    window = min(60, count if count <= 10 else 10 + (count - 10) * 5 // 9)
    return window * place / count


def argv(step: Step, output: tuple[str | None, str | None], command: Sequence[str]) -> list[str]:
    """Give the words that run `command` as a step, its output in files."""
    out, err = output
    words = ["srun", f"--jobid={step.allocation}", f"--job-name={step.name}", "--nodes=1", "--ntasks=1"]
    words += ["--overlap"] if step.overlap else ["--exact"]
    words += [f"--nodelist={step.node}"] if step.node else []
    words += [f"--cpus-per-task={step.num_cpus}"]
    words += [f"--mem={-(-step.memory_bytes >> 20)}M" if step.memory_bytes else "--mem=0"]
    words += [f"--gpus={step.num_gpus}"] if step.num_gpus else ["--gres=none"] if step.no_gpus else []
    words += [f"--time={step.minutes}"] if step.minutes else []
    words += [] if step.bind else ["--cpu-bind=none"]
    words += [f"--mpi={step.mpi}"] if step.mpi else []
    words += ["--kill-on-bad-exit=0", "--wait=0", "--export=ALL", "--input=none", "--open-mode=truncate"]
    words += [f"--output={_pattern(out)}"]
    words += [] if out == err and out is not None else [f"--error={_pattern(err)}"]
    return [*words, *command]


def wide(nodes: Sequence[str]) -> str:
    """Give what stands before the command line of a job with several nodes: what its own srun steps start from.

    The job's first process runs on the first of them, and holds nothing, so that the steps it makes have it all.
    """
    names = ",".join(nodes)
    count = len(nodes)
    ours = f"TORC_NODELIST={names} TORC_NUM_NODES={count}"
    slurms = f"SLURM_NODELIST={names} SLURM_JOB_NODELIST={names} SLURM_NNODES={count} SLURM_JOB_NUM_NODES={count}"
    drop = "SLURM_NTASKS SLURM_NPROCS SLURM_CPUS_PER_TASK SLURM_TASKS_PER_NODE SLURM_MEM_PER_NODE SLURM_OVERLAP"
    bind = "SLURM_CPU_BIND SLURM_CPU_BIND_TYPE SLURM_CPU_BIND_LIST SLURM_CPU_BIND_VERBOSE SLURM_DISTRIBUTION"
    return f"export {ours} {slurms}; unset {drop} {bind}; "


def _pattern(path: str | None) -> str:
    """Give a path as srun reads it, where '%' begins a pattern and a backslash ends the meaning of every '%'."""
    if path is None:
        return "/dev/null"
    return path if "\\" in path else path.replace("%", "%%")


def said(text: str) -> Said:
    """Read what srun wrote on its own standard error."""
    ends = _ENDED.findall(text)
    kept = [line for line in text.splitlines() if line.strip() and not _DULL.search(line)]
    return Said(
        ended=bool(ends),
        by_signal=bool(ends) and not any("exit code" in end or "Out Of Memory" in end for end in ends),
        oom=bool(_OOM.search(text)),
        node_failed=bool(_NODE_FAILED.search(text)),
        never=bool(_NEVER.search(text)) and not ends,
        waiting=bool(_WAITING.search(text)) and not ends and not _CREATED.search(text),
        words="\n".join(kept)[-_SAID:] or None,
    )
