"""The command lines of a guide in Markdown: what its shell blocks and its code in running text say to type.

    python3 tests/commandlines.py GUIDE.md...      prints each once, in order: tests/data/command-lines

A line that is only options belongs to the command that its section is about.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_BLOCK = re.compile(r"^( *)```(?:bash|sh|console)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_ANY_BLOCK = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_IN_SHELL = re.compile(r"\$\(([^()]*)\)")
_OURS = re.compile(r"(?:torc|slurm) [a-z-]|bash [\w-]+\.sh \d|--\w")


def extract(text: str) -> list[str]:
    """Give the command lines of a document, each once, in order."""
    found = [(match.start(), line) for match in _BLOCK.finditer(text) for line in _of_block(match[2])]
    rest = _ANY_BLOCK.sub(lambda block: " " * len(block[0]), text)
    found += [(match.start(), match[1]) for match in _INLINE.finditer(rest) if _is_command(match[1])]
    return list(dict.fromkeys(line for _, line in sorted(found, key=lambda each: each[0])))


def _of_block(block: str) -> Iterator[str]:
    """Give the commands of a block of shell: whole lines, and what is called inside them; no comments, no spaces."""
    joined = re.sub(r"\\\s*\n\s*", "", _COMMENT.sub("", block))
    for line in map(str.strip, joined.splitlines()):
        inside = _IN_SHELL.findall(line)
        yield from (" ".join(each.split()) for each in inside or [line] if _OURS.match(each))


def _is_command(code: str) -> bool:
    """Say whether code in running text is to be typed: words alone name a command, an option alone is explained."""
    if code.startswith("--"):
        return bool(re.fullmatch(r"--[a-z-]+ \w+", code))
    return bool(_OURS.match(code)) and (" -" in code or "<" in code or code.count(" ") > 1)


if __name__ == "__main__":
    documents = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    print("\n".join(dict.fromkeys(line for text in documents for line in extract(text))))
