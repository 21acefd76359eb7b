"""What Slurm's last word on a step, or on an allocation that took its jobs with it, says about the cause."""

from collections.abc import Mapping

from torc_tools.core import slurmvalues

Verdict = tuple[str, str]  # cause, certainty
Word = tuple[str | None, str | None]  # state, exit code

STEP: dict[
    str, Verdict | None
] = {  # state word of a step -> verdict; None: the word alone says nothing about the cause
    "OUT_OF_MEMORY": ("oom", "certain"),
    "TIMEOUT": ("timeout", "certain"),
    "NODE_FAIL": ("node_fail", "certain"),
    "BOOT_FAIL": ("launch_fail", "certain"),
    "PREEMPTED": ("preempted", "certain"),
    "DEADLINE": ("deadline", "certain"),
    "REVOKED": ("unknown", "certain"),
    "COMPLETED": None,
    "FAILED": None,
    "CANCELLED": None,  # a step that dies of any signal is CANCELLED, though nobody canceled anything
    **dict.fromkeys(slurmvalues.QUEUED | slurmvalues.ACTIVE),  # accounting may be late
}
ALLOCATION: dict[str, Verdict] = {  # the word for an allocation that took a job with it -> verdict
    "CANCELLED": ("allocation_end", "certain"),
    "TIMEOUT": ("allocation_end", "certain"),
    "NODE_FAIL": ("node_fail", "certain"),
    "PREEMPTED": ("preempted", "certain"),
    "BOOT_FAIL": ("launch_fail", "certain"),
    "DEADLINE": ("deadline", "certain"),
    "OUT_OF_MEMORY": ("orphan", "likely"),  # one of its jobs, or its worker: which is not known
    "REVOKED": ("orphan", "likely"),
    "COMPLETED": ("orphan", "certain"),
    "FAILED": ("orphan", "certain"),
    **dict.fromkeys(slurmvalues.ACTIVE, ("orphan", "likely")),
    **dict.fromkeys(slurmvalues.QUEUED, ("interrupted", "certain")),  # put back into the queue
}
LAUNCH = {  # signals that are none: slurmd's own errors, as they come through the code of an exit, where it FAILED
    "0:52": "the script could not be executed",
    "0:53": "an output file could not be opened: a missing folder, a quota, a dead mount",
    "0:54": "the prolog failed, or the node could not start it",
}
OOM_MARK = "0:125"  # slurmstepd's 253, which sacct prints as a signal
ABORTED = "Job step aborted"  # srun says it where scancel or MPI_Abort ends a step, not where the kernel does
TOLD = {  # fact -> how it is told
    "allocation_reason": "its reason: {}",
    "canceled_by": "it was canceled by {}",
    "failed_node": "node {} failed",
    "accounting": "accounting is {}",
}


def evidence(step: Word, allocation: Word, told: Mapping[str, str | None]) -> list[str]:
    """List what Slurm said, each (state, exit code), and what else is told (the facts of TOLD)."""
    found = [
        f"{name}{state}" + (f", exit code {code}" if code else "")
        for name, (state, code) in (("state ", step), ("allocation ", allocation))
        if state
    ]
    found += [
        LAUNCH[code] for state, code in (step, allocation) if code in LAUNCH and slurmvalues.bare(state) == "FAILED"
    ]
    kept = {key: value for key, value in told.items() if value and (key, value) != ("accounting", "final")}
    return [*found, *(TOLD[key].format(value) for key, value in kept.items())]
