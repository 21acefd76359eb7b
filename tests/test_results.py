"""torc-results and torc-workflows: what they choose and how they count."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from prepared import execute

ROWS = ((2, 1, 2, 5, 0), (2, 2, 1, 6, 137), (2, 2, 2, 6, 1), (3, 1, 2, 8, 152))  # job, run, attempt, status, code


@pytest.fixture
def history(store_file: Path) -> Path:
    """Give the store with more: job 2 has run 1 (attempts 1, 2) and run 2 (1, 2), job 3 has attempts 1, 2."""
    values = ", ".join(str((1, *row)) for row in ROWS)
    execute(
        store_file,
        f"INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code) VALUES {values}",
    )
    return store_file


CHOICES = [
    (["1"], ["1.1.1", "2.2.2", "3.1.2", "4.1.1"]),
    (["-j", "2"], ["2.2.2"]),
    (["1", "--run-id", "1"], ["1.1.1", "2.1.2", "3.1.2", "4.1.1"]),
    (["1", "--run-id", "2", "--all-attempts"], ["2.2.1", "2.2.2"]),
    (["1", "--all-runs", "-j", "2"], ["2.1.2", "2.2.2"]),
    (["1", "--all-attempts"], ["1.1.1", "2.2.1", "2.2.2", "3.1.1", "3.1.2", "4.1.1"]),
    (["--all-runs", "--all-attempts", "-j", "2"], ["2.1.1", "2.1.2", "2.2.1", "2.2.2"]),
    (["1", "--failed"], ["2.2.2", "3.1.2", "4.1.1"]),
    (["1", "--return-code", "152"], ["3.1.2"]),
    (["1", "-s", "completed,terminated"], ["1.1.1", "3.1.2"]),
    (["1", "-l", "1"], ["1.1.1"]),
]


@pytest.mark.parametrize(("arguments", "expected"), CHOICES)
def test_which_results(torc: Any, history: Path, arguments: list[str], expected: list[str]) -> None:
    done = torc("results", *arguments)
    assert done.returncode == 0, done.stderr
    begin, *found, end = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [f"{each['job_id']}.{each['run_id']}.{each['attempt_id']}" for each in found] == expected
    assert (begin["workflow_id"], end["count"]) == (1, len(expected))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "torc-results: name a workflow, jobs with -j, or results with --result-ids\n"),
        (["7"], 66, "torc-results: no such workflow: '7'\n"),
        (["-j", "77"], 66, "torc-results: no such job: '77'\n"),
        (["1", "-e", "--return-code", "99"], 1, ""),
    ],
)
def test_refusals(torc: Any, history: Path, arguments: list[str], status: int, message: str) -> None:
    done = torc("results", *arguments)
    assert (done.returncode, done.stderr.decode()) == (status, message)


def test_a_result_for_people(torc: Any, store_file: Path) -> None:
    done = torc("results", "-f", "table", "-j", "2")
    head, row = done.stdout.decode().splitlines()
    assert head.split() == [
        "job_id",
        "job_name",
        "run",
        "attempt",
        "status",
        "code",
        "time",
        "peak",
        "memory",
        "runtime",
    ]
    assert row.split() == ["2", "train", "1", "1", "failed", "137", "20.0s", "2.00", "GB", "2g", "PT10M"]


def test_a_result_in_full(torc: Any, store_file: Path) -> None:
    record = orjson.loads(torc("results", "-j", "2").stdout.splitlines()[1])
    assert (record["peak_memory_gb"], record["avg_memory_bytes"], record["avg_memory_gb"]) == (2.0, None, None)
    assert record["facts"] == {"reason": "memory_limit", "signal": 9}


def test_workflows_are_listed_with_counts(torc: Any, store_file: Path) -> None:
    execute(
        store_file,
        "INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
        " VALUES ('t2', 'new', 1700000100, '/x', '/x', '{\"project\": \"p\"}')",
        "INSERT INTO job (workflow_id, name, command, status) VALUES (2, 'a', 'true', 2)",
    )
    found = [orjson.loads(line) for line in torc("workflows").stdout.splitlines()][1:-1]
    assert [(each["workflow_id"], each["total"], each["is_complete"]) for each in found] == [
        (1, 6, True),
        (2, 1, False),
    ]
    (one,) = [orjson.loads(line) for line in torc("workflows", "2").stdout.splitlines()][1:-1]
    assert one == found[1]
    assert one["config"] == {"project": "p"}
    rows = torc("workflows", "-f", "table").stdout.decode().splitlines()
    assert [row.split()[-3] for row in rows[1:]] == ["failed", "unfinished"]
    assert torc("workflows", "9").returncode == 66
