"""From torc's words to our commands: how a command line is read, by the rows of core/front_table. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record

FORMATS = ("table", "json", "csv", "jsonl")


class Flag(NamedTuple):
    """What becomes of an option that torc spells otherwise.

    to: our option; '': its value is an operand of ours; None: it has no effect here.
    takes: a value follows. write: makes our value of torc's. joined: repeated values become one, between commas.
    """

    to: str | None
    takes: bool = True
    write: Callable[[str], str] = str
    joined: bool = False


class Row(NamedTuple):
    """Torc's words and the command that does what they say.

    words: 'jobs list'. tool: 'jobs' is torc-jobs. fixed: its arguments before those of the user.
    flags: what torc spells otherwise. operand: the option of ours that operands become the value of ('': none).
    shape: the name of the function of core/front_json that makes torc's JSON (None: the tool's own -f json does).
    formats: it takes -f. then: option of torc's, and the command that it adds behind a pipe.
    also: commands that are asked about the same workflow, for the JSON. speaks: its words go to standard output.
    own_format: -f after the words is an option of the command.
    chooses: the workflow may be left out; 'one': the only one is meant, 'ask': a person has to say it.
    asks: what a person is asked before it is done, unless --force or --no-prompts is given.
    refused: options of torc's that nothing here can mean, and why.
    """

    words: str
    tool: str
    fixed: tuple[str, ...] = ()
    flags: Mapping[str, Flag] = {}
    operand: str = ""
    shape: str | None = None
    formats: bool = True
    then: tuple[str, str] | None = None
    also: tuple[str, ...] = ()
    speaks: bool = False
    own_format: bool = False
    chooses: str = ""
    asks: str = ""
    refused: Mapping[str, str] = {}


class Asked(NamedTuple):
    """A command line, read: the row, the tool's arguments, the user's operands and options, and what is global."""

    row: Row
    arguments: list[str]
    operands: list[str]
    given: dict[str, str]
    format: str
    store: list[str]
    idle: list[str]
    verbose: bool
    chained: bool = False


class Called(NamedTuple):
    """What a shape is made from: the records of the tool and of the others that were asked, operands and options."""

    records: list[Record]
    others: dict[str, list[Record]]
    operands: list[str]
    given: dict[str, str]


_VALUED = ("-f", "--format", "--store", "--db", "--url", "--log-level", "--password", "--tls-ca-cert")
_BARE = ("-v", "--verbose", "--prompt-password", "--skip-version-check", "--tls-insecure")
_FIRST = ("-s", "--standalone", "--in-memory")  # global before the words only
_PASSED = (  # options that are passed on, and take a value which is no operand
    *("--where", "--query", "-l", "--limit", "--profile", "--partition", "--account", "--walltime", "-o"),
    *("--memory", "--cpus", "--gpus", "--memory-multiplier", "--runtime-multiplier"),
)


class Globals(NamedTuple):
    """The options that may stand before or after the words: all that were given, and what is left of the line."""

    given: list[tuple[str, str]]
    rest: list[str]


def split(argv: Sequence[str]) -> tuple[Globals, list[str]]:
    """Take the global options that stand before the words, or between them; give them and the line without them."""
    before, rest = _taken(argv, (*_BARE, *_FIRST), whole=False)
    between, behind = _taken(rest[1:], _BARE, whole=False)
    return Globals([*before.given, *between.given], before.rest), [*rest[:1], *behind]


def _taken(argv: Sequence[str], bare: Sequence[str], *, whole: bool, spare: str = "") -> tuple[Globals, list[str]]:
    """Take options that are global from a line, up to the first word or (`whole`) to '--'; `spare` stays there."""
    found: list[tuple[str, str]] = []
    rest: list[str] = []
    at = 0
    while at < len(argv):
        each = argv[at]
        name, equals, value = each.partition("=")
        short = each[:2] if each[:1] == "-" and each[1:2] not in ("", "-") else ""
        at += 1
        if each == "--" or (not whole and each[:1] != "-"):
            return Globals(found, rest), [*rest, each, *argv[at:]]
        if name in bare and not equals:
            found.append((name, ""))
        elif name in _VALUED and name != spare and equals:
            found.append((name, value))
        elif each in _VALUED and each != spare:
            found.append((each, _next(argv, at, each)))
            at += 1
        elif short == "-f" and short != spare:
            found.append((short, each[2:]))
        else:
            rest.append(each)
    return Globals(found, rest), rest


def _next(argv: Sequence[str], at: int, option: str) -> str:
    if at >= len(argv):
        raise Failure(exits.USAGE, f"{option} needs a value")
    return argv[at]


def find(rows: Sequence[Row], words: Sequence[str]) -> tuple[Row | None, int]:
    """Give the row whose words stand first in `words`, the longest, and how many they are."""
    by_words = {row.words: row for row in rows}
    for count in (2, 1):
        row = by_words.get(" ".join(words[:count])) if len(words) >= count else None
        if row is not None:
            return row, count
    return None, 0


def group(rows: Sequence[Row], word: str) -> list[Row]:
    """Give the rows of a group of words, such as those of 'jobs'."""
    return [row for row in rows if row.words.startswith(f"{word} ")]


def unknown(rows: Sequence[Row], words: Sequence[str], refused: Mapping[str, str]) -> Failure:
    """Make the failure for words that no row has: why torc's are not here, what comes nearest, what the group has."""
    import difflib

    plain = [word for word in words[:2] if word[:1] != "-"]
    for said in (" ".join(plain), *plain[:1]):
        if said in refused:
            return Failure(exits.USAGE, f"'{said}' is not here: {refused[said]}")
    known = group(rows, plain[0]) if plain else []
    if known and len(plain) == 1:
        listed = ", ".join(row.words.partition(" ")[2] for row in known)
        return Failure(exits.USAGE, f"'{plain[0]}' needs another word: {listed}")
    names = [row.words for row in rows]
    said = " ".join(plain[: 2 if known else 1])
    groups = sorted({name.partition(" ")[0] for name in names})
    near = difflib.get_close_matches(" ".join(plain), names, 3, 0.6)
    near = near or difflib.get_close_matches(said, [*names, *groups], 3, 0.5)
    near = near or [name for name in names if plain and plain[-1] in name.split()][:3]
    hint = f": did you mean {' or '.join(repr(name) for name in near)}?" if near else " (torc --help lists them)"
    return Failure(exits.USAGE, f"unknown command '{said}'{hint}")


def ask(row: Row, before: Globals, argv: Sequence[str], default: str = "table") -> Asked:
    """Read what stands behind the words of `row`. Raises Failure(2)."""
    behind, left = _taken(argv, _BARE, whole=True, spare="-f" if row.own_format else "")
    everywhere = [*before.given, *behind.given]
    reader = _Reader(row)
    reader.read(left)
    chosen = ([value for name, value in everywhere if name in ("-f", "--format")] or [default])[-1]
    if chosen not in FORMATS:
        raise Failure(exits.USAGE, f"format must be one of {', '.join(FORMATS[:3])}: '{chosen}'")
    stores = [f"--store={value}" for name, value in everywhere if name in ("--store", "--db")][-1:]
    idle = [name for name, _ in everywhere if name not in ("-f", "--format", "--store", "--db", "-v", "--verbose")]
    return Asked(
        row=row,
        arguments=[*row.fixed, *reader.out, *reader.collected()],
        operands=reader.operands,
        given=reader.given,
        format=chosen,
        store=stores,
        idle=list(dict.fromkeys([*idle, *reader.idle])),
        verbose=any(name in ("-v", "--verbose") for name, _ in everywhere),
        chained=reader.chained,
    )


class _Reader:
    """Goes through the arguments behind the words once."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.out: list[str] = []
        self.operands: list[str] = []
        self.given: dict[str, str] = {}
        self.idle: list[str] = []
        self.chained = False
        self._joined: dict[str, list[str]] = {}

    def read(self, argv: Sequence[str]) -> None:
        at = 0
        while at < len(argv):
            at = self._one(argv, at)

    def collected(self) -> list[str]:
        """Give the options whose values were joined."""
        return [f"{option}={','.join(values)}" for option, values in self._joined.items()]

    def _one(self, argv: Sequence[str], at: int) -> int:
        each = argv[at]
        if each == "--":
            self._rest(argv[at + 1 :])
            return len(argv)
        if each[:1] != "-" or each == "-":
            self._operand(each)
            return at + 1
        if each[:2] == "--":
            name, equals, value = each.partition("=")
        else:
            name, equals, value = each[:2], each[2:3], each[2:]
        flag = self._row.flags.get(name)
        if name in self._row.refused:
            raise Failure(exits.USAGE, f"{name}: {self._row.refused[name]}")
        if self._row.then and name == self._row.then[0]:
            self.chained = True
            return at + 1
        if flag is None:
            return self._passed(argv, at, name, equals)
        if not flag.takes:
            self._put(name, flag, "")
            return self._one([*argv[:at], f"-{value}", *argv[at + 1 :]], at) if equals and each[:2] != "--" else at + 1
        self._put(name, flag, value if equals else _next(argv, at + 1, name))
        return at + (1 if equals else 2)

    def _passed(self, argv: Sequence[str], at: int, name: str, equals: str) -> int:
        """Pass an option on as it is, with the value that follows it where it is known to take one."""
        self.out.append(argv[at])
        self.given[name] = argv[at].partition("=")[2]
        if name in _PASSED and not equals and at + 1 < len(argv):
            self.out.append(argv[at + 1])
            self.given[name] = argv[at + 1]
            return at + 2
        return at + 1

    def _operand(self, each: str) -> None:
        self.operands.append(each)
        if self._row.operand:
            self._joined.setdefault(self._row.operand, []).append(each)
        else:
            self.out.append(each)

    def _rest(self, words: Sequence[str]) -> None:
        """Take what follows '--': the command of exec, and for all else operands."""
        if self._row.words == "exec":
            import shlex

            self.out.append(f"--command={shlex.join(words)}")
        else:
            self.out += ["--", *words] if words else []

    def _put(self, name: str, flag: Flag, value: str) -> None:
        self.given[name] = value
        if flag.to is None:
            self.idle.append(name)
        elif not flag.takes:
            self.out += [flag.to] if flag.to else []
        elif flag.joined:
            self._joined.setdefault(flag.to, []).append(flag.write(value))
        elif flag.to:
            self.out.append(f"{flag.to}={flag.write(value)}")
        else:
            self._operand(flag.write(value))
