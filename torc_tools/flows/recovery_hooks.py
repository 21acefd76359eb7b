"""The part of a recovery that a user's own program plays: a hook, which runs before anything is changed.

A plain hook mends things, and the plan is made anew. A hook that is asked gets the diagnosis of what has no known
cause, and its answer becomes part of the plan: all of it, or the recovery ends and nothing is changed.
"""

import os

from torc_tools import exits
from torc_tools.core import recovery_text
from torc_tools.core.recovery_text import say_all
from torc_tools.exits import Failure
from torc_tools.flows import recovery_stages, recovery_steps
from torc_tools.flows.recovery_stages import Request
from torc_tools.flows.recovery_steps import Voice
from torc_tools.shell import hooks, pipeline


def planned(request: Request, voice: Voice) -> bytes:
    """Diagnose and plan; where failures have no known cause, run the hooks first and plan anew after each.

    Raises Failure(1) where a hook fails, or what it answers is refused: nothing of the plan has been carried out then.
    """
    voice.say("Diagnosing failures...")
    raw = _plan(request, voice)
    unknown = recovery_steps.counted(raw).unknown_again if request.hook else 0
    if request.hook and unknown:
        voice.say(f"{unknown} job(s) with unknown failure cause - running recovery hook...")
        _run(request, request.hook, voice)
        raw = _plan(request, voice)
    if request.hook_json and any(map(recovery_text.is_unknown, recovery_steps.adjustments(raw))):
        return _answered(request, request.hook_json, voice)
    return raw


def check(request: Request) -> None:
    """Raise Failure(2) or Failure(66) where a hook could not be started."""
    for command in (request.hook, request.hook_json):
        if command is not None:
            hooks.words(command)


def _run(request: Request, command: str, voice: Voice, asked: bytes | None = None) -> bytes:
    """Run a hook, what it says line by line; give its answer. Raises Failure(1) where it fails."""
    environment = {
        "TORC_WORKFLOW_ID": str(request.workflow_id),
        "TORC_STORE": os.path.abspath(request.store),
        "TORC_RUN_ID": str(recovery_steps.look(request).workflow["run_id"]),
    }
    words = [*hooks.words(command), str(request.workflow_id)]
    voice.say(f"Running recovery hook: {command}")
    answer = hooks.run(hooks.Hook(command, words, environment, request.hook_timeout_s, asked), voice.say, voice.beat)
    voice.say("Recovery hook completed successfully")
    return answer


def _plan(request: Request, voice: Voice) -> bytes:
    return pipeline.run(*recovery_stages.plan(request), hear=voice.hear).checked()


def _answered(request: Request, command: str, voice: Voice) -> bytes:
    """Ask a hook, and plan with its answer; what it has changed by itself counts, too."""
    lines = recovery_steps.unframed(pipeline.run(*recovery_stages.unknown(request), hear=voice.hear).checked())
    voice.say(f"{len(lines)} job(s) with unknown failure cause - asking recovery hook...")
    answer = _run(request, command, voice, recovery_steps.framed(request.workflow_id, lines))
    if not answer.strip():
        voice.say("The recovery hook has no answer: the plan stays as it is")
        return _plan(request, voice)
    if not answer.endswith(b"\n"):
        raise _refused(request, "its last line has no end")
    return _with_answer(request, voice, answer)


def _with_answer(request: Request, voice: Voice, answer: bytes) -> bytes:
    """Plan with an answer, and try whether all of that could be applied."""
    import tempfile

    heard: list[str] = []
    with tempfile.NamedTemporaryFile(prefix="torc-answers-") as file:
        file.write(answer)
        file.flush()
        ran = pipeline.run(*recovery_stages.plan(request, file.name), hear=heard.append)
    if not ran.status:
        raw = ran.stdout
        ran = pipeline.run(recovery_stages.try_out(request), data=raw, hear=heard.append)
    if ran.status == exits.DATA:
        raise _refused(request, heard[-1].partition(": ")[2] if heard else "see above")
    say_all(voice.hear or voice.say, heard)
    ran.checked()
    return raw


def _refused(request: Request, why: str) -> Failure:
    return Failure(exits.EMPTY, f"Recovery hook '{request.hook_json}': its answer is refused: {why}")
