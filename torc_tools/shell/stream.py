"""stdin and stdout: the only readers and writers of record streams, and the one end of every command.

A filter reads line by line. A sink reads the whole stream first (`whole`): begin without end means that the writer
died, and nothing may be applied.
"""

import contextlib
import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.texts import visible

MOST_NESTED = 200  # brackets up to which a line cannot nest deeper than orjson writes

_line = [0]  # the input line in hand, for the message of a failure; 0 when none is
_speaks = [False]  # whether what is said goes to standard output
heard: Callable[[str], object] = len  # is given each complaint, too
_above: list[Callable[[str], object]] = []  # what writes to a terminal on which lines stay at the bottom
_called: list[str] = []  # the name that the user called this command by, where that is another


def read(file: str | None = None) -> Iterator[Record]:
    """Give the records of `file` (None or '-': standard input), each checked to be an object with a string `type`.

    While a record is in hand, a Failure(65) raised by anyone is reported with its line number.
    Raises Failure(65) on a bad line, Failure(66) where the file is missing, Failure(74) where it cannot be read.
    """
    with _opened(file) as lines:
        try:
            for number, line in enumerate(lines, 1):
                _line[0] = number
                if not line.isspace():
                    yield _record(line)
            _line[0] = 0
        except OSError as error:
            raise Failure(exits.IO, f"cannot read '{file or '-'}': {error.strerror}") from None


def is_piped(file: str | None) -> bool:
    """Say whether what `read` gives comes straight from another program, which speaks to the same people."""
    if file not in (None, "-"):
        return False
    try:
        return stat.S_ISFIFO(os.fstat(0).st_mode)
    except OSError:
        return False


def text(file: str) -> str:
    """Give a text file whole ('-': standard input). Raises Failure(65) where it is not UTF-8, else as `read`."""
    try:
        with _opened(file) as lines:
            return b"".join(lines).decode()
    except UnicodeDecodeError:
        raise Failure(exits.DATA, f"not UTF-8 text: '{file}'") from None


def whole(records: Iterable[Record], check: Callable[[Record], object] | None = None) -> list[Record]:
    """Read all records, each through `check`; leave the framing out.

    Raises Failure(65) for a stream that has `begin` without `end`: its writer died, so nothing of it may be applied.
    """
    kept: list[Record] = []
    stages: list[str] = []
    for record in records:
        if record["type"] == "begin":
            stages.append(str(record.get("stage")))
        elif record["type"] == "end":
            stages = stages[:-1]
        else:
            if check is not None:
                check(record)
            kept.append(record)
    if stages:
        raise Failure(exits.DATA, f"input ends before the end line of '{visible(stages[0])}': nothing was changed")
    return kept


def write(records: Iterable[Record]) -> int:
    """Write records as JSON Lines, each at once; give how many they were, begin and end left out."""
    out = stdout()
    count = 0
    for record in records:
        out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        out.flush()
        count += record["type"] not in ("begin", "end")
    return count


def stdout() -> IO[bytes]:
    """Give the binary standard output; Failure(74) where it is closed."""
    if sys.stdout is None:
        raise Failure(exits.IO, "cannot write standard output: it is closed")
    return sys.stdout.buffer


def say(message: str) -> None:
    """Write one line for people on stderr, control characters made visible; a closed stderr is no error."""
    _put(voice(), message)


def voice() -> IO[str]:
    """Give where `say` writes; None where that is closed."""
    return sys.stdout if _speaks[0] else sys.stderr


@contextlib.contextmanager
def above(write: Callable[[str], object]) -> Iterator[None]:
    """Let `write` have each line that is said to a terminal while the block runs."""
    _above.append(write)
    try:
        yield
    finally:
        _above.remove(write)


def speak() -> None:
    """Let what is said from now on go to standard output, as torc's own commands do; complaints stay on stderr."""
    _speaks[0] = True


def call(name: str) -> None:
    """Let complaints begin with this name, whatever the command is."""
    _called[:] = [name]


def speaks() -> bool:
    """Say whether standard output is for people's lines, so that no records belong there."""
    return _speaks[0]


def complain(message: str) -> None:
    """Write one line on stderr about what ended the command, and let who asked for it hear it."""
    heard(message)
    _put(sys.stderr, message)


def _put(to: IO[str], message: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if _above and to.isatty():
            _above[-1](visible(message))
            return
        to.write(visible(message) + "\n")
        to.flush()


def say_record(line: bytes) -> None:
    """Write one line of JSON, or more of text, on stderr, at once; a closed stderr is no error."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()


def run(main: Callable[[Sequence[str] | None], int], prog: str) -> None:
    """Run a command to its exit status: the only place where errors become messages. Never returns."""
    status, prog = exits.SOFTWARE, _called[0] if _called else prog
    try:
        status = main(None)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        status = exits.PIPE
    except KeyboardInterrupt:
        status = exits.INTERRUPTED
    except SystemExit as leaving:  # argparse, after --help, --version or an option it does not know
        status = leaving.code if isinstance(leaving.code, int) else exits.OK
    except Failure as failure:
        status = failure.status
        for line in _located(failure):
            complain(f"{prog}: {line}")
    except sqlite3.Error as error:
        status = _store_trouble(prog, error)
    except OSError as error:
        status = exits.IO
        complain(f"{prog}: {_words(error)}")
    except Exception:  # noqa: BLE001  a bug must not exit 1, which has a meaning
        _show_bug()
    _leave(status)


def _show_bug() -> None:
    """Write the traceback of the exception in hand: the one that may be seen, because it is ours to mend."""
    import traceback

    traceback.print_exc()


def _located(failure: Failure) -> Iterator[str]:
    at = f"line {_line[0]}: " if _line[0] and failure.status == exits.DATA else ""
    yield at + failure.lines[0]
    yield from failure.lines[1:]


def _words(error: OSError) -> str:
    return f"cannot use '{error.filename}': {error.strerror}" if error.filename else f"cannot write: {error.strerror}"


def _store_trouble(prog: str, error: sqlite3.Error) -> int:
    """Give 75 for a locked store, 74 for one that cannot be read or written, and say which."""
    from torc_tools.shell import store

    locked = "locked" in str(error) or "busy" in str(error)
    subject = " ".join(["store", *(f"'{path}'" for path in store.opened[-1:])])
    complain(f"{prog}: {subject} is locked by another command: try again" if locked else f"{prog}: {subject}: {error}")
    return exits.TEMPORARY if locked else exits.IO


def _leave(status: int) -> None:
    """Exit with `status` at once: taking Python down in good order costs 6 ms, and the kernel does it as well."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        status = status or exits.IO
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def _opened(file: str | None) -> Iterator[Iterable[bytes]]:
    if file not in (None, "-"):
        try:
            with open(str(file), "rb") as lines:
                yield lines
        except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
            if error.filename != file:
                raise
            raise Failure(exits.NO_INPUT, f"cannot open '{file}': {error.strerror}") from None
        return
    if sys.stdin is None:
        raise Failure(exits.IO, "cannot read standard input: it is closed")
    if sys.stdin.isatty():
        say("reading records from the terminal, one JSON object a line; Ctrl-D ends them")
    yield sys.stdin.buffer


def _record(line: bytes) -> Record:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Failure(exits.DATA, f"not JSON: {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise Failure(exits.DATA, "not a record: no object with a string 'type'")
    if line.count(b"[") + line.count(b"{") > MOST_NESTED and not _writable(record):
        raise Failure(exits.DATA, "not a record: nested too deeply")
    return record


def _writable(record: Record) -> bool:
    """Say whether a record can be written again: orjson reads deeper than it writes."""
    try:
        orjson.dumps([[record]])  # in a list, as --format json and --query do
    except orjson.JSONEncodeError:
        return False
    return True
