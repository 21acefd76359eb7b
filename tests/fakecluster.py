"""A cluster of one file that runs what is submitted, and fails, hangs, lies or dies on request.

    cluster = fakecluster.build(tmp_path); monkeypatch.setenv("PATH", cluster.path)

(fakeslurm.py has one that runs nothing, and whose jobs are moved by the test.) The clients share one table of jobs;
sbatch runs the script in the background as soon as it may begin (what it depends on is over, and the cluster is not
held). A step that ends with 137 is one that Slurm killed for memory.
Knobs, a file each, say how a client behaves: `cluster.knob("sbatch", "fail")`: fail (refuses), unable (the controller
is down), hang (for ever), lie (nonsense, status 0), die (by a signal), late (does it, then says that it failed), lost
(does it, then is killed). `unable` for sacct: slurmdbd is down.
"""

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from waiting import until

CLIENTS = ("sbatch", "squeue", "sacct", "scancel", "sinfo", "scontrol", "sacctmgr", "srun")
FIELD = "\x1f"
HOST = os.uname().nodename
VALUED = ("-J", "-o", "-e", "-t", "-N", "-n", "-c", "-A", "-p", "-w", "-d")
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
QUEUE = (
    "JOBID JOBID STATE UID ACCOUNT PARTITION START_TIME END_TIME SUBMIT_TIME TIME_LIMIT NODES NODELIST DEPENDENCY"
    " REASON NAME COMMENT"
)
Table = dict[str, Any]


class Cluster(NamedTuple):
    """A fake cluster in a folder."""

    folder: Path

    @property
    def path(self) -> str:
        """Give the PATH on which its clients come first."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def knob(self, client: str, how: str | None) -> None:
        """Set how a client behaves, or (None) that it is well again."""
        file = self.folder / "knobs" / client
        file.write_text(how or "")

    def jobs(self) -> list[Table]:
        """Give the jobs that were ever submitted, oldest first."""
        with table(self.folder) as found:
            return list(found["jobs"].values())

    def hold(self, *, held: bool = True) -> None:
        """Let no job begin, or let them."""
        self.knob("hold", "held" if held else None)

    def change(self, job_id: int | str, **to: Any) -> None:
        """Change what is known of a job: state="CANCELLED"; forgotten=True for one that Slurm knows no more."""
        with table(self.folder) as found:
            found["jobs"][str(job_id)].update(to)

    def stop(self) -> None:
        """Kill what runs in the background."""
        self.hold()
        for job in self.jobs():
            for pid in (job.get("pid"), job.get("runner")):
                if pid and not job["end"]:
                    end(pid)


def build(folder: Path) -> Cluster:
    """Make a cluster with one node of 4 CPUs and 4,000 MB in partition debug, account proj."""
    made = folder / "cluster"
    for part in ("bin", "knobs"):
        (made / part).mkdir(parents=True)
    for name in CLIENTS:
        client = made / "bin" / name
        client.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{made}" {name} "$@"\n')
        client.chmod(0o755)
    return Cluster(made)


@contextmanager
def table(folder: Path) -> Iterator[Table]:
    """Give the table of jobs, alone; what is changed is kept."""
    with open(folder / "table.json", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        found: Table = json.loads(before) if before else {"jobs": {}, "steps": []}
        yield found
        after = json.dumps(found)
        if after != before:
            file.seek(0)
            file.truncate()
            file.write(after)
            file.flush()


def end(pid: int) -> None:
    """Kill a session."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into options and the rest, which begins at the first word that is none."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        if not equals and name in VALUED:
            at += 1
            value = words[at]
        found[name.lstrip("-")] = value
        at += 1
    return found, words[at:]


def sbatch(folder: Path, words: list[str]) -> int:
    """Take a job and start its runner."""
    given, rest = options(words)
    lines = [line[8:].strip() for line in Path(rest[0]).read_text().splitlines() if line.startswith("#SBATCH ")]
    given = {**options([word for line in lines for word in shlex.split(line)])[0], **given}
    with table(folder) as found:
        job_id = 1000 + len(found["jobs"]) + 1
        found["jobs"][str(job_id)] = {
            "job_id": job_id,
            "state": "PENDING",
            "name": given.get("job-name", "job"),
            "script": rest[0],
            "comment": given.get("comment", ""),
            "submit": time.time(),
            "start": None,
            "end": None,
            "given": given,
            "account": given.get("account", ""),
            "partition": given.get("partition", "debug"),
        }
    runner = [sys.executable, "-S", __file__, str(folder), "run", str(job_id)]
    null = subprocess.DEVNULL
    process = subprocess.Popen(runner, start_new_session=True, stdin=null, stdout=null, stderr=null)
    with table(folder) as found:  # at once, so that stop() finds it
        found["jobs"][str(job_id)]["runner"] = process.pid
    sys.stdout.write(f"{job_id}\n" if "parsable" in given else f"Submitted batch job {job_id}\n")
    return 0


def run(folder: Path, words: list[str]) -> int:
    """Be a job: wait until it may begin, run the script, note how it ended."""
    job_id = words[0]
    until(lambda: begin(folder, job_id), "the job to begin", 3600)
    with table(folder) as found:
        job = found["jobs"][job_id]
        if job["state"] != "RUNNING":
            job["end"] = job["end"] or time.time()
            return 0
        process = start(job)
        job["pid"] = process.pid
    status = process.wait()
    with table(folder) as found:
        job = found["jobs"][job_id]
        if job["state"] == "RUNNING":
            job["state"] = "FAILED" if status else "COMPLETED"
        job["end"] = time.time()
    return 0


def start(job: Table) -> "subprocess.Popen[bytes]":
    """Start the script of a job."""
    given, job_id = job["given"], str(job["job_id"])
    output = Path(given.get("output", "/dev/null").replace("%j", job_id))
    environment = {
        **os.environ,
        "SLURM_JOB_ID": job_id,
        "SLURM_JOBID": job_id,
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NNODES": "1",
        "SLURM_CPUS_ON_NODE": "4",
        "SLURM_JOB_CPUS_PER_NODE": "4",
        "SLURM_NODELIST": HOST,
        "SLURM_JOB_NODELIST": HOST,
        "SLURMD_NODENAME": HOST,
        "SLURM_MEM_PER_NODE": "4000",
        "SLURM_JOB_END_TIME": str(int(time.time()) + 3600),
        "SLURM_RESTART_COUNT": "0",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "ab") as log:
        return subprocess.Popen(
            [job["script"]],
            cwd=given.get("chdir"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def begin(folder: Path, job_id: str) -> bool:
    """Let a job begin if it may; say whether it has, or never will."""
    held = knob(folder, "hold")
    with table(folder) as found:
        job = found["jobs"][job_id]
        if job["state"] != "PENDING":
            return True
        after = job["given"].get("dependency", "").removeprefix("afterany:").split(":")
        waits = [found["jobs"][each] for each in after if each in found["jobs"]]
        if held or any(each["state"].split()[0] not in OVER for each in waits):
            return False
        job.update(state="RUNNING", start=time.time())
    return True


def stamp(seconds: float | None) -> str:
    """Write a time."""
    return "N/A" if seconds is None else str(int(seconds))


def squeue(folder: Path, words: list[str]) -> int:
    """List jobs, by id or by name."""
    given, _ = options(words)
    with table(folder) as found:
        jobs = [job for job in found["jobs"].values() if not job.get("forgotten")]
    ids, names = given.get("jobs", "").split(","), given.get("name", "").split(",")
    sys.stdout.write(FIELD.join(QUEUE.split()) + "\n")
    for job in jobs:
        if str(job["job_id"]) in ids or job["name"] in names:
            ends = None if job["start"] is None else job["end"] or job["start"] + 3600
            who = [job["job_id"], job["job_id"], job["state"].split()[0], os.getuid(), job["account"], job["partition"]]
            times = [stamp(job["start"]), stamp(ends), stamp(job["submit"]), "1:00:00"]
            where = [1, HOST if job["start"] else "", job["given"].get("dependency", "(null)")]
            why = job.get("reason", "Priority" if job["state"] == "PENDING" else "None")
            sys.stdout.write(FIELD.join(map(str, [*who, *times, *where, why, job["name"], job["comment"]])) + "\n")
    return 0


def sacct(folder: Path, words: list[str]) -> int:
    """List jobs with their steps."""
    given, _ = options(words)
    names = given["format"].split(",")
    with table(folder) as found:
        jobs, steps = found["jobs"].values(), found["steps"]
    ids, wanted = given.get("jobs", "").split(","), given.get("name", "").split(",")
    sys.stdout.write(FIELD.join(names) + "\n")
    for job in jobs:
        if str(job["job_id"]) not in ids and job["name"] not in wanted:
            continue
        rows = [{"JobIDRaw": job["job_id"], "JobName": job["name"], "Comment": job["comment"], **ran(job)}]
        own = [step for step in steps if step["job_id"] == job["job_id"]]
        for number, step in enumerate(own):
            rows.append({"JobIDRaw": f"{job['job_id']}.{number}", "JobName": step["name"], **ran(step)})
        for row in rows:
            line = {**row, "JobID": row["JobIDRaw"], "UID": os.getuid(), "NodeList": HOST, "NNodes": 1}
            sys.stdout.write(FIELD.join(str(line.get(name, "")) for name in names) + "\n")
    return 0


def ran(row: Table) -> Table:
    """Give the columns of accounting that a job and a step have alike."""
    elapsed = 0 if row["start"] is None else (row["end"] or time.time()) - row["start"]
    times = {"Submit": stamp(row.get("submit") or row["start"]), "Start": stamp(row["start"]), "End": stamp(row["end"])}
    return {"State": row["state"], "ExitCode": row.get("code", "0:0"), "ElapsedRaw": int(elapsed), **times}


def scancel(folder: Path, words: list[str]) -> int:
    """Cancel jobs: what waits is over, what runs gets SIGTERM."""
    given, ids = options(words)
    with table(folder) as found:
        for job in found["jobs"].values():
            if str(job["job_id"]) not in ids and job["name"] != given.get("name"):
                continue
            if job["state"] == "PENDING":
                job.update(state=f"CANCELLED by {os.getuid()}", end=time.time())
            elif job["state"] == "RUNNING" and given.get("state") != "PENDING":
                job["state"] = f"CANCELLED by {os.getuid()}"
                os.killpg(job["pid"], signal.SIGTERM)
    return 0


def sinfo(_folder: Path, _words: list[str]) -> int:
    """Describe the one partition."""
    names = ["PARTITION", "CPUS", "MEMORY", "TIMELIMIT", "GRES", "NODES", "STATE", "AVAIL_FEATURES"]
    sys.stdout.write(FIELD.join(names) + "\n")
    sys.stdout.write(FIELD.join(["debug", "4", "4000", "4:00:00", "(null)", "4", "idle", "(null)"]) + "\n")
    return 0


def scontrol(_folder: Path, words: list[str]) -> int:
    """Show the configuration, the partition or the node."""
    what = [word for word in words if not word.startswith("-")]
    shown = {
        "config": "ClusterName = fake\n",
        "partition": "PartitionName=debug Default=YES MaxTime=04:00:00 DefMemPerCPU=256 OverSubscribe=NO State=UP\n",
        "node": f"NodeName={HOST} CPUTot=4 RealMemory=4000 Partitions=debug\n",
    }
    sys.stdout.write(shown.get(what[1] if len(what) > 1 else "", ""))
    return 0


def sacctmgr(_folder: Path, _words: list[str]) -> int:
    """Say the default account."""
    sys.stdout.write("proj\n")
    return 0


def srun(folder: Path, words: list[str]) -> int:
    """Run a step."""
    given, task = options(words)
    job_id = int(os.environ["SLURM_JOB_ID"])
    step: Table = {"job_id": job_id, "name": given.get("job-name", "step"), "start": time.time(), "end": None}
    environment = {**os.environ, "SLURM_MEM_PER_NODE": given.get("mem", "").rstrip("M"), "SLURM_STEP_ID": "0"}
    with table(folder) as found:
        place = len(found["steps"])
        found["steps"].append({**step, "state": "RUNNING"})
    out = {name: os.open(given[name], os.O_WRONLY | os.O_APPEND | os.O_CREAT) for name in ("output", "error")
           if given.get(name) and not given[name].isdigit()}  # fmt: skip
    process = subprocess.Popen(task, env=environment, stdout=out.get("output"), stderr=out.get("error"))
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    status = process.wait()
    killed = status in (137, -9)
    if killed:
        sys.stderr.write(f"slurmstepd: error: Detected 1 oom_kill event in StepId={job_id}.{place}.\n")
        sys.stderr.write("srun: error: task 0: Out Of Memory\n")
    elif status > 0:
        sys.stderr.write(f"srun: error: n1: task 0: Exited with exit code {status}\n")
    ended = {"state": "OUT_OF_MEMORY" if killed else "FAILED" if status else "COMPLETED", "end": time.time()}
    with table(folder) as found:
        found["steps"][place].update(ended, code="0:125" if killed else f"{max(0, status)}:0")
    return 137 if killed else status if status >= 0 else 128 - status


def knob(folder: Path, name: str) -> str:
    """Give how a client is to behave."""
    try:
        return (folder / "knobs" / name).read_text()
    except FileNotFoundError:
        return ""


def refused(name: str, how: str) -> int | None:
    """Do what a knob says instead of the client's work; None: the work is done."""
    if how == "hang":
        while True:
            signal.pause()
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "lie":
        sys.stdout.write("all is well\n")
        return 0
    if how == "unable":
        who = "slurmdbd" if name in ("sacct", "sacctmgr") else "slurm controller"
        sys.stderr.write(f"{name}: error: Unable to contact {who} (connect failure)\n")
        return 1
    if how == "fail":
        sys.stderr.write(f"{name}: error: Batch job submission failed: Invalid account or partition\n")
        return 1
    return None


def main() -> int:
    """Be a client, as its knob wants it."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    how = knob(folder, name)
    act: Callable[[Path, list[str]], int] = globals()[name]
    status = refused(name, how)
    if status is not None:
        return status
    status = act(folder, sys.argv[3:])
    if how == "late":
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"{name}: error: Socket timed out on send/recv operation\n")
        return 1
    if how == "lost":
        os.kill(os.getpid(), signal.SIGKILL)
    return status


if __name__ == "__main__":
    sys.exit(main())
