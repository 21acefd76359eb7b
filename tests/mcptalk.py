"""Talking to torc-mcp: with the SDK's own client, and with bare lines where a client would be too polite."""

import asyncio
import itertools
import os
import select
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import orjson
from conftest import command

PROTOCOL = "2025-06-18"
Call = tuple[str, dict[str, Any]]


class Answer(NamedTuple):
    """What a tool answered: its value, its text, and whether that is an error."""

    value: dict[str, Any]
    text: str
    is_error: bool


class Talk(NamedTuple):
    """A whole session: the tools that were offered, the server's words, and an answer for each call."""

    tools: set[str]
    instructions: str | None
    answers: list[Answer]


def session(calls: list[Call], options: list[str]) -> Talk:
    """Start a server as the SDK's client does, call tools one after the other, and leave."""
    return asyncio.run(_session(calls, options))


async def _session(calls: list[Call], options: list[str]) -> Talk:
    from mcp.client.session import ClientSession
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program, *arguments = command("torc-mcp")
    server = StdioServerParameters(command=program, args=[*arguments, *options], env=dict(os.environ))
    with open(os.devnull, "w", encoding="utf-8") as said:  # noqa: ASYNC230  it waits for nothing
        async with stdio_client(server, errlog=said) as streams, ClientSession(*streams) as client:
            started = await client.initialize()
            tools = {tool.name for tool in (await client.list_tools()).tools}
            answers = [_answer(await client.call_tool(name, arguments)) for name, arguments in calls]
    return Talk(tools, started.instructions, answers)


def _answer(result: Any) -> Answer:
    return Answer(result.structured_content or {}, result.content[0].text, bool(result.is_error))


def texts(value: Any) -> Iterator[str]:
    """Give all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain(value, *map(texts, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain(*map(texts, value))


class Raw:
    """A server, and lines to and from it."""

    def __init__(self, options: list[str], **env: str) -> None:
        self.process = subprocess.Popen(
            [*command("torc-mcp"), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **env},
        )  # fmt: skip
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self.answer(self.request("initialize", hello))
        self.send({"method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert end is not None
            end.close()

    def write(self, line: bytes) -> None:
        """Send bytes."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self.write(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")

    def request(self, method: str, params: dict[str, Any]) -> int:
        """Send a request; give its number."""
        number = next(self._numbers)
        self.send({"id": number, "method": method, "params": params})
        return number

    def call(self, name: str, **arguments: Any) -> int:
        """Call a tool; give the number of the request."""
        return self.request("tools/call", {"name": name, "arguments": arguments})

    def answer(self, number: int | str) -> dict[str, Any]:
        """Give the answer to a request; what comes before it is passed over."""
        while True:
            found = self._line()
            if found.get("id") == number:
                return found

    def rest(self) -> list[dict[str, Any]]:
        """Give what the server wrote until its end."""
        assert self.process.stdout is not None
        return [orjson.loads(line) for line in self.process.stdout]

    def close(self) -> None:
        """Leave, as a client does: close the server's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def said(self) -> str:
        """Give what the server wrote for people, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 60)[0], "no answer in a minute"
        line = self.process.stdout.readline()
        assert line, f"the server has ended: {self.said()}"
        found = orjson.loads(line)
        assert found["jsonrpc"] == "2.0"
        return dict(found)
