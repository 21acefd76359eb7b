"""Parts that the sections of the page for the morning after are made of."""

from collections.abc import Iterable, Sequence

from torc_tools.core.markup import Markup, el
from torc_tools.core.morning import Night

MOST_NAMES = 60  # of jobs, in an opened list


def section(name: str, heading: str, *children: object, note: object = None) -> Markup:
    """Make a section: its id, its heading, a note below that, what is in it."""
    head = el("header", el("h2", heading, id_=f"{name}-title"), el("p", note, class_="note") if note else None)
    return el("section", head, *children, id_=name, aria_labelledby=f"{name}-title")


def head(*columns: str) -> Markup:
    """Make the head of a table."""
    return el("thead", el("tr", *(el("th", each, scope="col") for each in columns)))


def names(night: Night, job_ids: Sequence[int], most: int = 4) -> Markup:
    """List jobs by name; more than a few are behind a fold, and of very many only the first."""
    names = night.names(job_ids[:MOST_NAMES])
    if len(job_ids) <= most + 1:
        return el("p", *chips(names), class_="names")
    rest = f"and {len(job_ids) - MOST_NAMES:,} more" if len(job_ids) > MOST_NAMES else None
    summary = el("summary", *chips(names[:most]), el("span", f"and {len(job_ids) - most:,} more", class_="rest"))
    return el("details", summary, el("p", *chips(names[most:]), rest, class_="names"), class_="names")


def chips(names: Iterable[str]) -> list[Markup]:
    """Set names apart from the words around them."""
    return [el("span", name, class_="name") for name in names]
