"""A table for people: columns as wide as they are; where there is less room closer together, then some are cut."""

import unicodedata
from collections.abc import Iterator, Sequence

_DOTS = "…"
_WIDE = 18  # what is wider is cut first: a time fits, and most reasons of Slurm
_HEADER = 6  # what is left of a header that is wider than all below it


def lines(headers: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> Iterator[str]:
    """Give the lines of a table, the headers first, none longer than `room` columns of a terminal (None: any)."""
    cells = [max(map(columns, below), default=0) for below in zip(*rows, strict=True)] or [0] * len(headers)
    widths = [max(columns(header), width) for header, width in zip(headers, cells, strict=True)]
    gap = "  " if room is None or sum(widths) + 2 * (len(widths) - 1) <= room else " "
    if room is not None:
        widths = _fit(widths, cells, room - len(widths) + 1)
    for row in (headers, *rows):
        yield gap.join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _fit(widths: list[int], cells: list[int], room: int) -> list[int]:
    """Cut columns until they fit: the wide ones, then headers that are wider than what is below, then all.

    A column keeps at least one character.
    """
    widths = _capped(widths, room, _WIDE)
    slack = [max(width, cell) for width, cell in zip(_capped(widths, 0, _HEADER), cells, strict=True)]
    for cap in range(max(widths, default=1), _HEADER - 1, -1):
        if sum(widths) <= room:
            return widths
        widths = [min(width, max(least, cap)) for width, least in zip(widths, slack, strict=True)]
    return _capped(widths, room, 1)


def _capped(widths: list[int], room: int, least: int) -> list[int]:
    """Cut the widest columns, all to the same width, until they fit or are `least` wide."""
    cap = max(widths, default=1)
    while cap > least and sum(min(width, cap) for width in widths) > room:
        cap = max(least, min(cap - 1, max(1, room)))
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
