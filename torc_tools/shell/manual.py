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
    """Give an mdoc page as plain lines: titles, options and examples on lines of their own, the rest as it comes."""
    shown: list[str] = []
    words: list[str] = []
    for line in source.splitlines():
        macro, _, rest = line.partition(" ") if line.startswith(".") else ("", "", line)
        if macro in (".Dd", ".Dt", ".Os", ".Bl", ".El", ".Bd", ".Ed"):
            continue
        if macro in (".Sh", ".Ss", ".Pp", ".It", ".Dl", ".D1"):
            shown += [" ".join(words)] if words else []
            words = []
            indent = "" if macro in (".Sh", ".Ss") else "  "
            shown += ["", f"{indent}{_plain(rest)}"] if macro in (".Sh", ".Ss", ".It") else [f"    {_plain(rest)}"]
        else:
            words.append(_plain(rest))
    return [*shown, " ".join(words)]


def _plain(text: str) -> str:
    """Take the macros and escapes out of a line; options get their dashes."""
    text = re.sub(r"\bFl -", "--", text)
    text = re.sub(r"\bFl (?=\w)", "-", text)
    text = re.sub(r"\b(Nm|Ar|Cm|Op|Ev|Pa|Xr|Em|Sy|Li|Ql|Dq|Qq|No|Ns) ?", "", text)
    return text.replace(r"\(dq", '"').replace(r"\&", "").replace(r"\e", "\\").replace(" ,", ",").replace(" .", ".")
