"""The logs that the tools of torc-mcp show: files of a workflow, below its output directory, and no others."""

import argparse
import contextlib
import os
from typing import Any

from torc_tools import exits
from torc_tools.core import mcp_answers
from torc_tools.exits import Failure
from torc_tools.flows import fold, following
from torc_tools.flows.mcp_asking import Asked
from torc_tools.records import Record
from torc_tools.shell import inside, logfiles, logs, queries

TAIL_LINES, TAIL_BYTES = 5, 1000  # of the stderr of a failed job in a list


def get(asked: Asked) -> Record:
    """Read logs of a job, or one by its name. Raises Failure(66) where there is none."""
    if (asked.get("job_id") is None) == (asked.get("file") is None):
        raise Failure(exits.USAGE, "name either job_id, or workflow_id and file")
    if asked.get("file") is not None:
        return _by_name(asked)
    place = following.placed(_wanted(asked), asked.get("job_id"))
    workflow_id, job_id, run_id, attempt_id = place.ids
    if asked.get("workflow_id") not in (None, workflow_id):
        raise Failure(exits.NO_INPUT, f"no such job in workflow {asked.workflow_id}: '{job_id}'")
    stream = asked.get("stream", "both")
    wanted = ["stdout", "stderr"] if stream == "both" else [stream]
    names = [os.path.relpath(path, place.output_dir) for path in logs.named(place.output_dir, place.ids, wanted)]
    shown = _shown(asked, place.output_dir, names)
    if not shown:
        raise Failure(exits.NO_INPUT, f"job {job_id} has no output: no such file '{names[-1]}'")
    ids = {"workflow_id": workflow_id, "job_id": job_id, "run_id": run_id, "attempt_id": attempt_id}
    return {**ids, "output_dir": place.output_dir, "logs": shown, "note": mcp_answers.NOTE}


def tail(output_dir: str, diagnosis: Record) -> tuple[str, str] | None:
    """Give the name and the last lines of a failed job's stderr; what may not be read is said in their place."""
    keys = ("workflow_id", "job_id", "run_id", "attempt_id")
    ids: Any = tuple(diagnosis.get(key) for key in keys)
    if None in ids:
        return None
    for path in reversed(logs.named(output_dir, ids, ["stderr"])):
        name = os.path.relpath(path, output_dir)
        try:
            with inside.opened(output_dir, name) as file:
                part = inside.part(file, TAIL_LINES, TAIL_BYTES, head=False)
        except Failure as failure:
            if failure.status == exits.NO_INPUT:
                continue
            return name, f"({failure.message})"
        if part.data:
            return name, part.data.decode(errors="replace")
    return None


def output_dir(asked: Asked, workflow_id: int) -> str:
    """Give the output directory of a workflow. Raises Failure(66) where there is none."""
    with contextlib.closing(fold.opened(asked.store, workflow_id, read_only=asked.read_only)) as db:
        return str(queries.workflow(db, workflow_id)["output_dir"])


def _wanted(asked: Asked) -> argparse.Namespace:
    """Give what flows.following reads: the options of torc-jobs --logs."""
    attempt = {"run": asked.get("run_id"), "attempt": asked.get("attempt_id")}
    return argparse.Namespace(store=asked.store, read_only=asked.read_only, follow=False, **attempt)


def _by_name(asked: Asked) -> Record:
    if asked.get("workflow_id") is None:
        raise Failure(exits.USAGE, "file needs workflow_id beside it")
    name, folder = str(asked.get("file")), output_dir(asked, asked.workflow_id)
    with inside.opened(folder, name):
        pass  # that it leads out is said first
    if logfiles.owner(name) != asked.workflow_id or name.endswith(".db"):
        raise Failure(exits.NO_INPUT, f"'{name}' is not the name of a log of workflow {asked.workflow_id}")
    ids = {"workflow_id": asked.workflow_id, "job_id": None, "run_id": None, "attempt_id": None}
    return {**ids, "output_dir": folder, "logs": _shown(asked, folder, [name]), "note": mcp_answers.NOTE}


def _shown(asked: Asked, folder: str, names: list[str]) -> list[Record]:
    """Show those of some files that are there. Raises Failure(65) for what is no plain file of the folder."""
    found = []
    for name in names:
        try:
            with inside.opened(folder, name) as file:
                found.append({"file": name, **_text(asked, file)})
        except Failure as failure:
            if failure.status != exits.NO_INPUT:
                raise
    return found


def _text(asked: Asked, file: Any) -> Record:
    lines, most = asked.get("lines", 100), asked.get("max_bytes", 16_384)
    if asked.get("grep") is None:
        part = inside.part(file, lines, most, head=asked.get("from_start", False))
        text = part.data.decode(errors="replace")
        return {"size_bytes": part.size, "truncated": part.truncated, "matches": None, "text": text}
    found = inside.search(file, asked.get("grep"), lines, most)
    text = mcp_answers.numbered((number, line.decode(errors="replace")) for number, line in found.lines)
    more = found.matches > len(found.lines)
    return {"size_bytes": found.size, "truncated": more, "matches": found.matches, "text": text}
