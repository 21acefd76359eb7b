"""Claims: a file made with O_CREAT|O_EXCL says who runs an attempt of a job. Only one maker wins, on NFS too."""

import os

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import crash

CANCEL = "cancel"  # a file of this name in the folder of the claims: workers kill their jobs and leave


class Claims:
    """The claims of one workflow; without a folder (job lines without a workflow) every claim is granted."""

    def __init__(self, folder: str | None, who: Record) -> None:
        """Make the folder. Raises Failure(74) where that fails."""
        self._folder = folder
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
