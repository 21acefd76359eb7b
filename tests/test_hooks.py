"""Recovery hooks as processes, and the editor."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import waiting
from conftest import script

from torc_tools.exits import Failure
from torc_tools.shell import editor, hooks, liveness, pipeline, waking


def run(command: str, limit_s: float = 30.0) -> list[str]:
    said: list[str] = []
    hooks.run(hooks.Hook(command, [*hooks.words(command), "42"], {"SEEN": "yes"}, limit_s), said.append, lambda: None)
    return said


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("bash 'x", 2, "Invalid quoting in recovery hook command: bash 'x"),
        ("  ", 2, "Recovery hook command is empty"),
        ("no-such-program-here 1", 66, "cannot run recovery hook 'no-such-program-here': no such program"),
    ],
)
def test_bad_commands_are_refused_before_they_run(work_dir: Path, command: str, status: int, message: str) -> None:
    with pytest.raises(Failure) as failed:
        hooks.words(command)
    assert (failed.value.status, failed.value.message) == (status, message)


def test_words_are_split_without_a_shell_and_a_program_of_this_folder_is_found(work_dir: Path) -> None:
    script(work_dir / "hook.sh", 'echo "$0" "$#" "$1" "$2" "$SEEN" "$3"')
    assert run("hook.sh 'a b' '$HOME;ls'") == ["  [hook] ./hook.sh 3 a b $HOME;ls yes 42"]


def test_lines_of_both_streams_come_one_by_one_the_last_without_its_end_too(work_dir: Path) -> None:
    script(work_dir / "h", "echo one; echo two >&2; printf three")
    assert run("h") == ["  [hook] one", "  [hook] two", "  [hook] three"]


@pytest.mark.parametrize(("text", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_a_failing_hook_says_so_in_torcs_words(work_dir: Path, text: str, code: int) -> None:
    script(work_dir / "h", text)
    with pytest.raises(Failure, match=f"^Recovery hook 'h' failed with exit code {code}$") as failed:
        run("h")
    assert failed.value.status == 1


def test_a_hook_out_of_time_goes_with_all_it_started(work_dir: Path) -> None:
    script(work_dir / "h", "sleep 60 & echo $!; wait")
    said: list[str] = []
    hook = hooks.Hook("h", ["./h"], {}, 0.3)
    with pytest.raises(Failure, match=r"^Recovery hook 'h' ran longer than PT1S and was stopped$"):
        hooks.run(hook, said.append, lambda: None)
    child = int(said[0].rpartition(" ")[2])
    waiting.until(lambda: not liveness.alive(liveness.me()[0], child, None), "the end of what the hook started")


def test_what_a_hook_leaves_in_the_background_is_not_waited_for(work_dir: Path) -> None:
    script(work_dir / "h", "sleep 60 & echo $!")
    before = time.monotonic()
    said = run("h")
    assert time.monotonic() - before < 30
    os.kill(int(said[0].rpartition(" ")[2]), signal.SIGKILL)


def alive(pid_file: Path) -> bool:
    return liveness.alive(liveness.me()[0], int(pid_file.read_text()), None)


def test_what_writes_on_in_the_background_is_not_waited_for(work_dir: Path) -> None:
    script(work_dir / "h", "echo first; yes & echo $! > pid; sleep 0.2; echo last")
    said = run("h")
    assert said[0] == "  [hook] first"
    assert "  [hook] last" in said
    waiting.until(lambda: not alive(work_dir / "pid"), "the end of what nobody reads any more")


def test_a_line_without_end_is_said_in_pieces(work_dir: Path) -> None:
    script(work_dir / "h", "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo; echo next")
    said = [line.removeprefix("  [hook] ") for line in run("h")]
    assert said[-2:] == ["", "next"]
    assert "".join(said[:-2]) == "x" * 1_000_000
    assert max(map(len, said)) <= hooks.MOST_LINE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_hook_and_what_it_started(work_dir: Path, number: int) -> None:
    script(work_dir / "h", f"sleep 60 & echo $! > pid; kill -{number:d} $PPID; wait")
    with pytest.raises(KeyboardInterrupt):
        run("h")
    waiting.until(lambda: not alive(work_dir / "pid"), "the end of what the hook started")


def test_a_signal_while_the_hook_is_started_ends_it_too(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(work_dir / "h", "sleep 60 & echo $! > made; mv made pid; wait")
    start = hooks._start

    def interrupted(hook: hooks.Hook) -> "subprocess.Popen[bytes]":
        process = start(hook)
        waiting.until((work_dir / "pid").exists, "the hook")
        signal.raise_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(hooks, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("h")
    waiting.until(lambda: not alive(work_dir / "pid"), "the end of what the hook started", 5)


def test_a_hook_that_closes_its_output_is_followed_to_its_end(work_dir: Path) -> None:
    script(work_dir / "h", "exec >&- 2>&-; sleep 0.1; touch done")
    assert run("h") == []
    assert (work_dir / "done").exists()


def ask(command: str, asked: bytes, limit_s: float = 30.0) -> tuple[bytes, list[str]]:
    said: list[str] = []
    hook = hooks.Hook(command, [*hooks.words(command), "42"], {}, limit_s, asked)
    return hooks.run(hook, said.append, lambda: None), said


def test_a_hook_that_is_asked_answers_on_one_stream_and_speaks_on_the_other(work_dir: Path) -> None:
    script(work_dir / "h", "echo reading >&2; cat; printf done >&2")
    asked = b"question\n" * 50_000
    assert ask("h", asked) == (asked, ["  [hook] reading", "  [hook] done"])


def test_a_hook_need_not_hear_the_question_to_its_end(work_dir: Path) -> None:
    script(work_dir / "h", "read first; echo $first")
    assert ask("h", b"question\n" * 50_000) == (b"question\n", [])


def test_what_is_left_in_the_background_does_not_hold_an_answer_up(work_dir: Path) -> None:
    script(work_dir / "h", "sleep 60 & echo $! >&2; echo answer")
    answer, said = ask("h", b"")
    os.kill(int(said[0].rpartition(" ")[2]), signal.SIGKILL)
    assert answer == b"answer\n"


def test_an_answer_without_end_is_refused_and_the_hook_ended(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "MOST_ANSWER", 1 << 20)
    script(work_dir / "h", "echo $$ >&2; exec yes")
    said: list[str] = []
    hook = hooks.Hook("h", ["./h"], {}, 30.0, b"")
    with pytest.raises(Failure, match=r"^Recovery hook 'h' answered with more than 1.0 MB and was stopped$") as failed:
        hooks.run(hook, said.append, lambda: None)
    assert failed.value.status == 1
    assert not liveness.alive(liveness.me()[0], int(said[0].rpartition(" ")[2]), None)


def test_without_a_kernel_that_wakes_us_ends_are_seen_all_the_same(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    script(work_dir / "h", "echo here; exec >&- 2>&-; sleep 0.1")
    assert run("h") == ["  [hook] here"]
    process = subprocess.Popen(["sleep", "0.1"])
    assert waking.wait(30, [(liveness.me()[0], process.pid, None)])
    process.wait()


def test_waiting_ends_with_the_time_or_with_a_process(work_dir: Path) -> None:
    host = liveness.me()[0]
    assert not waking.wait(0.01, [(host, os.getpid(), None), ("another-host", 1, None), (None, None, None)])
    process = subprocess.Popen(["sleep", "0.05"])
    assert waking.wait(30, [(host, process.pid, liveness.start_ticks(process.pid))])
    process.wait()
    assert not waking.wait(0.01, [(host, process.pid, 1)])


def test_editor_gives_back_what_was_written(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(work_dir / "ed", 'echo more >> "$2"; test "$1" = -x')
    monkeypatch.setenv("EDITOR", "nobody")
    monkeypatch.setenv("VISUAL", f"{shlex.quote(str(work_dir / 'ed'))} -x")
    text, path = editor.edit("text\n", "plan-")
    assert text == "text\nmore\n"
    Path(path).unlink()


@pytest.mark.parametrize(("command", "status"), [("false", 1), ("no-such-editor", 66), ("bad 'quote", 66)])
def test_editor_that_fails_keeps_the_file(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch, command: str, status: int
) -> None:
    monkeypatch.setenv("VISUAL", command)
    monkeypatch.setattr(tempfile, "tempdir", str(work_dir))
    with pytest.raises(Failure) as failed:
        editor.edit("text\n", "plan-")
    assert failed.value.status == status
    (kept,) = work_dir.glob("plan-*.jsonl")
    assert str(kept) in failed.value.message


LINES = b'{"type":"diagnosis","job_id":%d}\n'


def test_a_pipe_gives_the_last_output_and_the_first_failure(work_dir: Path) -> None:
    heard: list[str] = []
    line = b'{"type":"note"}\n'
    ran = pipeline.run(["torc-heuristics"], ["torc-heuristics"], data=line * 20_000, hear=heard.append)
    assert ran == (line * 20_000, 0, "")
    ran = pipeline.run(["torc-heuristics"], ["torc-heuristics", "--no-such"], data=line * 20_000, hear=heard.append)
    assert ran[1:] == (2, "torc-heuristics")
    ran = pipeline.run(["torc-heuristics"], ["torc-heuristics"], data=b"rubbish\n", hear=heard.append)
    assert ran[1:] == (65, "torc-heuristics")
    assert heard[-1].startswith("torc-heuristics: line 1: not JSON")
    with pytest.raises(Failure, match="'torc-heuristics' failed with exit code 65"):
        ran.checked()


def test_a_pipe_that_is_stopped_leaves_no_process(work_dir: Path) -> None:
    pipe = pipeline.Pipe(["torc-heuristics"], ["torc-heuristics"], feed=True)
    pids = [process.pid for process in pipe._processes]
    pipe.stop()
    pipe.stop()
    assert all(liveness.start_ticks(pid) is None for pid in pids)


def test_stages_are_printed_so_that_a_shell_reads_them_back() -> None:
    assert pipeline.text(["torc-x", "--store", "a b"], ["torc-y"]) == "torc-x --store 'a b' | torc-y"
    assert pipeline.argv(["torc-x", 1]) == [sys.executable, "-P", "-m", "torc_tools.commands.x", "1"]
