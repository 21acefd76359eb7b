"""Every case of tests/cases through the real command; scripts/bless writes the expectations."""

import subprocess
from pathlib import Path

import casework
import pytest


@pytest.mark.parametrize("case", casework.folders(), ids=casework.name)
def test_case(case: Path, work_dir: Path) -> None:
    found, wanted = casework.run(case, work_dir), casework.expected(case)
    assert found.status == wanted.status, found.stderr.decode()
    assert found.stdout.decode() == wanted.stdout.decode()
    if (case / "stderr").exists():
        assert found.stderr.decode() == wanted.stderr.decode()
    assert b"Traceback (most recent call last)" not in found.stderr


def test_masks_what_differs_and_nothing_else(tmp_path: Path) -> None:
    line = f'{{"at": 17.5,"started_at":1,"exec_time_s":0.25,"token":"abc","pid":7,"memory_bytes":12,"d":"{tmp_path}"}}'
    assert casework.mask(line.encode(), tmp_path).decode() == (
        '{"at": "@T@","started_at":"@T@","exec_time_s":"@T@","token":"@TOKEN@","pid":"@PID@",'
        '"memory_bytes":12,"d":"@DIR@"}'
    )


def test_bless_writes_what_the_command_did(tmp_path: Path) -> None:
    case = tmp_path / "case"
    case.mkdir()
    (case / "cmd").write_text("cat; echo oops >&2; exit 3\n")
    (case / "stdin").write_text("hello\n")
    bless = casework.CASES.parent.parent / "scripts" / "bless"
    subprocess.run([bless, str(case)], check=True, capture_output=True)
    assert casework.expected(case) == casework.Outcome(b"hello\n", b"oops\n", 3)
