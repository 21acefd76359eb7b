"""torc: torc's own words for all that the other commands do; one table says which command each of them is."""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import exits
from torc_tools.core import front, front_refused, front_table
from torc_tools.shell import options, output, stream

PROG = "torc"
USAGE = "torc [-f FORMAT] [-v] [--store FILE] WORDS [ARGUMENT...]"
_WIDTH = 78


def parser() -> argparse.ArgumentParser:
    """Make the parser of what stands before the words."""
    made = options.parser(PROG, "Do what torc 0.21 and 1.0 do, in their words; each is a command of its own here.")
    made.usage = USAGE
    made.add_argument("words", metavar="WORDS", nargs="*", help="such as 'recover', 'jobs list'; help WORDS: its page")
    made.add_argument("-f", "--format", choices=front.FORMATS[:3], help="default: table; before or after the words")
    made.add_argument("-v", "--verbose", action="store_true", help="say which options have no effect here")
    made.add_argument("--store", "--db", metavar="FILE", help="the store (default: $TORC_STORE, else ./torc.db)")
    idle = made.add_argument_group("accepted, and of no effect: there is no server")
    for name in ("--url", "--log-level", "--password", "--tls-ca-cert"):
        idle.add_argument(name, metavar=name[2:].replace("-", "_").upper())
    idle.add_argument("-s", "--standalone", action="store_true")
    for name in ("--in-memory", "--prompt-password", "--skip-version-check", "--tls-insecure"):
        idle.add_argument(name, action="store_true")
    made.epilog = "\n".join(["words:", *_listed(front_table.ROWS), "", ""])
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Find the row of the words, and do what it says."""
    import sys

    before, rest = front.split(sys.argv[1:] if argv is None else argv)
    if not rest or rest[0] in ("-h", "--help", "--version") or rest[0][:1] == "-":
        parser().parse_args([*rest, *before.rest] or ["--help"])
    if rest[0] == "help":
        return _help(rest[1:])
    row, count = front.find(front_table.ROWS, rest)
    if row is None:
        return _group(rest)
    from torc_tools.flows import fronting

    if any(word in ("-h", "--help") for word in _options(rest[count:])):
        _introduce(row)
        return fronting.help_of(row)
    return fronting.run(front.ask(row, before, rest[count:]))


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _options(words: Sequence[str]) -> Iterator[str]:
    """Give the words before '--'."""
    for word in words:
        if word == "--":
            return
        yield word


def _group(words: Sequence[str]) -> int:
    """List the words of a group, where help is asked for. Raises Failure(2) for words that nobody knows."""
    known = front.group(front_table.ROWS, words[0])
    if known and set(words[1:]) <= {"-h", "--help"} and words[1:]:
        output.text([f"usage: torc {words[0]} WORD [ARGUMENT...]", "", *_rows(known)])
        return exits.OK
    raise front.unknown(front_table.ROWS, words, front_refused.WORDS)


def _introduce(row: front.Row) -> None:
    """Say which command the words are, and what torc spells otherwise."""
    output.text([f"torc {row.words}: {' '.join([f'torc-{row.tool}', *row.fixed])}"])
    same = {name: flag.to or "no effect here" for name, flag in row.flags.items() if flag.to != name}
    if same:
        output.text(["torc's spelling:", *(f"  {name}: {ours}" for name, ours in same.items())])
    output.text([""])


def _rows(rows: Iterable[front.Row]) -> Iterator[str]:
    for row in rows:
        yield f"  {row.words:<36} {' '.join([f'torc-{row.tool}', *row.fixed])}"


def _listed(rows: Iterable[front.Row]) -> Iterator[str]:
    """Give the words by group, folded to the width of a terminal."""
    import textwrap

    groups: dict[str, list[str]] = {}
    for row in rows:
        first, _, second = row.words.partition(" ")
        groups.setdefault(first if second else "", []).append(second or first)
    for name, words in groups.items():
        start = f"  {name} " if name else "  "
        yield from textwrap.wrap(" | ".join(words), _WIDTH, initial_indent=start, subsequent_indent="      ")


def _help(words: Sequence[str]) -> int:
    """Open the man page of words, of a command, or of a topic. Raises Failure(2)."""
    from torc_tools.shell import manual

    row, _ = front.find(front_table.ROWS, words)
    names = [f"torc-{row.tool}"] if row else ["-".join(["torc", *words]), *words[:1]] if words else [PROG]
    if not row and words and (known := front.group(front_table.ROWS, words[0])) and len(words) == 1:
        names.append(f"torc-{known[0].tool}")
    page = next(filter(None, map(manual.find, names)), None)
    if page is None or os.path.sep in "".join(words):
        raise front.unknown(front_table.ROWS, words, front_refused.WORDS)
    return manual.show(page)


if __name__ == "__main__":
    run()
