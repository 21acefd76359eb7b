"""The schemas that the tools of torc-mcp are made of: what they take and what they give. Pure."""

from typing import Any

Schema = dict[str, Any]

_MOST_ID = 2**53 - 1  # what every JSON reader holds
TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
WORKFLOW = {"type": "integer", "minimum": 1, "maximum": _MOST_ID, "description": "The workflow's id."}
JOB = {"type": "integer", "minimum": 1, "maximum": _MOST_ID, "description": "The job's id."}
DRY_RUN = "Say what would be done; change nothing."


def limit(default: int, what: str) -> Schema:
    """Describe how many are given at most."""
    text = f"At most so many {what} (default {default}); counts are of all."
    return {"type": "integer", "minimum": 1, "maximum": 1000, "default": default, "description": text}


def ids(text: str) -> Schema:
    """Describe ids of jobs."""
    return {"type": "array", "items": JOB, "minItems": 1, "maxItems": 10_000, "description": text}


def many(kind: str, text: str) -> Schema:
    """Describe records of a type."""
    return {"type": "array", "items": {"$ref": f"#/$defs/{kind}"}, "description": text}


def said(text: str) -> Schema:
    """Describe a text."""
    return {**TEXT, "description": text}


def maybe(kind: str, text: str) -> Schema:
    """Describe what may be null."""
    return {"type": [kind, "null"], "description": text}


ORDERS = {
    "account": said("Slurm account that new allocations are charged to."),
    "partition": said("Slurm partition of new allocations."),
    "walltime": said("Of each new allocation, or of the run on this machine: 04:00:00 or PT4H."),
    "max_parallel_jobs": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "description": "Jobs at a time."},
}
COMMANDS = {
    "commands": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What was run, as lines for a shell: a person gets the same by typing them.",
    }
}
NOTE = {"note": {"type": "string", "description": "What to keep in mind when reading the texts of jobs."}}
COUNT = {"type": "integer", "minimum": 0, "description": "How many there are, shown or not."}
TRUNCATED = {"truncated": {"type": "boolean", "description": "Whether there are more than are shown."}}
_MESSAGES = {
    "messages": {"type": "array", "items": {"type": "string"}, "description": "What the commands said to people."}
}
_STARTED = {
    "started": {
        "type": ["object", "null"],
        "description": "The torc-run that was started and goes on by itself, where the workflow runs on this machine.",
        "required": ["command", "pid", "log", "exit_status"],
        "properties": {
            "command": {"type": "string"},
            "pid": {"type": "integer"},
            "log": {"type": "string", "description": "The file that it writes its words to."},
            "exit_status": {"type": ["integer", "null"], "description": "null while it runs."},
        },
    }
}
DONE = {
    "workflow_id": WORKFLOW,
    "dry_run": {"type": "boolean", "description": "Whether nothing was changed."},
    "counts": {
        "type": "object",
        "description": "How many records of each kind there are, shown or not.",
        "additionalProperties": {"type": "integer"},
    },
    "resets": many("reset", "Jobs that start over: those that were named and those that depend on them."),
    "allocations": many("allocation", "Slurm allocations that are planned; with dry_run those that would be."),
    "submissions": many("submission", "What became of them at Slurm."),
    **_STARTED,
    **_MESSAGES,
    **TRUNCATED,
    **COMMANDS,
}
FAILED_JOB = {
    "type": "object",
    "required": ["job_id", "job_name", "status", "return_code", "cause", "certainty", "error", "stderr_tail"],
    "properties": {
        "job_id": JOB,
        "job_name": {"type": "string"},
        "status": {"type": "string", "description": "failed, terminated or pending_failed."},
        "return_code": maybe("integer", "Its exit code; 128 + N where signal N ended it."),
        "run_id": maybe("integer", "The run of the workflow."),
        "attempt_id": maybe("integer", "The attempt of the job."),
        "cause": maybe("string", "oom, timeout, unknown, ...: see torc-diagnose(1)."),
        "certainty": maybe("string", "certain, likely or weak."),
        "error": {"type": "string", "description": "The evidence in one line."},
        "memory": maybe("string", "The memory that it had, '8g'; null for no limit."),
        "peak_memory_bytes": maybe("integer", "The most that it used; null where that is not known."),
        "runtime": maybe("string", "The runtime that it had, 'PT2H'; null for no limit."),
        "exec_time_s": maybe("number", "How long it ran, in seconds."),
        "stderr_tail": maybe("string", "The last lines of its stderr; null where there are none."),
        "stderr_file": maybe("string", "That file, below the output directory."),
    },
}
STREAM = {
    "type": "object",
    "required": ["file", "size_bytes", "truncated", "text"],
    "properties": {
        "file": {"type": "string", "description": "Its name below the output directory."},
        "size_bytes": {"type": "integer", "description": "The size of the whole file."},
        "truncated": {"type": "boolean", "description": "Whether the file has more than is shown."},
        "matches": maybe("integer", "With grep: how many lines hold the text."),
        "text": {"type": "string", "description": "The lines; with grep each has its number before it."},
    },
}
