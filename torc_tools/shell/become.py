"""Being another command of ours: this process goes on as that one, or a copy of it does while we read its output.

Neither starts Python anew: that would cost more than most commands take.
"""

import importlib
import mmap
import os
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import stream

_MOST = 4096  # bytes of a complaint that are kept


def become(command: str, arguments: Sequence[str]) -> NoReturn:
    """Go on as 'torc-x' with these arguments. Raises Failure(70) where there is no such command."""
    module = command.removeprefix("torc-").replace("-", "_")
    sys.argv = [command, *arguments]
    try:
        found = importlib.import_module(f"torc_tools.commands.{module}")
    except ModuleNotFoundError as error:
        raise Failure(exits.SOFTWARE, f"no such command here: {command} ({error})") from None
    found.run()
    raise SystemExit(exits.SOFTWARE)  # run() never returns


class Ended(NamedTuple):
    """How a command ended: what it wrote on standard output, its status, and its first complaint, if it had one."""

    stdout: bytes
    status: int
    complaint: str


def output(command: str, arguments: Sequence[str]) -> Ended:
    """Run 'torc-x' to its end in a copy of this process; give how it ended.

    Ctrl-C reaches it as it reaches us: its end is awaited. SIGTERM and SIGHUP are passed on.
    """
    reader, writer = os.pipe()
    memory = mmap.mmap(-1, _MOST)  # what the copy writes there we see
    stream.stdout().flush()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    pid = os.fork()
    if not pid:
        os.dup2(writer, 1)
        os.closerange(min(reader, writer), max(reader, writer) + 1)
        stream.heard = lambda line: memory.tell() or memory.write(line.encode(errors="replace")[:_MOST])
        stream.run(lambda _: become(command, arguments), command)
    os.close(writer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda said, _: os.kill(pid, said))
    with open(reader, "rb") as pipe:
        written = pipe.read()
    _, ended = os.waitpid(pid, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    status = os.waitstatus_to_exitcode(ended)
    return Ended(written, exits.as_shell(status), memory[:].rstrip(b"\0").decode(errors="replace"))
