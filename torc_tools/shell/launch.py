"""Starting the command of a job: in its own session, with clean signals, output to files.

By posix_spawn, which takes a tenth of the time that a fork of Python takes.
"""

import errno
import os
import signal
import time
from collections.abc import Mapping, Sequence

from torc_tools.shell import liveness, plainfile

DEFAULT_SIGNALS = [
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
]
_MACHINE = {
    errno.EACCES,
    errno.EAGAIN,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}
LONGEST = 131_000  # bytes of one argument that Linux takes, less a little
_SCRIPT = 3  # the descriptor from which bash reads a longer command
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND

STDIO_MODES = ("separate", "combined", "no_stdout", "no_stderr", "none")

Output = tuple[str | None, str | None]  # paths of stdout and stderr; None is /dev/null; the same path: one file


class Shell:
    """Starts command lines with bash in the present folder."""

    def __init__(self) -> None:
        """Find bash."""
        self.bash = _bash()
        self._null = os.open(os.devnull, os.O_RDWR)

    def start(self, command: str, env: Mapping[str, str], output: Output | int) -> int:
        """Start `bash -c command` in a session of its own; give its pid. `output` may be a descriptor for both.

        Raises OSError (or ValueError for what no command can hold) where it cannot be started.
        """
        opened = [] if isinstance(output, int) else _open(output)
        out, err = (output, output) if isinstance(output, int) else (opened[0], opened[-1])
        script = _script(command)
        opened += script
        try:
            return os.posix_spawn(
                self.bash,
                ["bash", "-c", f". /proc/self/fd/{_SCRIPT}" if script else command],
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._null, 0),
                    (os.POSIX_SPAWN_DUP2, self._null if out is None else out, 1),
                    (os.POSIX_SPAWN_DUP2, self._null if err is None else err, 2),
                    *((os.POSIX_SPAWN_DUP2, fd, _SCRIPT) for fd in script),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=DEFAULT_SIGNALS,
            )
        finally:
            for fd in opened:
                if fd is not None:
                    os.close(fd)


def _script(command: str) -> list[int]:
    """Put a command that is too long for an argument into a file in memory; give its descriptor, or none."""
    text = os.fsencode(command)
    if len(text) <= LONGEST or not hasattr(os, "memfd_create"):
        return []
    fd = os.memfd_create("torc-job")
    with open(fd, "wb", closefd=False) as file:
        file.write(b"exec %d<&-; " % _SCRIPT + text)
    return [fd]


def program(argv: Sequence[str]) -> int:
    """Start a program, found on PATH, with our own streams, folder, process group; give its pid. Raises OSError."""
    return os.posix_spawnp(argv[0], list(argv), os.environ, setsigmask=[], setsigdef=DEFAULT_SIGNALS)


def of_machine(error: Exception) -> bool:
    """Say whether a start failed for want of disk, memory, processes, rights: not by the command, and it may pass."""
    return isinstance(error, OSError) and error.errno in _MACHINE


def output(mode: str, stem: str) -> Output:
    """Give where a job's output goes: `stem` with .o and .e, or .log for both."""
    if mode == "combined":
        return f"{stem}.log", f"{stem}.log"
    out = None if mode in ("no_stdout", "none") else f"{stem}.o"
    return out, None if mode in ("no_stderr", "none") else f"{stem}.e"


def tail(path: str | None, size: int = 4096) -> str | None:
    """Give the last bytes of a file as text; None where there is none or it is empty."""
    try:
        return plainfile.last(path or "", size)[0].decode(errors="replace") or None
    except OSError:
        return None


def boot_ticks() -> int:
    """Give the time since boot in the unit of /proc/PID/stat; 0 where the system does not say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") // 1_000_000_000


def start_ticks(pid: int, before: int) -> int:
    """Give when a process just started, in clock ticks since boot; `before` is the time before its start.

    Its own file in /proc says so too, but makes the reader wait until the process has loaded its program.
    """
    return before if before == boot_ticks() else liveness.start_ticks(pid) or before


def seconds_since(ticks: int) -> float:
    """Give how long ago a process started that did so at `ticks`, the field of /proc/PID/stat."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _bash() -> str:
    found = (os.path.join(folder, "bash") for folder in os.get_exec_path())
    return next((path for path in found if os.access(path, os.X_OK)), "/bin/bash")


def log_file(path: str) -> int:
    """Open a file for the output of a script; without a place for it the script still runs."""
    try:
        return _file(path)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _file(path: str) -> int:
    try:
        return os.open(path, _WRITE, 0o666)
    except FileNotFoundError:  # a job may have removed the folder
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, _WRITE, 0o666)


def _open(output: Output) -> list[int | None]:
    out, err = output
    first = None if out is None else _file(out)
    if out == err:
        return [first]
    try:
        return [first, None if err is None else _file(err)]
    except OSError:
        if first is not None:
            os.close(first)
        raise
