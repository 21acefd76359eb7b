"""The former lives of a Slurm job that was requeued, as their event files and claims tell of them."""

import os
import re
import time

import orjson

from torc_tools.records import Record
from torc_tools.shell import layout, liveness

_CLAIM = re.compile(r"(\d+)\.r(\d+)\.a(\d+)")

Attempt = tuple[int, int, int]  # job, run, attempt


class Life:
    """One worker of a former life."""

    def __init__(self, path: str) -> None:
        """Take its event file."""
        self._path = path
        self._name = os.path.basename(path).removesuffix(".jsonl")
        self._began: Record = {}
        self._open: set[Attempt] = set()
        self._seen: set[Attempt] = set()
        self._left = False

    def look(self, restart_count: int) -> bool:
        """Read what it wrote; say whether it is over: it said so, its process is gone, or it has long been silent.

        One that has the same or a larger restart count than `restart_count` is not a former life: it is over, and
        left nothing.
        """
        try:
            with open(self._path, "rb") as file:
                lines = file.read().splitlines()
            silent = time.time() - os.stat(self._path).st_mtime
        except OSError:
            return True
        self._open, self._seen, self._left = set(), set(), False
        for line in lines:
            self._take(line)
        if (self._began.get("restart_count") or 0) >= restart_count:
            self._open.clear()
            self._name = ""
            return True
        who = (self._began.get("hostname"), self._began.get("pid"), self._began.get("pid_start"))
        return self._left or liveness.alive(*who) is False or silent > liveness.silent_s()

    def running(self, claims_dir: str) -> set[Attempt]:
        """Give the attempts that it claimed or started and did not end."""
        return self._open | (self._claimed(claims_dir) - self._seen if self._name else set())

    def _take(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
            kind = event["event"]
            if kind == "worker_started":
                self._began = event
            elif kind in ("worker_ended", "stopping"):
                self._left = True  # told to stop before a requeue, it is gone when the next life begins
            elif kind in ("started", "ended"):
                attempt = (event["job_id"], event["run_id"], event["attempt_id"])
                self._seen.add(attempt)
                (self._open.add if kind == "started" else self._open.discard)(attempt)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return  # cut short when it died

    def _claimed(self, folder: str) -> set[Attempt]:
        found: set[Attempt] = set()
        try:
            names = os.listdir(folder)
        except OSError:
            return found
        for name in names:
            match = _CLAIM.fullmatch(name)
            if match is None:
                continue
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    claim = orjson.loads(file.read())
            except (OSError, orjson.JSONDecodeError):
                continue
            if isinstance(claim, dict) and claim.get("worker") == self._name:
                found.add((int(match[1]), int(match[2]), int(match[3])))
        return found


def lives(workflow: Record, slurm_job_id: str, own: str) -> list[Life]:
    """Give the workers of a Slurm job in this run that have event files, without the worker `own`."""
    folder = layout.events_dir(workflow["output_dir"])
    form = re.compile(rf"wf{workflow['workflow_id']}_r{workflow['run_id']}_.*_{re.escape(slurm_job_id)}_[\d.]+\.jsonl")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [Life(os.path.join(folder, name)) for name in names if form.fullmatch(name) and name != f"{own}.jsonl"]
