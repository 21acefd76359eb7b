"""The style is a test: sizes, who writes to stdout, nothing unfinished, no path of one machine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sources

FUNCTION, MAIN, MODULE = 40, 25, 300  # code lines: no blank line, no comment line, no docstring
Function = ast.FunctionDef | ast.AsyncFunctionDef
TEXTS = (".py", ".md", ".toml", ".json", ".1", ".5", ".7")
WRITERS = {f"torc_tools/shell/{name}.py" for name in ("stream", "output", "progress", "prompts")}


def code_lines(lines: list[str], first: int, last: int) -> int:
    return sum(1 for line in lines[first - 1 : last] if line.strip() and not line.strip().startswith("#"))


def size(node: Function, lines: list[str]) -> int:
    """Give the code lines of a function without its docstring."""
    count = code_lines(lines, node.lineno, node.end_lineno or node.lineno)
    head = node.body[0]
    if isinstance(head, ast.Expr) and isinstance(head.value, ast.Constant) and isinstance(head.value.value, str):
        count -= code_lines(lines, head.lineno, head.end_lineno or head.lineno)
    return count


def functions(path: Path) -> Iterator[tuple[str, int]]:
    lines = path.read_text().splitlines()
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, Function):
            yield node.name, size(node, lines)


@pytest.mark.parametrize("path", sources.modules(), ids=sources.label)
def test_sizes(path: Path) -> None:
    assert [(name, count) for name, count in functions(path) if count > FUNCTION] == []
    lines = path.read_text().splitlines()
    assert code_lines(lines, 1, len(lines)) <= MODULE


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_a_command_is_one_file_with_parser_main_and_run(command: str) -> None:
    path = sources.module_file(command)
    assert path.exists(), f"{command} is declared in pyproject.toml and has no module"
    sizes = dict(functions(path))
    assert {"parser", "main", "run"} <= set(sizes)
    assert sizes["main"] <= MAIN
    assert re.search(rf'stream\.run\(main, ("{command}"|PROG)\)', path.read_text())


@pytest.mark.parametrize("path", sources.modules(), ids=sources.label)
def test_only_the_stream_writes_to_stdout_and_stderr(path: Path) -> None:
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.Name):
            assert node.id != "print", f"line {node.lineno}: print"
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"):
            of_sys = isinstance(node.value, ast.Name) and node.value.id == "sys"
            assert not of_sys or sources.label(path) in WRITERS, f"line {node.lineno}: sys.{node.attr}"


def matching(pattern: str) -> list[str]:
    """Give 'file: match' for each tracked text in which `pattern` occurs."""
    return [f"{sources.label(path)}: {hit[0]}" for path, text in sources.tracked() if (hit := re.search(pattern, text))]


def test_nothing_is_unfinished() -> None:
    assert matching(r"\b([T]ODO|[F]IXME|[X]XX|[N]otImplementedError)\b") == []


def test_no_path_of_one_machine() -> None:
    assert matching("/[r]oot/|/[w]ork/|/[f]arm/") == []


def sleeps(path: Path) -> list[int]:
    """Give the lines that call time.sleep; a job's command, which is text, may."""
    calls = [node for node in ast.walk(sources.tree(path)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if ast.unparse(call.func) in ("time.sleep", "sleep")]


def test_tests_wait_for_events_and_not_for_time() -> None:
    """A loop with a deadline may pause between two looks (tests/waiting.py); nothing else sleeps."""
    files = sorted(path for path in (sources.ROOT / "tests").rglob("*.py") if path.name != "waiting.py")
    assert {sources.label(path): lines for path in files if (lines := sleeps(path))} == {}


def test_text_files_end_with_one_newline() -> None:
    found = [
        sources.label(path)
        for path, text in sources.tracked()
        if text
        and path.suffix in (".py", ".md", ".toml", ".json", ".1", ".5", ".7")
        and not re.search(r"[^\n]\n\Z", text)
    ]
    assert found == []


def test_the_counter_counts_code_only() -> None:
    text = 'def f():\n    """Doc.\n\n    More.\n    """\n    # why\n\n    return 1\n'
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert size(node, text.splitlines()) == 2
