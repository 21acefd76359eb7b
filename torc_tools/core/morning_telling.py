"""The section of the page that tells the night in order."""

from torc_tools.core import morning_parts as parts
from torc_tools.core import morning_story, morning_words
from torc_tools.core.markup import Markup, el
from torc_tools.core.morning import Night
from torc_tools.core.morning_story import Entry, Item


def story(night: Night) -> Markup | None:
    """Tell the night; None where nothing happened."""
    found = morning_story.story(night)
    if not found:
        return None
    lines = (_entry(night, each) for each in found)
    return parts.section("story", "The night in order", el("ol", *lines, class_="story"))


def _entry(night: Night, each: Entry) -> Markup:
    took = morning_words.span(each.until - each.at) if each.until is not None else ""
    head = el("h3", each.title, el("span", each.by or took, class_="by"))
    items = el("ul", *(_item(night, item) for item in each.items))
    return el("li", el("time", night.clock.time(each.at)), el("div", head, items), class_=each.kind)


def _item(night: Night, item: Item) -> Markup:
    return el("li", el("span", item.text), parts.names(night, item.job_ids, 3) if item.job_ids else None)
