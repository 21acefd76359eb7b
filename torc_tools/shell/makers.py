"""Which job makes a file that another one missed: the edge that a spec lacks."""

import os
import re
import sqlite3

_NAMED = re.compile(r"'([^']+)'|\"([^\"]+)\"|([^\s'\":,;()]+)")
_OUTPUTS = """SELECT f.path, j.job_id, j.name FROM file f JOIN job_file o ON o.file_id = f.file_id AND o.is_output
    JOIN job j ON j.job_id = o.job_id WHERE f.workflow_id = ?"""
_ABOVE = """WITH RECURSIVE above(job_id) AS (SELECT depends_on_job_id FROM job_depends_on WHERE job_id = ?
    UNION SELECT d.depends_on_job_id FROM job_depends_on d JOIN above USING (job_id))
    SELECT 1 FROM above WHERE job_id = ?"""


class Makers:
    """The output files of a workflow, read where somebody asks."""

    def __init__(self, db: sqlite3.Connection, workflow_id: int, folder: str) -> None:
        """Take the folder that relative paths of the workflow start from."""
        self._db = db
        self._workflow_id = workflow_id
        self._folder = folder
        self._outputs: dict[str, tuple[int, str]] | None = None

    def of_line(self, job_id: int, line: str) -> tuple[str, int, str] | None:
        """Give the path in a line of a job's log, the id and the name of the job that makes that file.

        None where the line names no such file, or where the job waits for its maker as it should.
        """
        for found in _NAMED.finditer(line):
            named = next(filter(None, found.groups()))
            maker = self._known().get(self._whole(named))
            if maker is not None and maker[0] != job_id and not self._waits(job_id, maker[0]):
                return named, *maker
        return None

    def _known(self) -> dict[str, tuple[int, str]]:
        if self._outputs is None:
            rows = self._db.execute(_OUTPUTS, (self._workflow_id,))
            self._outputs = {self._whole(path): (job_id, name) for path, job_id, name in rows}
        return self._outputs

    def _whole(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, path))

    def _waits(self, job_id: int, maker: int) -> bool:
        return self._db.execute(_ABOVE, (job_id, maker)).fetchone() is not None
