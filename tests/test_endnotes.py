"""The note that the shell around a job leaves of its end."""

import os
import signal
import subprocess
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
