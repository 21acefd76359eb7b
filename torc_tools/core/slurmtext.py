"""What Slurm's clients print, as records: jobs of squeue, steps of sacct, one job of scontrol, sbatch's answers.

The tables come from torc_tools.shell.slurm: with a header, which names the columns, and the unit separator between the
fields.
A job name or comment may hold line breaks; a line that is no row is passed over. Nothing here raises on any text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torc_tools.core import slurmvalues as values
from torc_tools.core.slurmvalues import classify as classify  # noqa: PLC0414  part of what readers offer

FIELD = "\x1f"
_ID = re.compile(r"(\d{1,10})([_+][^.]{0,100})?(?:\.(\S{1,100}))?", re.ASCII)
_SUBMITTED = re.compile(
    r"^\s*(?:Submitted batch job )?(\d{1,10})(?:;\S+|\s+on cluster \S+)?\s*$", re.ASCII | re.MULTILINE
)
_STARTS = re.compile(r"^(?:\S+: )?Job \d+ to start at (\S+)", re.ASCII | re.MULTILINE)
_PAIR = re.compile(r"(?:^|(?<=\s))([A-Za-z][\w:/]*)=(.*?)(?=\s+[A-Za-z][\w:/]*=|\s*$)", re.MULTILINE)


class QueueRow(NamedTuple):
    """A job as the controller knows it. `job_id` is the number; `array_id` as squeue writes it ('7_[1-3]', '7+1')."""

    job_id: str
    array_id: str
    state: str
    uid: int | None
    reason: str | None
    name: str
    comment: str | None
    partition: str | None
    account: str | None
    node_list: str | None
    nodes: int | None
    dependency: str | None
    submit_s: float | None
    start_s: float | None
    end_s: float | None
    limit_s: int | None

    @property
    def kind(self) -> str:
        """Give 'queued', 'active', 'over' or 'unknown'."""
        return classify(self.state)

    @property
    def refused(self) -> bool:
        """Say whether sbatch was told no, though a record is left: it failed and never had a node."""
        return self.state == "FAILED" and self.node_list is None


class Step(NamedTuple):
    """A row of accounting: a job (`step` None) or one of its steps ('batch', 'extern', '0'...), in one of its lives.

    The lives of a job differ in `submit_s`. `exit_code` is as printed: 9 is exit 9 or exit 137. A step that dies of a
    signal is CANCELLED, with no `by_uid`. None in a measurement: there is none.
    """

    job_id_raw: str
    step: str | None
    array_id: str
    name: str
    state: str
    by_uid: int | None
    uid: int | None
    exit_code: int | None
    signal: int | None
    derived_exit_code: int | None
    elapsed_s: float | None
    submit_s: float | None
    start_s: float | None
    end_s: float | None
    limit_s: int | None
    nodes: int | None
    tasks: int | None
    cpus: int | None
    max_rss_bytes: int | None
    max_vm_size_bytes: int | None
    max_disk_read_bytes: int | None
    max_disk_write_bytes: int | None
    ave_cpu_s: float | None
    total_cpu_s: float | None
    node_list: str | None
    reason: str | None
    restarts: int | None
    failed_node: str | None
    comment: str | None
    requested_memory: str | None = None  # as Slurm writes it: '4000M', before 21.08 '4000Mn' or '2Gc'

    @property
    def kind(self) -> str:
        """Give 'queued', 'active', 'over' or 'unknown'."""
        return classify(self.state)

    @property
    def requeued(self) -> bool:
        """Say whether this life has ended, and Slurm has put the job back into its queue."""
        return self.state in ("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD")

    @property
    def out_of_memory(self) -> bool:
        """Say whether Slurm saw the kernel kill it for memory: by the word, or by the marker 0:125."""
        return self.state == "OUT_OF_MEMORY" or (self.exit_code, self.signal) == (0, 125)

    @property
    def refused(self) -> bool:
        """Say whether sbatch was told no, though a record is left: it failed and never had a node."""
        return self.state == "FAILED" and self.node_list is None


def queue(text: str) -> list[QueueRow]:
    """Read what squeue said, each job once, in its order."""
    rows = {}
    for row in table(text, "JOBID"):
        job_id = row["JOBID"]
        rows[job_id, row.get("JOBID 2", job_id)] = QueueRow(
            job_id=job_id,
            array_id=row.get("JOBID 2") or job_id,
            state=values.state(row.get("STATE", ""))[0],
            uid=values.number(row.get("UID", "")),
            reason=values.words(row.get("REASON", "")),
            name=row.get("NAME", ""),
            comment=values.words(row.get("COMMENT", "")),
            partition=values.words(row.get("PARTITION", "")),
            account=values.words(row.get("ACCOUNT", "")),
            node_list=values.words(row.get("NODELIST", "")),
            nodes=values.number(row.get("NODES", "")),
            dependency=values.words(row.get("DEPENDENCY", "")),
            submit_s=values.moment(row.get("SUBMIT_TIME", "")),
            start_s=values.moment(row.get("START_TIME", "")),
            end_s=values.moment(row.get("END_TIME", "")),
            limit_s=values.limit(row.get("TIME_LIMIT", "")),
        )
    return list(rows.values())


def accounting(text: str) -> list[Step]:
    """Read what sacct said, in its order: each job before its steps, each life by itself."""
    return [_step(row) for row in table(text, "JobIDRaw")]


def _step(row: Mapping[str, str]) -> Step:
    match = _ID.fullmatch(row["JobIDRaw"])
    state, by_uid = values.state(row.get("State", ""))
    code, signal = values.exit_code(row.get("ExitCode", ""))
    minutes = values.number(row.get("TimelimitRaw", ""))
    return Step(
        job_id_raw=match[1] if match else row["JobIDRaw"],
        step=match[3] if match else None,
        array_id=row.get("JobID", ""),
        name=row.get("JobName", ""),
        state=state,
        by_uid=by_uid,
        uid=values.number(row.get("UID", "")),
        exit_code=code,
        signal=signal,
        derived_exit_code=values.exit_code(row.get("DerivedExitCode", ""))[0],
        elapsed_s=values.elapsed(row.get("ElapsedRaw", "")),
        limit_s=None if minutes is None else minutes * 60,
        nodes=values.number(row.get("NNodes", "")),
        tasks=values.number(row.get("NTasks", "")),
        cpus=values.number(row.get("AllocCPUS", "")),
        **_times(row),
        **_sizes(row),
        node_list=values.words(row.get("NodeList", "")),
        reason=values.words(row.get("Reason", "")),
        restarts=values.number(row.get("Restarts", "")),
        failed_node=values.words(row.get("FailedNode", "")),
        comment=values.words(row.get("Comment", "")),
        requested_memory=values.words(row.get("ReqMem", "")),
    )


def _times(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "submit_s": values.moment(row.get("Submit", "")),
        "start_s": values.moment(row.get("Start", "")),
        "end_s": values.moment(row.get("End", "")),
        "ave_cpu_s": values.elapsed(row.get("AveCPU", "")),
        "total_cpu_s": values.elapsed(row.get("TotalCPU", "")),
    }


def _sizes(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "max_rss_bytes": values.size(row.get("MaxRSS", "")),
        "max_vm_size_bytes": values.size(row.get("MaxVMSize", "")),
        "max_disk_read_bytes": values.size(row.get("MaxDiskRead", "")),
        "max_disk_write_bytes": values.size(row.get("MaxDiskWrite", "")),
    }


def submitted(text: str) -> str | None:
    """Give the id that sbatch answered ('Submitted batch job 7', or '7' and '7;cluster' of --parsable), else None.

    Two different ids are no answer.
    """
    found = set(_SUBMITTED.findall(text))
    return found.pop() if len(found) == 1 else None


def starts_at(text: str) -> float | None:
    """Give when a job would start by the answer of `sbatch --test-only` (its stderr), Unix seconds; else None."""
    match = _STARTS.search(text)
    return values.moment(match[1]) if match else None


def job(text: str) -> dict[str, str]:
    """Read `scontrol show job` of one job as its own keys and values, such as EndTime; of several, the first."""
    found: dict[str, str] = {}
    for line in re.split(r"\n\s*\n", text.strip())[0].splitlines():
        free = re.fullmatch(r"\s*(JobName|Comment|Command|WorkDir|Std(?:Err|In|Out)|SubmitLine)=(.*)", line)
        for key, value in [free.groups()] if free else _PAIR.findall(line):
            found.setdefault(key, value.strip())
    return found


def table(text: str, first: str) -> Iterator[dict[str, str]]:
    """Give the rows of a table by the names of its header, whose first name is `first`; a name met twice gets ' 2'.

    Several tables may follow each other. Rows with too few fields (a line break in a name) go on in the next line.
    """
    names: list[str] = []
    parts: list[str] = []
    for line in text.split("\n"):
        cells = line.split(FIELD)
        if cells[0] == first and len(cells) > 1:
            yield from _row(names, parts)
            names, parts = _unique(cells), []
        elif names and len(cells) > len(names) // 2 and _ID_CELL[first].fullmatch(cells[0]):
            yield from _row(names, parts)
            parts = cells
        elif parts and len(parts) < len(names):
            parts = [*parts[:-1], f"{parts[-1]}\n{cells[0]}", *cells[1:]]
    yield from _row(names, parts)


_ID_CELL = {"JOBID": re.compile(r"\d{1,10}", re.ASCII), "JobIDRaw": _ID, "PARTITION": re.compile(r"\S+")}


def _row(names: list[str], parts: list[str]) -> Iterator[dict[str, str]]:
    """Give a row as a dictionary; fields too many belong to the name, fields too few make it none."""
    if len(parts) == len(names) and names:
        yield dict(zip(names, parts, strict=True))
    elif len(parts) > len(names) > 0:
        at = len(names) - 2
        surplus = len(parts) - len(names)
        joined = [*parts[:at], FIELD.join(parts[at : at + surplus + 1]), *parts[at + surplus + 1 :]]
        yield dict(zip(names, joined, strict=True))


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return made
