"""Records for whoever reads them: formats, --where, --query, -e."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest

from torc_tools import exits

RECORDS = [
    {"type": "begin", "stage": "x", "v": 1, "workflow_id": 1},
    {"type": "job", "job_id": 1, "job_name": "a", "memory_bytes": None, "status": "failed"},
    {"type": "job", "job_id": 2, "job_name": 'b "q"\n\x1b[2J', "memory_bytes": 0, "status": "completed"},
    {"type": "end", "stage": "x", "count": 2},
]
SCRIPT = """
import json, sys
from torc_tools.shell import options, output, stream
def main(argv=None):
    parser = options.parser("torc-x", "x")
    options.add_output(parser)
    return output.emit(json.loads(%r), parser.parse_args(), %r)
stream.run(main, "torc-x")
"""


def emit(*args: str, columns: tuple[str, ...] = (), records: object = None, **options: object) -> tuple[int, str, str]:
    """Run a source of RECORDS with `args`; give status, stdout, stderr."""
    script = SCRIPT % (json.dumps(RECORDS if records is None else records), columns)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *args], capture_output=True, text=True, check=False, **options  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_pipe_gets_json_lines_with_their_frame() -> None:
    status, out, _ = emit()
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == RECORDS


def test_json_is_one_array_without_frame() -> None:
    _, out, _ = emit("-f", "json")
    assert json.loads(out) == RECORDS[1:3]


def test_csv_quotes_what_needs_it_and_leaves_null_empty() -> None:
    _, out, _ = emit("-f", "csv", columns=("job_id", "job_name", "memory_bytes"))
    rows = list(csv.reader(io.StringIO(out)))
    assert rows == [["job_id", "job_name", "memory_bytes"], ["1", "a", ""], ["2", 'b "q"\n\x1b[2J', "0"]]


def test_a_table_shows_null_as_a_dash_and_no_control_characters() -> None:
    _, out, _ = emit("-f", "table", columns=("job_id", "job_name", "memory_bytes"))
    assert "\x1b[2J" not in out
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["job_id", "job_name", "memory_bytes"]
    assert lines[1].split() == ["1", "a", "-"]
    assert "\\n\\x1b[2J" in lines[2]


def test_a_table_in_a_pipe_is_cut_only_for_columns_that_are_asked_for() -> None:
    records = [{"type": "job", "job_id": 1, "job_name": "n" * 300}]
    free = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    assert "n" * 300 in emit("-f", "table", records=records, env=free)[1]
    narrow = emit("-f", "table", records=records, env={**free, "COLUMNS": "40"})[1].splitlines()
    assert len(narrow[1]) == 40
    assert narrow[1].endswith("…")


def test_a_terminal_gets_a_table() -> None:
    script = SCRIPT % (json.dumps(RECORDS), ("job_id",))
    parent, child = pty.openpty()
    with subprocess.Popen([sys.executable, "-P", "-c", script], stdout=child, stdin=subprocess.DEVNULL) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(parent, 4096):
                shown += part
        except OSError:  # the last writer closed the terminal
            pass
        os.close(parent)
    assert process.returncode == 0
    assert b"job_id" in shown
    assert b"{" not in shown


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("status == 'failed'", [1]),
        ("memory_bytes", [2]),
        ("!memory_bytes", [1]),
        ("job_id > `0`", [1, 2]),
        ("nope", []),
    ],
)
def test_where_keeps_the_frame_and_what_is_true(where: str, ids: list[int]) -> None:
    _, out, _ = emit("--where", where)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["job_id"] for line in lines if line["type"] == "job"] == ids
    assert [line["type"] for line in lines if line["type"] != "job"] == ["begin", "end"]


def test_query_writes_values_without_frame() -> None:
    _, out, _ = emit("--query", "job_name")
    assert [json.loads(line) for line in out.splitlines()] == ["a", 'b "q"\n\x1b[2J']


@pytest.mark.parametrize("option", ["--where", "--query"])
@pytest.mark.parametrize("expression", ["(((", "length(job_id)", "nosuch(@)"])
def test_a_bad_expression_is_usage_on_one_line(option: str, expression: str) -> None:
    status, _, err = emit(option, expression)
    assert status == exits.USAGE
    assert err.startswith(f"torc-x: expression '{expression}': ")
    assert err.count("\n") == 1


def test_exit_status_is_1_only_with_e_and_no_record() -> None:
    assert emit("-e", "--where", "nope")[0] == exits.EMPTY
    assert emit("--where", "nope")[0] == 0
    assert emit("-e")[0] == 0


@pytest.mark.parametrize("kind", ["table", "json", "csv", "jsonl"])
def test_no_record_is_no_error(kind: str) -> None:
    status, out, err = emit("-f", kind, records=[])
    assert (status, err) == (0, "")
    assert out == {"json": "[]\n", "csv": "\n", "table": "", "jsonl": ""}[kind]


def test_the_start_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from torc_tools.shell import output; print('jmespath' in sys.modules)"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b"False\n"
