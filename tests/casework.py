"""Cases as data: tests/cases/<command>/<nnnn>/{cmd,stdin,setup,stdout,stderr,status}; run here, masked, compared.

`setup` and `cmd` are bash, run in the same empty folder; what differs from run to run is masked in the output.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

CASES = Path(__file__).resolve().parent / "cases"
STREAMS = ("stdout", "stderr")

_NUMBER = rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_VOLATILE = (
    (rb'("(?:[a-z_]+_)?at":|"(?:exec_time_s|[a-z_]*percent|elapsed_s|wall_s)":)(\s*)' + _NUMBER, rb'\1\2"@T@"'),
    (rb'("(?:[a-z_]*token)":\s*)"[^"]*"', rb'\1"@TOKEN@"'),
    (rb'("(?:[a-z_]+_)?(?:pid|pid_start)":)(\s*)\d+', rb'\1\2"@PID@"'),
    (rb"(wf\d+_r\d+_)[^\s\"/]+?_(local|\d+)_\d+", rb"\1@HOST@_\2_@PID@"),
    (rb"(wf\d+_)[0-9a-f]{8}\b", rb"\1@TOKEN@"),
)


class Outcome(NamedTuple):
    """What a case's command did, its output masked."""

    stdout: bytes
    stderr: bytes
    status: int


def folders() -> list[Path]:
    """Give every case folder, in order."""
    return sorted(path.parent for path in CASES.glob("*/*/cmd"))


def name(case: Path) -> str:
    """Give the short name of a case: apply/0001."""
    return "/".join(case.parts[-2:])


def run(case: Path, work_dir: Path) -> Outcome:
    """Run a case in the empty folder `work_dir`; give its outcome. A failing setup is an error."""
    if (case / "setup").exists():
        made = _bash((case / "setup").read_text(), work_dir, None)
        if made.returncode:
            raise RuntimeError(f"{name(case)}: setup ended with {made.returncode}: {made.stderr.decode()}")
    stdin = (case / "stdin").read_bytes() if (case / "stdin").exists() else None
    done = _bash((case / "cmd").read_text(), work_dir, stdin)
    return Outcome(mask(done.stdout, work_dir), mask(done.stderr, work_dir), done.returncode)


def mask(output: bytes, work_dir: Path) -> bytes:
    """Replace what differs between runs: folder, host, times, tokens, process ids."""
    output = output.replace(os.fsencode(str(work_dir)), b"@DIR@")
    for pattern, replacement in _VOLATILE:
        output = re.sub(pattern, replacement, output)
    host = re.escape(socket.gethostname().encode())
    return re.sub(rb"(?<![\w.-])" + host + rb"(?![\w.-])|(?<=watch_)" + host, b"@HOST@", output)


def expected(case: Path) -> Outcome:
    """Give the outcome that the case's files state; stderr is what it is where the file is missing."""
    status = (case / "status").read_text().strip() if (case / "status").exists() else "0"
    stdout, stderr = (((case / stream).read_bytes() if (case / stream).exists() else b"") for stream in STREAMS)
    return Outcome(stdout, stderr, int(status))


def bless(case: Path, outcome: Outcome) -> None:
    """Write `outcome` as the expectation of a case: empty files and status 0 are left out."""
    texts = {"stdout": outcome.stdout, "stderr": outcome.stderr, "status": b"%d\n" % outcome.status}
    for file, text in texts.items():
        if text and text != b"0\n":
            (case / file).write_bytes(text)
        else:
            (case / file).unlink(missing_ok=True)


def _bash(script: str, work_dir: Path, stdin: bytes | None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=work_dir,
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=120,
        check=False,
    )


def main(arguments: list[str]) -> int:
    """Bless the cases in the given folders, as scripts/bless does."""
    import conftest

    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write("usage: scripts/bless CASE...\n")
        return 2
    conftest.clean_environment()
    for cmd in sorted(cmd for argument in arguments for cmd in Path(argument).resolve().rglob("cmd")):
        with tempfile.TemporaryDirectory() as folder:
            work_dir = Path(folder) / "it's a dir"
            work_dir.mkdir()
            bless(cmd.parent, run(cmd.parent, work_dir))
        sys.stdout.write(name(cmd.parent) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
