"""The sections of the page that say what is left for a person, and why jobs failed."""

from collections.abc import Sequence

from torc_tools.core import morning, morning_failures, morning_left, morning_words
from torc_tools.core import morning_parts as parts
from torc_tools.core.markup import Markup, el
from torc_tools.core.morning import Night
from torc_tools.core.morning_failures import Cause
from torc_tools.core.morning_left import Command, Left

_ENDS = {  # how the last torc-watch ended -> what that says about what is left
    "retries": "torc-watch made all the recoveries that it was allowed to.",
    "disabled": "torc-watch was not asked to recover.",
}


def left(night: Night) -> Markup | None:
    """Say what is left, and what goes on with it; None where nothing is."""
    found = morning_left.left(night)
    reasons = [each["text"] for each in night.facts.summary["reasons"]]
    if not found and not reasons:
        return None
    cards = [_card(night, each) for each in found]
    if reasons:
        lines = el("ul", *(el("li", line) for line in reasons))
        cards.append(el("article", el("h3", "What does not move, and why"), lines, class_="card k-waiting"))
    told = (night.facts.watched.get("told") or ("",))[0]
    said = "Jobs still run: a recovery waits for their end." if night.counts[morning.RUNNING] else _ENDS.get(told, "")
    note = f"{said} Each with why it was left, and the command that goes on with it.".strip()
    return parts.section("left", "Left for you", el("div", *cards, class_="cards"), note=note)


def _card(night: Night, group: Left) -> Markup:
    words = morning_words
    waiting = None
    if group.waiting:
        behind = words.listed(night.names(group.waiting), 3)
        waiting = el("p", f"{words.counted(len(group.waiting), 'job')} behind could not run: {behind}", class_="behind")
    return el(
        "article",
        el("h3", words.cause(group.cause), el("span", words.counted(len(group.job_ids), "job"), class_="count")),
        parts.names(night, group.job_ids),
        el("p", _sentence(group.reason), class_="why"),
        el("div", *(_said(line, count) for line, count in group.words), class_="said") if group.words else None,
        waiting,
        el("div", *map(_command, group.commands), class_="commands"),
        class_=f"card k-{words.kind(group.cause)}",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _command(command: Command) -> Markup:
    copy = el("button", "Copy", type="button", data_copy=True, aria_label=f"Copy: {command.line}")
    return el("div", el("span", command.label), el("code", command.line), copy, class_="command")


def causes(night: Night) -> Markup | None:
    """Say why jobs failed, cause by cause; None where none did."""
    found = morning_failures.causes(night)
    if not found:
        return None
    head = parts.head("Cause", "Jobs", "Cured", "Left", "Lost", "What was done, what they said")
    table = el("table", head, el("tbody", *(_cause_row(each) for each in found)), class_="causes wide")
    return parts.section("causes", "Why jobs failed", table, note=_sure(found))


def _sure(found: Sequence[Cause]) -> str:
    attempts, certain = sum(each.attempts for each in found), sum(each.certain for each in found)
    text = f"{morning_words.counted(attempts, 'attempt')} failed. "
    if certain == attempts:
        return f"{text}The cause of each is certain."
    known = f"For {certain:,} the cause is certain; the others are judged" if certain else "They are judged"
    return f"{text}{known} by exit code, times, peaks and log."


def _cause_row(each: Cause) -> Markup:
    words = morning_words
    steps = [_counted(text, count) for text, count in each.steps[:5]]
    more = len(each.steps) - 5
    steps += [el("li", f"and {words.counted(more, 'other change')}", class_="rest")] if more > 0 else []
    said = [_counted(el("code", text), count) for text, count in each.words[:3]]
    show = el(
        "button", f"{len(each.job_ids):,}", type="button", data_cause=each.cause, title="Show these jobs in the list"
    )
    cells = (
        el("td", show, data_head="Jobs", class_="n"),
        el("td", f"{each.cured:,}", data_head="Cured", class_="n"),
        el("td", f"{each.left:,}", data_head="Left", class_="n left" if each.left else "n"),
        el("td", words.work(each.lost_s), data_head="Lost", class_="n"),
    )
    named = el("th", el("span", words.cause(each.cause), class_=f"dot k-{words.kind(each.cause)}"), scope="row")
    steps = steps or [el("li", "nothing was changed between attempts", class_="rest")]
    done = el("td", el("ul", *steps, *said), data_head="What was done, what they said")
    return el("tr", named, *cells, done)


def _counted(what: str, count: int) -> Markup:
    return el("li", what, el("span", f" · {morning_words.times(count)}", class_="times"))


def _said(line: str, count: int) -> Markup:
    often = el("span", f" · {morning_words.counted(count, 'job')} like this", class_="times") if count > 1 else None
    return el("pre", line, often)
