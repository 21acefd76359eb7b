"""torc-watch --notify: a program is told of each recovery and of the end, once each, whatever becomes of it."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import street
import test_schemas
import waiting
from conftest import Torc, command, said, script
from prepared import execute

from torc_tools.commands import watch
from torc_tools.core import notices
from torc_tools.shell import liveness, notifier, waking

HOSTILE = "a\nSubject: x \x1b[31m<script>\"'"
SHOWN = r"""a\nSubject: x \x1b[31m<script>"'"""


def sql(text: str) -> str:
    """Write a text as SQL does."""
    return "'" + text.replace("'", "''") + "'"


def told(folder: Path) -> list[dict[str, object]]:
    """Give the notices that the program kept, each checked against the schema."""
    path = folder / "told"
    found = [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    for each in found:
        test_schemas.validator("notice").validate(each)
    return found


@pytest.fixture
def keeper(work_dir: Path) -> str:
    script(work_dir / "keep", "cat >> told")
    return "./keep"


def test_each_recovery_and_the_end_are_told_once(torc: Torc, work_dir: Path, keeper: str) -> None:
    torc("torc-run", "-c", "exit 3")
    options = ("--recover", "--retry-unknown", "-m", 1, "--notify", keeper, 1)
    assert torc("torc-watch", *options).returncode == 1
    first, second = told(work_dir)
    assert (first["event"], first["recoveries"], first["max_retries"]) == ("recovery", 1, 1)
    assert first["plan"] == {"memory_fixes": 0, "runtime_fixes": 0, "again": 1, "held": 0}
    assert first["text"] == "workflow 1 (exit 3): recovery 1/1: 1 job(s) run again, 0 OOM, 0 timeout"
    assert (second["event"], second["why"], second["run_id"]) == ("gave_up", "retries", 2)
    assert second["text"] == "workflow 1 (exit 3): given up (the recoveries are used up): 1 failed"
    assert "Max retries (1) exceeded. Manual intervention required." in second["lines"]  # type: ignore[operator]
    again = torc("torc-watch", *options)  # a new watch says it again to people, and tells nobody twice
    assert "Max retries (1) exceeded. Manual intervention required." in said(again)
    assert len(told(work_dir)) == 2
    torc("torc-reset", "-w", 1, "--failed")
    torc("torc-run", 1)
    assert torc("torc-watch", *options).returncode == 1  # the same end, of something that has moved
    assert [each["event"] for each in told(work_dir)] == ["recovery", "gave_up", "gave_up"]


def test_steps_from_cron_tell_once(torc: Torc, work_dir: Path, keeper: str) -> None:
    torc("torc-run", "-c", "exit 3")
    assert torc("torc-watch", "--once", "--recover", 1).returncode == 1  # told to cron, before --notify was there
    for _ in range(3):
        assert torc("torc-watch", "--once", "--recover", "--notify", keeper, 1).returncode == 1
    assert [(each["event"], each["why"]) for each in told(work_dir)] == [("gave_up", "nothing")]


def test_completion_is_told_with_names_made_harmless(torc: Torc, work_dir: Path, keeper: str) -> None:
    torc("torc-run", "-c", "true")
    execute("torc.db", f"UPDATE workflow SET name = {sql(HOSTILE)}")
    assert torc("torc-watch", "--notify", keeper, 1).returncode == 0
    assert torc("torc-watch", "--notify", keeper, 1).returncode == 0
    (only,) = told(work_dir)
    assert (only["event"], only["why"], only["name"]) == ("completed", None, HOSTILE)
    assert only["text"] == f"workflow 1 ({SHOWN}): completed: 1 completed"


def test_a_watch_that_an_error_ends_tells_so_once(torc: Torc, work_dir: Path, keeper: str) -> None:
    torc("torc-run", "-c", "exit 3")
    options = ("--once", "--recover", "--recovery-hook", "false", "--notify", keeper, 1)
    assert [torc("torc-watch", *options).returncode for _ in range(2)] == [1, 1]
    (only,) = told(work_dir)
    assert (only["event"], only["lines"]) == ("error", ["Recovery hook 'false' failed with exit code 1"])


@pytest.mark.parametrize(
    ("program", "trouble"),
    [("exit 7", "failed with exit code 7"), ("kill -9 $$", "failed with exit code 137")],
)
def test_a_failing_program_is_said_once_and_recovery_goes_on(
    torc: Torc, work_dir: Path, program: str, trouble: str
) -> None:
    torc("torc-run", "-c", "test $TORC_RUN_ID -gt 2")
    script(work_dir / "bad", f"echo out; echo err >&2; {program}")
    done = torc("torc-watch", "--recover", "--retry-unknown", "--notify", "./bad", 1)
    assert done.returncode == 0
    lines = [line for line in said(done) if "notification" in line]
    assert lines == [f"torc-watch: notification program './bad' {trouble}"]
    (log,) = work_dir.rglob("watch_*.log")
    assert {"out", "err"} <= set(log.read_text().splitlines())
    assert "out" not in said(done)


def test_a_hanging_program_is_stopped_and_delays_no_recovery(
    torc: Torc, work_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    torc("torc-run", "-c", "test $TORC_RUN_ID -gt 1")
    script(work_dir / "hang", "cat >> told; sleep 60")
    monkeypatch.setattr(notifier, "LIMIT_S", 0.3)
    assert watch.main(["--recover", "--retry-unknown", "--notify", "./hang", "1"]) == 0
    assert [each["event"] for each in told(work_dir)] == ["recovery", "completed"]
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "notification" in line] == [
        "torc-watch: notification program './hang' ran longer than 0.3 s and was stopped"
    ]
    done = lines.index("Workflow completed successfully (1 jobs)")
    assert lines.index("Recovery initiated. Resuming monitoring...") < done


@pytest.mark.parametrize(
    ("option", "status", "message"),
    [
        ("no-such-program", 66, "cannot run notification program 'no-such-program': no such program"),
        ("'", 2, "Invalid quoting in notification program command: '"),
        ("", 2, "Notification program command is empty"),
    ],
)
def test_a_program_that_cannot_be_run_is_refused(
    torc: Torc, store_file: Path, option: str, status: int, message: str
) -> None:
    done = torc("torc-watch", "--notify", option, 1)
    assert (done.returncode, said(done)) == (status, [f"torc-watch: {message}"])
    assert street.query("SELECT * FROM lease") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_watch_that_is_killed_leaves_its_notice_to_the_next(torc: Torc, work_dir: Path, number: int) -> None:
    torc("torc-run", "-c", "exit 3")
    script(work_dir / "slow", "cat >> told; until test -e go; do sleep 0.05; done")
    options = [*command("torc-watch"), "--notify", "./slow", "1"]
    with subprocess.Popen(options, stderr=subprocess.DEVNULL) as first:
        waiting.until(lambda: told(work_dir), "the program to read its notice")
        first.send_signal(number)
    (work_dir / "go").touch()
    assert torc("torc-watch", "--notify", "./slow", 1).returncode == 1
    one, two = told(work_dir)
    assert one == two
    assert torc("torc-watch", "--notify", "./slow", 1).returncode == 1
    assert len(told(work_dir)) == 2


def test_what_was_left_is_forgotten_by_a_watch_that_tells_nobody(torc: Torc, work_dir: Path, keeper: str) -> None:
    torc("torc-run", "-c", "exit 3")
    torc("torc-watch", "--notify", "true", 1)
    execute("torc.db", """UPDATE watch SET state = json_set(state, '$.notices', json('[{"event": "completed"}]'))""")
    assert torc("torc-watch", 1).returncode == 1
    assert torc("torc-watch", "--notify", keeper, 1).returncode == 1
    assert told(work_dir) == []


def test_an_end_has_words_for_every_reason() -> None:
    reasons = set(test_schemas.schema("notice")["properties"]["why"]["enum"]) - {None}
    assert reasons == set(notices._WHY)


def test_a_signal_while_the_program_is_started_does_not_lose_it(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(work_dir / "told", "sleep 60 & echo $! > made; mv made pid; wait")
    start = subprocess.Popen

    def interrupted(*words: Any, **settings: Any) -> Any:
        process = start(*words, **settings)
        waiting.until((work_dir / "pid").exists, "the program")
        signal.raise_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with (work_dir / "log").open("wb") as log:
        runner = notifier.Notifier(["./told"], {}, log.fileno())
        with pytest.raises(KeyboardInterrupt), waking.interruptible():
            runner.start(b"{}")
        assert runner.runs
        runner.stop()
    child = int((work_dir / "pid").read_text())
    waiting.until(lambda: not liveness.alive(liveness.me()[0], child, None), "the end of what it started", 5)
