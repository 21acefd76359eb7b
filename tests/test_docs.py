"""What a user reads is checked against the code: pages, options, statuses, examples, README."""

import argparse
import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import manpages
import pytest
import recordspage
import slurmtexts
import sources
from prepared import SPEC, prepare

from torc_tools import exits
from torc_tools.core import specfields, specignored

ORDER = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "DIAGNOSTICS",
    "SEE ALSO", "CAVEATS",
]  # fmt: skip
DEMANDED = {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"}
EVERYWHERE = {"-h", "--help", "--version"}  # in every command; a page may leave them to torc-tools(7)
STATUSES = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
LINKS = sorted(path.name for path in (sources.ROOT / "bin").iterdir() if path.name != "launch")


def parser(command: str) -> argparse.ArgumentParser:
    made = importlib.import_module(sources.SCRIPTS[command].partition(":")[0]).parser()
    assert isinstance(made, argparse.ArgumentParser)
    return made


def options(made: argparse.ArgumentParser) -> set[str]:
    """Give every option of a parser and of its subcommands."""
    found: set[str] = set()
    for action in made._actions:
        found |= set(action.option_strings) if action.help != argparse.SUPPRESS else set()
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found |= options(child)
    return found


def test_mandoc_is_there() -> None:
    assert shutil.which("mandoc"), "the pages cannot be checked without mandoc (scripts/env dev installs it)"


def test_console_scripts_pages_and_launchers_are_the_same() -> None:
    assert sorted(path.stem for path in (manpages.FOLDER / "man1").iterdir()) == sources.COMMANDS
    assert LINKS == sources.COMMANDS


@pytest.mark.parametrize("name", LINKS)
def test_a_launcher_is_a_link_that_starts_its_command(name: str) -> None:
    path = sources.ROOT / "bin" / name
    assert os.readlink(path) == "launch"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == f"{name} (torc-tools) {sources.PROJECT['project']['version']}\n", done.stderr


@pytest.mark.parametrize("path", manpages.pages(), ids=lambda path: path.name)
def test_a_page_is_clean(path: Path) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
    known = {(other.stem, other.suffix[1:]) for other in manpages.pages()}
    assert manpages.references(path) <= known


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_sections_are_in_the_order_of_the_house(command: str) -> None:
    titles = list(manpages.sections(manpages.page(command)))
    assert set(titles) >= DEMANDED
    assert titles == [title for title in ORDER if title in titles]


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_options_in_the_page_are_those_of_the_command(command: str) -> None:
    assert manpages.options(manpages.page(command)) - EVERYWHERE == options(parser(command)) - EVERYWHERE


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_statuses_are_those_of_the_house(command: str) -> None:
    found = manpages.statuses(manpages.page(command))
    assert set(found) <= STATUSES
    assert {exits.OK, exits.USAGE, exits.IO, exits.PIPE} <= set(found)
    assert found == sorted(set(found))


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_help_names_the_command_and_breaks_nothing(command: str) -> None:
    text = parser(command).format_help()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert text.startswith(f"usage: {command} ")
    assert f"man {command}" in text


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_examples_run(command: str, work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every .Dl line of EXAMPLES, in order, in one folder with torc.db (tests/prepared.py) and spec.yaml."""
    prepare(work_dir)
    monkeypatch.setenv("PATH", str(slurmtexts.accountant(work_dir.parent / "slurm")), prepend=os.pathsep)
    (work_dir / "spec.yaml").write_text(SPEC)
    lines = manpages.examples(manpages.page(command))
    assert lines
    assert any(command in line for line in lines)
    for line in lines:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode in (exits.OK, exits.EMPTY), f"{line}: {done.returncode}: {done.stderr}"
        assert "Traceback" not in done.stderr


def test_every_key_of_a_spec_that_is_read_is_in_the_page() -> None:
    shown = set(re.findall(r"[a-z_]{3,}", manpages.sections(manpages.page("torc-create"))["DESCRIPTION"]))
    names = ("TOP", "JOB", "STDIO", "FILE", "USER_DATA", "REQUIREMENTS", "HANDLER", "RULE", "SCHEDULER", "ACTION",
             "EXECUTION", "MONITOR")  # fmt: skip
    keys = {key for name in names for key in getattr(specfields, name)} - set(specignored._IGNORED)
    assert keys - shown == set()


@pytest.mark.parametrize("command", ["torc-create", "torc-run", "torc-work"])
def test_whether_a_runtime_is_a_limit_is_said_where_it_is_asked(command: str) -> None:
    assert "limit_runtime" in manpages.page(command).read_text()


def test_the_spec_in_the_page_is_one(work_dir: Path) -> None:
    literal = manpages.sections(manpages.page("torc-create"))["EXAMPLES"].partition(".Bd -literal")[2]
    (work_dir / "spec.yaml").write_text(literal.partition("\n")[2].partition(".Ed")[0])
    (work_dir / "params.csv").write_text("n\n1\n2\n")
    done = subprocess.run(
        ["torc-create", "-n", "--query", "job_name", "spec.yaml"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split()[:4] == ['"prepare"', '"sim_1"', '"sim_2"', '"gather"']


def test_no_page_joins_the_brackets_of_a_shell_test() -> None:
    for path in manpages.pages():
        shown = subprocess.run(["mandoc", "-T", "ascii", path], capture_output=True, text=True, check=True).stdout
        assert "[$?" not in re.sub(".\b", "", shown), path.name


def test_the_readme_lists_every_command() -> None:
    text = (sources.ROOT / "README.md").read_text()
    assert sorted(set(re.findall(r"^\| `(torc[-\w]*)", text, re.MULTILINE))) == sources.COMMANDS


def test_the_readme_lists_the_statuses() -> None:
    text = (sources.ROOT / "README.md").read_text()
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == STATUSES


def test_the_tour_lists_every_command_and_status() -> None:
    tour = manpages.FOLDER / "man7" / "torc-tools.7"
    assert {name for name, section in manpages.references(tour) if section == "1"} == set(sources.COMMANDS)
    assert set(manpages.statuses(tour)) == STATUSES


def test_every_environment_variable_of_ours_is_in_the_tour() -> None:
    used = {
        name
        for path in sources.modules()
        for name in re.findall(r'environ(?:\.get\(|\[)"(TORC_\w+)"', path.read_text())
    }
    tour = (manpages.FOLDER / "man7" / "torc-tools.7").read_text()
    assert {name for name in used if f"Ev {name}" not in tour} == set()


def test_files_that_the_readme_names_exist() -> None:
    text = (sources.ROOT / "README.md").read_text() + (sources.ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:\./)?(?:scripts|tests|schemas|man|torc_tools|bin)/[-\w./]+)`", text))
    there = {name for name in named if (sources.ROOT / name).exists() or "NAME" in name or "TYPE" in name}
    assert named - there == set()


def test_modules_that_contributing_names_exist() -> None:
    rows = re.findall(r"^\| .*\|$", (sources.ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`((?:core|shell|flows)/\w+)`", row)]
    assert len(named) > 50
    assert [name for name in named if not (sources.ROOT / "torc_tools" / f"{name}.py").exists()] == []


def test_tests_that_the_readme_names_exist() -> None:
    text = (sources.ROOT / "README.md").read_text()
    for file, name in re.findall(r"`(tests/test_\w+\.py)::(test_\w+)`", text):
        assert f"def {name}(" in (sources.ROOT / file).read_text(), f"{file}::{name}"


def test_the_page_of_the_records_is_what_the_schemas_say() -> None:
    """Every type in schemas/ and every field: run scripts/bless-schemas when a schema has changed."""
    assert recordspage.split(recordspage.PAGE.read_text())[1] == recordspage.part()
