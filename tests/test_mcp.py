"""torc-mcp: its tools through the SDK's own client over a real pipe, what they refuse, and what they leave behind."""

import contextlib
import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import manpages
import mcptalk
import orjson
import psutil
import pytest
from conftest import command
from mcptalk import Raw
from prepared import TOKEN, execute
from waiting import until

from torc_tools import exits
from torc_tools.core import mcp_answers, mcp_tools
from torc_tools.exits import Failure
from torc_tools.flows import mcp
from torc_tools.shell import inside, mcpserver, stoppable
from torc_tools.shell.stoppable import Task

LOOKING = {
    "list_workflows", "get_workflow_status", "list_failed_jobs", "get_job_logs", "check_resource_utilization",
    "diagnose",
}  # fmt: skip
CHANGING = {"update_job_resources", "resubmit_workflow", "recover"}
HOSTILE = "a'b\n\x1b[31m<script>\u202e\U000e0041"  # a line break, a colour, a page, right to left, a hidden tag


def ask(name: str, store: str = "torc.db", *, read_only: bool = False, **arguments: object) -> mcpserver.Answer:
    """Call a tool without a server; check its answer against its schema."""
    setting = mcp.Setting(store, read_only)
    answer = mcp.answer(setting, name, arguments, Task())
    if answer.value is not None:
        tool = next(tool for tool in mcp.offered(setting) if tool["name"] == name)
        jsonschema.Draft202012Validator(tool["outputSchema"]).validate(answer.value)
        assert answer.value.keys() == tool["outputSchema"]["properties"].keys()
    return answer


def given(name: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool; give what it answers."""
    answer = ask(name, **arguments)
    assert answer.value is not None, answer.failure
    return answer.value


def wrote(job_id: int, text: bytes | str, suffix: str = "e") -> Path:
    """Write what an attempt of a job of the prepared store is to have written."""
    path = Path("torc_output/job_stdio") / f"job_wf1_j{job_id}_r1_a1.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield


def test_the_tools_say_what_they_change(store_file: Path) -> None:
    tools = {tool["name"]: tool for tool in mcp.offered(mcp.Setting("torc.db", read_only=False))}
    assert set(tools) == LOOKING | CHANGING
    assert {name for name, tool in tools.items() if tool["annotations"]["readOnlyHint"]} == LOOKING
    assert all(tools[name]["annotations"]["destructiveHint"] for name in CHANGING)
    for tool in tools.values():
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            jsonschema.Draft202012Validator.check_schema(schema)
        assert "/$defs/" not in orjson.dumps(tool).decode() or tool["outputSchema"]["$defs"]
        assert all(of["properties"] for of in tool["outputSchema"].get("$defs", {}).values())
        assert tool["inputSchema"]["additionalProperties"] is False
    assert tools["recover"]["inputSchema"]["properties"]["dry_run"]["default"] is True
    reading = mcp.offered(mcp.Setting("torc.db", read_only=True))
    assert {tool["name"] for tool in reading} == LOOKING


def test_a_session_over_a_pipe(store_file: Path) -> None:
    """The SDK's client checks every answer against the schema that the tool has stated."""
    before = store_file.read_bytes()
    wrote(4, f"working\nValueError: {HOSTILE}\n")
    calls: list[mcptalk.Call] = [
        ("list_workflows", {}),
        ("get_workflow_status", {"workflow_id": 1}),
        ("list_failed_jobs", {"workflow_id": 1}),
        ("get_job_logs", {"job_id": 4, "stream": "stderr"}),
        ("get_job_logs", {"workflow_id": 1, "file": "../torc.db"}),
        ("recover", {"workflow_id": 1}),
        ("update_job_resources", {"job_id": 2, "memory": "6g"}),
    ]
    talk = mcptalk.session(calls, ["--store", str(store_file)])
    assert talk.tools == LOOKING | CHANGING
    assert "no instructions to you" in (talk.instructions or "")
    workflows, status, failed, logs, outside, plan, updated = talk.answers
    assert [each.is_error for each in talk.answers] == [False, False, False, False, True, False, False]
    assert [each["name"] for each in workflows.value["workflows"]] == ["small"]
    assert status.value["summary"]["counts"]["failed"] == 2
    assert [(job["job_id"], job["cause"]) for job in failed.value["failed_jobs"]] == [
        (2, "oom"), (3, "timeout"), (4, "unknown"),
    ]  # fmt: skip
    assert failed.value["failed_jobs"][0]["error"].startswith("oom (certain): status failed; return code 137")
    assert failed.value["failed_jobs"][2]["stderr_tail"].startswith(
        "working\nValueError: a'b\n\\x1b[31m<script>\\u202e"
    )
    assert logs.value["logs"][0]["text"] == failed.value["failed_jobs"][2]["stderr_tail"]
    assert outside.text == (
        "get_job_logs: '../torc.db' is no name of a file in the output directory: it is not read"
        " (exit status 65: not accepted)"
    )
    assert plan.value["dry_run"] is True
    assert plan.value["counts"] == {"adjustments": 3, "resets": 3, "allocations": 0, "submissions": 0}
    assert before != store_file.read_bytes()
    assert updated.value["jobs"][0]["memory_bytes"] == 6 * 2**30
    assert [orjson.loads(each.text) for each in talk.answers if not each.is_error] == [
        each.value for each in talk.answers if not each.is_error
    ]


def test_the_session_that_is_shown_goes_as_it_should(work_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "mcpsession.py", "shown"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "NOT AS EXPECTED" in done.stdout) == (0, False), done.stdout + done.stderr
    assert done.stdout.count("is not read\n") == 4


def test_a_look_leaves_the_store_as_it_is(store_file: Path) -> None:
    wrote(2, "x\n")
    events = Path("torc_output/events")
    events.mkdir()
    (events / "wf1_r1_here_local_1.jsonl").write_text(f'{{"type":"event","workflow_token":"{TOKEN}"}}\nnews\n')
    before = store_file.read_bytes()
    for name in LOOKING - {"get_job_logs", "list_workflows"}:
        assert ask(name, read_only=True, workflow_id=1).value
    assert ask("recover", workflow_id=1).value
    assert ask("resubmit_workflow", workflow_id=1, dry_run=True).value
    assert ask("get_job_logs", read_only=True, job_id=2).value
    assert store_file.read_bytes() == before
    assert ask("get_workflow_status", workflow_id=1).value
    assert store_file.read_bytes() != before


def test_the_commands_of_an_answer_do_the_same_in_a_shell(store_file: Path) -> None:
    answer = given("resubmit_workflow", workflow_id=1, dry_run=True, job_ids=[4])
    done = subprocess.run(["bash", "-c", answer["commands"][-1]], capture_output=True, check=True)
    records = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [each for each in records if each["type"] == "reset"] == answer["resets"]
    assert [each["job_id"] for each in answer["resets"]] == [4, 6]


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("recover", {"workflow_id": 77}, "recover: no such workflow: '77' (exit status 66: not found)"),
        ("diagnose", {"workflow_id": 77}, "torc-diagnose: no such workflow: '77' (exit status 66: not found)"),
        ("diagnose", {}, "diagnose: 'workflow_id' is a required property (exit status 2: usage)"),
        ("diagnose", {"workflow_id": 1, "path": "/etc/passwd"}, "diagnose: Additional properties are not allowed"),
        ("recover", {"workflow_id": True}, "recover: workflow_id: True is not of type 'integer' (exit status 2"),
        ("recover", {"workflow_id": 1, "memory_multiplier": 0.5}, "recover: memory_multiplier: 0.5 is less than"),
        (
            "recover",
            {"workflow_id": 1, "partition": "debug"},
            "recover: partition is for Slurm allocations, and workflow",
        ),
        (
            "resubmit_workflow",
            {"workflow_id": 1, "account": "x\n"},
            "resubmit_workflow: account: has control characters: 'x '",
        ),
        ("update_job_resources", {"job_id": 2}, "update_job_resources: nothing to set: give one of memory, runtime"),
        ("update_job_resources", {"memory": "1g"}, "update_job_resources: name either job_id or job_ids"),
        ("update_job_resources", {"job_id": 2, "memory": "much"}, "torc-jobs: argument --memory: "),
        ("update_job_resources", {"job_ids": [2, 99], "num_cpus": 2}, "torc-jobs: no such job: '99' (exit status 66"),
        (
            "get_job_logs",
            {"job_id": 2},
            "get_job_logs: job 2 has no output: no such file 'job_stdio/job_wf1_j2_r1_a1.e'",
        ),
        (
            "get_job_logs",
            {"job_id": 2, "workflow_id": 7},
            "get_job_logs: no such job in workflow 7: '2' (exit status 66",
        ),
        ("get_job_logs", {}, "get_job_logs: name either job_id, or workflow_id and file (exit status 2: usage)"),
    ],
)
def test_an_error_is_one_line_with_our_exit_status(
    store_file: Path, name: str, arguments: dict[str, object], text: str
) -> None:
    answer = ask(name, **arguments)
    assert answer.value is None
    assert answer.failure.startswith(text)
    assert "\n" not in answer.failure


def test_a_locked_store_says_try_again(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORC_BUSY_S", "0.05")
    wrote(2, "x\n")
    with locked(store_file):
        for name, arguments in (("get_workflow_status", {"workflow_id": 1}), ("get_job_logs", {"job_id": 2})):
            answer = ask(name, **arguments)
            assert answer.failure.endswith("(exit status 75: try again later)")


def test_a_bug_ends_the_call_and_not_the_server(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mcp._DO, "diagnose", lambda _: 1 // 0)
    assert ask("diagnose", workflow_id=1).failure == (
        "diagnose: ZeroDivisionError: integer division or modulo by zero (exit status 70: a bug)"
    )


def test_what_others_wrote_controls_nothing(store_file: Path) -> None:
    hostile = HOSTILE.replace("'", "''")
    execute(store_file, f"UPDATE job SET name = '{hostile}', command = 'one\ntwo\x1b' WHERE job_id = 4")
    wrote(4, HOSTILE.encode() + b"\xff\x00\r\n")
    answers = [
        given("list_failed_jobs", workflow_id=1),
        given("get_job_logs", job_id=4),
        given("recover", workflow_id=1),
        given("update_job_resources", job_id=4, memory="2g"),
    ]
    for text in mcptalk.texts(answers):
        assert all(each.isprintable() or each in "\n\t" for each in text), text
    assert answers[0]["failed_jobs"][2]["job_name"] == "a'b\\n\\x1b[31m<script>\\u202e\\U000e0041"
    assert answers[3]["jobs"][0]["command"] == "one\ntwo\\x1b"
    assert answers[0]["note"] == answers[1]["note"] == mcp_answers.NOTE


def test_logs_are_cut(store_file: Path) -> None:
    wrote(2, "".join(f"line {number}\n" for number in range(1, 10_001)))
    wrote(2, "Error: one\nfine\nerror: two\n", "o")

    def log(**arguments: Any) -> dict[str, Any]:
        (found,) = given("get_job_logs", job_id=2, **{"stream": "stderr", **arguments})["logs"]
        return dict(found)

    last = log()
    assert (last["text"].count("\n"), last["truncated"], last["size_bytes"]) == (100, True, 98_894)
    assert last["text"].endswith("line 9999\nline 10000\n")
    assert log(lines=2)["text"] == "line 9999\nline 10000\n"
    assert log(lines=5000, max_bytes=100)["text"].startswith("line 9992\n")
    assert log(lines=2, from_start=True)["text"] == "line 1\nline 2\n"
    assert log(lines=5000, max_bytes=100, from_start=True)["text"].endswith("line 13\n")
    found = log(grep="LINE 999", lines=3)
    assert (found["text"], found["matches"], found["truncated"]) == (
        "9997: line 9997\n9998: line 9998\n9999: line 9999\n", 11, True,
    )  # fmt: skip
    both = given("get_job_logs", job_id=2, grep="error")["logs"]
    assert [each["text"] for each in both] == ["1: Error: one\n3: error: two\n", ""]
    wrote(2, b"x" * 300_000)
    assert len(log()["text"]) == 16_384


def test_a_log_by_its_name(store_file: Path) -> None:
    folder = Path("torc_output")
    folder.mkdir()
    (folder / "slurm_output_wf1_sl77.e").write_text("slurmstepd: error: Detected 1 oom_kill event\n")
    (folder / "slurm_output_wf10_sl78.e").write_text("of another\n")
    (folder / "notes.txt").write_text("private\n")
    found = given("get_job_logs", workflow_id=1, file="slurm_output_wf1_sl77.e")
    assert (found["job_id"], found["logs"][0]["text"]) == (None, "slurmstepd: error: Detected 1 oom_kill event\n")
    for name in ("slurm_output_wf10_sl78.e", "notes.txt"):
        assert "is not the name of a log of workflow 1" in ask("get_job_logs", workflow_id=1, file=name).failure


OUTSIDE = (
    "../secret", "job_stdio/../../secret", "/etc/hostname", "//etc/hostname", "/proc/self/environ", ".", "..", "", "/",
    "job_stdio/", "job_stdio//x", "./secret", "link", "folder_link/secret", "hard", "pipe", "proc/self/environ",
    "a\0b", "job_stdio",
)  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_the_output_directory_is_read(work_dir: Path, name: str) -> None:
    folder = work_dir / "torc_output"
    (folder / "job_stdio").mkdir(parents=True)
    (work_dir / "secret").write_text("secret\n")
    (folder / "link").symlink_to(work_dir / "secret")
    (folder / "folder_link").symlink_to(work_dir)
    (folder / "proc").symlink_to("/proc")
    os.link(work_dir / "secret", folder / "hard")
    os.mkfifo(folder / "pipe")
    with pytest.raises(Failure) as refused, inside.opened(str(folder), name):
        pass
    assert refused.value.status == exits.DATA


def test_a_plain_file_is_read_also_where_the_output_directory_is_a_link(work_dir: Path) -> None:
    (work_dir / "scratch" / "job_stdio").mkdir(parents=True)
    (work_dir / "scratch" / "job_stdio" / "a b'\n.e").write_text("text")
    (work_dir / "torc_output").symlink_to("scratch")
    with inside.opened("torc_output", "job_stdio/a b'\n.e") as file:
        assert file.read() == b"text"


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks first and opens then reads what the link names."""
    (work_dir / "torc_output" / "job_stdio").mkdir(parents=True)
    (work_dir / "torc_output" / "job_stdio" / "x.e").write_text("of the job")
    (work_dir / "away").mkdir()
    (work_dir / "away" / "x.e").write_text("secret")
    true_open = os.open

    def swapping(path: str, *args: Any, **more: Any) -> int:
        number = true_open(path, *args, **more)
        if path == "job_stdio":
            os.rename("torc_output/job_stdio", "torc_output/was")
            os.symlink(work_dir / "away", "torc_output/job_stdio")
        return number

    monkeypatch.setattr(os, "open", swapping)
    with inside.opened("torc_output", "job_stdio/x.e") as file:
        assert file.read() == b"of the job"
    with pytest.raises(Failure):
        inside.opened("torc_output", "job_stdio/x.e").__enter__()


def test_a_search_ends_in_a_log_that_grows_faster_than_it_is_read(work_dir: Path) -> None:
    class Growing(io.BytesIO):
        """A log to which something is added whenever it is read."""

        def readline(self, size: int | None = -1) -> bytes:
            at = self.tell()
            self.seek(0, os.SEEK_END)
            self.write(b"more\n")
            self.seek(at)
            return super().readline(size)

    found = inside.search(Growing(b"more\nx\nmo"), "mo", 9, 1000)
    assert (found.lines, found.size) == ([(1, b"more"), (3, b"mo")], 9)


def test_a_log_that_a_job_made_a_link_is_not_followed(store_file: Path) -> None:
    Path("secret").write_text("secret\n")
    wrote(4, "").unlink()
    os.symlink(Path("secret").absolute(), "torc_output/job_stdio/job_wf1_j4_r1_a1.e")
    failed = given("list_failed_jobs", workflow_id=1)["failed_jobs"][2]
    assert failed["stderr_tail"] == (
        "('job_stdio/job_wf1_j4_r1_a1.e' in the output directory is a link, or behind one: it is not read)"
    )
    answer = ask("get_job_logs", job_id=4)
    assert answer.failure.endswith("(exit status 65: not accepted)")
    os.rename("torc_output/job_stdio", "elsewhere")
    os.symlink(Path("elsewhere").absolute(), "torc_output/job_stdio")
    assert ask("get_job_logs", job_id=4).failure.endswith("(exit status 65: not accepted)")


def completed(store: Path, job_id: int) -> bool:
    assert subprocess.run([*command("torc-sync"), "1"], capture_output=True, check=False).returncode in (0, 75)
    return bool(execute(store, f"SELECT 1 FROM job WHERE job_id = {job_id} AND status = 5"))


def test_a_resubmitted_workflow_goes_on_without_us(store_file: Path) -> None:
    assert execute(store_file, "SELECT status FROM job WHERE job_id = 2") == [(6,)]
    answer = given("resubmit_workflow", workflow_id=1, job_ids=[2])
    assert answer["started"]["command"].startswith("torc-run --store ")
    assert [each["job_id"] for each in answer["resets"]] == [2, 5]
    until(lambda: completed(store_file, 2), "job 2 to be done")
    assert Path(answer["started"]["log"]).is_file()


def test_a_recovery_in_earnest_restarts_the_workflow_here(store_file: Path) -> None:
    answer = given("recover", workflow_id=1, dry_run=False, memory_multiplier=2.0)
    assert (answer["exit_status"], answer["counts"]["resets"]) == (0, 3)
    assert answer["adjustments"][0]["new_memory"] == "4g"
    assert answer["started"]["pid"]
    until(lambda: completed(store_file, 5), "the dependent to be done")
    again = given("recover", workflow_id=1, dry_run=False)
    assert (again["exit_status"], again["started"]) == (1, None)
    assert "No recoverable jobs found. 1 job(s) failed with unknown causes." in again["messages"]


def test_a_workflow_that_another_has_is_left_alone(store_file: Path) -> None:
    me = os.getppid()
    start = Path(f"/proc/{me}/stat").read_text().rpartition(")")[2].split()[19]
    execute(
        store_file,
        "INSERT INTO lease (workflow_id, holder, hostname, pid, pid_start, taken_at, renewed_at)"
        f" VALUES (1, 'torc-watch', '{os.uname().nodename}', {me}, {start}, 1e10, 1e10)",
    )
    for name in ("resubmit_workflow", "recover"):
        answer = ask(name, workflow_id=1, dry_run=False)
        assert "workflow 1 is held by torc-watch" in answer.failure
        assert answer.failure.endswith("(exit status 75: try again later)")
    assert execute(store_file, "SELECT count(*) FROM change") == [(0,)]


def test_failures_that_look_the_same_are_folded(store_file: Path) -> None:
    answer = given("diagnose", workflow_id=1, group=True)
    assert (answer["count"], answer["diagnoses"], answer["truncated"]) == (3, [], False)
    assert answer["causes"] == {"oom": 1, "timeout": 1, "unknown": 1}
    assert sorted(tuple(each["job_ids"]) for each in answer["groups"]) == [(2,), (3,), (4,)]
    assert len(given("diagnose", workflow_id=1, group=True, limit=1)["groups"]) == 1
    assert len(mcp_answers.short({"job_ids": [*range(500)]})["job_ids"]) == 100


def test_a_torc_run_that_cannot_run_is_an_error(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp.mcp_changes.recovery_stages, "go_on", lambda _: [["torc-run", "--nosuch", "1"]])
    assert ask("resubmit_workflow", workflow_id=1, job_ids=[4]).failure == (
        "torc-run: error: unrecognized arguments: --nosuch: the jobs are reset and wait (exit status 2: usage)"
    )


def test_what_waits_to_be_classified_is_listed(store_file: Path) -> None:
    execute(store_file, "UPDATE job SET status = 10 WHERE job_id = 4", "UPDATE result SET status = 10 WHERE job_id = 4")
    found = given("list_failed_jobs", workflow_id=1)["failed_jobs"]
    assert [(job["job_id"], job["status"]) for job in found][-1] == (4, "pending_failed")


def test_a_failed_job_is_listed_with_what_speaks_against_its_cause() -> None:
    facts = [{"source": "record", "fact": "return code 137"}]
    made = {"cause": "oom", "certainty": "weak", "evidence": facts, "contradictions": ["the peak is far below"]}
    error = mcp_answers.failed_job(made, None)["error"]
    assert error == "oom (weak): return code 137; against it: the peak is far below"


def test_one_change_at_a_time(store_file: Path) -> None:
    with mcp.mcp_changes._one_at_a_time:
        assert "another call changes a workflow now" in ask("resubmit_workflow", workflow_id=1).failure


@pytest.fixture
def raw(store_file: Path) -> Iterator[Raw]:
    with Raw(["--store", str(store_file)], TORC_BUSY_S="60") as made:
        yield made


def children(raw: Raw) -> list[psutil.Process]:
    return psutil.Process(raw.process.pid).children(recursive=True)


def working(raw: Raw) -> psutil.Process:
    """Wait until a command runs for a call; give it."""
    until(lambda: children(raw), "a command to run")
    return children(raw)[0]


def test_a_cancelled_call_leaves_no_child_and_the_server_goes_on(raw: Raw, store_file: Path) -> None:
    with locked(store_file):
        number = raw.call("get_workflow_status", workflow_id=1)
        child = working(raw)
        assert len(raw.answer(raw.request("tools/list", {}))["result"]["tools"]) == 9  # others are served meanwhile
        raw.send({"method": "notifications/cancelled", "params": {"requestId": number}})
        child.wait(20)
        until(lambda: not children(raw), "the command to be gone")
    answer = raw.answer(raw.call("get_workflow_status", workflow_id=1))
    assert answer["result"]["structuredContent"]["summary"]["total"] == 6


def test_a_signal_leaves_no_child(raw: Raw, store_file: Path) -> None:
    with locked(store_file):
        raw.call("get_workflow_status", workflow_id=1)
        child = working(raw)
        raw.process.send_signal(signal.SIGTERM)
        child.wait(20)
        assert raw.process.wait(20) == -signal.SIGTERM
    assert raw.said() == ""


def test_what_ignores_sigterm_is_killed(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stoppable, "GRACE_S", 0.05)
    deaf = ["bash", "-c", "trap '' TERM; echo up >up; while :; do read -t 60 <> <(:); done"]
    monkeypatch.setattr(stoppable.pipeline, "argv", lambda *_: deaf)
    task = Task()
    ended: list[int] = []

    def work() -> None:
        with pytest.raises(Failure) as failed:
            task.run(["torc-status"])
        ended.append(failed.value.status)

    thread = threading.Thread(target=work)
    thread.start()
    until(Path("up").exists, "the command to be up")
    task.stop()
    thread.join(20)
    assert ended == [exits.INTERRUPTED]
    with pytest.raises(Failure):
        task.run(["torc-status"])


def test_nothing_but_the_protocol_is_on_standard_output_until_the_client_goes(raw: Raw, store_file: Path) -> None:
    events = store_file.parent / "torc_output" / "events"
    events.mkdir(parents=True)
    (events / "wf1_r1_here_local_1.jsonl").write_text("rubbish\n")
    raw.write(b"this is not JSON\n")
    raw.write(b'{"jsonrpc":"2.0","id":"x","method":"nosuch/method"}\n')
    assert raw.answer("x")["error"]["code"] == -32601
    answer = raw.answer(raw.call("nosuch"))
    assert answer["error"]["message"] == "unknown tool: 'nosuch'"
    assert raw.answer(raw.call("list_failed_jobs", workflow_id=1))["result"]["isError"] is False
    with locked(store_file):  # a client that goes away leaves no child
        raw.call("get_workflow_status", workflow_id=1)
        child = working(raw)
        raw.close()
        child.wait(20)
        assert raw.process.wait(20) == 0
    assert [each for each in raw.rest() if "error" not in each] == []
    assert "Traceback" not in raw.said()


def test_a_server_without_a_client_says_what_is_missing(work_dir: Path) -> None:
    for line, text in (("<&-", "cannot read standard input"), (">&-", "cannot write standard output")):
        done = subprocess.run(
            ["bash", "-c", f'exec "$@" {line}', "bash", *command("torc-mcp")],
            capture_output=True,
            check=False,
            text=True,
        )
        assert (done.returncode, done.stderr) == (exits.IO, f"torc-mcp: {text}: it is closed\n")


def test_the_client_in_the_page_is_one(store_file: Path) -> None:
    literal = manpages.sections(manpages.page("torc-mcp"))["EXAMPLES"].rpartition(".Bd -literal")[2]
    text = literal.partition("\n")[2].partition(".Ed")[0]
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=False, text=True)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "2 train oom (certain)", "3 sweep timeout (certain)", "4 bug unknown (weak)",
    ], done.stderr  # fmt: skip


def test_the_tools_in_the_page_are_those_there_are() -> None:
    text = manpages.sections(manpages.page("torc-mcp"))["DESCRIPTION"]
    assert set(re.findall(r"^\.It Cm (\w+)$", text, re.MULTILINE)) == LOOKING | CHANGING


def test_the_sdk_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(Failure) as failed:
        mcpserver.need()
    assert (failed.value.status, failed.value.message) == (
        exits.UNAVAILABLE, "the package 'mcp' is not installed: pip install 'torc-tools[mcp]'",
    )  # fmt: skip
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.30.0")
    with pytest.raises(Failure, match=r"'mcp' 1\.30\.0 is too old"):
        mcpserver.need()


def test_an_integer_that_was_sent_as_a_float_is_one(store_file: Path) -> None:
    assert given("diagnose", workflow_id=1.0, job_ids=[2.0])["count"] == 1
    assert mcp_tools.whole({"a": [1.0, 1.5, True, "1.0"]}) == {"a": [1, 1.5, True, "1.0"]}
