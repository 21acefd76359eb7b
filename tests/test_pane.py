"""The block that torc-watch keeps at the bottom of a terminal: in tmux, and through a pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import shlex
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import waiting
from conftest import Torc, command

from torc_tools.shell import pane, stream

WAITS = "name: w\njobs: [{name: a, command: 'until test -e go; do sleep 0.05; done'}, {name: b, command: 'true'}]"
TITLE = "-- workflow 1 (w), run 1, watched for "


class Screen:
    """A terminal of tmux in which one command runs."""

    def __init__(self, name: str) -> None:
        self._name = name

    def tmux(self, *words: object) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, "-f", "/dev/null", *map(str, words)], capture_output=True, text=True, check=True
        )
        return done.stdout

    def start(self, *words: str, before: str = "") -> None:
        """Run a command; what it leaves behind stays on the screen, with its exit status."""
        self.tmux("new-session", "-d", "-x", 90, "-y", 24, f"{before}{shlex.join(words)}; echo left $?; exec cat")

    def lines(self, *options: str) -> list[str]:
        """Give what is on the screen, without empty lines."""
        return [line for line in self.tmux("capture-pane", "-p", *options).splitlines() if line.strip()]

    def shows(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in self.lines())


@pytest.fixture
def screen(work_dir: Path) -> Iterator[Screen]:
    made = Screen(f"torc-{os.getpid()}")
    yield made
    subprocess.run(["tmux", "-L", f"torc-{os.getpid()}", "kill-server"], capture_output=True, check=False)
    socket = Path(os.environ.get("TMUX_TMPDIR") or "/tmp", f"tmux-{os.getuid()}", f"torc-{os.getpid()}")
    socket.unlink(missing_ok=True)


@pytest.fixture
def waits(torc: Torc, work_dir: Path) -> Iterator[Path]:
    """Give a folder with a workflow of two jobs, of which one waits for the file `go`."""
    torc("torc-create", "-", input=WAITS)
    yield work_dir / "go"
    (work_dir / "go").touch()


WATCH = [*command("torc-watch"), "--recover", "-p", "600", "1"]


def test_one_block_stays_below_what_is_said(screen: Screen, waits: Path) -> None:
    screen.start(*WATCH)
    waiting.until(screen.shows("jobs         1 of 2 ended, 1 running"), "the block, before any poll")
    lines = screen.lines()
    assert lines[:3] == [
        "Watching workflow 1 (poll interval: 600s, recover enabled, unlimited retries)",
        "No schedulers available but 2 ready jobs found (0 retries)",
        "Starting the workflow here...",
    ]
    assert lines[3].startswith(TITLE)
    assert lines[5] == "waiting for  1 running job to end"
    assert lines[6].startswith("next look    in ")
    assert lines[6].endswith("; recoveries: 0")
    assert lines[7] == "so far       1 completed"
    assert lines[8].startswith("workers      1 active (pid ")
    assert lines[9].startswith("last ended   job 2: completed, ")
    assert len(lines) == 10
    assert screen.lines("-e")[3].startswith("\x1b[1m--")
    waits.touch()
    waiting.until(screen.shows("left 0"), "the end")
    lines = screen.lines()
    assert lines[3:] == ["Workflow 1 is complete", "Workflow completed successfully (2 jobs)", "left 0"]
    (log,) = waits.parent.rglob("watch_*.log")
    assert not any(line.startswith(("--- ", "jobs  ")) for line in log.read_text().splitlines()[1:])
    assert "\x1b" not in log.read_text()


def test_ctrl_c_leaves_a_clean_screen_and_a_narrow_terminal_one_block(screen: Screen, waits: Path) -> None:
    screen.start(*WATCH, before="export NO_COLOR=1; ")
    waiting.until(screen.shows("waiting for  1 running job to end"), "the block")
    assert "\x1b[1m" not in "".join(screen.lines("-e"))
    screen.tmux("resize-window", "-x", 34, "-y", 24)
    waiting.until(screen.shows("-- workflow 1 (w), run 1, watc…"), "the narrow block")
    assert len([line for line in screen.lines() if line.startswith("next look")]) == 1
    screen.tmux("resize-window", "-x", 90, "-y", 8)  # half of it is the most that the block may have
    waiting.until(lambda: not screen.shows("workers  ")(), "the low block")
    assert screen.shows("next look  ")()
    screen.tmux("resize-window", "-x", 90, "-y", 24)
    waiting.until(screen.shows("workers  "), "the whole block")
    screen.tmux("send-keys", "C-c")
    waiting.until(screen.shows("left 130"), "the end")
    lines = screen.lines()
    assert lines[-2:] == ["Leaving workflow 1: its workers go on. The same command comes back to it.", "left 130"]
    assert not any(line.startswith(("jobs ", "waiting for ", "next look", "workers ")) for line in lines)


@pytest.mark.parametrize(("before", "words"), [("export TERM=dumb; ", WATCH), ("", ["sh", "-c", "{} 2>&1 | cat"])])
def test_a_dumb_terminal_and_a_pipe_get_plain_lines(screen: Screen, waits: Path, before: str, words: list[str]) -> None:
    until_told = "until test -e begin; do sleep 0.05; done; "
    screen.start(*(word.format(shlex.join(WATCH)) for word in words), before=f"{until_told}{before}")
    screen.tmux("pipe-pane", "cat > raw")
    (waits.parent / "begin").touch()
    waiting.until(lambda: list((waits.parent / "torc_output").glob("claims/*/1.r1.a1")), "the job to start")
    waits.touch()
    waiting.until(screen.shows("left 0"), "the end")
    waiting.until(lambda: b"left 0" in (waits.parent / "raw").read_bytes(), "all that was written")
    assert b"next look" not in (waits.parent / "raw").read_bytes()


class Terminal:
    """A pseudo-terminal of a size."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        self.master, slave = pty.openpty()
        self.size(columns, lines)
        self.file = open(slave, "w", encoding="utf-8")  # noqa: SIM115  closed with the fixture
        os.set_blocking(self.master, False)

    def size(self, columns: int, lines: int = 24) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def gave(self, expected: str) -> bool:
        """Say whether what was written since the last call is this; it comes in pieces."""
        found = ""

        def whole() -> bool:
            nonlocal found
            with contextlib.suppress(BlockingIOError):
                found += os.read(self.master, 1 << 16).decode().replace("\r\n", "\n")
            return len(found) >= len(expected)

        waiting.until(whole, f"{expected!r}")
        return found == expected


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal(40)
    yield made
    made.file.close()
    os.close(made.master)


UP = "\x1b[A"
WIPE = "\x1b[2K"


def test_lines_are_wiped_row_by_row_also_where_a_narrower_terminal_has_broken_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with pane.shown(terminal.file, lambda room: ["x" * room, "日本", "last"]) as shown:
        shown.refresh()
        assert terminal.gave("x" * 37 + "\n日本\nlast")
        shown.above("said")
        assert terminal.gave(f"\r{WIPE}{UP}{WIPE}{UP}{WIPE}said\n" + "x" * 37 + "\n日本\nlast")
        terminal.size(10)
        shown.refresh()
        assert terminal.gave(f"\r{UP.join([WIPE] * 6)}" + "x" * 7 + "\n日本\nlast")
    assert terminal.gave(f"\r{UP.join([WIPE] * 3)}")


def test_what_is_said_anywhere_goes_above_and_a_stop_lets_the_screen_be(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal.file)
    with pane.shown(terminal.file, lambda _: ["one"]) as shown:
        shown.refresh()
        stream.say("a\x1b[31mb")
        assert terminal.gave(f"\x1b[1mone\x1b[0m\r{WIPE}" + "a\\x1b[31mb\n\x1b[1mone\x1b[0m")
        os.kill(os.getpid(), signal.SIGCONT)
        shown.refresh()
        assert terminal.gave("\x1b[1mone\x1b[0m")
    stream.say("after")
    assert terminal.gave(f"\r{WIPE}after\n")
