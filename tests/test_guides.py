"""The guides (recovery, monitoring, spawn) and the tour, in section 7: all that they tell a reader to type is typed.

Each section (.Sh) has a folder of its own: torc.db with workflow 42, whose first run is over (tests/prepared.py), and a
cluster of one machine. In it, in order:
  .Dl lines run, and end with 0 or 1;
  literal blocks whose first line is '$ COMMAND' run on a terminal of 74 columns and write just what the block shows
  (a line '...' stands for any lines, and '...' at the end of a line for its rest);
  literal blocks that begin with a comment '# NAME: ...' become the file NAME, and a program where it has '#!';
  .D1 lines are for the reader alone: of what is ours in them, the options exist.
"""

import importlib
import os
import pty
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import fakecluster
import manpages
import pytest
import sources
from conftest import Torc, said
from prepared import execute, prepare

from torc_tools.core import front, front_table
from torc_tools.shell import manual

GUIDES = ("torc-recovery", "torc-monitoring", "torc-spawn", "torc-tools")
PAGES = {name: manpages.FOLDER / "man7" / f"{name}.7" for name in GUIDES}
SECTIONS = [
    (name, title)
    for name, path in PAGES.items()
    for title, text in manpages.sections(path).items()
    if manpages.displays(text)
]
NAMED = re.compile(r"^(?:#!.*\n)?# ([\w.-]+): ")


@pytest.fixture
def place(work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with workflow 42, and a cluster on which jobs run at once."""
    renumber(prepare(work_dir), 42)
    stdio = work_dir / "torc_output" / "job_stdio"
    stdio.mkdir(parents=True)
    (stdio / "job_wf42_j4_r1_a1.e").write_text("ValueError: bad input\n")
    cluster = fakecluster.build(tmp_path)
    for name, value in (("PATH", cluster.path), ("COLUMNS", "74"), ("USER", "ann")):
        monkeypatch.setenv(name, value)
    yield work_dir
    cluster.stop()


def renumber(store: Path, workflow_id: int) -> None:
    """Give the workflow of a store another number."""
    tables = [name for (name,) in execute(store, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if any(column[1] == "workflow_id" for column in execute(store, f"PRAGMA table_info({table})")):
            execute(store, f"UPDATE {table} SET workflow_id = {workflow_id} WHERE workflow_id = 1")


@pytest.mark.parametrize(("name", "title"), SECTIONS, ids=lambda each: each.lower().replace(" ", "-"))
def test_what_a_guide_tells_to_type_does_what_it_says(place: Path, name: str, title: str) -> None:
    for kind, text in manpages.displays(manpages.sections(PAGES[name])[title]):
        if kind == "Dl":
            run(text)
        elif kind == "D1":
            parse(text)
        elif text.startswith("$ "):
            converse(text)
        else:
            found = NAMED.match(text)
            assert found, f"neither a session nor a file:\n{text}"
            (place / found[1]).write_text(text)
            (place / found[1]).chmod(0o755 if text.startswith("#!") else 0o644)


def run(line: str) -> None:
    """Run a line as a script would."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), f"{line}: {done.returncode}: {done.stderr}"
    assert "Traceback" not in done.stderr


def converse(session: str) -> None:
    """Hold what commands write on a terminal against what a session shows."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        while expected.startswith("> "):
            more, _, expected = expected[2:].partition("\n")
            line = f"{line}\n{more}"
        found = typed(line)
        assert re.fullmatch(pattern(expected), found), f"$ {line}\n{found}\n--- instead of ---\n{expected}"


def typed(line: str) -> str:
    """Give what a line writes on a terminal, without the blanks at the ends of lines."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=inside, stderr=inside)
    os.close(inside)
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # as Linux says that nobody has the other end any more
        pass
    os.close(terminal)
    process.wait(60)
    text = b"".join(parts).decode().replace("\r\n", "\n")
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def pattern(expected: str) -> str:
    """Give the regular expression of what is shown."""
    parts = []
    for line in expected.splitlines():
        shown, dots, _ = line.rpartition("...") if line.endswith("...") else (line, "", "")
        parts.append(r"(?:.*\n)*" if line == "..." else re.escape(shown) + (r".*\n" if dots else r"\n"))
    return "".join(parts)


def parse(line: str) -> None:
    """Check that the commands of ours in a line have the options that it names."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word.split(" ")[0] in sources.COMMANDS and " " in word:
            parse(word)
        elif not words and word not in sources.COMMANDS:
            continue
        elif set(word) <= set("|&;<>"):
            known(words)
            words = []
        else:
            words.append(word)


def known(words: list[str]) -> None:
    """Check the words of a command of ours."""
    tool, arguments = words[0].removeprefix("torc-"), words[1:]
    if tool == "torc":
        before, rest = front.split(arguments)
        row, count = front.find(front_table.ROWS, rest)
        assert row, words
        tool, arguments = row.tool, [*row.fixed, *front.ask(row, before, rest[count:]).arguments]
    importlib.import_module(f"torc_tools.commands.{tool}").parser().parse_intermixed_args(arguments)


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_a_help_has_one_example_and_it_is_understood(command: str) -> None:
    made = importlib.import_module(sources.SCRIPTS[command].partition(":")[0]).parser()
    (line,) = (line for line in made.format_help().splitlines() if line.startswith("example: "))
    assert len(line) <= 80
    assert re.search(rf"(^|\| ){command} ", line.removeprefix("example: "))
    parse(line.removeprefix("example: "))


TOPICS = sorted(path.stem.removeprefix("torc-") for path in manpages.pages() if path.suffix != ".1")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_shown_without_man_too(torc: Torc, work_dir: Path, topic: str) -> None:
    done = torc("torc", "help", topic, env={"PATH": str(work_dir)})
    assert done.returncode == 0, said(done)
    shown = done.stdout.decode().splitlines()
    assert {"NAME", "DESCRIPTION", "SEE ALSO"} <= set(shown)
    text = [line for line in shown if not line.startswith("    ")]
    assert [line for line in text if len(line) > 80 or re.match(r"\.[A-Z]|.*\\[&e(]", line)] == []


def test_a_display_is_shown_without_man_as_it_is() -> None:
    page = PAGES["torc-recovery"].read_text()
    shown = manual.lines(page)
    at = shown.index("    $ torc-status 42")
    assert shown[at + 1 : at + 3] == [
        "    workflow 42 (small), run 1: failed",
        "      6 jobs: 1 completed, 2 failed, 2 canceled, 1 terminated",
    ]
    assert "    torc-recover --no-run --retry-unknown 42" in shown
    assert "  -m, --max-retries" in shown
    assert "torc-monitoring(7), " in shown[-1]


README = (sources.ROOT / "README.md").read_text()
SHELL = "".join(re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)).splitlines()
SHOWN = re.findall(r"^(?:\$| {4}\*/5) (.*)$", README, re.MULTILINE)


@pytest.mark.parametrize("line", [*SHELL, *SHOWN])
def test_what_the_readme_tells_to_type_is_understood(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    ("line", "said_"),
    [
        ("torc-watch 42 --recovr", "torc-watch: error: unrecognized arguments: --recovr: did you mean '--recover'?"),
        ("torc-watch 42 --zzz", "torc-watch: error: unrecognized arguments: --zzz"),
        ("torc-watch", "torc-watch: error: the following arguments are required: WORKFLOW"),
        (
            "torc watch 42 --max-retris=1",
            "torc-watch: error: unrecognized arguments: --max-retris=1: did you mean '--max-retries'?",
        ),
    ],
)
def test_a_slip_is_told_in_one_line(torc: Torc, work_dir: Path, line: str, said_: str) -> None:
    command, *arguments = line.split()
    done = torc(command, *arguments)
    assert (done.returncode, done.stdout, said(done)) == (2, b"", [said_])
