"""Tools served over standard input and output in the Model Context Protocol: the one file that knows its SDK."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import stream
from torc_tools.shell.stoppable import GRACE_S, Task

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

AT_ONCE = 4  # calls that are worked on together; the others wait
INSTALL = "pip install 'torc-tools[mcp]'"


class Answer(NamedTuple):
    """What a call comes to: its value, or one line that says why it failed."""

    value: dict[str, Any] | None
    failure: str = ""


class Service(NamedTuple):
    """What is served: who we are, the tools in the protocol's form, and what calls them in a thread of its own."""

    name: str
    version: str
    instructions: str
    tools: list[dict[str, Any]]
    call: Callable[[str, dict[str, Any], Task], Answer]


def need() -> None:
    """Raise Failure(69) where the SDK is not installed, or is one of before 2.0."""
    import importlib.metadata

    try:
        version = importlib.metadata.version("mcp")
        importlib.metadata.version("jsonschema")
    except importlib.metadata.PackageNotFoundError as error:
        raise Failure(exits.UNAVAILABLE, f"the package '{error.name}' is not installed: {INSTALL}") from None
    if int(version.partition(".")[0]) < 2:  # another interface
        raise Failure(exits.UNAVAILABLE, f"the package 'mcp' {version} is too old: {INSTALL}")


def problem(schema: dict[str, Any], value: Any) -> tuple[list[Any], str] | None:
    """Give where and why a value does not fit a schema; None where it does."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    found = best_match(Draft202012Validator(schema).iter_errors(value))
    return None if found is None else (list(found.absolute_path), found.message)


def serve(service: Service) -> None:
    """Serve until the client closes our standard input. Raises OSError where what we write cannot be written.

    A call that is cancelled, and all that run when the client has gone or a signal ends us, are stopped with what they
    have started.
    """
    if sys.stdin is None:
        raise Failure(exits.IO, "cannot read standard input: it is closed")
    calls = _Calls(service)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda said, _: calls.leave(said))
    logging.getLogger().addHandler(_Plain(logging.WARNING))
    try:
        asyncio.run(_serve(_server(service, calls)))
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    finally:
        calls.end()


class _Calls:
    """The calls that are worked on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._running: dict[Task, Future[Answer]] = {}

    async def work(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Work on a call in a thread; where it is cancelled, stop what runs for it."""
        task = Task()
        future = self._pool.submit(self._service.call, name, arguments, task)
        self._running[task] = future
        try:
            return await asyncio.wrap_future(future)
        finally:
            task.stop()
            if future.done():
                self._running.pop(task, None)
            else:
                future.add_done_callback(lambda _: self._running.pop(task, None))

    def end(self) -> None:
        """Stop all calls, and wait until what they had started is gone."""
        for task in list(self._running):
            task.stop()
        wait(list(self._running.values()), 2 * GRACE_S)

    def leave(self, number: int) -> None:
        """End as the signal says, once the calls have been stopped. The thread that reads would wait for a line."""
        self.end()
        if number == signal.SIGINT:
            os._exit(exits.INTERRUPTED)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _server(service: Service, calls: _Calls) -> "Server[Any]":
    from mcp import types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    tools = [types.Tool.model_validate(tool) for tool in service.tools]
    names = {tool.name for tool in tools}

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in names:
            raise MCPError(types.INVALID_PARAMS, f"unknown tool: {params.name!a}")
        answer = await calls.work(params.name, params.arguments or {})
        text = orjson.dumps(answer.value).decode() if answer.value is not None else answer.failure
        content: list[Any] = [types.TextContent(type="text", text=text)]
        if answer.value is None:
            return types.CallToolResult(content=content, is_error=True)
        return types.CallToolResult(content=content, structured_content=answer.value)

    return Server(
        service.name,
        version=service.version,
        instructions=service.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _serve(server: "Server[Any]") -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _cause(group: BaseExceptionGroup) -> BaseException:
    """Give the one exception of a group that a user should hear of: that of a file, where there is one."""
    found: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        each = rest.pop()
        if isinstance(each, BaseExceptionGroup):
            rest.extend(each.exceptions)
        else:
            found.append(each)
    return next((each for each in found if isinstance(each, OSError)), found[0])


class _Plain(logging.Handler):
    """Writes what the SDK warns of as one line, without a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        stream.say(f"torc-mcp: {record.getMessage()}")
