"""The man pages: where they lie in a checkout and where they are installed, and how one is shown."""

import os
import re
import shutil
import sys

from torc_tools.shell import output

_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def find(name: str) -> str | None:
    """Give the file of a page, 'torc-jobs' or 'torc-records'; None where there is none."""
    for root in (os.path.join(_HOME, "man"), os.path.join(sys.prefix, "share", "man")):
        for section in "157":
            path = os.path.join(root, f"man{section}", f"{name}.{section}")
            if os.path.isfile(path):
                return path
    return None


def show(path: str) -> int:
    """Show a page with man, where there is one (then this never returns), else as plain text; give the status."""
    if shutil.which("man"):
        os.execvp("man", ["man", path])  # noqa: S606  the user's own pager
    with open(path, encoding="utf-8") as page:
        output.text(lines(page.read()))
    return 0


def lines(source: str) -> list[str]:
    """Give an mdoc page as plain lines: titles, options and displays on lines of their own, the rest folded."""
    shown: list[str] = []
    words: list[str] = []
    literal = False
    name = re.search(r"^\.Nm (\S+)", source, re.MULTILINE)
    for line in re.sub(r"^\.Nm$", name[1] if name else "", source, flags=re.MULTILINE).splitlines():
        macro, _, rest = line.partition(" ") if line.startswith(".") else ("", "", line)
        if literal and macro != ".Ed":
            shown.append(f"    {_unescaped(line)}")
        elif macro in _BREAKS:
            shown += _folded(words)
            words = []
            literal = macro == ".Bd" and rest.startswith("-literal")
            shown += _display(macro, rest)
        elif macro not in _SILENT:
            words.append(_plain(line[1:]) if macro else _unescaped(line))
    return [*shown, *_folded(words)]


_BREAKS = (".Sh", ".Ss", ".Pp", ".It", ".Dl", ".D1", ".Bd", ".Ed")
_SILENT = (".Dd", ".Dt", ".Os", ".Bl", ".El")
_WIDTH = 78


def _folded(words: list[str]) -> list[str]:
    """Give text as lines that fit a terminal, those after the first as far in."""
    import textwrap

    text = " ".join(words)
    indent = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _display(macro: str, rest: str) -> list[str]:
    """Give what a macro that ends a paragraph shows."""
    if macro in (".Sh", ".Ss"):
        return ["", _plain(rest).strip('"')]
    if macro == ".It":
        return ["", *_folded([f"  {_plain(rest) or '*'}"])]
    return [f"    {_plain(rest)}"] if macro in (".Dl", ".D1") else [""]


def _plain(text: str) -> str:
    """Take the macros and escapes out of a line; options get their dashes, other pages their section."""
    text = re.sub(r"(?<= , )-(?=\w)|\bFl -", "--", text)
    text = re.sub(r"\bFl (?=\w)", "-", text)
    text = re.sub(r"\bXr (\S+) (\d)", r"\1(\2)", text)
    text = re.sub(r"\bPq (.*)$", r"(\1)", text)
    text = re.sub(r"^Op (.*)$", r"[\1]", text)
    text = re.sub(r"\b(Nm|Nd|Ar|Cm|Op|Ev|Pa|Va|Em|Sx|Sy|Li|Ql|Dq|Qq|No|Ns|Ta)\b ?", "", text)
    return re.sub(r" ([,.:;)])(?= |$)", r"\1", _unescaped(text))


def _unescaped(text: str) -> str:
    """Take mdoc's escapes out of a line."""
    return text.replace(r"\(dq", '"').replace(r"\&", "").replace(r"\e", "\\")
