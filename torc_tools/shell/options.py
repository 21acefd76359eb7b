"""The options that commands share, spelled once."""

import argparse
import contextlib
import os
from typing import Any, NoReturn

from torc_tools import exits, units
from torc_tools.exits import Failure

VERSION = "0.1.0"
FORMATS = ("table", "jsonl", "json", "csv")


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of command `prog`: no abbreviations, --version, help as written and an example below it."""
    made = _Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=_formatter,
    )
    made.add_argument("--version", action="version", version=f"%(prog)s (torc-tools) {VERSION}")
    return made


class _Parser(argparse.ArgumentParser):
    """Ends its help with an example, which is read only then, and with where there is more."""

    def format_help(self) -> str:
        from torc_tools.shell.examples import EXAMPLES

        command = self.prog.split(" ")[0]
        own = self.epilog
        self.epilog = f"{own or ''}example: {EXAMPLES[command]}\n\nman {command} has the details."
        try:
            return super().format_help()
        finally:
            self.epilog = own

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with a command line, and which option was meant; exit with 2."""
        from difflib import get_close_matches

        start, _, rest = message.partition("unrecognized arguments: ")
        word = rest.split(" ")[0].partition("=")[0]
        known = [name for action in self._actions for name in action.option_strings]
        near = [] if start or not word.startswith("--") else get_close_matches(word, known, 1)
        hint = f": did you mean '{near[0]}'?" if near else ""
        self.exit(exits.USAGE, f"{self.prog}: error: {message}{hint}\n")


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Make the formatter of help, as wide as the terminal; argparse alone would load shutil for that, at each start."""
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size().columns
    except (ValueError, OSError):
        columns = 80
    return _Formatter(prog, width=columns - 2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Folds a text of one line to the width, and leaves one of several as it is written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)  # noqa: SLF001  the one that folds


def add_store(made: argparse.ArgumentParser) -> None:
    """Add --store FILE."""
    made.add_argument("--store", metavar="FILE", help="the store (default: $TORC_STORE, else ./torc.db)")


def add_dry_run(made: argparse.ArgumentParser) -> None:
    """Add -n/--dry-run."""
    made.add_argument("-n", "--dry-run", action="store_true", help="say what would be done; change nothing")


def add_workflow(made: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the operand WORKFLOW (an id)."""
    made.add_argument("workflow_id", metavar="WORKFLOW", type=identifier, nargs=nargs, help="workflow id")


def add_rules(made: argparse.ArgumentParser) -> None:
    """Add --rules FILE."""
    made.add_argument(
        "--rules", metavar="FILE", action="append", default=[], help="rules for unknown failures; may be given again"
    )


def add_input(made: argparse.ArgumentParser) -> None:
    """Add the operand FILE of filters and sinks."""
    made.add_argument("file", metavar="FILE", nargs="?", help="records as JSON Lines (default, or -: standard input)")


def add_output(made: argparse.ArgumentParser) -> None:
    """Add what every command has that writes records: -f, --where, --query, -e."""
    made.add_argument("-f", "--format", choices=FORMATS, help="default: table on a terminal, jsonl in a pipe")
    made.add_argument(
        "--where", metavar="EXPR", type=expression, help="write only records for which this JMESPath expression is true"
    )
    made.add_argument(
        "--query", metavar="EXPR", type=expression, help="write what this JMESPath expression makes of each record"
    )
    made.add_argument("-e", "--exit-status", action="store_true", help="exit 1 where no record was written")


def add_source(made: argparse.ArgumentParser) -> None:
    """Add what commands have that read the store; with --read-only the news of workers is not folded into it."""
    add_store(made)
    made.add_argument("--read-only", action="store_true", help="leave every byte of the store as it is")
    add_output(made)


def add_change(made: argparse.ArgumentParser) -> None:
    """Add what commands have that change a workflow of the store."""
    add_dry_run(made)
    add_store(made)
    add_output(made)


def add_limit(made: argparse.ArgumentParser) -> None:
    """Add --sort-by, --reverse, --offset and -l/--limit, which output.emit honours, in this order, after --where.

    And -x/--exclude, which a table and CSV honour.
    """
    made.add_argument("--sort-by", metavar="KEY", help="write records in the order of this field, null last")
    made.add_argument("--reverse", action="store_true", help="write them from the last to the first")
    made.add_argument("--offset", metavar="N", type=natural, help="leave the first N records out")
    made.add_argument("-l", "--limit", metavar="N", type=number, help="write at most N records")
    made.add_argument("-x", "--exclude", metavar="NAME,...", type=names, help="columns a table or CSV leaves out")


def store_path(args: argparse.Namespace) -> str:
    """Give the path of the store: --store, else $TORC_STORE, else ./torc.db."""
    return store_of(args.store)


def store_of(given: str | None) -> str:
    """Give the path of the store where an option names it, or nothing does."""
    return given or os.environ.get("TORC_STORE") or "torc.db"


def names(text: str) -> tuple[str, ...]:
    """Read names between commas."""
    return tuple(name.strip() for name in text.split(","))


def identifier(text: str) -> int:
    """Read an id: a positive integer (argparse reports others with status 2)."""
    return _positive(text, "an id")


def operand(text: str) -> int:
    """Read an id that argparse took for any word. Raises Failure(2)."""
    try:
        return identifier(text)
    except argparse.ArgumentTypeError as error:
        raise Failure(exits.USAGE, str(error)) from None


def number(text: str) -> int:
    """Read a number from 1 on (argparse reports others with status 2)."""
    return _positive(text, "a whole number from 1 on")


def _positive(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"not {what}: '{text[:80]}'")
    return int(text)


def natural(text: str) -> int:
    """Read a number from 0 on (argparse reports others with status 2)."""
    return 0 if text == "0" else _positive(text, "a whole number")


def identifiers(text: str) -> list[int]:
    """Read ids between commas: '7,8,9'."""
    return [identifier(part.strip()) for part in text.split(",")]


def expression(text: str) -> str:
    """Check a JMESPath expression while nothing is read or changed yet. Raises Failure(2)."""
    from torc_tools.shell import output

    output.compiled_expression(text)
    return text


def text(given: str) -> str:
    """Read a text that the store can hold: not empty, and valid Unicode."""
    if not given or any("\udc80" <= character <= "\udcff" for character in given):
        raise argparse.ArgumentTypeError("is not valid Unicode" if given else "is empty")
    return given


def factor(text: str) -> int:
    """Read a factor of at least 1 in thousandths: '1.5' is 1500."""
    milli = _checked(units.parse_factor, text)
    if milli < 1000:
        raise argparse.ArgumentTypeError(f"below 1: '{text}' (nothing grows by it)")
    return int(milli)


def memory(text: str) -> int:
    """Read a memory size in bytes."""
    return int(_checked(units.parse_memory, text))


def duration(text: str) -> int:
    """Read a duration in seconds."""
    return int(_checked(units.parse_duration, text))


def moment(text: str) -> float:
    """Read a time, ISO 8601 or Unix seconds, as Unix seconds."""
    from datetime import datetime

    with contextlib.suppress(ValueError):
        seconds = float(text)
        if abs(seconds) < 1e11:
            return seconds
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"not a time: '{text}' (write 2026-01-31T18:00:00 or Unix seconds)") from None


def _checked(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except Failure as failure:
        raise argparse.ArgumentTypeError(failure.message) from None
