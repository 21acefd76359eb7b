"""Completions for shells, made of the parsers of all commands and of the table of `torc`."""

import argparse
import importlib

from torc_tools import exits
from torc_tools.core import front_table
from torc_tools.exits import Failure
from torc_tools.shell import onpath

SHELLS = ("bash", "zsh", "fish")
_FILES = ("FILE", "SPEC", "SPEC|WORKFLOW", "WORKFLOW|SPEC", "WORKFLOW|FILE", "DB")
_FOLDERS = ("DIR", "FOLDER")


def script(shell: str, command: str | None) -> str:
    """Give the completions of one command, or of all. Raises Failure(2) for one that there is none of."""
    names = onpath.names()
    if command is not None and command not in names:
        raise Failure(exits.USAGE, f"no such command: '{command}' (one of {', '.join(names)})")
    made = [_one(shell, name) for name in ([command] if command else names)]
    return "\n".join(made) + "\n"


def _one(shell: str, name: str) -> str:
    import shtab

    parser = _front() if name == "torc" else _parser(name)
    _hint(parser)
    prefix = "_torc_words" if name == "torc" else f"_{name.replace('-', '_')}"  # 'torc watch' is not 'torc-watch'
    text = str(shtab.complete(parser, shell, root_prefix=prefix))
    if shell == "zsh":  # of several in one file each says for itself which command it is for
        text = text.partition("\n")[2] if text.startswith("#compdef") else text
    return text


def _parser(name: str) -> argparse.ArgumentParser:
    module = importlib.import_module(f"torc_tools.commands.{name.removeprefix('torc-').replace('-', '_')}")
    made: argparse.ArgumentParser = module.parser()
    return made


def _front() -> argparse.ArgumentParser:
    """Make a parser of torc's words, two levels deep, each with the options of its command and those of torc's own."""
    made = argparse.ArgumentParser("torc", description="torc's words")
    made.add_argument("-f", "--format", choices=("table", "json", "csv"), help="how records are written")
    first = made.add_subparsers(metavar="WORDS")
    groups: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for row in front_table.ROWS:
        group, _, word = row.words.partition(" ")
        if word and group not in groups:
            groups[group] = first.add_parser(group, help=f"{group} ...").add_subparsers(metavar="WORD")
        where = groups[group] if word else first
        tool = _parser(f"torc-{row.tool}")
        made_word = where.add_parser(word or group, help=tool.description, add_help=False)
        _take_over(made_word, tool, [name for name in row.flags if name.startswith("--")])
    return made


def _take_over(made: argparse.ArgumentParser, tool: argparse.ArgumentParser, own: list[str]) -> None:
    """Give a word the options of its command, and the names that torc has for some of them."""
    known = {name for action in tool._actions for name in action.option_strings}  # noqa: SLF001  there is no other way
    for action in tool._actions:  # noqa: SLF001
        made._add_action(action)  # noqa: SLF001
    for name in own:
        if name not in known:
            made.add_argument(name, help="as torc spells it")


def _hint(parser: argparse.ArgumentParser) -> None:
    """Say of operands and values what they are, so that files and folders are completed where they are meant."""
    import shtab

    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for child in action.choices.values():
                _hint(child)
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif not action.option_strings and not action.choices:  # zsh: without a word here no option is completed, too
            action.complete = {"zsh": "( )"}  # type: ignore[attr-defined]
