"""What `torc` does with a command line that it has read: be the tool, or run it and write torc's JSON."""

import os
from typing import NoReturn

from torc_tools import exits
from torc_tools.core.front import Asked, Called, Row
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import become, options, output, pipeline, stream

_UNASKED = {"--force", "--no-prompts", "-n", "--dry-run"}
_NAMING = {"-j", "--job-id", "--job-ids", "--result-ids", "--upstream-job-id", "-w", "--workflow-id"}


def run(asked: Asked) -> int:
    """Do what is asked; give the exit status. Where nothing is reshaped this process becomes the tool.

    Raises Failure(2) for a workflow that is not named and that nobody can be asked about.
    """
    if asked.verbose and asked.idle:
        stream.say(f"torc: of no effect here: {', '.join(asked.idle)}")
    stream.call("torc")
    if asked.row.chooses or asked.row.asks:
        from torc_tools.flows import choosing

        asked = _with_workflow(asked)
        asks = asked.row.asks and not _UNASKED & asked.given.keys()
        if asks and not choosing.confirmed(_store(asked), asked.row, asked.operands):
            raise Failure(exits.EMPTY, "nothing was done")
    if asked.format == "json" and asked.row.shape is not None:
        return _shaped(asked)
    if asked.chained:
        return _chained(asked)
    return _become(asked)


def _with_workflow(asked: Asked) -> Asked:
    """Add the workflow where the command line has none."""
    from torc_tools.flows import choosing

    row = asked.row
    if not row.chooses or asked.operands or _NAMING & asked.given.keys():
        return asked
    found = str(choosing.workflow(_store(asked), row))
    added = f"{row.operand}={found}" if row.operand else found
    return asked._replace(arguments=[*asked.arguments, added], operands=[*asked.operands, found])


def _store(asked: Asked) -> str:
    return options.store_of(asked.store[0].partition("=")[2] if asked.store else None)


def help_of(row: Row) -> NoReturn:
    """Show the help of the command that a row is."""
    stream.stdout().flush()
    become.become(f"torc-{row.tool}", ["--help"])


def _become(asked: Asked) -> NoReturn:
    if asked.row.speaks and asked.format == "table":
        stream.speak()
    become.become(f"torc-{asked.row.tool}", _arguments(asked, asked.format))


def _arguments(asked: Asked, kind: str) -> list[str]:
    """Give the tool's arguments; a format where it takes one."""
    formats = [f"--format={kind}"] if asked.row.formats else []
    return [*asked.row.fixed, *formats, *asked.store, *asked.arguments[len(asked.row.fixed) :]]


def _chained(asked: Asked) -> int:
    """Run the tool and the one behind it; that one writes as is asked."""
    ran = pipeline.run(*_stages(asked, asked.format))
    stream.stdout().write(ran.stdout)
    return ran.status


def _stages(asked: Asked, kind: str) -> tuple[list[str], list[str]]:
    behind = asked.row.then[1] if asked.row.then else ""
    return (
        [f"torc-{asked.row.tool}", *_arguments(asked, "jsonl")],
        [f"torc-{behind}", f"--format={kind}", *asked.store],
    )


def _shaped(asked: Asked) -> int:
    """Run the tool and write torc's JSON of its records; where it failed and wrote none, nothing."""
    from torc_tools.core import front_json

    if asked.chained:
        ran = pipeline.run(*_stages(asked, "jsonl"))
        raw, status, complaint = ran.stdout, ran.status, ""
    else:
        raw, status, complaint = become.output(f"torc-{asked.row.tool}", _arguments(asked, "jsonl"))
    if raw and not raw.startswith(b'{"type":'):
        output.raw(raw)  # no records: the spec of a dry run
        return status
    records = pipeline.records(raw)
    if status and not records:
        if asked.row.shape == "recovery":
            output.line(front_json.recovery_failed(asked.operands, asked.given, complaint.partition(": ")[2]))
        return status
    others = {name: _asked_too(asked, name) for name in asked.row.also}
    value = front_json.make(str(asked.row.shape), Called(records, others, asked.operands, asked.given))
    output.value({"items": value} if isinstance(value, list) and _items() else value)
    return status


def _asked_too(asked: Asked, name: str) -> list[Record]:
    """Give what another command says of the same workflow; nothing where it fails (it has said why)."""
    return pipeline.records(become.output(f"torc-{name}", ["--format=jsonl", *asked.store, *asked.operands[:1]]).stdout)


def _items() -> bool:
    """Say whether lists are to be in an object, as torc 1.0 has them. Raises Failure(2)."""
    wanted = os.environ.get("TORC_JSON", "")
    if wanted not in ("", "array", "items"):
        raise Failure(exits.USAGE, f"TORC_JSON is neither 'array' nor 'items': '{wanted}'")
    return wanted == "items"
