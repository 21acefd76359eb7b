"""stdin and stdout: line numbers, cut streams, and how a command ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_tools import exits, texts
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import stream

BEGIN = {"type": "begin", "stage": "torc-diagnose", "v": 1, "workflow_id": 1}
END = {"type": "end", "stage": "torc-diagnose", "count": 0}
JOB = {"type": "job", "job_id": 1}


def write_lines(path: Path, *lines: bytes) -> str:
    path.write_bytes(b"\n".join(lines))
    return str(path)


def test_read_gives_records_and_skips_blank_lines(work_dir: Path) -> None:
    file = write_lines(work_dir / "in", b'{"type":"job","job_id":1}', b"  ", b"", b'{"type":"note"}')
    assert list(stream.read(file)) == [JOB, {"type": "note"}]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"7",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"type":7}',
        b'{"type":null}',
        b"\xff\xfe",
        b'{"type":"job","x":NaN}',
        b'{"type":"job","x":' + b"[" * 300 + b"]" * 300 + b"}",  # can be read, but not written
        b'{"type":"job","x":' + b"[" * 252 + b"]" * 252 + b"}",  # can be written, but not in a list
    ],
)
def test_a_bad_line_is_named_by_number(work_dir: Path, line: bytes) -> None:
    file = write_lines(work_dir / "in", b'{"type":"job"}', line)
    done = run_snippet(f"list(stream.read({file!r})); return 0")
    assert done.returncode == exits.DATA
    assert done.stderr.startswith(b"torc-x: line 2: not ")
    assert done.stderr.count(b"\n") == 1


def test_a_failure_of_the_reader_names_the_line_in_hand(work_dir: Path) -> None:
    file = write_lines(work_dir / "in", b'{"type":"job","job_id":1}', b"", b'{"type":"job"}')
    done = run_snippet(f"[records.need(r, 'job_id', int) for r in stream.read({file!r})]; return 0")
    assert done.stderr == b"torc-x: line 3: job: 'job_id' is missing, expected an integer\n"


def test_a_failure_after_the_last_line_names_none(work_dir: Path) -> None:
    file = write_lines(work_dir / "in", b'{"type":"job"}')
    done = run_snippet(f"list(stream.read({file!r})); raise exits.Failure(65, 'too few')")
    assert done.stderr == b"torc-x: too few\n"


@pytest.mark.parametrize("file", ["missing", ".", "in/x"])
def test_a_file_that_cannot_be_opened(work_dir: Path, file: str) -> None:
    write_lines(work_dir / "in", b"")
    with pytest.raises(Failure) as caught:
        list(stream.read(file))
    assert caught.value.status == exits.NO_INPUT
    assert f"cannot open '{file}': " in caught.value.message


def test_whole_takes_the_frame_off() -> None:
    assert stream.whole([BEGIN, JOB, END]) == [JOB]
    assert stream.whole([JOB]) == [JOB]
    assert stream.whole([BEGIN, BEGIN, JOB, END, END, JOB]) == [JOB, JOB]
    assert stream.whole([]) == []


@pytest.mark.parametrize("cut", [[BEGIN], [BEGIN, JOB], [BEGIN, BEGIN, JOB, END], [BEGIN, JOB, END, BEGIN]])
def test_begin_without_end_is_refused(cut: list[Record]) -> None:
    with pytest.raises(Failure) as caught:
        stream.whole(cut)
    assert caught.value.status == exits.DATA
    assert caught.value.message == "input ends before the end line of 'torc-diagnose': nothing was changed"


def test_whole_checks_every_record_but_the_frame() -> None:
    seen: list[Record] = []
    stream.whole([BEGIN, JOB, END], seen.append)
    assert seen == [JOB]


@given(st.text())
def test_printable_text_has_no_control_characters_and_one_line(text: str) -> None:
    shown = texts.visible(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1


def test_printable_shows_what_would_drive_a_terminal() -> None:
    assert texts.visible("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"


SNIPPET = """
import os, signal, sys
from torc_tools import exits, records
from torc_tools.shell import stream
def main(argv=None):
    {body}
stream.run(main, "torc-x")
"""


def run_snippet(body: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Run a command whose main is `body`, in a process of its own."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
    script = SNIPPET.format(body=body.replace("; ", "\n    "))
    return subprocess.run([sys.executable, "-P", "-c", script], stderr=subprocess.PIPE, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("body", "status", "stderr"),
    [
        ("return 0", 0, b""),
        ("return 1", 1, b""),
        ("raise exits.Failure(69, 'a thing is missing')", 69, b"torc-x: a thing is missing\n"),
        ("raise exits.Failure(65, 'one', 'two')", 65, b"torc-x: one\ntorc-x: two\n"),
        ("raise exits.Failure(65, 'a \\x1b[2J')", 65, b"torc-x: a \\x1b[2J\n"),
        ("raise KeyboardInterrupt", 130, b""),
        ("open('/nowhere/x')", 74, b"torc-x: cannot use '/nowhere/x': No such file or directory\n"),
        ("sys.exit(2)", 2, b""),
    ],
)
def test_how_a_command_ends(body: str, status: int, stderr: bytes) -> None:
    done = run_snippet(body)
    assert (done.returncode, done.stderr) == (status, stderr)


def test_a_bug_is_70_with_a_traceback() -> None:
    done = run_snippet("return 1 // 0")
    assert done.returncode == exits.SOFTWARE
    assert b"ZeroDivisionError" in done.stderr


def test_a_locked_store_is_75_and_a_broken_one_74() -> None:
    locked = run_snippet("import sqlite3; raise sqlite3.OperationalError('database is locked')")
    assert (locked.returncode, locked.stderr) == (75, b"torc-x: store is locked by another command: try again\n")
    assert run_snippet("import sqlite3; raise sqlite3.DatabaseError('malformed')").returncode == exits.IO


WRITES = "stream.write({'type': 'job', 'job_id': n} for n in range(100_000)); return 0"


def test_a_full_disk_is_74() -> None:
    with open("/dev/full", "wb") as full:
        done = run_snippet(WRITES, stdout=full)
    assert done.returncode == exits.IO
    assert done.stderr == b"torc-x: cannot write: No space left on device\n"


def test_a_closed_stdout_is_74() -> None:
    done = run_snippet(WRITES, preexec_fn=lambda: os.close(1), stdout=None)
    assert (done.returncode, done.stderr) == (74, b"torc-x: cannot write standard output: it is closed\n")


def test_a_reader_who_leaves_makes_141_and_no_noise() -> None:
    script = SNIPPET.format(body=WRITES.replace("; ", "\n    "))
    line = f'"{sys.executable}" -P -c "$SCRIPT" | head -n 1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", line], env={**os.environ, "SCRIPT": script}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (exits.PIPE, b"")


def test_each_record_is_written_at_once() -> None:
    body = "stream.write([{'type': 'job'}]); os.kill(os.getpid(), signal.SIGKILL)"
    done = run_snippet(body)
    assert done.returncode == -signal.SIGKILL
    assert orjson.loads(done.stdout) == {"type": "job"}
