"""The two ends of a question: the failures that nobody knows the cause of, and a plan with what was answered in it."""

from collections.abc import Iterator

from torc_tools import exits, records
from torc_tools.core import answers, heuristics, recovery_text
from torc_tools.core.heuristics import Policy
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import stream


def unknown(file: str | None, policy: Policy) -> Iterator[Record]:
    """Give the `diagnosis` records of `file` for which the policy knows no cause; pass every other record on."""

    def kept(diagnosis: Record) -> list[Record]:
        return [diagnosis] if recovery_text.is_unknown(heuristics.adjust(diagnosis, policy)) else []

    return records.replace(stream.read(file), "diagnosis", kept)


def answered(file: str | None, answer: str, policy: Policy) -> Iterator[Record]:
    """Plan for the `diagnosis` records of `file`, with the adjustments of the file `answer` in place of ours.

    Nothing is given before all of it is known to be right. Raises Failure(65) where an answer is not one.
    """
    try:
        found = answers.Answers(stream.whole(stream.read(answer), answers.check))
    except Failure as failure:
        if failure.status != exits.DATA:
            raise
        raise Failure(failure.status, f"answer: {failure.message}") from None
    read = list(stream.read(file))
    planned = list(
        records.replace(read, "diagnosis", lambda each: [found.instead(each, heuristics.adjust(each, policy))])
    )
    found.finish()
    return iter(planned)
