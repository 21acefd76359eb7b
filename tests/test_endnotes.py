"""The note that the shell around a job leaves of its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from torc_tools.shell import endnotes

ENDS = [
    ("true", 0, (0, False, False)),
    ("exit 3", 3, (3, False, False)),
    ("exit 137", 137, (137, False, False)),
    ("kill -9 $$", 137, (137, False, True)),
    ("kill -15 $$", 143, (143, False, True)),
    ("exec false", 1, (1, False, False)),
]


def around(line: str, note: Path) -> list[str]:
    return endnotes.noting(["bash", "-c", line], str(note))


@pytest.mark.parametrize(("line", "code", "said"), ENDS)
def test_how_a_job_ended(work_dir: Path, line: str, code: int, said: tuple[int, bool, bool]) -> None:
    note = work_dir / "it's a note.end"
    done = subprocess.run(around(f"echo out; echo err >&2; {line}", note), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"out\n", b"err\n")
    assert endnotes.read(str(note)) == endnotes.Note(*said)
    assert endnotes.read(str(note)).is_good == (code == 0)


@pytest.mark.parametrize(("line", "code"), [("trap 'exit 0' TERM; ", 0), ("", 143)])
def test_code_0_after_a_signal_is_no_good_end(work_dir: Path, line: str, code: int) -> None:
    note, up = work_dir / "note.end", work_dir / "up"
    job = subprocess.Popen(around(f"{line}touch up; while sleep 0.05; do :; done", note), start_new_session=True)
    until(up.exists, "the job to start")
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(20) == code
    assert endnotes.read(str(note))[:2] == (code, True)
    assert not endnotes.read(str(note)).is_good


HEARS = """
import pathlib, signal, sys, time
heard = []
def hear(number, _frame):
    heard.append(number)
    pathlib.Path("heard").write_text(str(len(heard)))
    if len(heard) == 2:
        sys.exit(7)
signal.signal(getattr(signal, sys.argv[1]), hear)
pathlib.Path("up").touch()
while True:
    time.sleep(0.05)  # pause() would sleep through a signal that comes just before it
"""


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "XCPU"])
def test_a_signal_to_the_first_process_reaches_the_job_once(work_dir: Path, name: str) -> None:
    note, heard = work_dir / "note.end", work_dir / "heard"
    words = endnotes.noting([sys.executable, "-c", HEARS, f"SIG{name}"], str(note))
    job = subprocess.Popen(words, start_new_session=True)
    until((work_dir / "up").exists, "the job to start")
    for count in ("1", "2"):
        job.send_signal(getattr(signal, f"SIG{name}"))
        until(lambda count=count: heard.exists() and heard.read_text() == count, "the signal")
    assert job.wait(20) == 7
    assert endnotes.read(str(note)) == endnotes.Note(7, told=True)


def test_a_stopped_job_is_waited_for_and_sees_none_of_our_names(work_dir: Path) -> None:
    note, up = work_dir / "note.end", work_dir / "up"
    job = subprocess.Popen(around("touch up; kill -STOP $$; env | grep -q '^_torc' || exit 5", note))
    until(up.exists, "the job to start")
    child = int(Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()[0])
    until(lambda: "T (stopped)" in Path(f"/proc/{child}/status").read_text(), "the job to stop")
    assert job.poll() is None
    os.kill(child, signal.SIGCONT)
    assert (job.wait(20), endnotes.read(str(note)).code) == (5, 5)


def test_without_a_place_for_the_note_the_job_runs(work_dir: Path) -> None:
    note = work_dir / "missing" / "note.end"
    done = subprocess.run(around("echo out; exit 4", note), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (4, b"out\n")
    assert endnotes.read(str(note)) == endnotes.Note()


@pytest.mark.parametrize("text", ["", "end 0", "end ", "end x\n", "bash: Killed\n"])
def test_half_a_note_says_nothing(work_dir: Path, text: str) -> None:
    note = work_dir / "note.end"
    note.write_text(text)
    assert endnotes.read(str(note)) == endnotes.Note()
