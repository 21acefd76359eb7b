"""Sending one allocation to Slurm, and finding out what became of one whose answer is not known."""

import contextlib
import sqlite3
import time
from typing import Any

from torc_tools import exits
from torc_tools.core import margins, sbatch, slurmtext
from torc_tools.exits import Failure
from torc_tools.flows.intents import COMMAND
from torc_tools.records import Record
from torc_tools.shell import crash, layout, manifest, pipeline, slurm, store, submissions
from torc_tools.shell.asking import Answer

_CERTAIN = (0.0, 0.3)  # when to look, in seconds, where sbatch said that Slurm refused the job
_DOUBTFUL = (0.0, 0.5, 1.5, 3.0)  # where it may still be under way
_DAY_S = 86400.0
_KILL_S = 5.0


class Sender:
    """Sends allocations of a workflow; all that one call sends share a manifest."""

    def __init__(self, db: sqlite3.Connection, path: str, workflow: Record, first: int) -> None:
        """Write the manifest, named by the first allocation."""
        self._db, self._workflow = db, workflow
        self._manifest = manifest.write(db, workflow, first, path)
        crash.wrote()
        self._place = sbatch.Place(workflow["submission_dir"], layout.slurm_output_stem(workflow))
        self._environment = submissions.environment()
        self._lead_s = margins.warning_s(workflow["config"].get("execution_config") or {})

    def bring(self, row: Record, after: list[str]) -> Record:
        """Submit an allocation that is ours, unless Slurm has it already; give its row as it is then.

        `row` is how it was before we took it. Raises Failure(69): it is planned again (Slurm refused it), or still
        submitting (Slurm gives no answer).
        """
        name = sbatch.job_name(row["config"], row["allocation_id"], self._workflow["token"])
        if row["status"] == "submitting":
            end_sbatch(self._workflow, row)
            found = look(self._workflow, row)
            if found is not None:
                return self._found(row, found, "found by its token")
            with store.transaction(self._db):
                submissions.sends_for(self._db, row, self._workflow["run_id"])
        answer = self._send(row, name, after)
        told = slurmtext.submitted(answer.stdout) if answer.returncode == 0 else None
        if told is not None:
            return self._found(row, told, "submitted")
        end_sbatch(self._workflow, row)
        found = look(self._workflow, row, certain=_certain(answer))
        if found is not None:
            return self._found(row, found, f"found by its token: {_words(answer)}")
        self._settle(row, f"refused: {_words(answer)}", status="planned")
        raise Failure(exits.UNAVAILABLE, f"allocation {row['allocation_id']} of '{_group(row)}': {_words(answer)}")

    def _send(self, row: Record, name: str, after: list[str]) -> Answer:
        """Write the script and run sbatch."""
        asked, allocation_id = row["config"], row["allocation_id"]
        lead_s = sbatch.lead_s(self._lead_s, asked["walltime_s"])
        names = sbatch.Names(self._workflow["workflow_id"], self._workflow["name"], allocation_id, name)
        path = layout.script_path(self._workflow, allocation_id)
        try:
            text = sbatch.script(asked, names, self._place, lead_s, self._worker(asked, allocation_id))
            submissions.write_script(path, text)
            crash.wrote()
            argv = [*sbatch.command_line(asked, names, self._place, lead_s, after), path]
            answer = slurm.sbatch(argv, environment=self._environment)
        except (OSError, slurm.Unavailable):
            self._settle(row, "not sent", status="planned")
            raise
        crash.wrote()
        return answer

    def _worker(self, asked: Record, allocation_id: int) -> list[str]:
        options: list[Any] = ["--quiet", "--allocation-id", allocation_id]
        if asked.get("slurm_scheduler_id"):
            options += ["--scheduler-id", asked["slurm_scheduler_id"]]
        if asked.get("max_parallel_jobs"):
            options += ["--max-parallel-jobs", asked["max_parallel_jobs"]]
        mode = "direct" if asked.get("start_one_worker_per_node") else asked.get("mode")
        if mode:
            options += ["--mode", mode]
        return pipeline.argv(["torc-work", *options, self._manifest])

    def _found(self, row: Record, slurm_job_id: str, why: str) -> Record:
        submissions.tell_workers(self._workflow, row["allocation_id"], slurm_job_id)
        return self._settle(row, why, status="queued", slurm_job_id=slurm_job_id)

    def _settle(self, row: Record, why: str, **after: Any) -> Record:
        with store.transaction(self._db):
            present = submissions.get(self._db, row["allocation_id"])
            submissions.settle(self._db, present, COMMAND, why, **after)
        return submissions.get(self._db, row["allocation_id"])


def mark(workflow: Record, row: Record) -> sbatch.Mark | None:
    """Give what tells an allocation from another Slurm job with its id; None where its row does not say."""
    return sbatch.mark(row["config"], row["allocation_id"], workflow["token"])


def look(workflow: Record, row: Record, *, certain: bool = False) -> str | None:
    """Look for an allocation by its token, several times; give the Slurm job, None: Slurm answers, and has none.

    `certain` where sbatch said that Slurm refused it, so that nothing is under way any more. Raises Unavailable where
    Slurm gives no answer: whether it has it is not known.
    """
    name = sbatch.job_name(row["config"], row["allocation_id"], workflow["token"])
    began = time.monotonic()
    for moment in _CERTAIN if certain else _DOUBTFUL:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        found = lookup(workflow, row, name)
        if found is not None:
            return found
    return None


def lookup(workflow: Record, row: Record, name: str) -> str | None:
    """Ask Slurm once for an allocation by its token; give the Slurm job, None where Slurm has none.

    Accounting is asked for those that the controller has forgotten; where it gives no answer the controller's counts.
    Raises Unavailable where the controller does not answer.
    """
    claimed = submissions.worker_of(workflow, row["allocation_id"])
    if claimed is not None:
        return claimed
    mark = sbatch.comment(row["token"])
    known = [each for each in slurmtext.queue(slurm.squeue(names=[name])) if each.comment == mark]
    queued = [each.job_id for each in known if not each.refused]
    if queued:
        _cancel_others(queued)
        return min(queued, key=int)
    since = (row["submitted_at"] or row["created_at"]) - _DAY_S
    unique = not row["config"].get("singleton")
    with contextlib.suppress(slurm.Unavailable):
        for step in slurmtext.accounting(slurm.sacct([], names=[name], since=since)):
            if step.refused or step.step is not None:
                continue
            if step.name == name and (step.comment == mark or unique):
                return step.job_id_raw
    return None


def _cancel_others(found: list[str]) -> None:
    """Cancel all but the first of what one token was submitted as; a wrapper around sbatch may try twice."""
    others = sorted(found, key=int)[1:]
    if others:
        slurm.scancel(others, pending_only=True)


def end_sbatch(workflow: Record, row: Record) -> None:
    """Kill what is left of an sbatch for an allocation: its submitter is gone, or has given it up."""
    words = (f"--comment={sbatch.comment(row['token'])}", layout.script_path(workflow, row["allocation_id"]))
    deadline = time.monotonic() + _KILL_S
    while (left := submissions.left_running(words)) and time.monotonic() < deadline:
        for pid in left:
            submissions.kill(pid)
        time.sleep(0.02)


def _certain(answer: Answer) -> bool:
    """Say whether sbatch itself says that Slurm refused the job; a wrapper around it may fail for any reason."""
    words = "Batch job submission failed" in answer.stderr or "sbatch: fatal:" in answer.stderr
    return words and (answer.returncode or 0) > 0 and not slurm.no_answer(answer.stderr)


def _words(answer: Answer) -> str:
    """Give what sbatch said, in one line."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in answer.stderr.splitlines()]
    said = "; ".join(dict.fromkeys(line for line in lines if line)) or answer.stdout.strip()
    if answer.returncode is None:
        return "sbatch: no answer in time" + (f": {said[:300]}" if said else "")
    if answer.returncode < 0:
        return f"sbatch: killed by signal {-answer.returncode}"
    if answer.returncode == 0:
        return f"sbatch: its answer is not understood: '{said[:200]}'"
    return f"sbatch: {said[:400]}" if said else f"sbatch: exit status {answer.returncode} without a word"


def _group(row: Record) -> str:
    return str(row["config"]["group"])
