"""A table for people: columns as wide as they are; where there is less room, closer together, then the widest cut."""

import unicodedata
from collections.abc import Iterator, Sequence

_DOTS = "…"


def lines(headers: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> Iterator[str]:
    """Give the lines of a table, the headers first, none longer than `room` columns of a terminal (None: any)."""
    widths = [max(map(columns, cells)) for cells in zip(headers, *rows, strict=True)]
    gap = "  " if room is None or sum(widths) + 2 * (len(widths) - 1) <= room else " "
    if room is not None:
        widths = _capped(widths, room - len(widths) + 1)
    for row in (headers, *rows):
        cells = (_padded(cell, width) for cell, width in zip(row, widths, strict=True))
        yield gap.join(cells).rstrip()


def _capped(widths: list[int], room: int) -> list[int]:
    """Cut the widest columns, all to the same width, until they fit; a column keeps at least one character."""
    cap = max(widths, default=1)
    while cap > 1 and sum(min(width, cap) for width in widths) > room:
        cap = min(cap - 1, max(1, room))
    return [min(width, cap) for width in widths]


def fitted(cell: str, width: int) -> str:
    """Cut a text to be at most `width` columns wide."""
    if columns(cell) <= width:
        return cell
    while cell and columns(cell) > width - 1:
        cell = cell[: max(width - 1, 0)] if len(cell) >= width else cell[:-1]
    return cell + _DOTS


def _padded(cell: str, width: int) -> str:
    """Cut a cell, or fill it with blanks, to be `width` columns wide."""
    cut = fitted(cell, width)
    return cut + " " * (width - columns(cut))


def columns(text: str) -> int:
    """Give how many columns of a terminal a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)
