"""The commands that let a workflow go on, as messages name them: one spelling for all that give advice.

`store` is what names the store in them: empty, or ' --store FILE'.
"""


def here(workflow_id: int, store: str = "") -> str:
    """Give the command that runs a workflow on this machine."""
    return f"torc-run{store} {workflow_id}"


def on_slurm(workflow_id: int, store: str = "") -> str:
    """Give the commands that plan and submit what a workflow needs of Slurm."""
    return f"torc-regenerate{store} {workflow_id} | torc-submit{store}"


def go_on(workflow_id: int, store: str = "", *, is_slurm: bool) -> str:
    """Give what lets a workflow go on where it has run, or is meant to run."""
    return on_slurm(workflow_id, store) if is_slurm else here(workflow_id, store)


def classify(workflow_id: int, *, recovered: bool) -> str:
    """Give the commands for failures that wait for somebody to judge them; a recovery is none where one was made."""
    why = f"'torc-diagnose {workflow_id}' says why"
    more = "" if recovered else f", 'torc-recover {workflow_id}' gives more to those that had too little"
    again = f"'torc-reset -w {workflow_id} -s pending_failed' makes them ready again"
    return f"{why}{more}, {again}, 'torc-jobs set --status failed JOB' makes one final"


def uncancel(workflow_id: int) -> str:
    """Give the command that starts a canceled workflow again."""
    return f"torc-reset -w {workflow_id} --status canceled"
