"""Who may import whom. Arrows go down: ground < core | shell < flows < commands."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sources

ALLOWED = {
    "ground": {"ground"},
    "core": {"ground", "core"},
    "shell": {"ground", "shell"},
    "flows": {"ground", "core", "shell", "flows"},
    "commands": {"ground", "core", "shell", "flows"},
}
PURE = {  # what core may take from the standard library: nothing that sees clock, file, environment or process
    "array", "base64", "bisect", "collections", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum",
    "fnmatch", "fractions", "functools", "graphlib", "hashlib", "heapq", "itertools", "json", "math", "operator", "re",
    "shlex", "string", "textwrap", "typing", "unicodedata",
}  # fmt: skip
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
WORLDLY = {"datetime", "date", "os", "time"}
IMPURE_ATTRIBUTES = {"environ", "getenv", "now", "today", "utcnow"}
ONE_FILE = ("yaml", "json5", "ckdl", "psutil", "rich", "jmespath", "plotly", "sh")
SLOW = {*ONE_FILE, "jsonschema", "mcp", "isodate"}  # imported inside a function only


def imports(tree: ast.Module) -> Iterator[tuple[str, ast.AST, bool]]:
    """Give (module, node, at module level) of each import; `from a import b` also gives a.b."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield str(node.module), node, id(node) in top
            yield from ((f"{node.module}.{alias.name}", node, id(node) in top) for alias in node.names)


def ours(module: str) -> str | None:
    """Give the layer of one of our modules, None for all else."""
    parts = module.split(".")
    path = sources.ROOT.joinpath(*parts)
    if parts[0] != "torc_tools" or len(parts) == 1:
        return None
    if len(parts) == 2 and path.is_dir():
        return None  # `from torc_tools import core` is caught by the modules taken from it
    file = path.with_suffix(".py")
    return sources.layer(file) if file.exists() else None


@pytest.mark.parametrize("path", sources.modules(), ids=sources.label)
def test_imports_go_down_only(path: Path) -> None:
    allowed = ALLOWED[sources.layer(path)]
    for module, node, _ in imports(sources.tree(path)):
        there = ours(module)
        assert there is None or there in allowed, f"{sources.label(path)}:{node.lineno} imports {module}"


@pytest.mark.parametrize(
    "path", [path for path in sources.modules() if sources.layer(path) in ("core", "ground")], ids=sources.label
)
def test_core_and_ground_see_no_world(path: Path) -> None:
    tree = sources.tree(path)
    for module, node, _ in imports(tree):
        root = module.split(".")[0]
        assert root == "torc_tools" or root in PURE, f"{sources.label(path)}:{node.lineno} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            assert node.id not in IMPURE_NAMES, f"{sources.label(path)}:{node.lineno} uses {node.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in WORLDLY:
            assert node.attr not in IMPURE_ATTRIBUTES, f"{sources.label(path)}:{node.lineno} uses .{node.attr}"


def third_party() -> Iterator[tuple[str, Path, int, bool]]:
    for path in sources.modules():
        for module, node, top in imports(sources.tree(path)):
            root = module.split(".")[0]
            if root != "torc_tools" and root not in sys.stdlib_module_names:
                yield root, path, node.lineno, top


def test_third_party_modules_are_imported_in_one_file_each() -> None:
    homes: dict[str, set[str]] = {}
    for root, path, _, _ in third_party():
        homes.setdefault(root, set()).add(sources.label(path))
    many = {root: sorted(files) for root, files in homes.items() if root in ONE_FILE and len(files) > 1}
    assert many == {}


def test_slow_modules_are_imported_where_they_are_used() -> None:
    found = [f"{sources.label(path)}:{line} {root}" for root, path, line, top in third_party() if top and root in SLOW]
    assert found == []


def test_every_third_party_module_is_a_dependency() -> None:
    names = {"yaml": "pyyaml", "pynvml": "nvidia-ml-py"}
    project = sources.PROJECT["project"]
    extras = [spec for name, specs in project["optional-dependencies"].items() if name != "dev" for spec in specs]
    wanted = {spec.partition(">")[0].partition("[")[0].lower() for spec in [*project["dependencies"], *extras]}
    assert {names.get(root, root) for root, *_ in third_party()} <= wanted


def test_orjson_stays_out_of_core() -> None:
    found = {sources.layer(path) for root, path, _, _ in third_party() if root == "orjson"}
    assert found <= {"shell", "flows", "commands"}


def test_the_checks_see_what_they_look_for() -> None:
    tree = ast.parse("import os\nfrom torc_tools.shell import store\ndef f():\n    import yaml\n")
    assert [(module, top) for module, _, top in imports(tree)] == [
        ("os", True),
        ("torc_tools.shell", True),
        ("torc_tools.shell.store", True),
        ("yaml", False),
    ]
    assert ours("torc_tools.shell.store") == "shell"
    assert ours("torc_tools.exits") == "ground"
    assert ours("os") is None
