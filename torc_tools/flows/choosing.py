"""Which workflow is meant where a command line names none, and whether a person means it."""

from torc_tools import exits
from torc_tools.core.front import Row
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import prompts, queries, store

_MOST = 50  # workflows that are listed, as torc does


def workflow(path: str, row: Row) -> int:
    """Give the workflow that `torc` is about: the only one of the store, or the one that is chosen on a terminal.

    Where the row says 'ask' the only one is asked about, too. Raises Failure(2) where nobody can be asked, and
    Failure(66) for a store without a workflow.
    """
    db = store.open_reader(path)
    found = list(queries.workflows(db))
    db.close()
    if not found:
        raise Failure(exits.NO_INPUT, f"which workflow? there is none in '{path}'")
    if len(found) == 1 and row.chooses == "one":
        return int(found[0]["workflow_id"])
    if not prompts.possible():
        named = ", ".join(f"{each['workflow_id']} '{each['name']}'" for each in found[-3:])
        more = f"{len(found)} of them, such as " if len(found) > 3 else ""
        raise Failure(exits.USAGE, f"which workflow? 'torc {row.words}' needs its id: {more}{named}")
    return _chosen(found)


def confirmed(path: str, row: Row, operands: list[str]) -> bool:
    """Ask a person whether to do what the row does to these workflows; a program is not asked."""
    if not prompts.possible():
        return True
    db = store.open_reader(path)
    names = {str(each["workflow_id"]): each["name"] for each in queries.workflows(db)}
    db.close()
    known = [operand for operand in operands if operand in names]
    return not known or prompts.agrees(f"{row.asks} {', '.join(f'{each} ({names[each]!r})' for each in known)}?")


def _chosen(found: list[Record]) -> int:
    wide = max(len(str(each["workflow_id"])) for each in found)
    shown = found[-_MOST:]
    left = [f"({len(found) - len(shown)} older ones are not shown)"] if len(shown) < len(found) else []
    lines = [f"{each['workflow_id']:>{wide}}  {each['name']}" for each in shown]
    said = prompts.answer("Which workflow?", [*left, *lines])
    if said not in {str(each["workflow_id"]) for each in found}:
        raise Failure(exits.NO_INPUT, f"no such workflow: '{said}'")
    return int(said)
