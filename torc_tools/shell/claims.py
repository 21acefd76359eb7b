"""Claims: a file made with O_CREAT|O_EXCL says who runs an attempt of a job. Only one maker wins, on NFS too."""

import os

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import crash

CANCEL_JOBS = "cancel.jobs"  # a line for each attempt of a job that torc-cancel --job-ids wants ended
CANCEL = "cancel"  # a file of this name in the folder of the claims: workers kill their jobs and leave


class Claims:
    """The claims of one workflow; without a folder (job lines without a workflow) every claim is granted."""

    def __init__(self, folder: str | None, who: Record) -> None:
        """Make the folder. Raises Failure(74) where that fails."""
        self._folder = folder
        self._heard = 0  # bytes of CANCEL_JOBS that were read
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
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
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

    def canceled(self) -> bool:
        """Say whether torc-cancel asks all workers to leave."""
        return self._folder is not None and os.path.exists(f"{self._folder}/{CANCEL}")

    def canceled_jobs(self) -> list[tuple[int, int, int]]:
        """Give the attempts (job, run, attempt) that torc-cancel has asked to end since the last call."""
        if self._folder is None:
            return []
        try:
            with open(f"{self._folder}/{CANCEL_JOBS}", "rb") as file:
                file.seek(self._heard)
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        self._heard += sum(len(line) + 1 for line in lines)
        asked = [orjson.loads(line) for line in lines]
        return [(each["job_id"], each["run_id"], each["attempt_id"]) for each in asked]
