"""The page for the morning after as markup: what happened first, then what is left, then how it came to that."""

import re

from torc_tools.core import (
    morning,
    morning_causes,
    morning_charts,
    morning_headline,
    morning_hours,
    morning_tables,
    morning_telling,
    morning_words,
)
from torc_tools.core.markup import Markup, el, escaped, joined
from torc_tools.core.morning import Night
from torc_tools.core.morning_hours import Hours


def title(night: Night) -> str:
    """Give the title of the page."""
    workflow = night.facts.workflow
    return f"{workflow['name']} · workflow {workflow['workflow_id']}"


def body(night: Night) -> Markup:
    """Give all that stands on the page before its script."""
    hours = morning_hours.hours(night)
    return joined(
        (
            _header(night),
            el(
                "main",
                _figures(night, hours),
                morning_causes.left(night),
                morning_causes.causes(night),
                morning_telling.story(night),
                morning_tables.timeline(night),
                morning_tables.hours(hours),
                morning_tables.usage(night),
                morning_tables.jobs(),
            ),
            _footer(night),
        )
    )


def _header(night: Night) -> Markup:
    said = morning_headline.headline(night)
    workflow = night.facts.workflow
    shares = [(fate, name, night.counts[fate]) for fate, name in morning.FATES.items()]
    return el(
        "header",
        el("p", el("b", workflow["name"]), f" workflow {workflow['workflow_id']}", class_="eyebrow"),
        el("h1", _bound(said.text), class_=f"mood {said.mood}"),
        el("p", said.more, class_="lede"),
        morning_charts.bar(shares, "jobs", "f"),
        el("p", workflow["description"], class_="description") if workflow["description"] else None,
        class_="page",
    )


def _bound(text: str) -> Markup:
    """Bind numbers to the words behind them, so that no line ends between the two."""
    return Markup(re.sub(r"(\d) (?=[a-z]{3})", r"\1&nbsp;", escaped(text)))


_NO_CURE = "Cured", "none", "nothing failed on the way"
_NOT_SAVED = "Saved", "none", "no recovery was made"


def _figures(night: Night, hours: Hours) -> Markup | None:
    """Give the four figures of the night."""
    if not night.attempts:
        return None
    words = morning_words
    failed = len({each.job_id for each in night.failed()})
    cured = f"{night.counts[morning.CURED]:,} of {failed:,}"
    again = len({each.run_id for each in night.attempts}) > 1
    saved = "was done before the last recovery, which left it alone"
    tiles = (
        ("Cured", cured, "jobs that failed on the way and are completed now") if failed else _NO_CURE,
        ("Lost", words.work(hours.lost_s), _lost_note(hours)),
        ("Saved", words.work(hours.kept), saved) if again else _NOT_SAVED,
        ("Nothing ran for", words.span(hours.idle_s), f"of {words.span(night.end - night.start)} from start to end"),
    )
    made = (
        el("div", el("dt", name), el("dd", *_value(value), class_="value"), el("dd", note))
        for name, value, note in tiles
    )
    return el("dl", *made, class_="figures")


def _value(text: str) -> list[object]:
    """Set the unit of work smaller than its number."""
    number, _, unit = text.partition(" core-")
    return [number, el("small", f" core-{unit}")] if unit else [number]


def _lost_note(hours: Hours) -> str:
    if not hours.lost_attempts:
        return "no attempt came to nothing"
    share = morning_words.share(hours.lost_s, hours.all_s)
    return f"{share} of all work, in {morning_words.counted(hours.lost_attempts, 'attempt')} that came to nothing"


def _footer(night: Night) -> Markup:
    facts = night.facts
    workflow_id, clock = facts.workflow["workflow_id"], night.clock
    made = f"Made {clock.day(facts.now)} by torc-report{facts.options} --html from {workflow_id}."
    times = f"Times are {clock.zone(night.start)}."
    count = f"The journal holds {morning_words.counted(len(facts.changes), 'change')}, each with who, when and why."
    return el("footer", el("p", made, " ", times), el("p", count))
