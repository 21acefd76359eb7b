"""Job states: torc's names with torc's integers; the states of allocations; the sets that rules speak about."""

UNINITIALIZED, BLOCKED, READY, PENDING, RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED, DISABLED, PENDING_FAILED = (
    range(11)
)

NAMES = (
    "uninitialized",
    "blocked",
    "ready",
    "pending",
    "running",
    "completed",
    "failed",
    "canceled",
    "terminated",
    "disabled",
    "pending_failed",
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}

DONE = frozenset({COMPLETED, FAILED, CANCELED, TERMINATED})  # lets dependents go on, one way or the other
BAD = frozenset({FAILED, CANCELED, TERMINATED})  # cancels dependents that ask for it
SETTLED = DONE | {DISABLED}  # nothing of the workflow waits for it
WAITING = frozenset({UNINITIALIZED, BLOCKED, READY})  # not started
ACTIVE = frozenset({PENDING, RUNNING})  # a worker has it
FOR_GOOD = frozenset({FAILED, TERMINATED})  # failures that dependents have heard of
RECOVERABLE = FOR_GOOD | {PENDING_FAILED}  # what diagnosis looks at

UNSENT = ("planned", "submitting")  # of allocations: Slurm has it not, or it is not known whether it has
LIVE = ("submitting", "queued", "active")  # Slurm has it, or may have it
OVER = ("complete", "lost", "canceled")

LOST_CODE = -128  # torc's return code of an attempt whose end nobody saw: the job was lost with its worker
