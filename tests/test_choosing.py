"""torc without a workflow: the only one, a choice on a terminal, a plain answer in a pipe; and what it asks first."""

import os
import pty
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fakecluster
import pytest
import sources
from conftest import Torc, command, said
from prepared import execute

from torc_tools.core import front, front_refused, front_table
from torc_tools.exits import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = (
    "INSERT INTO workflow (token, name, config, created_at, output_dir, submission_dir)"
    " VALUES ('t2', 'two\n\x1b[31m', '{}', 1, '/', '/')"
)
ONE = [row for row in front_table.ROWS if row.chooses == "one"]
ASK = [row for row in front_table.ROWS if row.chooses == "ask"]


def at_a_terminal(folder: Path, *words: str, typed: str) -> tuple[int, str]:
    """Run torc at a terminal of its own, with something typed ahead; give the status and all that it showed."""
    parent, child = pty.openpty()
    os.write(parent, typed.encode())
    line = [*command("torc"), *words]
    with subprocess.Popen(line, stdin=child, stdout=child, stderr=child, cwd=folder) as process:
        os.close(child)
        late = threading.Timer(60, process.kill)
        late.start()
        shown = b""
        try:
            while part := os.read(parent, 4096):
                shown += part
        except OSError:  # the last writer closed the terminal
            pass
        os.close(parent)
        late.cancel()
    return process.returncode, shown.decode()


def words(row: front.Row) -> str:
    return row.words


@pytest.mark.parametrize("row", [row for row in ONE if row.tool not in ("allocations", "sync", "logs")], ids=words)
def test_the_only_workflow_is_meant(torc: Torc, store_file: Path, row: front.Row) -> None:
    named = torc("torc", *row.words.split(), "1", *(["--dry-run"] if row.tool == "correct" else []))
    left = torc("torc", *row.words.split(), *(["--dry-run"] if row.tool == "correct" else []))
    assert (left.returncode, left.stdout) == (named.returncode, named.stdout), said(left)


@pytest.mark.parametrize("row", ASK, ids=words)
def test_what_changes_a_workflow_is_never_guessed(torc: Torc, store_file: Path, row: front.Row) -> None:
    done = torc("torc", *row.words.split())
    assert done.returncode == 2
    assert said(done) == [f"torc: which workflow? 'torc {row.words}' needs its id: 1 'small'"]


@pytest.mark.parametrize("row", ONE[:3], ids=words)
def test_one_of_several_is_not_guessed(torc: Torc, store_file: Path, row: front.Row) -> None:
    execute(store_file, SECOND)
    done = torc("torc", *row.words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said(done)[0].endswith("needs its id: 1 'small', 2 'two\\n\\x1b[31m'")
    assert len(said(done)) == 1


def test_a_store_without_a_workflow_has_none_to_choose(torc: Torc, store_file: Path) -> None:
    assert torc("workflows", "--delete", 1).returncode == 0
    done = torc("torc", "jobs", "list")
    assert (done.returncode, said(done)) == (66, ["torc: which workflow? there is none in 'torc.db'"])
    assert torc("torc", "--store", "nowhere.db", "jobs", "list").returncode == 66


def test_a_person_chooses(store_file: Path, work_dir: Path) -> None:
    execute(store_file, SECOND)
    status, shown = at_a_terminal(work_dir, "jobs", "list", "-s", "failed", typed="1\n")
    assert status == 0
    assert "1  small\r\n2  two\\n\\x1b[31m\r\nWhich workflow? " in shown
    assert "train" in shown
    for typed, expected in (("7\n", 66), ("\n", 66), ("\x04", 2)):
        assert at_a_terminal(work_dir, "status", typed=typed)[0] == expected, typed


def test_a_person_is_asked_before_a_workflow_is_deleted(torc: Torc, store_file: Path, work_dir: Path) -> None:
    execute(store_file, SECOND)
    for typed in ("n\n", "\n", "maybe\n"):
        status, shown = at_a_terminal(work_dir, "delete", "1", typed=typed)
        assert status == 1
        assert "Delete 1 ('small')? [y/N] " in shown
        assert "torc: nothing was done" in shown
    assert execute(store_file, "SELECT count(*) FROM workflow") == [(2,)]
    assert at_a_terminal(work_dir, "workflows", "delete", typed="2\ny\n")[0] == 0
    assert execute(store_file, "SELECT workflow_id FROM workflow") == [(1,)]
    status, shown = at_a_terminal(work_dir, "delete", "1", "--no-prompts", typed="")
    assert status == 0
    assert "[y/N]" not in shown


def test_workflows_are_deleted_all_or_none(torc: Torc, store_file: Path) -> None:
    execute(store_file, SECOND)
    assert torc("torc", "delete", "2", "9").returncode == 66
    assert execute(store_file, "SELECT count(*) FROM workflow") == [(2,)]
    done = torc("torc", "delete", "2", "1", "2", "--force", "-f", "json")
    assert done.returncode == 0
    assert b'"deleted": [\n    2,\n    1\n  ]' in done.stdout
    assert execute(store_file, "SELECT count(*) FROM workflow") == [(0,)]


# what torc has and we have not


def test_refused_words_are_no_rows_and_say_what_there_is() -> None:
    assert not front_refused.WORDS.keys() & {row.words for row in front_table.ROWS}
    for line, reason in front_refused.WORDS.items():
        found = front.unknown(front_table.ROWS, [*line.split(), "7"], front_refused.WORDS)
        assert (found.status, found.message) == (2, f"'{line}' is not here: {reason}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("events list 1", "torc: 'events' is not here: 'torc results list' has what became of each attempt"),
        ("workflows initialize 1", "torc: 'workflows initialize' is not here: a workflow is ready when it is created"),
        ("results list 1 --compute-node 3", "torc: --compute-node: a result names its worker, no compute node"),
        ("results list 1 --compute-node=3", "torc: --compute-node: a result names its worker, no compute node"),
        ("workflows list -u me", "torc: -u: a store has no users"),
    ],
)
def test_what_is_refused_says_what_there_is_instead(torc: Torc, store_file: Path, line: str, message: str) -> None:
    done = torc("torc", *line.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said(done)[0].startswith(message)


ALL = (sources.ROOT / "tests" / "data" / "torc-lines.txt").read_text().splitlines()  # each of torc's, all its options


@pytest.mark.parametrize("line", ALL, ids=lambda line: " ".join(line.split()[:2]))
def test_every_option_of_torc_is_understood(line: str) -> None:
    import importlib

    before, rest = front.split(line.split())
    row, count = front.find(front_table.ROWS, rest)
    assert row is not None
    asked = front.ask(row, before, rest[count:])
    made: Any = importlib.import_module(f"torc_tools.commands.{row.tool}").parser()
    given = made.parse_intermixed_args([*row.fixed, *asked.arguments[len(row.fixed) :]])
    assert given
    if row.chooses:
        assert {"42", "43", "spec.yaml", "out"} >= set(asked.operands), "a value was taken for a workflow"


# what is new in the commands behind


def test_columns_are_left_out_of_tables_and_csv_alone(torc: Torc, store_file: Path) -> None:
    line = ["jobs", "1", "-j", "2", "-x", "job_name,num_cpus"]
    assert torc(*line, "-f", "csv").stdout.splitlines()[0].startswith(b"job_id,workflow_id,status,")
    assert torc(*line, "-f", "table").stdout.split()[:3] == [b"job_id", b"status", b"attempt"]
    assert b'"job_name":"train"' in torc(*line, "-f", "jsonl").stdout
    done = torc(*line, "-f", "csv", "--query", "job_name")
    assert (done.returncode, said(done)) == (2, ["torc-jobs: -x leaves out columns: what --query makes has none"])


def test_jobs_that_wait_for_one(torc: Torc, store_file: Path) -> None:
    assert torc("jobs", "--downstream-of", 2, "--query", "job_id").stdout.split() == [b"5"]
    assert torc("torc", "jobs", "list", "1", "--upstream-job-id", "1", "-f", "csv", "-x", "command").returncode == 0


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[fakecluster.Cluster]":
    """Give a fake cluster that runs nothing of what is submitted."""
    made = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    made.hold()
    yield made
    made.stop()


def test_accounting_is_kept_in_a_file_for_each_slurm_job(
    torc: Torc, store_file: Path, work_dir: Path, cluster: fakecluster.Cluster
) -> None:
    execute(store_file, "UPDATE job SET status = 2 WHERE job_id = 5")
    assert torc("torc", "submit", "1", "--account", "proj").returncode == 0
    (job,) = cluster.jobs()
    cluster.change(job["job_id"], state="COMPLETED", start=1000, end=1090)
    done = torc("torc", "slurm", "sacct", "1", "--save-json", "-o", "kept")
    assert done.returncode == 0, said(done)
    assert said(done) == ["Wrote 1 file sacct_ID.json to kept"]
    assert f'"slurm_job_id": "{job["job_id"]}"' in (work_dir / "kept" / f"sacct_{job['job_id']}.json").read_text()
    (work_dir / "file").touch()
    assert torc("torc", "slurm", "sacct", "1", "--save-json", "-o", "file/x").returncode == 74
    assert torc("allocations", 1, "--save-json").returncode == 2


def test_failures_name_an_option_only_where_it_is_refused() -> None:
    row = next(row for row in front_table.ROWS if row.words == "results list")
    with pytest.raises(Failure, match="--compute-node"):
        front.ask(row, front.Globals([], []), ["1", "--compute-node", "x"])
