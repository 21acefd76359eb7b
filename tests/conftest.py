"""What every test stands on: a clean environment, a folder with an awkward name, and the commands as processes.

TORC_TEST_BIN=DIR runs the commands that are installed in DIR instead of those of the checkout (scripts/wheel-check).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from prepared import prepare

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = os.environ.get("TORC_TEST_BIN")
TESTBEDS = os.environ.get("TORC_TESTBED") or os.environ.get("PYTEST_TESTBEDS") or "0"
TESTBED = (  # the instance of scripts/slurm-testbed, for tests/slurm: the nth for the nth of several test processes
    (beds := TESTBEDS.split())[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % len(beds)]
)
CHAOS_ROUNDS = int(os.environ.get("TORC_CHAOS_ROUNDS") or 4)  # of tests/slurm/test_chaos.py
STRIPPED = ("TORC_", "SLURM_", "SBATCH_", "PYTHON", "COVERAGE_")
DROPPED = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LANG", "LANGUAGE", "EDITOR", "VISUAL", "PAGER")

Torc = Callable[..., "subprocess.CompletedProcess[bytes]"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the environment the same for everyone, before any test module is imported."""
    if not INSTALLED and not Path(sys.executable).is_relative_to(ROOT / ".venv"):
        pytest.exit("run the tests with .venv/bin/pytest (scripts/env dev makes it)", returncode=4)
    clean_environment()
    # The first examples in a fresh clone build tables of Unicode, for seconds: no verdict of a test hangs on the clock.
    settings.register_profile("torc", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("torc")
    config.addinivalue_line("markers", "slow: takes more than a second or two")


def clean_environment() -> None:
    """Take out of the environment what would change a command's output, and put the commands on PATH."""
    for name in list(os.environ):
        if name.startswith(STRIPPED) or name in DROPPED:
            del os.environ[name]
    bin_dir = INSTALLED or str(ROOT / "bin")
    path = [part for part in os.environ["PATH"].split(":") if part != bin_dir]
    os.environ.update(
        TZ="UTC", LC_ALL="C.UTF-8", COLUMNS="80", LINES="24", TERM="dumb", PATH=":".join([bin_dir, *path])
    )
    os.environ["PYTEST_TESTBEDS"] = TESTBEDS  # for the processes that pytest-xdist starts


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failed run: it would hide that a tool is missing."""
    if os.environ.get("CI") and _skipped(session.config) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which skipped tests fail the run."""
    if os.environ.get("CI"):
        for report in terminalreporter.stats.get("skipped", []):
            terminalreporter.write_line(f"skipped in CI, which counts as failed: {report.nodeid} {report.longrepr}")


def _skipped(config: pytest.Config) -> list[object]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return list(reporter.stats.get("skipped", [])) if reporter else []


def command(name: str) -> list[str]:
    """Give the argument list that starts a command: command('torc-create') or command('create')."""
    short = name.removeprefix("torc-")
    if INSTALLED:
        return [f"{INSTALLED}/{'torc' if short == 'torc' else f'torc-{short}'}"]
    return [sys.executable, "-P", "-m", f"torc_tools.commands.{short.replace('-', '_')}"]


def said(done: "subprocess.CompletedProcess[bytes]") -> list[str]:
    """Give the lines that a command wrote to standard error."""
    return done.stderr.decode().splitlines()


def script(path: Path, text: str) -> Path:
    """Write a program for the shell; give its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def work_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder with a space and a quote in its name, and go there."""
    made = tmp_path / "it's a dir"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def torc(work_dir: Path) -> Torc:
    """Give torc(name, *args, input=None, env=None, cwd=None, timeout=60): run a command; stdout and stderr are bytes.

    `input` may be bytes or str; without it stdin is /dev/null. `env` adds to the environment.
    """

    def call(
        name: str,
        *args: object,
        input: bytes | str | None = None,  # noqa: A002  as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [*command(name), *map(str, args)],
            input=input.encode() if isinstance(input, str) else input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env={**os.environ, **(env or {})},
            cwd=cwd or work_dir,
            timeout=timeout,
            check=False,
        )

    return call


@pytest.fixture
def store_file(work_dir: Path) -> Path:
    """Give ./torc.db with one workflow: see prepared.prepare."""
    return prepare(work_dir)
