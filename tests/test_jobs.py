"""torc-jobs: listing, what a job wrote, editing with copy on write."""

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import command
from hypothesis import given
from hypothesis import strategies as st
from prepared import execute
from waiting import until

from torc_tools.shell import logs

GIB = 2**30


def lines(done: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert (found[0]["type"], found[-1]["type"]) == ("begin", "end")
    assert found[-1]["count"] == len(found) - 2
    return found[1:-1]


def ids(done: "subprocess.CompletedProcess[bytes]") -> list[int]:
    return [record["job_id"] for record in lines(done)]


def test_relationships(torc: Any, store_file: Path) -> None:
    execute(
        store_file,
        "INSERT INTO file (file_id, workflow_id, name, path) VALUES (1, 1, 'in', 'i'), (2, 1, 'out', 'o')",
        "INSERT INTO user_data (user_data_id, workflow_id, name) VALUES (1, 1, 'd')",
        "INSERT INTO job_file VALUES (5, 1, 0), (5, 2, 1)",
        "INSERT INTO job_user_data VALUES (5, 1, 0)",
    )
    first, *_, fifth, _ = lines(torc("jobs", 1, "--relationships"))
    names = ("depends_on_job_ids", "input_file_ids", "output_file_ids", "input_user_data_ids", "output_user_data_ids")
    assert [fifth[name] for name in names] == [[2, 3], [1], [2], [1], []]
    assert [first[name] for name in names] == [[], [], [], [], []]


def changes(path: Path) -> list[tuple[Any, ...]]:
    rows = execute(path, "SELECT command, subject, subject_id, before, after FROM change ORDER BY change_id")
    return [(*row[:3], orjson.loads(row[3]), orjson.loads(row[4])) for row in rows]


LISTS = [
    (["1"], [1, 2, 3, 4, 5, 6]),
    (["-s", "failed,terminated", "1"], [2, 3, 4]),
    (["-j", "3,2"], [2, 3]),
    (["-j", "3,2", "-s", "failed"], [2]),
    (["--upstream-of", "5"], [1, 2, 3]),
    (["1", "-l", "2"], [1, 2]),
    (["1", "-l", "2", "--where", "status == 'canceled'"], [5, 6]),
    (["1", "-l", "9"], [1, 2, 3, 4, 5, 6]),
    (["1", "--reverse", "--offset", "1", "-l", "2"], [5, 4]),
    (["1", "--sort-by", "job_name"], [6, 4, 1, 5, 3, 2]),
    (["1", "--sort-by", "memory_bytes", "--reverse"], [2, 1, 3, 4, 5, 6]),
    (["1", "--offset", "9"], []),
]


@pytest.mark.parametrize(("arguments", "expected"), LISTS)
def test_listing(torc: Any, store_file: Path, arguments: list[str], expected: list[int]) -> None:
    assert ids(torc("jobs", *arguments)) == expected


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-j", "9"], 66, "no such job: '9'"),
        (["9"], 66, "no such workflow: '9'"),
        ([], 2, "name one workflow"),
        (["1", "--sort-by", "nosuch"], 2, "no record has the field 'nosuch'"),
        (["1", "1"], 2, "name one workflow"),
        (["x"], 2, "not an id: 'x'"),
        (["1", "-l", "0"], 2, "argument -l/--limit: not a whole number from 1 on: '0'"),
        (["1", "-s", "done"], 2, "not a state: 'done'"),
        (["1", "--memory", "2g"], 2, "--memory: only with set"),
        (["1", "--tail", "2"], 2, "--tail: only with --logs"),
        (["set", "2"], 2, "set: nothing to set"),
        (["set", "--memory", "2g"], 2, "set: no job named"),
        (["set", "--memory", "lots", "2"], 2, "not a memory size: 'lots'"),
        (["set", "--memory", "2g", "9"], 66, "no such job: '9'"),
        (["set", "--priority", "99999999999999999999", "2"], 2, "--priority: not a"),
        (["set", "--command", "", "2"], 2, "argument --command: is empty"),
        (["set", "--command", "a\udcff", "2"], 2, "argument --command: is not valid Unicode"),
        (["set", "--status", "completed", "2"], 2, "takes disabled, ready or failed"),
        (["set", "--status", "failed", "1"], 65, "it cannot be set to failed"),
        (["set", "--status", "disabled", "2"], 65, "job 2 is failed: it cannot be set to disabled"),
        (["set", "--priority", "1", "2", "-j", "3"], 2, "set takes job ids as operands"),
        (["--logs", "9"], 66, "no such job: '9'"),
        (["--logs", "2"], 66, "job 2 has no output: no such file"),
        (["--logs", "2", "3"], 2, "--logs takes one job id"),
        (["--logs", "2", "-s", "failed"], 2, "--logs takes one job id, and no options of the listing"),
        (["set", "--priority", "-1", "2"], 2, "--priority"),
        (["--logs", "--run", "7", "2"], 66, "job 2 has no attempt in run 7"),
    ],
)
def test_refusals(torc: Any, store_file: Path, arguments: list[str], status: int, message: str) -> None:
    before = store_file.read_bytes()
    done = torc("jobs", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()
    assert store_file.read_bytes() == before


def test_jobs_of_two_workflows_are_refused(torc: Any, store_file: Path) -> None:
    execute(
        store_file,
        "INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
        " VALUES ('t2', 'other', 1, '/x', '/x', '{}')",
        "INSERT INTO job (workflow_id, name, command, status) VALUES (2, 'a', 'true', 2)",
    )
    done = torc("jobs", "-j", "1,7")
    assert (done.returncode, done.stderr) == (2, b"torc-jobs: jobs '1' and '7' are of different workflows\n")


def test_a_table_has_limits_as_people_write_them(torc: Any, store_file: Path) -> None:
    done = torc("jobs", "-f", "table", "-j", "2")
    head, row = done.stdout.decode().splitlines()
    assert head.split() == ["job_id", "job_name", "status", "attempt", "num_cpus", "memory", "runtime", "code"]
    assert row.split() == ["2", "train", "failed", "1", "1", "2g", "PT10M", "137"]


def test_a_row_of_one_job_is_changed_where_it_stands(torc: Any, store_file: Path) -> None:
    (job,) = lines(torc("jobs", "set", "2", "--memory", "5g", "--num-gpus", "1"))
    assert (job["memory_bytes"], job["num_gpus"], job["runtime_s"]) == (5 * GIB, 1, 600)
    assert job["resource_requirements_id"] == 2
    ((name, subject, subject_id, before, after),) = changes(store_file)
    assert (name, subject, subject_id) == ("torc-jobs", "resource_requirements", 2)
    assert (before["memory_bytes"], after["memory_bytes"], before["num_gpus"]) == (2 * GIB, 5 * GIB, 0)


def test_a_shared_row_is_copied_and_no_other_job_changes(torc: Any, store_file: Path) -> None:
    before = {job["job_id"]: job for job in lines(torc("jobs", "1"))}
    changed = lines(torc("jobs", "set", "--runtime", "PT2H", "3,4", "6"))
    after = {job["job_id"]: job for job in lines(torc("jobs", "1"))}
    assert changed == [after[3], after[4], after[6]]
    assert {each for each in before if before[each] != after[each]} == {3, 4, 6}
    assert [(job["runtime_s"], job["memory_bytes"]) for job in changed] == [(7200, GIB), (7200, GIB), (7200, None)]
    assert after[3]["resource_requirements_id"] == after[4]["resource_requirements_id"] != 1
    assert after[3]["resource_requirements"] == "small_j3"
    assert after[6]["resource_requirements"] == "default_j6"


def test_setting_what_is_set_changes_nothing(torc: Any, store_file: Path) -> None:
    arguments = ("set", "3", "--memory", "3g", "--command", "echo", "--priority", "7")
    first = lines(torc("jobs", *arguments))
    known = changes(store_file)
    assert lines(torc("jobs", *arguments)) == first
    assert changes(store_file) == known
    assert (first[0]["command"], first[0]["priority"]) == ("echo", 7)


def test_the_command_of_a_running_job_stays(torc: Any, store_file: Path) -> None:
    execute(store_file, "UPDATE job SET status = 4 WHERE job_id = 3")
    done = torc("jobs", "set", "2,3", "--command", "echo", "--priority", "9")
    assert (done.returncode, done.stderr) == (65, b"torc-jobs: job 3 is running: its command cannot be changed\n")
    assert lines(torc("jobs", "-j", "2"))[0]["priority"] == 0
    assert lines(torc("jobs", "set", "3", "--memory", "9g"))[0]["memory_bytes"] == 9 * GIB


def test_disabling_and_taking_back(torc: Any, store_file: Path) -> None:
    execute(
        store_file, "UPDATE job SET status = 1 WHERE job_id IN (5, 6)", "UPDATE job SET status = 5 WHERE job_id = 4"
    )
    assert [job["status"] for job in lines(torc("jobs", "set", "5", "6", "-s", "disabled"))] == ["disabled"] * 2
    assert [job["status"] for job in lines(torc("jobs", "set", "5,6", "-s", "ready"))] == ["canceled", "ready"]
    assert [(each[2], each[3]["status"], each[4]["status"]) for each in changes(store_file)[2:]] == [
        (5, "disabled", "canceled"),
        (6, "disabled", "ready"),
    ]


def test_jobs_named_by_records(torc: Any, store_file: Path) -> None:
    text = '{"type":"diagnosis","job_id":2}\n{"type":"adjustment","job_ids":[3]}\n{"type":"workflow"}\n'
    assert ids(torc("jobs", "set", "-", "--memory", "7g", input=text)) == [2, 3]
    done = torc("jobs", "set", "-", "--memory", "8g", input=text + '{"type":"job","job_id":"4"}\n')
    assert (done.returncode, done.stderr) == (65, b"torc-jobs: line 4: job: 'job_id' is '4', expected an integer\n")
    assert ids(torc("jobs", "set", "-", "--memory", "7g", input="")) == []


def wrote(store_file: Path, job_id: int, suffix: str, text: bytes, attempt: int = 1) -> Path:
    path = store_file.parent / "torc_output" / "job_stdio" / f"job_wf1_j{job_id}_r1_a{attempt}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def test_logs_are_the_bytes_of_the_files(torc: Any, store_file: Path) -> None:
    out, err = b"one\n\x1b[31mtwo\xff\n", b"oops\nno newline"
    o, e = wrote(store_file, 2, "o", out), wrote(store_file, 2, "e", err)
    done = torc("jobs", "--logs", "2")
    assert (done.returncode, done.stdout) == (0, out + err)
    assert done.stderr.decode() == f"==> {o} <==\n==> {e} <==\n"
    assert torc("jobs", "--logs", "--stdout", "2").stdout == out
    assert torc("jobs", "--logs", "--stderr", "2").stdout == err
    assert torc("jobs", "--logs", "--tail", "1", "2").stdout == b"\x1b[31mtwo\xff\nno newline"
    assert torc("jobs", "--logs", "--follow", "2").stdout == out + err


def test_the_combined_log_serves_for_both(torc: Any, store_file: Path) -> None:
    wrote(store_file, 2, "log", b"all\n")
    for option in ("--stdout", "--stderr", "--logs"):
        assert torc("jobs", "--logs", option, "2").stdout == b"all\n"


def test_an_attempt_by_number(torc: Any, store_file: Path) -> None:
    wrote(store_file, 2, "o", b"first\n")
    wrote(store_file, 2, "o", b"second\n", attempt=2)
    assert torc("jobs", "--logs", "2").stdout == b"first\n"
    assert torc("jobs", "--logs", "--attempt", "2", "2").stdout == b"second\n"
    assert torc("jobs", "--logs", "--run", "1", "2").stdout == b"first\n"
    done = torc("jobs", "--logs", "--attempt", "3", "2")
    assert done.returncode == 66


def test_following_goes_on_until_the_job_ends(store_file: Path) -> None:
    execute(store_file, "UPDATE job SET status = 2 WHERE job_id = 6")
    follower = subprocess.Popen([*command("jobs"), "--logs", "-F", "--stdout", "6"], stdout=subprocess.PIPE)
    assert follower.stdout is not None
    os.set_blocking(follower.stdout.fileno(), False)
    seen = bytearray()

    def shown(text: bytes) -> bool:
        seen.extend(follower.stdout.read() or b"")  # type: ignore[union-attr]
        return text in seen

    path = wrote(store_file, 6, "o", b"begin\n")
    until(lambda: shown(b"begin\n"), "the first line")
    execute(store_file, "UPDATE job SET status = 4 WHERE job_id = 6")
    with path.open("ab") as file:
        file.write(b"more\n")
    until(lambda: shown(b"more\n"), "the next line")
    assert follower.poll() is None
    with path.open("ab") as file:
        file.write(b"last\n")
    execute(store_file, "UPDATE job SET status = 5 WHERE job_id = 6")
    assert follower.wait(20) == 0
    assert shown(b"last\n")
    assert bytes(seen) == b"begin\nmore\nlast\n"
    follower.stdout.close()


@given(st.binary(max_size=60).map(lambda text: text.replace(b"a", b"\n")), st.integers(1, 8), st.integers(1, 9))
def test_the_tail_is_what_tail_shows(tmp_path_factory: Any, text: bytes, count: int, chunk: int) -> None:
    path = tmp_path_factory.getbasetemp() / "tail"
    path.write_bytes(text)
    before, logs.CHUNK = logs.CHUNK, chunk
    try:
        shown = b"".join(logs.read(str(path), logs.tail_offset(str(path), count)))
    finally:
        logs.CHUNK = before
    *ended, rest = text.split(b"\n")
    found = [line + b"\n" for line in ended] + ([rest] if rest else [])
    assert shown == b"".join(found[-count:])
