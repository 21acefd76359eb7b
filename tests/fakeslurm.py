"""A Slurm of one file, for what no healthy one does on request: programs on PATH that share a list of jobs.

`install(folder)` puts sbatch, squeue, sacct and scancel into `folder` and gives a Fake. Nothing ever runs: a job waits
until a test says otherwise. How the next calls of sbatch end is said by `Fake.next(...)`:
ok, fail, hang, die, lie (after the job was accepted), no-fail, no-hang, no-die, no-lie (before), twice, reject WORDS.
"""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAM = r"""
import fcntl, json, os, re, signal, sys, time
folder, name, args = os.path.dirname(sys.argv[0]), os.path.basename(sys.argv[0]), sys.argv[1:]
def option(key, default=None):
    found = [a.partition("=")[2] for a in args if a.startswith(f"--{key}=")]
    return found[-1] if found else default
class State:
    def __enter__(self):
        self.file = open(f"{folder}/state.json", "r+")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.it = json.load(self.file)
        return self.it
    def __exit__(self, *_):
        self.file.seek(0); self.file.truncate(); json.dump(self.it, self.file); self.file.flush()
        self.file.close()
def sbatch():
    path = args[-1]
    text = open(path).read()
    with State() as state:
        state["calls"] += 1
        how = state["next"].pop(0) if state["next"] else state["always"]
        accepts = not how.startswith(("no-", "reject"))
        for _ in range((2 if how == "twice" else 1) if accepts else 0):
            state["last"] += 1
            env = {k: v for k, v in os.environ.items() if k.startswith(("TORC", "SLURM", "SBATCH", "CUDA", "KEPT"))}
            state["jobs"].append({"id": str(state["last"]), "name": option("job-name"), "comment": option("comment"),
                "state": "PENDING", "dependency": option("dependency"), "script": text, "args": args, "env": env})
        job = state["last"]
    end(how.removeprefix("no-"), job)
def end(how, job):
    if how in ("fail", "twice"):
        sys.exit("sbatch: error: something went wrong")
    if how.startswith("reject"):
        sys.exit("sbatch: error: Batch job submission failed: " + how[7:])
    if how == "hang":
        while True: signal.pause()
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("sbatch: all is well" if how == "lie" else f"Submitted batch job {job}")
def up(state):
    if name in state["down"]:
        sys.exit(f"{name}: error: Unable to contact slurm controller (connect failure)")
FIELDS = {"%A": ("JOBID", "id"), "%i": ("JOBID", "id"), "%T": ("STATE", "state"), "%j": ("NAME", "name"),
          "%k": ("COMMENT", "comment"), "%E": ("DEPENDENCY", "dependency")}
def chosen(state):
    ids, names = (option("jobs") or "").split(","), (option("name") or "").split(",")
    return [job for job in state["jobs"] if job["id"] in ids or job["name"] in names]
def squeue():
    with State() as state:
        up(state)
        form = option("format")
        fields = form.split("\x1f")
        print("\x1f".join(FIELDS.get(f, (f"X{n}", None))[0] for n, f in enumerate(fields)))
        for job in chosen(state):
            if not job.get("forgotten"):
                print("\x1f".join(str(job.get(FIELDS.get(f, ("", ""))[1]) or "") for f in fields))
def sacct():
    with State() as state:
        up(state)
        fields = option("format").split(",")
        keys = {"JobIDRaw": "id", "JobID": "id", "JobName": "name", "State": "state", "Comment": "comment"}
        print("\x1f".join(fields))
        for job in chosen(state):
            print("\x1f".join(str(job.get(keys.get(f, "")) or "") for f in fields))
def scancel():
    with State() as state:
        up(state)
        state["canceled"].append(args)
        for job in state["jobs"]:
            if job["id"] in args and (job["state"] == "PENDING" or "--state=PENDING" not in args):
                job["state"] = "CANCELLED"
globals()[name]()
"""


class Fake:
    """What a test sees of it, and says to it."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the programs."""
        self.folder = folder
        self._path = folder / "state.json"

    def read(self) -> dict[str, Any]:
        """Give the state as it is."""
        with open(self._path) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            found: dict[str, Any] = json.load(file)
        return found

    def write(self, **changes: Any) -> None:
        """Change the state; no program may be running."""
        self._path.write_text(json.dumps({**self.read(), **changes}))

    def next(self, *ways: str) -> None:
        """Say how the next calls of sbatch end."""
        self.write(next=list(ways))

    def move(self, job_id: str, state: str) -> None:
        """Let a job be in another state."""
        jobs = [{**job, "state": state} if job["id"] == job_id else job for job in self.jobs()]
        self.write(jobs=jobs)

    def jobs(self) -> list[dict[str, Any]]:
        """Give all jobs, oldest first."""
        return list(self.read()["jobs"])

    def live(self) -> list[str]:
        """Give the names of the jobs that wait or run."""
        return [job["name"] for job in self.jobs() if job["state"] in ("PENDING", "RUNNING")]


def install(folder: Path) -> Fake:
    """Make the programs in `folder`; the test puts it on PATH."""
    folder.mkdir()
    start = {"jobs": [], "last": 100, "calls": 0, "next": [], "always": "ok", "down": [], "canceled": []}
    (folder / "state.json").write_text(json.dumps(start))
    for name in ("sbatch", "squeue", "sacct", "scancel"):
        path = folder / name
        path.write_text(f"#!{sys.executable} -S\n{PROGRAM}")
        os.chmod(path, 0o755)  # noqa: S103
    return Fake(folder)
