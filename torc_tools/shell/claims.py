"""Claims: a file made with O_CREAT|O_EXCL says who runs an attempt of a job. Only one maker wins, on NFS too."""

import contextlib
import os
import time

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import crash

CANCEL_JOBS = "cancel.jobs"  # a line for each attempt of a job that torc-cancel --job-ids wants ended
LOST_JOBS = "lost.jobs"  # a line for each attempt that lost its worker, with what torc-sync made of its job
SPAWNED = "spawned.jobs"  # a line for each attempt that spawned jobs: what came of it, with the new jobs
RUN = "run"  # holds the present run of the workflow: workers of an earlier one start nothing more and leave
ALLOCATIONS = "allocations.jsonl"  # a line for each allocation that torc-submit has sent
_LOOKS = 20
CANCEL = "cancel"  # a file of this name in the folder of the claims: workers kill their jobs and leave


class Claims:
    """The claims of one workflow; without a folder (job lines without a workflow) every claim is granted."""

    def __init__(self, folder: str | None, who: Record) -> None:
        """Make the folder. Raises Failure(74) where that fails."""
        self._folder = folder
        self._again: set[str] = set()
        self._heard = {CANCEL_JOBS: 0, LOST_JOBS: 0, SPAWNED: 0}  # bytes that were read
        self._line = orjson.dumps(who, option=orjson.OPT_APPEND_NEWLINE)
        if folder is not None:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                raise Failure(exits.IO, f"cannot make '{folder}': {error.strerror}") from None

    def take(self, name: str) -> bool:
        """Claim `name`; False where another has it. Raises OSError where the file cannot be made."""
        if self._folder is None:
            return True
        path = f"{self._folder}/{name}"
        if name in self._again:
            self._again.discard(name)
            return True
        try:
            fd = self._make(path)
        except FileExistsError:
            return False
        try:
            os.write(fd, self._line)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
        crash.wrote()
        return True

    def holder(self, name: str) -> Record:
        """Give what the maker of a claim wrote into it; empty where that cannot be read, after some tries."""
        for _ in range(_LOOKS):
            with contextlib.suppress(OSError, orjson.JSONDecodeError), open(f"{self._folder}/{name}", "rb") as file:
                claim = orjson.loads(file.read())
                if isinstance(claim, dict):
                    return claim
            time.sleep(0.1)  # it may have been made this moment, and be empty yet
        return {}

    def age_s(self, name: str) -> float:
        """Give how long ago a claim was made; 0 where there is none."""
        try:
            return max(0.0, time.time() - os.stat(f"{self._folder}/{name}").st_mtime)
        except OSError:
            return 0.0

    def allocations(self) -> list[tuple[int, str]]:
        """Give the allocations that were submitted for the workflow, each with its Slurm job."""
        try:
            with open(f"{self._folder}/{ALLOCATIONS}", "rb") as file:
                lines = [_line(line) for line in file]
        except OSError:
            return []
        keys = ("allocation_id", "slurm_job_id")
        return [(line[keys[0]], str(line[keys[1]])) for line in lines if all(line.get(key) for key in keys)]

    def superseded(self, run_id: int) -> bool:
        """Say whether the workflow is in a later run by now."""
        try:
            with open(f"{self._folder}/{RUN}", "rb") as file:
                text = file.read().strip()
        except OSError:
            return False
        return text.isdigit() and int(text) > run_id

    def again(self, name: str) -> None:
        """Let `take` grant a claim of ours once more: nothing came of it."""
        self._again.add(name)

    def _make(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:  # a job may have removed the folder
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return os.open(path, flags, 0o666)

    def canceled(self) -> bool:
        """Say whether torc-cancel asks all workers to leave."""
        return self._folder is not None and os.path.exists(f"{self._folder}/{CANCEL}")

    def canceled_jobs(self) -> list[tuple[int, int, int]]:
        """Give the attempts (job, run, attempt) that torc-cancel has asked to end since the last call."""
        return [asked for line in self._new(CANCEL_JOBS) if (asked := _asked(_line(line))) is not None]

    def lost_jobs(self) -> list[tuple[tuple[int, int, int], str]]:
        """Give the attempts (job, run, attempt) that lost their worker since the last call; what became of it."""
        lines = map(_line, self._new(LOST_JOBS))
        return [(asked, str(line.get("status"))) for line in lines if (asked := _asked(line)) is not None]

    def spawned(self) -> list[Record]:
        """Give the verdicts on attempts that spawned jobs which were told since the last call."""
        return [line for text in self._new(SPAWNED) if (line := _line(text))]

    def _new(self, name: str) -> list[bytes]:
        """Give the whole lines that were appended to a file of the folder since the last call."""
        if self._folder is None:
            return []
        try:
            with open(f"{self._folder}/{name}", "rb") as file:
                file.seek(self._heard[name])
                lines = file.read().split(b"\n")[:-1]
        except OSError:
            return []
        self._heard[name] += sum(len(line) + 1 for line in lines)
        return lines


def _line(text: bytes) -> Record:
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return line if isinstance(line, dict) else {}


def _asked(line: Record) -> tuple[int, int, int] | None:
    ids = line.get("job_id"), line.get("run_id"), line.get("attempt_id")
    return None if not all(type(each) is int for each in ids) else ids  # type: ignore[return-value]  # cut short
