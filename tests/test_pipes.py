"""What can happen to a command in a pipe, times every command: each row of the table is one test for each command.

A row that means nothing for a command gives the reason in NOT; a new console script has to be added to CALLS.
"""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import conftest
import orjson
import pytest
import slurmtexts
import sources
from prepared import GIB, prepare

from torc_tools import exits
from torc_tools.shell import migrations

ADJUSTMENT = {"type": "adjustment", "workflow_id": 1, "action": "adjust", "job_ids": [2], "job_names": ["train"],
              "run_id": 1, "attempt_id": 1, "new_memory": "4g", "original_memory": "2g"}  # fmt: skip
DIAGNOSIS = {"type": "diagnosis", "workflow_id": 1, "job_id": 2, "job_name": "train", "run_id": 1, "attempt_id": 1,
             "status": "failed", "return_code": 137, "cause": "oom", "certainty": "certain", "likely_oom": True,
             "likely_timeout": False, "resource_requirements_id": 2, "memory_bytes": 2 * GIB, "runtime_s": 600,
             "num_cpus": 1, "attempt_memory_bytes": 2 * GIB, "attempt_runtime_s": 600, "peak_memory_bytes": 2 * GIB,
             "exec_time_s": 20.0, "evidence": [], "contradictions": []}  # fmt: skip
APPLIED = {**ADJUSTMENT, "type": "applied", "dry_run": False}
RESET = {"type": "reset", "workflow_id": 1, "job_id": 2, "dry_run": True}
RESULT = {"type": "result", "workflow_id": 1, "job_id": 2, "job_name": "train", "run_id": 1, "attempt_id": 1,
          "status": "failed", "return_code": 137}  # fmt: skip
JOB = {"type": "job", "job_id": 1, "command": "true"}
ALLOCATION = {"type": "allocation", "workflow_id": 1, "kind": "slurm", "status": "planned", "token": "0" * 32,
              "group": "small", "walltime_s": 600}  # fmt: skip
SAMPLE = {"type": "sample", "at": 1790000000.0, "pid": 4711, "memory_bytes": 2 * GIB, "num_processes": 1}
SPEC = b"name: piped\njobs:\n  - name: one\n    command: 'true'\n"
HELLO = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
    b'"clientInfo":{"name":"piped","version":"1"}}}\n'
)
NOTE = {"type": "note", "text": "x" * 2_000_000}


class Call(NamedTuple):
    """How a command is called so that it does its work on the store of prepared.py."""

    args: tuple[str, ...]
    stdin: bytes | None = None  # what it reads, if it reads
    owns: str | None = None  # the record type that it takes from its input: None where it reads no records
    status: frozenset[int] = frozenset({0})  # how it ends when nothing is wrong


def line(record: object) -> bytes:
    return orjson.dumps(record) + b"\n"


GAVE_UP = frozenset({0, 1})
CALLS = {
    "torc": Call(("jobs", "list", "1")),
    "torc-allocations": Call(("1",)),
    "torc-apply": Call((), line(ADJUSTMENT), "adjustment"),
    "torc-cancel": Call(("1",)),
    "torc-completions": Call(("bash", "torc-jobs")),
    "torc-correct": Call(("1",)),
    "torc-create": Call(("-",), SPEC),
    "torc-diagnose": Call(("1",)),
    "torc-heuristics": Call((), line(DIAGNOSIS), "diagnosis"),
    "torc-hpc": Call(("partitions", "kestrel")),
    "torc-jobs": Call(("1",)),
    "torc-logs": Call(("bundle", "1")),
    "torc-mcp": Call((), HELLO),
    "torc-plan": Call(("1",)),
    "torc-plot": Call((), line(SAMPLE), "sample"),
    "torc-recover": Call(("1", "--dry-run"), status=GAVE_UP),
    "torc-regenerate": Call(("--profile=kestrel", "--account=proj"), line(RESET), "reset"),
    "torc-report": Call(("1", "--include-failed")),
    "torc-requirements": Call(("list", "1")),
    "torc-reset": Call((), line(APPLIED), "applied"),
    "torc-results": Call(("1",)),
    "torc-run": Call(("-c", "true")),
    "torc-sacct": Call(()),
    "torc-sample": Call(("--count=1", "--pid=1")),
    "torc-stats": Call(("1",)),
    "torc-status": Call(("1",)),
    "torc-submit": Call(("--dry-run",), line(ALLOCATION), "allocation"),
    "torc-sync": Call(("1",)),
    "torc-undo": Call(("1",)),
    "torc-watch": Call(("1", "--once"), status=GAVE_UP),
    "torc-work": Call((), line(JOB), "job"),
    "torc-workflows": Call(()),
}
TALKERS = {  # commands that say words on stderr while they work, and why
    "torc-create": "which workflow it made",
    "torc-recover": "the steps of a recovery, as they are taken",
    "torc-reset": "the dependents, before they are reset",
    "torc-run": "how many jobs wait for what",
    "torc-undo": "how much was taken back",
    "torc-watch": "the steps of a recovery, as they are taken",
}
SINKS = (
    "torc-apply",
    "torc-plot",
    "torc-regenerate",
    "torc-reset",
    "torc-submit",
    "torc-work",
)  # read all input before they change anything
NOT = {  # (row, command): why the row means nothing there
    ("stdout", "torc-watch"): "writes no records: its lines are for people",
    ("store", "torc-completions"): "opens no store",
    ("store", "torc-heuristics"): "opens no store",
    ("store", "torc-plot"): "opens no store",
    ("cut short", "torc-plot"): "draws what a command killed while it was sampled left behind",
    ("store", "torc-hpc"): "opens no store",
    ("store", "torc-mcp"): "each call says so to its client (tests/test_mcp.py)",
    ("store", "torc-sacct"): "opens no store",
    ("store", "torc-sample"): "opens no store",
    ("store", "torc-work"): "never opens the store",
    ("missing store", "torc-create"): "makes the store",
    ("missing store", "torc-run"): "makes the store for command lines",
}


def applies(row: str, *, records: bool = False) -> list[str]:
    """Give the commands for which a row is a test; `records` keeps those that read records."""
    return [
        name
        for name in sources.COMMANDS
        if (row, name) not in NOT and not (records and name in CALLS and CALLS[name].owns is None)
    ]


def call(name: str, stdin: bytes | None = None, line: str = '"$@"', **env: str) -> "subprocess.CompletedProcess[bytes]":
    """Run command `name` as CALLS says, through the bash line `line`; give what it did."""
    argv = [*conftest.command(name), *CALLS[name].args]
    return subprocess.run(
        ["bash", "-c", line, "bash", *argv],
        input=stdin if stdin is not None else CALLS[name].stdin or b"",
        capture_output=True, env={**os.environ, **env}, timeout=60, check=False,
    )  # fmt: skip


def refused(done: "subprocess.CompletedProcess[bytes]", name: str, status: int) -> str:
    """Check that a command ended with `status` and one line on stderr that begins with its name; give the line.

    What a talker said before is left out.
    """
    text = done.stderr.decode()
    assert (done.returncode, "Traceback" in text) == (status, False), text
    lines = text.splitlines()
    assert len(lines) == 1 or (name in TALKERS and lines), text
    assert lines[-1].startswith(f"{name}: "), text
    return lines[-1]


def state(path: Path) -> list[object]:
    """Give what a store says about its jobs, requirements and changes."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("job", "resource_requirements", "change")]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield


@pytest.fixture(autouse=True)
def _store(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store, and a sacct that knows one job."""
    prepare(work_dir)
    folder = slurmtexts.accountant(work_dir.parent / "slurm")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.parametrize("name", sources.COMMANDS)
def test_every_command_is_in_the_table_and_does_its_work(name: str) -> None:
    done = call(name)
    assert done.returncode in CALLS[name].status, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_the_table_names_no_other_command() -> None:
    assert set(CALLS) <= set(sources.COMMANDS)
    assert {name for _, name in NOT} <= set(sources.COMMANDS)


@pytest.mark.parametrize("name", sources.COMMANDS)
def test_stdin_closed(name: str) -> None:
    """A reader says so (74); what reads nothing works as ever."""
    done = call(name, line='exec "$@" <&-')
    if CALLS[name].stdin is None:
        assert done.returncode in CALLS[name].status, done.stderr.decode()
    else:
        assert "standard input" in refused(done, name, exits.IO)


@pytest.mark.parametrize("name", applies("stdout"))
def test_stdout_closed(name: str) -> None:
    refused(call(name, line='exec "$@" >&-'), name, exits.IO)


@pytest.mark.parametrize("name", applies("stdout"))
def test_stdout_full(name: str) -> None:
    text = refused(call(name, line='exec "$@" >/dev/full'), name, exits.IO)
    assert "No space left on device" in text


@pytest.mark.parametrize("name", applies("stdout"))
def test_reader_gone(name: str) -> None:
    """The pipe's reader is gone before the first record: 141, silent."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*conftest.command(name), *CALLS[name].args], input=CALLS[name].stdin or b"", stdout=writer,
            stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == exits.PIPE, done.stderr.decode()
    assert done.stderr == b"" or (name in TALKERS and b"cannot" not in done.stderr), done.stderr.decode()


@pytest.mark.parametrize("name", ["torc-heuristics"])
def test_reader_gone_after_one_line_of_many(name: str) -> None:
    many = line({"type": "note", "text": "x" * 1000}) * 20_000
    done = call(name, many, '"$@" | head -n 1; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stderr) == (exits.PIPE, b"")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("name", applies("last line", records=True))
def test_last_line_without_newline(name: str) -> None:
    stdin = CALLS[name].stdin
    assert stdin is not None
    done = call(name, stdin.rstrip(b"\n"))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.endswith(b"\n")


@pytest.mark.parametrize("name", applies("long line", records=True))
def test_a_line_of_2_mb(name: str) -> None:
    """A record of another's type, however long, is nobody's trouble; a filter passes it on."""
    stdin = CALLS[name].stdin
    assert stdin is not None
    done = call(name, line(NOTE) + stdin)
    assert done.returncode == 0, done.stderr.decode()
    if name not in SINKS:
        assert done.stdout.startswith(line(NOTE))


BAD_LINES = {
    "nested": b'{"type":"note","x":' + b"[" * 300 + b"]" * 300 + b"}\n",
    "invalid UTF-8": b'{"type":"note","text":"\xff\xfe"}\n',
    "NaN": b'{"type":"note","x":NaN}\n',
    "no JSON": b"hello\n",
    "no object": b"[1]\n",
    "no type": b'{"job_id":1}\n',
}


@pytest.mark.parametrize("bad", BAD_LINES)
@pytest.mark.parametrize("name", applies("bad line", records=True))
def test_a_bad_line(name: str, bad: str, work_dir: Path) -> None:
    before = state(work_dir / "torc.db")
    stdin = CALLS[name].stdin
    assert stdin is not None
    done = call(name, stdin + BAD_LINES[bad])
    assert refused(done, name, exits.DATA).startswith(f"{name}: line 2: ")
    assert state(work_dir / "torc.db") == before


@pytest.mark.parametrize("name", ["torc-apply", "torc-reset", "torc-submit"])
def test_a_bad_expression_changes_nothing(name: str, work_dir: Path) -> None:
    """An expression is looked at before anything is read: a sink that finds it wrong after its work has done that."""
    before = state(work_dir / "torc.db")
    for option in ("--where", "--query"):
        done = call(name, line=f'"$@" {option} "bad("')
        assert refused(done, name, exits.USAGE).startswith(f"{name}: expression 'bad(': ")
        assert state(work_dir / "torc.db") == before


@pytest.mark.parametrize("name", applies("missing field", records=True))
def test_a_missing_field(name: str, work_dir: Path) -> None:
    before = state(work_dir / "torc.db")
    stdin, owns = CALLS[name].stdin, CALLS[name].owns
    assert stdin is not None
    text = refused(call(name, stdin + line({"type": owns})), name, exits.DATA)
    assert text.startswith(f"{name}: line 2: {owns}: '")
    assert " is missing, expected " in text or " is not a list of ids" in text
    assert state(work_dir / "torc.db") == before


@pytest.mark.parametrize("name", applies("cut short", records=True))
def test_begin_without_end(name: str, work_dir: Path) -> None:
    """A sink applies nothing of a stream whose writer died; a filter passes it on as it is."""
    before = state(work_dir / "torc.db")
    stdin = CALLS[name].stdin
    assert stdin is not None
    begin = {"type": "begin", "stage": "torc-x", "v": 1, "workflow_id": 1}
    done = call(name, line(begin) + stdin)
    if name in SINKS:
        assert "input ends before the end line of 'torc-x'" in refused(done, name, exits.DATA)
        assert state(work_dir / "torc.db") == before
        assert not (work_dir / "torc_output").exists()
    else:
        assert done.returncode == 0
        assert done.stdout.startswith(line(begin))
        assert b'"end"' not in done.stdout


@pytest.mark.parametrize("name", applies("store"))
def test_a_name_with_a_line_break_stays_on_one_line(name: str, work_dir: Path) -> None:
    done = call(name, line='"$@" --store "$NAMED"', NAMED="no\n\x1b[31m.db/x")
    assert "no\\n\\x1b[31m.db/x" in done.stderr.decode()
    assert "\n\x1b" not in done.stderr.decode()


@pytest.mark.parametrize("name", applies("store"))
def test_a_locked_store(name: str, work_dir: Path) -> None:
    with locked(work_dir / "torc.db"):
        done = call(name, TORC_BUSY_S="0.05")
    assert "store 'torc.db' is locked" in refused(done, name, exits.TEMPORARY)


@pytest.mark.parametrize("name", applies("store"))
def test_a_store_of_a_newer_version(name: str, work_dir: Path) -> None:
    with contextlib.closing(sqlite3.connect(work_dir / "torc.db")) as db:
        db.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1}")
    before = (work_dir / "torc.db").read_bytes()
    assert "newer than this program's" in refused(call(name), name, exits.NO_INPUT)
    assert (work_dir / "torc.db").read_bytes() == before


@pytest.mark.parametrize("name", applies("store"))
def test_a_file_that_is_no_store(name: str, work_dir: Path) -> None:
    (work_dir / "torc.db").write_bytes(b"hello, I am a text of some length\n" * 200)
    assert "not a store" in refused(call(name), name, exits.NO_INPUT)


@pytest.mark.parametrize("name", [name for name in applies("store") if ("missing store", name) not in NOT])
def test_no_store(name: str, work_dir: Path) -> None:
    (work_dir / "torc.db").unlink()
    assert "no such store: 'torc.db'" in refused(call(name), name, exits.NO_INPUT)
    assert not (work_dir / "torc.db").exists()


@pytest.mark.parametrize("name", [name for name in applies("store") if name in CALLS and "1" in CALLS[name].args])
def test_no_such_workflow(name: str) -> None:
    args = ["77" if arg == "1" else arg for arg in CALLS[name].args]
    done = subprocess.run([*conftest.command(name), *args], capture_output=True, timeout=60, check=False)
    assert "no such workflow: '77'" in refused(done, name, exits.NO_INPUT)


@pytest.mark.parametrize("name", ["torc-create", "torc-run"])
@pytest.mark.parametrize(
    ("file", "status"),
    [("missing.yaml", 66), ("missing", 66), ("folder.yaml", 66), ("bad.yaml", 65), ("u8.yaml", 65)],
)
def test_an_unreadable_spec(name: str, file: str, status: int, work_dir: Path) -> None:
    (work_dir / "folder.yaml").mkdir()
    (work_dir / "bad.yaml").write_text("name: [\n")
    (work_dir / "u8.yaml").write_bytes(b"name: \xff\xfe\n")
    done = subprocess.run([*conftest.command(name), file], capture_output=True, timeout=60, check=False)
    assert file in refused(done, name, status)


@pytest.mark.parametrize("name", sources.COMMANDS)
def test_an_unknown_option_is_usage(name: str) -> None:
    done = subprocess.run([*conftest.command(name), "--nosuch"], capture_output=True, timeout=60, check=False)
    assert done.returncode == exits.USAGE
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", sources.COMMANDS)
def test_help_and_version(name: str) -> None:
    for option, start in (("--help", f"usage: {name}"), ("--version", f"{name} (torc-tools) ")):
        done = subprocess.run([*conftest.command(name), option], capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode().startswith(start)
