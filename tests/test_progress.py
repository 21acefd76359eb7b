"""What takes long says so on a terminal after a second, and is gone at the end; nothing of it is in a pipe."""

import contextlib
import os
import pty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import waiting
from conftest import Torc, said
from prepared import execute

from torc_tools.commands import create, results
from torc_tools.shell import folding, progress, specfile


class Terminal:
    """A pseudo-terminal as standard error."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.file = open(slave, "w", encoding="utf-8")  # noqa: SIM115  closed with the fixture
        os.set_blocking(self.master, False)
        self.text = ""

    def shows(self, words: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.text += os.read(self.master, 1 << 16).decode()
        return words in self.text


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Terminal]]:
    """Give what puts a terminal in the place of standard error (pytest does so itself, before each test)."""
    made = Terminal()

    def use() -> Terminal:
        monkeypatch.setattr("sys.stderr", made.file)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        monkeypatch.setenv("TERM", "xterm")
        return made

    yield use
    made.file.close()
    os.close(made.master)


def test_what_takes_long_is_shown_with_how_far_it_is(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    made = terminal()
    with progress.during("storing [bold]things") as step:
        assert step.is_shown
        waiting.until(lambda: made.shows("storing [bold]things"), "the name")
        step.total, step.done = 200, 84
        waiting.until(lambda: made.shows("42%"), "how far it is")
        with progress.during("inner") as inner:
            assert not inner.is_shown
    waiting.until(lambda: made.shows("\x1b[?25h"), "the cursor to be back")
    assert made.text.rstrip("\r\n").endswith("\x1b[2K")
    assert "inner" not in made.text


def test_what_is_quick_shows_nothing(terminal: Callable[[], Terminal]) -> None:
    made = terminal()
    with progress.during("quick") as step:
        assert step.is_shown
    print("end", file=made.file, flush=True)
    waiting.until(lambda: made.shows("end"), "the end")
    assert made.text == "end\r\n"


@pytest.mark.parametrize("why", ["pipe", "dumb", "background", "something else is shown"])
def test_nothing_is_shown_where_it_would_disturb(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str
) -> None:
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    terminal()
    with (tmp_path / "stderr").open("w") as plain:
        if why == "pipe":
            monkeypatch.setattr("sys.stderr", plain)
        elif why == "dumb":
            monkeypatch.setenv("TERM", "dumb")
        elif why == "background":
            monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
        else:
            monkeypatch.setattr(progress, "_shown", [True])
        with progress.during("hidden") as step:
            assert not step.is_shown


def test_a_spec_that_takes_long_to_read_and_events_that_take_long_to_take_in(
    torc: Torc, work_dir: Path, terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    (work_dir / "s.json").write_text('{"name": "w", "jobs": [{"name": "a", "command": "true"}]}')
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    made, load, save = terminal(), specfile.load, folding.save_results

    def slow_load(file: str) -> specfile.Spec:
        waiting.until(lambda: made.shows("reading the spec"), "the name")
        return load(file)

    def slow_save(*given: Any) -> None:
        waiting.until(lambda: made.shows("taking in what the workers wrote"), "the name")
        save(*given)

    monkeypatch.setattr(specfile, "load", slow_load)
    monkeypatch.setattr(folding, "save_results", slow_save)
    assert create.main(["s.json"]) == 0
    torc("torc-run", 1)
    execute("torc.db", "DELETE FROM result", "DELETE FROM worker", "UPDATE job SET status = 2")  # as if never taken in
    assert results.main(["1"]) == 0
    print("end", file=made.file, flush=True)
    waiting.until(lambda: made.shows("end\r\n"), "the end")
    assert made.text.endswith("\x1b[2Kend\r\n")
    assert made.text.count("\x1b[?25l") == made.text.count("\x1b[?25h") >= 2


def test_a_pipe_hears_nothing_of_it(torc: Torc, work_dir: Path) -> None:
    done = torc("torc-create", "-", input='{"name": "w", "jobs": [{"name": "a", "command": "true"}]}')
    assert said(done) == ["Created workflow 1 with 1 job"]
