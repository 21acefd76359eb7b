"""What all parts of a worker share: the loop, the shell, the settings, the log of events, the process trees."""

import os
import time
from collections.abc import Callable
from typing import Any

import orjson

from torc_tools import exits, records
from torc_tools.exits import Failure
from torc_tools.flows.worker_manifest import Policy
from torc_tools.flows.worker_ticks import Ticks
from torc_tools.records import Record
from torc_tools.shell import layout, series, trees
from torc_tools.shell.census import Census, Followed
from torc_tools.shell.events import EventFile
from torc_tools.shell.launch import Shell
from torc_tools.shell.loop import Loop
from torc_tools.shell.nonblocking import NonblockingOutput
from torc_tools.shell.series import SeriesFile

_LAST_TRIES_S = 2.0  # how long the last lines are tried for at the end
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TORC_GPU_VISIBLE_DEVICES")


class Log:
    """Events, one line each: to the event file, to standard output, to either, to neither."""

    def __init__(self, file: EventFile | None, output: NonblockingOutput | None) -> None:
        """Take where lines go."""
        self.file, self.output = file, output
        self.count = 0

    def write(self, event: Record) -> None:
        """Write one event."""
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
        self.count += 1
        if self.file is not None:
            self.file.write(line)
        if self.output is not None:
            self.output.write(line)

    def frame(self, record: Record) -> None:
        """Write a begin or end line, which is for standard output alone."""
        if self.output is not None:
            self.output.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


class Desk:
    """The tools of one worker."""

    def __init__(self, workflow: Record, policy: Policy, loop: Loop, log: Log) -> None:
        """Take the `workflow` record (made up for bare job lines), the settings, the loop, the log."""
        self.workflow, self.policy, self.loop, self.log = workflow, policy, loop, log
        self.shell = Shell()
        self.output_dir: str = workflow["output_dir"]
        self.trouble: str | None = None  # why no job can be started now
        self.in_allocation = False
        self.ending = False  # the end of the allocation was announced
        self.env = _environment(workflow, self.output_dir)
        self.trees: dict[bytes, trees.Tree] = {}
        self.orphanage = trees.Orphanage(f"TORC_JOB_MARK={workflow['token']}.".encode())
        self._ending: Followed | None = None
        self.census = Census()
        self.ticks = Ticks(policy, loop, self.census, self.look_for_orphans)
        self.series = self._series() if policy.series or policy.node else None

    def _series(self) -> SeriesFile:
        ids = self.workflow["workflow_id"], self.workflow["run_id"]
        return SeriesFile(series.path(self.output_dir, *ids, os.environ))

    def job_env(self, job: Record, attempt_id: int, gpus: list[str]) -> dict[str, str]:
        """Give the environment of one attempt; the job's own settings win over the workflow's, ours over both."""
        env = {**self.env, **_texts(job["config"].get("env"))}
        env["TORC_WORKFLOW_ID"] = str(self.workflow["workflow_id"])
        env["TORC_JOB_ID"] = str(job["job_id"])
        env["TORC_JOB_NAME"] = job["job_name"]
        env["TORC_RUN_ID"] = str(job["run_id"])
        env["TORC_ATTEMPT_ID"] = str(attempt_id)
        if self.log.file is not None:  # else nobody folds what the job spawns
            env["TORC_SPAWN"] = f"{self.stem(job, attempt_id)}.spawn"
        env["TORC_JOB_MARK"] = layout.job_mark(self.workflow["token"], job["job_id"], job["run_id"], attempt_id)
        if gpus:
            env.update(dict.fromkeys(GPU_VARIABLES, ",".join(gpus)))
        return env

    def stem(self, job: Record, attempt_id: int) -> str:
        """Give the path of the job's output files without the suffix."""
        ids = (self.workflow["workflow_id"], job["job_id"], job["run_id"], attempt_id)
        return layout.stdio_path(self.output_dir, ids, "")[:-1]

    def look_for_orphans(self) -> None:
        """Assign processes that lost their parent to their job; kill those whose job is over."""
        over = self.orphanage.look(self.loop.children(), self.trees)
        if over:
            trees.kill(over)

    def orphan_ends(self, pid: int) -> None:
        """Note whose an adopted process is that has ended and will be waited for."""
        self._ending = self.census.tree_of(pid)

    def orphan_ended(self, pid: int, rusage: Any) -> None:
        """Note the end of an adopted process; its own children may have become ours by it: look for them then."""
        self.orphanage.ended(pid, rusage.ru_utime + rusage.ru_stime, self._ending)
        self._ending = None


def close(desk: Desk, reason: str) -> None:
    """Write the last line and get everything down. Raises Failure(74) where the event file cannot be written."""
    about = {"workflow_id": desk.workflow["workflow_id"], "reason": reason}
    desk.log.write({"type": "event", "event": "worker_ended", "at": time.time(), **about})
    if desk.log.file is not None:
        deadline = time.monotonic() + _LAST_TRIES_S
        while not desk.log.file.retry() and time.monotonic() < deadline:
            time.sleep(0.1)
        desk.log.file.sync()
        if desk.log.file.trouble:
            raise Failure(exits.IO, f"cannot write events: {desk.log.file.trouble}")
    if desk.trouble:
        raise Failure(exits.IO, desk.trouble)
    if desk.log.output is not None:
        desk.log.frame({"type": "end", "stage": "torc-work", "count": desk.log.count})
        desk.log.output.drain()


def opening(desk: Desk, name: str, facts: Record) -> None:
    """Write the begin line and the `worker_started` event."""
    workflow_id = desk.workflow["workflow_id"]
    desk.log.frame(records.begin("torc-work", workflow_id))
    about = {"workflow_id": workflow_id, "worker": name, "workflow_token": desk.workflow["token"]}
    desk.log.write({"type": "event", "event": "worker_started", "at": time.time(), **about, **facts})


def enter(folder: str) -> None:
    """Go where the jobs run. Raises Failure(66)."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise Failure(exits.NO_INPUT, f"cannot enter submission_dir '{folder}': {error.strerror}") from None


def after_lead(desk: Desk, lead_s: float, over: Callable[[], bool], kill: Callable[[], None]) -> None:
    """Call `kill` once `lead_s` have passed, and again every so often, until `over()`."""

    def due() -> None:
        if not over():
            kill()
            desk.loop.later(0.1, due)

    desk.loop.later(lead_s, due)


def _environment(workflow: Record, output_dir: str) -> dict[str, str]:
    env = {**os.environ, **_texts((workflow.get("config") or {}).get("env"))}
    env["TORC_OUTPUT_DIR"] = output_dir
    env["TORC_WORKFLOW_ID"] = str(workflow["workflow_id"])
    env["TORC_WORKFLOW_SUBMISSION_DIR"] = workflow["submission_dir"]
    env["TORC_RUN_ID"] = str(workflow["run_id"])
    if workflow.get("store"):
        env["TORC_STORE"] = workflow["store"]
    for name in ("TORC_KILL_AFTER_WRITES", "TORC_SPAWN"):
        env.pop(name, None)
    return env


def _texts(env: Any) -> dict[str, str]:
    return {str(key): value if isinstance(value, str) else str(value) for key, value in (env or {}).items()}
