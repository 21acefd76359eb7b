"""The part of a recovery that a user's own program plays: the hook, which runs before anything is changed."""

import os

from torc_tools.flows import recovery_stages, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Voice
from torc_tools.shell import hooks, pipeline


def planned(request: Request, voice: Voice) -> bytes:
    """Diagnose and plan; where failures of unknown cause are to be retried, run the hook first and plan anew."""
    voice.say("Diagnosing failures...")
    raw = pipeline.run(*recovery_stages.plan(request), hear=voice.hear).checked()
    unknown = recovery_steps.counted(raw).unknown_again if request.hook else 0
    if not unknown:
        return raw
    voice.say(f"{unknown} job(s) with unknown failure cause - running recovery hook...")
    run_hook(request, voice)
    return pipeline.run(*recovery_stages.plan(request), hear=voice.hear).checked()


def hook(request: Request) -> hooks.Hook | None:
    """Give the hook as it will be started. Raises Failure(2) or Failure(66) where it cannot be."""
    if request.hook is None:
        return None
    environment = {"TORC_WORKFLOW_ID": str(request.workflow_id), "TORC_STORE": os.path.abspath(request.store)}
    words = [*hooks.words(request.hook), str(request.workflow_id)]
    return hooks.Hook(request.hook, words, environment, request.hook_timeout_s)


def run_hook(request: Request, voice: Voice) -> None:
    """Run the hook, its output line by line. Raises Failure(1) where it fails."""
    started = hook(request)
    if started is None:
        return
    run_id = recovery_steps.look(request).workflow["run_id"]
    started = started._replace(environment={**started.environment, "TORC_RUN_ID": str(run_id)})
    voice.say(f"Running recovery hook: {request.hook}")
    hooks.run(started, voice.say, voice.beat)
    voice.say("Recovery hook completed successfully")
