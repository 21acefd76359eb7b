"""A command starts light: which modules it has loaded once its parser stands. Names, not milliseconds."""

import subprocess
import sys

import pytest
import sources

SLOW = {  # CPU ms on top of argparse and orjson: see the command that needs it, inside the function that needs it
    "psutil", "yaml", "plotly", "rich", "jmespath", "json5", "ckdl", "sh", "asyncio", "subprocess", "logging",
    "pathlib", "importlib.metadata", "tempfile", "multiprocessing", "concurrent.futures", "urllib.request",
    "http.client", "ssl", "jsonschema", "unittest", "shutil", "zipfile", "email",
}  # fmt: skip
BARE = "import sys, orjson, argparse; argparse.ArgumentParser().add_argument('x'); print(*sys.modules)"
MOST_OF_OURS = 60  # modules of this project that one command may load


def loaded(command: str) -> set[str]:
    """Give the modules that are loaded after parser()."""
    module = sources.SCRIPTS[command].partition(":")[0]
    script = f"import sys, {module} as command; command.parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """Give what Python itself loads here (a site may load more than it needs)."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", BARE],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_nothing_slow_is_loaded_at_start(command: str, bare: set[str]) -> None:
    assert (loaded(command) - bare) & SLOW == set()


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_a_command_loads_no_other_and_few_of_ours(command: str) -> None:
    ours = {name for name in loaded(command) if name.startswith("torc_tools")}
    own = sources.SCRIPTS[command].partition(":")[0]
    assert {name for name in ours if name.startswith("torc_tools.commands.")} == {own}
    assert len(ours) <= MOST_OF_OURS


def test_the_version_is_a_constant_that_the_project_agrees_with() -> None:
    from torc_tools.shell import options

    assert sources.PROJECT["project"]["version"] == options.VERSION


def test_the_package_itself_costs_nothing() -> None:
    text = (sources.PACKAGE / "__init__.py").read_text()
    assert "import" not in text
