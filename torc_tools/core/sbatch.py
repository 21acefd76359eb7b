r"""What sbatch is given for one allocation: the script, and the options that have to stand on its command line.

A `#SBATCH` line is read by sbatch itself: it splits at blanks, knows both quotes and the backslash, and takes '#' for a
comment; in the paths of output '%' begins a pattern, and a backslash ends the meaning of every '%'.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torc_tools.exits import DATA, Failure
from torc_tools.records import Record, may, need
from torc_tools.texts import visible

LEAST_LEAD_S = 60  # Slurm may send a signal up to a minute early or late
_LINE = 4000  # bytes of a value up to which sbatch surely reads a line whole
_OURS_BEGIN = "torc:"  # of a comment
_IDS = 100_000  # characters of a dependency: one argument of a command line holds 131,072
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_OUR_NAME = re.compile(r"torc_wf[0-9]+_(a[0-9]+|s[A-Za-z0-9.-]+)_[A-Za-z0-9_-]{8}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_NAMING = ("job-name", "comment", "dependency", "chdir", "output", "error", "input", "open-mode", "signal")
_OTHER = (
    "array",
    "wait",
    "wrap",
    "parsable",
    "test-only",
    "clusters",
    "cluster",
    "export-file",
    "hold",
    "help",
    "usage",
)
_OURS = frozenset((*_NAMING, *_OTHER))  # what torc-submit says itself, or what makes something else of an allocation
_SPELLED = {"C": "constraint", "q": "qos", "D": "chdir", "o": "output", "e": "error", "J": "job-name", "W": "wait"}
_TEXTS = ("token", "plan", "account", "partition", "gres", "qos", "reservation", "constraint", "extra", "tmp", "mode")
_MODES = ("auto", "slurm", "direct")
_COUNTS = ("number", "num_allocations", "job_count", "nodes", "num_cpus", "num_gpus", "memory_bytes")

Options = list[tuple[str, str | None]]


class Place(NamedTuple):
    """Where an allocation runs and writes: the folder, and Slurm's output up to the job id and after it."""

    chdir: str
    output_stem: str


class Mark(NamedTuple):
    """What tells an allocation from another Slurm job that was given its id: a controller may forget, and count anew.

    The comment says it where it is one of ours, else the name: a site may set comments, a user may give names.
    """

    name: str
    comment: str

    def fits(self, name: str, comment: str | None) -> bool:
        """Say whether a Slurm job so called is the allocation."""
        return comment == self.comment if (comment or "").startswith(_OURS_BEGIN) else name == self.name


class Names(NamedTuple):
    """How an allocation is called: its ids, the workflow's name, the name of its Slurm job."""

    workflow_id: int
    workflow_name: str
    allocation_id: int
    job_name: str


def wanted(record: Record) -> bool:
    """Say whether a record asks for an allocation of Slurm."""
    return record["type"] == "allocation" and record.get("status") == "planned"


def check(record: Record) -> None:
    """Refuse an `allocation` record that sbatch could not be given (65); every other record is let through."""
    if record["type"] == "allocation":
        need(record, "status", str)
    if not wanted(record):
        return
    if need(record, "kind", str) != "slurm":
        raise Failure(DATA, f"allocation: '{record['kind']}' cannot be submitted, only 'slurm'")
    if not _TOKEN.fullmatch(need(record, "token", str)):
        raise Failure(DATA, "allocation: 'token' is not 8 to 64 letters, digits, '-' and '_'")
    for key in ("workflow_id", "walltime_s"):
        if need(record, key, int) < 1:
            raise Failure(DATA, f"allocation: '{key}' is {record[key]}, below 1")
    need(record, "group", str)
    _check_fields(record)


def _check_fields(record: Record) -> None:
    """Refuse optional fields of the wrong kind."""
    for key in _TEXTS:
        _refuse_control(key, may(record, key, (str, int)))
    for key in (*_COUNTS, "planned_after", "slurm_scheduler_id", "max_parallel_jobs"):
        if (may(record, key, int) or 0) < 0:
            raise Failure(DATA, f"allocation: '{key}' is {record[key]}, below 0")
    if record.get("mode") not in (None, *_MODES):
        raise Failure(DATA, f"allocation: 'mode' is '{record['mode']}', not one of {', '.join(_MODES)}")
    for group in may(record, "after_groups", list) or ():
        need({"type": "allocation", "after_groups": group}, "after_groups", str)
    for key, value in (may(record, "sbatch", dict) or {}).items():
        _refuse_control(key, value)


def is_ours(name: str) -> bool:
    """Tell whether a Slurm job of this name is an allocation of a workflow: whether `job_name` gives such names."""
    return _OUR_NAME.fullmatch(name) is not None


def job_name(record: Record, allocation_id: int, workflow_token: str) -> str:
    """Give the name of the Slurm job: its own, or for a chain of allocations (singleton) one for the whole chain."""
    workflow_id = record["workflow_id"]
    if record.get("singleton"):
        chain = record.get("slurm_scheduler_id") or re.sub(r"[^A-Za-z0-9.-]", "-", record["group"])[:80]
        return f"torc_wf{workflow_id}_s{chain}_{workflow_token[:8]}"
    return f"torc_wf{workflow_id}_a{allocation_id}_{record['token'][:8]}"


def comment(token: str) -> str:
    """Give the comment by which an allocation is found again."""
    return f"{_OURS_BEGIN}{token}"


def mark(record: Record, allocation_id: int, workflow_token: str) -> Mark | None:
    """Give what an allocation is known by; None where its record does not say."""
    if not record.get("token") or not record.get("group"):
        return None
    return Mark(job_name(record, allocation_id, workflow_token), comment(record["token"]))


def dependency(record: Record, after: Sequence[str]) -> tuple[str | None, list[str]]:
    """Give what an allocation waits for, as --dependency says it, and which of the job ids `after` it names.

    Of very many the newest are named: to start a little early costs a wait of the worker, nothing else.
    """
    named: list[str] = []
    room = _IDS
    for job_id in reversed(after):
        room -= len(job_id) + 1
        if room < 0:
            break
        named.insert(0, job_id)
    parts = ["singleton"] if record.get("singleton") else []
    parts += [":".join(["afterany", *named])] if named else []
    return ",".join(parts) or None, named


def command_line(record: Record, names: Names, place: Place, lead_s: float, after: Sequence[str]) -> list[str]:
    """Give the options that stand before the script's path: what names the job, and what no line can hold."""
    waits, _ = dependency(record, after)
    found: Options = [("job-name", names.job_name), ("comment", comment(record["token"])), ("dependency", waits)]
    found += [(key, value) for key, value in _options(record, place, lead_s) if not _fits(value)]
    return [_word(key, value) for key, value in found if key != "dependency" or value]


def question(record: Record) -> list[str]:
    """Give what a record asks for as words for `sbatch --test-only`, which says when such a job would start."""
    asked = [(key, str(value)) for key, value in _asked(record) if value]
    return [*(_word(*each) for each in (*_defaults(record), *asked)), *_words(record.get("extra") or ""), "--wrap=true"]


def _words(extra: str) -> list[str]:
    try:
        return shlex.split(extra)
    except ValueError:  # a quote without its other half: sbatch says what it thinks of it
        return extra.split()


def script(record: Record, names: Names, place: Place, lead_s: float, worker: Sequence[str]) -> str:
    """Give the script of an allocation: what it is, what it asks for, and the worker `worker` (its argument list)."""
    share = f"{record.get('number') or 1} of {record.get('num_allocations') or 1}"
    jobs = record.get("job_count")
    lines = [
        "#!/bin/bash",
        f"# Workflow {names.workflow_id}: {visible(names.workflow_name)}",
        f"# Allocation {names.allocation_id}: group {visible(record['group'])}, {share}"
        + (f", for {jobs} job{'s' * (jobs != 1)}" if jobs is not None else ""),
        "# torc-submit made this and adds --job-name, --comment and --dependency.",
    ]
    lines += [f"#SBATCH --job-name={names.job_name}"]
    lines += [f"#SBATCH {_line(key, value)}" for key, value in _options(record, place, lead_s) if _fits(value)]
    if record.get("extra"):
        lines.append(f"#SBATCH {record['extra']}")
    lines += ["", *_redirected(place), "unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_BIND"]
    lines.append(f"exec {shlex.join([*_per_node(record), *worker])}")
    return "\n".join(lines) + "\n"


def lead_s(wanted_s: float, walltime_s: int) -> int:
    """Give how long before its end an allocation is warned, in whole seconds: never in its first half."""
    return max(1, min(int(max(wanted_s, LEAST_LEAD_S)), walltime_s // 2, 65535))


def walltime(seconds: int) -> str:
    """Give a time as sbatch takes it: 01:30:00, 2-00:00:00."""
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def _options(record: Record, place: Place, lead_s: float) -> Options:
    """Give all options in the order in which a later one overrules an earlier: the user's defaults come first."""
    found: Options = list(_defaults(record))
    found += [(key, str(value)) for key, value in _asked(record) if value]
    output = None if "\\" in place.output_stem else place.output_stem.replace("%", "%%")
    for key, suffix in (("output", ".o"), ("error", ".e")):
        found.append((key, "/dev/null" if output is None else f"{output}%j{suffix}"))
    found += [("open-mode", "append"), ("signal", f"B:TERM@{int(lead_s)}"), ("chdir", place.chdir)]
    return found


def _defaults(record: Record) -> Iterator[tuple[str, str | None]]:
    """Give what the workflow wants of sbatch in all its allocations, but for what is torc-submit's own to say."""
    for key, value in (record.get("sbatch") or {}).items():
        name = _SPELLED.get(key, key.lstrip("-").replace("_", "-"))
        if name not in _OURS and value is not None and value is not False:
            yield name, None if value is True else str(value)


def _asked(record: Record) -> Iterator[tuple[str, Any]]:
    """Give what a record asks for, as options; what is null or 0 is not asked for."""
    for key in ("account", "partition", "qos", "reservation", "constraint", "tmp"):
        yield key, record.get(key)
    yield "time", walltime(record["walltime_s"])
    yield "nodes", record.get("nodes") or 1
    yield "ntasks-per-node", 1
    yield "cpus-per-task", record.get("num_cpus")
    memory = record.get("memory_bytes")
    yield "mem", memory and f"{-(-memory >> 20)}M"
    yield "gres", record.get("gres")
    yield "gpus-per-node", None if record.get("gres") else record.get("num_gpus")


def _redirected(place: Place) -> list[str]:
    """Give the line that makes the output files where sbatch cannot: it replaces no %j in a path with a backslash."""
    if "\\" not in place.output_stem:
        return []
    stem = shlex.quote(place.output_stem)
    return [f'exec >>{stem}"$SLURM_JOB_ID.o" 2>>{stem}"$SLURM_JOB_ID.e"']


def _per_node(record: Record) -> list[str]:
    """Give the words before the worker that start one on each node; none for one worker of the whole allocation."""
    if not record.get("start_one_worker_per_node"):
        return []
    nodes = record.get("nodes") or 1
    cpus = [f"--cpus-per-task={record['num_cpus']}"] if record.get("num_cpus") else []
    own = ["--wait=0", "--kill-on-bad-exit=0", "--cpu-bind=none", "--export=ALL"]
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", *cpus, *own]


def _refuse_control(key: str, value: Any) -> None:
    """Refuse what no line of a script holds, whatever the quotes."""
    if not str(value).isprintable() or not key.isprintable():
        raise Failure(DATA, f"allocation: '{key}' holds a character that sbatch cannot be given: {value!r}")


def check_path(path: str) -> None:
    """Refuse a folder of which no line of a script can speak: one with a line break in its name (65)."""
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise Failure(DATA, f"Slurm cannot be given the path {path!r}: it holds a control character")


def _fits(value: str | None) -> bool:
    return value is None or len(value.encode()) <= _LINE


def _line(key: str, value: str | None) -> str:
    if value is None:
        return f"--{key}"
    if _PLAIN.fullmatch(value):
        return f"--{key}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'--{key}="{escaped}"'


def _word(key: str, value: str | None) -> str:
    return f"--{key}" if value is None else f"--{key}={value}"
