"""Texts as squeue and sacct write them for torc_tools.shell.slurm: a header, then rows, \\x1f between the fields."""

from pathlib import Path
from typing import Any

FIELD = "\x1f"
QUEUE = (
    "JOBID", "JOBID", "STATE", "UID", "ACCOUNT", "PARTITION", "START_TIME", "END_TIME", "SUBMIT_TIME", "TIME_LIMIT",
    "NODES", "NODELIST", "DEPENDENCY", "REASON", "NAME", "COMMENT",
)  # fmt: skip
ACCOUNTS = (
    "JobIDRaw", "JobID", "State", "ExitCode", "DerivedExitCode", "ElapsedRaw", "Submit", "Start", "End",
    "TimelimitRaw", "NNodes", "NTasks", "AllocCPUS", "ReqMem", "MaxRSS", "MaxVMSize", "MaxDiskRead", "MaxDiskWrite",
    "AveCPU", "TotalCPU", "NodeList", "Reason", "FailedNode", "JobName", "Comment",
)  # fmt: skip


def squeue(*rows: dict[str, Any]) -> str:
    """Give squeue's answer; a row is its columns, those left out are empty."""
    lines = [QUEUE, *(tuple(str(row.get(name, "")) for name in QUEUE) for row in rows)]
    return "".join(FIELD.join(line) + "\n" for line in lines)


def waiting(job_id: int, state: str, reason: str = "None", **more: Any) -> dict[str, Any]:
    """Give a row of squeue."""
    return {"JOBID": job_id, "STATE": state, "REASON": reason, "NAME": "torc", **more}


def sacct(*rows: dict[str, Any]) -> str:
    """Give sacct's answer; a row is its columns, those left out are empty."""
    lines = [ACCOUNTS, *(tuple(str(row.get(name, "")) for name in ACCOUNTS) for row in rows)]
    return "".join(FIELD.join(line) + "\n" for line in lines)


def account(job_id: str, state: str, code: str = "0:0", name: str = "torc", **more: Any) -> dict[str, Any]:
    """Give a row of sacct: a job ('7') or a step ('7.0')."""
    return {"JobIDRaw": job_id, "JobID": job_id, "State": state, "ExitCode": code, "JobName": name, **more}


def accountant(folder: Path) -> Path:
    """Make a sacct in `folder` that knows one job, which failed; give the folder, for PATH."""
    folder.mkdir()
    program = folder / "sacct"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{sacct(account('7', 'FAILED', '3:0'))}END\n")
    program.chmod(0o755)
    return folder
