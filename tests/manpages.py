"""The man pages as data: sections, options, statuses, examples as a reader sees them."""

import re
import subprocess
from pathlib import Path

import sources

FOLDER = sources.ROOT / "man"


def page(command: str) -> Path:
    """Give the file of a command's page."""
    return FOLDER / "man1" / f"{command}.1"


def pages() -> list[Path]:
    """Give every page."""
    return sorted(FOLDER.glob("man*/*.[157]"))


def sections(path: Path) -> dict[str, str]:
    """Give the source of each section, by title, in the page's order."""
    parts = re.split(r"^\.Sh (.*)$", path.read_text(), flags=re.MULTILINE)
    return {title.strip('"'): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def options(path: Path) -> set[str]:
    """Give the options that OPTIONS lists: every .Fl of an .It line, spelled as on the command line."""
    items = [line for line in sections(path).get("OPTIONS", "").splitlines() if line.startswith(".It Fl")]
    return {f"-{name}" for item in items for name in re.findall(r"\bFl ([-\w]+)", item)}


def statuses(path: Path) -> list[int]:
    """Give the statuses that EXIT STATUS lists."""
    return [
        int(number) for number in re.findall(r"^\.It (?:Li |Cm )?(\d+)", sections(path)["EXIT STATUS"], re.MULTILINE)
    ]


def references(path: Path) -> set[tuple[str, str]]:
    """Give every cross reference to a page of ours: (name, section)."""
    return set(re.findall(r"^\.Xr (torc[-\w]*) (\d)", path.read_text(), re.MULTILINE))


def examples(path: Path) -> list[str]:
    """Give the .Dl lines of EXAMPLES as a reader sees them (mandoc takes quotes and escapes away)."""
    return displayed([line for line in sections(path).get("EXAMPLES", "").splitlines() if line.startswith(".Dl ")])


def displayed(source: list[str]) -> list[str]:
    """Give .Dl and .D1 lines as a reader sees them."""
    text = ".Dd January 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd x\n.Sh EXAMPLES\n" + "\n".join(source) + "\n"
    shown = subprocess.run(
        ["mandoc", "-T", "ascii", "-O", "width=900"], input=text, capture_output=True, text=True, check=True
    ).stdout
    plain = re.sub(".\b", "", shown).partition("EXAMPLES\n")[2]
    return [line.strip() for line in plain.splitlines() if line.startswith(" ")]


def displays(section: str) -> list[tuple[str, str]]:
    """Give what a section displays, in order: ("Dl", line), ("D1", line), and ("Bd", lines) of a literal block."""
    found: list[tuple[str, str]] = []
    block: list[str] | None = None
    for line in section.splitlines():
        if line.startswith(".Bd -literal"):
            block = []
        elif line == ".Ed" and block is not None:
            found.append(("Bd", "\n".join(block).replace(r"\&", "").replace(r"\e", "\\") + "\n"))
            block = None
        elif block is not None:
            block.append(line)
        elif line.startswith((".Dl ", ".D1 ")):
            found.append((line[1:3], displayed([line])[0]))
    return found
