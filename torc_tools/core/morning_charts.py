"""The drawings of the page that need no script: a bar of shares, and a strip that shows how values lie in a frame."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

from torc_tools.core import morning_words
from torc_tools.core.markup import Markup, el

Write = Callable[[float | None], str]

LEAST = 0.6  # percent of the width that a share has at least, so that one of ten thousand is seen
BINS = 120  # places of a strip


def bar(shares: Sequence[tuple[str, str, float]], what: str, prefix: str, *, numbers: bool = True) -> Markup:
    """Draw (class, name, amount) as parts of one bar, with a legend; nothing that is there is too small to be seen."""
    some = [each for each in shares if each[2] > 0]
    whole = sum(amount for _, _, amount in some) or 1.0
    wide = [max(LEAST, amount * 100 / whole) for _, _, amount in some]
    scale, x = 100 / (sum(wide) or 100.0), 0.0
    parts: list[Markup] = []
    for (kind, name, amount), width in zip(some, wide, strict=True):
        tip = el("title", f"{amount:,.0f} {name}" if numbers else name)
        part = el("g", tip, el("rect", x=x, y=0, width=width * scale, height=10), class_=f"{prefix}-{kind}")
        parts.append(part)
        x += width * scale
    drawing = el("svg", *parts, viewBox="0 0 100 10", preserveAspectRatio="none", role="img", aria_label=what)
    legend = (
        el("li", el("b", f"{amount:,.0f} ") if numbers else None, name, class_=f"dot {prefix}-{kind}")
        for kind, name, amount in some
    )
    return el("figure", drawing, el("ul", *legend, class_="key"), class_="bar")


def strip(values: Sequence[float], asked: float | None) -> Markup:
    """Draw sorted values as strokes in the frame of what was asked for; above it the frame ends before the drawing."""
    most = max(values[-1], asked or 0.0) or 1.0
    places = Counter(min(BINS - 1, int(value * BINS / most)) for value in values)
    fullest = max(places.values())
    shades = [_shade(places[place], fullest) for place in range(BINS)]
    strokes, at = [], 0
    for shade, run in itertools.groupby(shades):
        width = len(list(run))
        if shade:
            strokes.append(el("rect", x=at, y=0, width=width, height=10, class_=f"s{shade}"))
        at += width
    edge = BINS if asked is None else asked * BINS / most
    frame = el("rect", x=0, y=0, width=edge, height=10, class_="frame") if asked is not None else None
    over = el("rect", x=edge, y=0, width=BINS - edge, height=10, class_="over") if edge < BINS - 0.5 else None
    label = f"largest at {morning_words.share(values[-1], asked)} of the request" if asked else "no limit was asked for"
    size = {"viewBox": f"0 0 {BINS} 10", "preserveAspectRatio": "none"}
    return el("svg", frame, over, *strokes, class_="strip", role="img", aria_label=label, **size)


def _shade(count: int, fullest: int) -> int:
    """Give one of three shades by how many values share a place, 0 where there is none."""
    if not count:
        return 0
    return 3 if count * 2 > fullest else 2 if count * 8 > fullest else 1
