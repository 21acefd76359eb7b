"""The project's own files, for the tests that read them: modules by layer, tracked texts, console scripts."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "torc_tools"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS: dict[str, str] = PROJECT["project"]["scripts"]
COMMANDS = sorted(SCRIPTS)


def module_file(command: str) -> Path:
    """Give the file of a console script's module."""
    return ROOT / (SCRIPTS[command].partition(":")[0].replace(".", "/") + ".py")


def modules() -> list[Path]:
    """Give every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    """Give the layer of a module: ground, core, shell, flows or commands."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "ground"


def label(path: Path) -> str:
    """Give a file's name from the root of the project."""
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    """Give the syntax tree of a module."""
    return ast.parse(path.read_text(), str(path))


def tracked() -> Iterator[tuple[Path, str]]:
    """Give every text file that git tracks or would track, with its text."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"],  # a clone may be another's
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            raw = path.read_bytes()
            if b"\0" not in raw:
                yield path, raw.decode(errors="replace")
