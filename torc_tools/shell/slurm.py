"""Every question to Slurm: a client with a deadline, a scrubbed environment and explicit fields; gives its text.

torc_tools.core.slurmtext reads the texts. A question that gets no answer raises Unavailable: the caller knows nothing
then and concludes nothing. squeue and sacct print their header, the proof that they answered at all: an empty answer
with status 0 is none. TORC_SLURM_TIMEOUT_S sets the deadline of each question (default: 60; sacct 180).
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from torc_tools.exits import UNAVAILABLE, Failure
from torc_tools.shell import asking
from torc_tools.shell.asking import Answer

TIMEOUT_S, SACCT_TIMEOUT_S = 60.0, 180.0
FIELD = "\x1f"  # between fields: no job name or comment has it
_OURS = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SACCTMGR_", "SINFO_", "SCANCEL_", "SCONTROL_", "SALLOC_")
_KEPT = {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"}
_LOCALE = ("LANG", "LANGUAGE", "LC_")
_QUEUE = "%A %i %T %U %a %P %S %e %V %l %D %N %E %r %j %k"  # free texts, which may hold line breaks, last
_ACCOUNT = (
    "JobIDRaw JobID State ExitCode DerivedExitCode UID ElapsedRaw Submit Start End TimelimitRaw NNodes NTasks AllocCPUS"
    " ReqMem MaxRSS MaxVMSize MaxDiskRead MaxDiskWrite AveCPU TotalCPU NodeList Reason Restarts FailedNode"
    " JobName Comment"
)
_PARTITIONS = "%R %c %m %l %G %D %T %f"
_ID_CHARACTERS = 30_000  # of one command line
_UNKNOWN_ID = re.compile(r"Invalid job id specified", re.IGNORECASE)
_GONE = re.compile(r"Invalid job id|already (completing|completed)", re.IGNORECASE)
_NO_FIELD = re.compile(r"Invalid field requested: \"?(\w+)")
_NO_ANSWER = re.compile(
    r"unable to contact|socket timed out|connection (refused|timed out)|problem talking|connection failure"
    r"|zero bytes were transmitted|storage is disabled|database is busy|unable to establish|protocol authentication",
    re.IGNORECASE,
)


class Unavailable(Failure):
    """Slurm gave no answer: nothing is known. Ends a command with status 69."""

    def __init__(self, message: str) -> None:
        super().__init__(UNAVAILABLE, message)


def squeue(job_ids: Sequence[object] = (), names: Sequence[str] = ()) -> str:
    """Ask for jobs in any state by id, by name, or both; what the controller does not know is not in the answer.

    Raises Unavailable.
    """
    form = FIELD.join(_QUEUE.split())
    parts = []
    for option, chunk in _questions("--jobs", "--name", job_ids, names):
        argv = ["squeue", "--states=all", f"--format={form}", f"{option}={chunk}"]
        answer = _run(argv, TIMEOUT_S)
        if answer.returncode == 1 and _UNKNOWN_ID.search(answer.stderr):
            continue
        parts.append(_proven(argv, answer, "JOBID"))
    return "".join(parts)


def sacct(job_ids: Sequence[object], names: Sequence[str] = (), since: float | None = None) -> str:
    """Ask accounting for jobs with all their steps and all their lives, by id and by name.

    `since`, Unix seconds, leaves out what ended before (names are looked for a month back without it). Fields that
    this Slurm does not know are left out. Raises Unavailable.
    """
    parts = []
    for option, chunk in _questions("--jobs", "--name", job_ids, names):
        start = _moment(since) if since is not None else "1970-01-01" if option == "--jobs" else "now-30days"
        parts.append(_accounting([f"--starttime={start}", f"{option}={chunk}"]))
    return "".join(parts)


def history(job_ids: Sequence[object], since: float, until: float | None, user: str | None) -> str:
    """Ask accounting for these jobs (none: for all of a user, a name or number; None: of everyone that may be seen).

    Only what ran between the two moments, Unix seconds, is told. Raises Unavailable.
    """
    times = [f"--starttime={_moment(since)}", *([f"--endtime={_moment(until)}"] if until is not None else [])]
    whose = ["--allusers" if user is None else f"--uid={user}"]
    asked = [[f"--jobs={chunk}"] for chunk in _chunks(job_ids)] if job_ids else [whose]
    return "".join(_accounting([*times, *which]) for which in asked)


def _accounting(question: list[str]) -> str:
    """Ask accounting for every field that this Slurm knows."""
    fields = _ACCOUNT.split()
    for _ in range(8):  # as many fields as may be unknown
        argv = ["sacct", "--duplicates", "--parsable2", f"--delimiter={FIELD}", "--noconvert"]
        argv += [f"--format={','.join(fields)}", *question]
        answer = _run(argv, SACCT_TIMEOUT_S)
        unknown = _NO_FIELD.search(answer.stderr) if answer.returncode else None
        if unknown is None or unknown[1] not in fields:
            break
        fields.remove(unknown[1])
    return _proven(argv, answer, "JobIDRaw")


def sinfo(timeout_s: float = TIMEOUT_S) -> str:
    """Ask for the kinds of nodes of each partition: CPUs, memory, time limit, GPUs, count, state, features.

    Raises Unavailable.
    """
    argv = ["sinfo", "--exact", f"--format={FIELD.join(_PARTITIONS.split())}"]
    return _proven(argv, _run(argv, timeout_s), "PARTITION")


def partitions(timeout_s: float = TIMEOUT_S) -> str:
    """Ask for the limits of each partition. Raises Unavailable."""
    return _said(["scontrol", "--oneliner", "show", "partition"], timeout_s)


def nodes(timeout_s: float = TIMEOUT_S) -> str:
    """Ask what each node has and what Slurm keeps of it. Raises Unavailable."""
    return _said(["scontrol", "--oneliner", "show", "node"], timeout_s)


def job(job_id: object) -> str:
    """Ask what the controller knows of one job; empty where it knows none. Raises Unavailable."""
    argv = ["scontrol", "show", "job", str(job_id)]
    answer = _run(argv, TIMEOUT_S)
    if answer.returncode == 1 and _UNKNOWN_ID.search(answer.stderr):
        return ""
    return _checked(argv, answer)


def config(timeout_s: float = TIMEOUT_S) -> str:
    """Ask for the controller's configuration. Raises Unavailable."""
    return _said(["scontrol", "show", "config"], timeout_s)


def default_account() -> str | None:
    """Ask for the default account of the user of this process; None where there is none. Raises Unavailable."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
    text = _said(["sacctmgr", "--noheader", "--parsable2", "show", "user", user, "format=DefaultAccount"])
    return next((line.strip() for line in text.splitlines() if line.strip()), None)


def sbatch(argv: Sequence[str], timeout_s: float | None = None, environment: Mapping[str, str] | None = None) -> Answer:
    """Run sbatch with these arguments and give its answer, whatever it is; the job gets `environment` (None: ours).

    Raises Unavailable only where there is no such program: nothing can have been submitted then.
    """
    given = _environment(locale=False) if environment is None else environment
    answer = asking.ask(["sbatch", *argv], given, timeout_s or limit_s(TIMEOUT_S))
    _present("sbatch", answer)
    return answer


def test_only(argv: Sequence[str]) -> Answer:
    """Ask sbatch when a job with these arguments would start; nothing is submitted."""
    return _run(["sbatch", "--test-only", *argv], TIMEOUT_S)


def scancel(
    job_ids: Sequence[object] = (), *, pending_only: bool = False, signal: str | None = None, names: Sequence[str] = ()
) -> None:
    """Cancel jobs by id or name, or send them `signal`; `pending_only` spares what runs. Jobs that are gone are fine.

    Raises Unavailable.
    """
    options = ["--state=PENDING"] if pending_only else []
    options += [f"--signal={signal}"] if signal else []
    calls = [[*options, *chunk.split(",")] for chunk in _chunks(job_ids)]
    for arguments in [*calls, *([*options, f"--name={name}"] for name in names)]:
        argv = ["scancel", *arguments]
        answer = _run(argv, TIMEOUT_S)
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        if answer.returncode is None or not lines or not all(map(_GONE.search, lines)):
            _checked(argv, answer)


def _questions(by_id: str, by_name: str, job_ids: Sequence[object], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give (option, values between commas) of the questions: ids and names in one would mean both at once."""
    yield from ((by_id, chunk) for chunk in _chunks(job_ids))
    yield from ((by_name, chunk) for chunk in _chunks(names))


def _chunks(values: Sequence[object]) -> Iterator[str]:
    """Join values with commas into pieces that a command line holds; each once."""
    piece = ""
    for value in dict.fromkeys(map(str, values)):
        if piece and len(piece) + len(value) >= _ID_CHARACTERS:
            yield piece
            piece = ""
        piece = f"{piece},{value}" if piece else value
    if piece:
        yield piece


def _moment(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S")  # noqa: DTZ006  sacct reads local time


def _said(argv: list[str], timeout_s: float = TIMEOUT_S) -> str:
    return _checked(argv, _run(argv, timeout_s))


def _run(argv: list[str], timeout_s: float) -> Answer:
    return asking.ask(argv, _environment(locale=True), limit_s(timeout_s))


def limit_s(default_s: float) -> float:
    """Give how long a question may take: TORC_SLURM_TIMEOUT_S, else `default_s`."""
    try:
        wanted = float(os.environ.get("TORC_SLURM_TIMEOUT_S") or 0)
    except ValueError:
        return default_s
    return wanted if 0 < wanted < 1e6 else default_s


def _environment(*, locale: bool) -> dict[str, str]:
    """Give the environment without what changes Slurm's output or its choice; `locale`: in English, times as %s."""
    kept = {key: value for key, value in os.environ.items() if key in _KEPT or not key.startswith(_OURS)}
    if not locale:
        return kept
    plain = {key: value for key, value in kept.items() if not key.startswith(_LOCALE)}
    return {**plain, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "SLURM_TIME_FORMAT": "%s"}


def no_answer(stderr: str) -> bool:
    """Say whether a client complains that Slurm gave it no answer."""
    return _NO_ANSWER.search(stderr) is not None


def _present(program: str, answer: Answer) -> None:
    """Raise Unavailable where there is no such program."""
    if answer.returncode == asking.MISSING and answer.stderr.startswith(f"{program}: No such file"):
        raise Unavailable(f"no program '{program}' on PATH: is this a login node of a Slurm cluster?")


def _checked(argv: list[str], answer: Answer) -> str:
    """Give what a program said. Raises Unavailable where it failed, hung, or only says so on stderr."""
    if answer.returncode == 0 and not _NO_ANSWER.search(answer.stderr):
        return answer.stdout
    _present(argv[0], answer)
    lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    why = next((line for line in lines if _NO_ANSWER.search(line)), lines[-1] if lines else "")
    if answer.returncode is None:
        why = "no answer in time" if len(answer.stdout) < asking.MOST // 2 else "it does not stop talking"
    elif not why:
        ended = answer.returncode
        why = f"killed by signal {-ended}" if ended < 0 else f"exit status {ended} without a word"
    raise Unavailable(f"Slurm gives no answer: {argv[0]}: {why.removeprefix(argv[0] + ': ')[:300]}")


def _proven(argv: list[str], answer: Answer, header: str) -> str:
    """Give a table whose header is there. Raises Unavailable: without its header it is no answer."""
    text = _checked(argv, answer)
    if not any(line.startswith(header + FIELD) for line in text.split("\n")):
        said = next((line for line in text.splitlines() if line.strip()), "nothing")
        raise Unavailable(f"Slurm gives no answer: {argv[0]} said something else: {said[:200]}")
    return text if text.endswith("\n") else text + "\n"
