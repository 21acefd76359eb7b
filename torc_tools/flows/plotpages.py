"""Figures put on pages: the frame of every page of torc-plot."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torc_tools.shell import options, page
from torc_tools.shell.plotly_js import Library

_PANEL_PX = {1: 560, 2: 640, 3: 700}
_MORE_PX = 150  # for each panel above three

_BODY = """<header>
<nav>{links}</nav>
<h1>{heading}</h1>
</header>
<main>
<section class="card">
<div class="bar"><button data-save="png" hidden>PNG</button><button data-save="svg" hidden>SVG</button></div>
<div id="trouble" hidden></div>
<div id="plot"><noscript>This page draws with JavaScript.</noscript></div>
</section>
<section class="card">
<div class="bar"><h2>{below}</h2><input id="find" type="search" placeholder="find" aria-label="find" hidden></div>
<div class="wide" id="table"></div>
</section>
</main>
<footer>{foot}</footer>"""


class Sheet(NamedTuple):
    """What is on a page: a heading (plain text, the dim part after it), the figure, and the table below."""

    name: str  # of the file, without its ending
    heading: tuple[str, str]
    figure: Mapping[str, Any]
    table: Mapping[str, Any]
    below: str  # the heading of the table


class Frame(NamedTuple):
    """What all pages of a call have in common."""

    library: Library
    style: str
    script: str
    links: Sequence[tuple[str, str]]  # file name, text
    sources: Sequence[str]  # the files that the samples are from


def frame(library: Library, links: Sequence[tuple[str, str]], sources: Sequence[str]) -> Frame:
    """Make the frame, its style and script read once."""
    return Frame(library, page.asset("plot.css"), page.asset("plot.js"), links, sources)


def render(sheet: Sheet, around: Frame) -> bytes:
    """Write a page."""
    heading, dim = (page.escaped(text) for text in sheet.heading)
    body = _BODY.format(
        links="\n".join(_link(name, text, sheet.name) for name, text in around.links),
        heading=f"{heading} <small>{dim}</small>" if dim else heading,
        below=page.escaped(sheet.below),
        foot=f"torc-plot {options.VERSION}, from {page.escaped(_listed(around.sources))}",
    )
    panels = sum(key.startswith("yaxis") for key in sheet.figure["layout"])
    data = {
        "name": sheet.name,
        "figure": sheet.figure,
        "table": sheet.table,
        "height": _PANEL_PX.get(panels, _PANEL_PX[3] + _MORE_PX * (panels - 3)),
        "absent": _absent(around.library),
    }
    title = " ".join(part for part in sheet.heading if part)
    made = page.Page(title, body, around.style, (around.script,), data, around.library.head, around.library.sources)
    return page.render(made)


def _link(name: str, text: str, current: str) -> str:
    here = ' aria-current="page"' if name == current else ""
    return f'<a href="{page.escaped(page.address(name))}.html"{here}>{page.escaped(text)}</a>'


def _listed(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
    return ", ".join(sources[:3]) + more


def _absent(library: Library) -> str:
    if library.file_name:
        return f"The plotting library is not there: {library.file_name} must lie beside this page."
    return "The plotting library could not be fetched: this page needs the network."
