"""The tools of torc-mcp: each call runs commands of ours and answers with what they wrote."""

import functools
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from torc_tools import exits
from torc_tools.core import mcp_answers, mcp_tools
from torc_tools.exits import Failure
from torc_tools.flows import mcp_changes, mcp_logs
from torc_tools.flows.mcp_asking import Asked, given
from torc_tools.records import Record
from torc_tools.shell import mcpserver, options, schemafiles, stream
from torc_tools.shell.stoppable import Task


class Setting(NamedTuple):
    """How the server was started: the path of its store, and whether it may change nothing."""

    store: str
    read_only: bool


def offered(setting: Setting) -> list[dict[str, Any]]:
    """Give the tools in the protocol's form; with read_only those that change nothing."""
    tools = [tool for tool in mcp_tools.TOOLS.values() if not (setting.read_only and tool.changes)]
    schemas = schemafiles.load({kind for tool in tools for kind in tool.records})
    return [mcp_tools.described(tool, schemas) for tool in tools]


def serve(setting: Setting) -> None:
    """Serve the tools until the client leaves. Raises Failure(69) where the SDK is not installed."""
    mcpserver.need()
    stream.stdout()  # closed: said before anything is done
    answering = functools.partial(answer, setting)
    mcpserver.serve(
        mcpserver.Service("torc-tools", options.VERSION, mcp_answers.INSTRUCTIONS, offered(setting), answering)
    )


def answer(setting: Setting, name: str, arguments: dict[str, Any], task: Task) -> mcpserver.Answer:
    """Call a tool: give its answer, or one line that says why it failed."""
    try:
        return mcpserver.Answer(_called(setting, name, _checked(name, arguments), task))
    except Failure as failure:
        return mcpserver.Answer(None, mcp_answers.complaint(name, failure.message, failure.status))
    except Exception as error:  # noqa: BLE001  a bug ends this call, not the server
        text = f"{type(error).__name__}: {error}"
        return mcpserver.Answer(None, mcp_answers.complaint(name, text, exits.SOFTWARE))


def _checked(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Give arguments that the tool takes. Raises Failure(2)."""
    wrong = mcpserver.problem(mcp_tools.takes(mcp_tools.TOOLS[name]), arguments)
    if wrong:
        raise Failure(exits.USAGE, mcp_answers.wrong_argument(*wrong))
    controls = [key for key, text in arguments.items() if isinstance(text, str) and not text.isprintable()]
    if controls:
        raise Failure(exits.USAGE, f"{controls[0]}: has control characters: '{arguments[controls[0]]}'")
    return dict(mcp_tools.whole(arguments))


def _called(setting: Setting, name: str, arguments: dict[str, Any], task: Task) -> Record:
    """Call a tool with checked arguments. Raises Failure."""
    asked = Asked(arguments, task, setting.store, setting.read_only, [])
    try:
        return dict(mcp_answers.safe(_DO[name](asked)))
    except sqlite3.Error as error:
        locked = "locked" in str(error) or "busy" in str(error)
        raise Failure(exits.TEMPORARY if locked else exits.IO, f"store '{setting.store}': {error}") from None
    except OSError as error:
        raise Failure(exits.IO, f"{error.filename or 'cannot write'}: {error.strerror}") from None


def _workflows(asked: Asked) -> Record:
    found = asked.listed("torc-workflows", *asked.looking)
    found.sort(key=lambda record: -record["workflow_id"])
    shown, truncated = mcp_answers.cut({"workflows": found}, asked.get("limit", 50))
    return {"count": len(found), **shown, "truncated": truncated, "commands": asked.commands()}


def _status(asked: Asked) -> Record:
    (found,) = asked.listed("torc-status", *asked.looking, asked.workflow_id)
    return {"summary": found, "commands": asked.commands()}


def _failed(asked: Asked) -> Record:
    found = asked.listed("torc-diagnose", *asked.looking, asked.workflow_id)
    limit = asked.get("limit", 20)
    folder = mcp_logs.output_dir(asked, asked.workflow_id) if found else ""
    return {
        "workflow_id": asked.workflow_id,
        "failed_job_count": len(found),
        "failed_jobs": [mcp_answers.failed_job(each, mcp_logs.tail(folder, each)) for each in found[:limit]],
        "truncated": len(found) > limit,
        "note": mcp_answers.NOTE,
        "commands": asked.commands(),
    }


def _utilization(asked: Asked) -> Record:
    words = ["--include-failed"] if asked.get("include_failed", True) else []
    words += ["--all"] if asked.get("all") else []
    found = asked.listed("torc-report", *asked.looking, *words, asked.workflow_id)
    kinds = {f"{kind}s": mcp_answers.of(found, kind) for kind in ("violation", "resource_violation")}
    shown, truncated = mcp_answers.cut(kinds, asked.get("limit", 100))
    return {
        "workflow_id": asked.workflow_id,
        "over_utilization_count": sum(each["is_over"] for each in kinds["violations"]),
        "resource_violations_count": len(kinds["resource_violations"]),
        **shown,
        "truncated": truncated,
        "commands": asked.commands(),
    }


def _diagnose(asked: Asked) -> Record:
    words = [*given(asked, "job_ids"), *(["--all-runs"] if asked.get("all_runs") else [])]
    words += ["--group"] if asked.get("group") else []
    found = asked.listed("torc-diagnose", *asked.looking, *words, asked.workflow_id)
    groups = [mcp_answers.short(each) for each in mcp_answers.of(found, "failure_group")]
    kinds = {"diagnoses": mcp_answers.of(found, "diagnosis"), "groups": groups}
    shown, truncated = mcp_answers.cut(kinds, asked.get("limit", 50))
    return {
        "workflow_id": asked.workflow_id,
        "count": sum(each.get("count", 1) for each in found),
        "causes": mcp_answers.causes(found),
        **shown,
        "truncated": truncated,
        "commands": asked.commands(),
    }


def _update(asked: Asked) -> Record:
    return {**mcp_changes.update(asked), "commands": asked.commands()}


_DO: dict[str, Callable[[Asked], Record]] = {
    "list_workflows": _workflows,
    "get_workflow_status": _status,
    "list_failed_jobs": _failed,
    "get_job_logs": mcp_logs.get,
    "check_resource_utilization": _utilization,
    "diagnose": _diagnose,
    "update_job_resources": _update,
    "resubmit_workflow": mcp_changes.resubmit,
    "recover": mcp_changes.recover,
}
