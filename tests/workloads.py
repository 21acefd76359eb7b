"""Processes whose use of memory and CPU is known: they stop where it is looked at, and say what they had."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

MIB = 1 << 20
_COMMON = """
import json, mmap, os, resource, signal, sys, threading, time
MIB = 1 << 20
def block(size):
    made = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096): made[at] = 1
    return made
def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key): return int(line.split()[1]) << 10
def cpu():
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in of)
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def pause(**truth):
    print(json.dumps(truth), flush=True)
    sys.stdin.readline() or os._exit(0)
def idle(): signal.pause()
"""


class Load:
    """A workload; `go` lets it go on to its next stop and gives what it says there."""

    def __init__(self, script: str, *args: object, **env: str) -> None:
        """Start it, in a session of its own; it begins when it is let go."""
        argv = [sys.executable, "-S", "-E", "-c", f"{_COMMON}\npause()\n{script}", *map(str, args)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, start_new_session=True, env={**os.environ, **env}
        )
        self.said()

    @property
    def pid(self) -> int:
        """Give the pid of its first process."""
        return self.process.pid

    def said(self) -> dict[str, Any]:
        """Give what it says at its next stop."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def go(self) -> dict[str, Any]:
        """Let it go on; give what it says at its next stop."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.said()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self.process.communicate()


def write(folder: Path, name: str, script: str) -> str:
    """Write a workload that never stops into a file; give the command line that runs it."""
    path = folder / f"{name}.py"
    path.write_text(_COMMON + script)
    return shlex.join([sys.executable, "-S", "-E", str(path)])
