"""HTML and SVG as text that is escaped by construction: whatever is no Markup yet becomes text when it is put in."""

from typing import Any

from torc_tools.texts import visible

_UNSAFE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_VOID = frozenset({"br", "input", "meta", "line", "rect", "circle", "path", "col"})  # have no end tag, or need none


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    r"""Give a value as markup: Markup stays as it is, all else becomes text, control characters visible as \x1b."""
    if isinstance(value, Markup):
        return value
    return Markup(visible(str(value)).translate(_UNSAFE))


def el(tag: str, *children: object, **attributes: Any) -> Markup:
    """Make an element. An attribute's name has - for _ (`class_` is class); None and False leave it out, True is bare.

    A child that is None is left out.
    """
    inside = "".join(escaped(child) for child in children if child is not None)
    words = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{words}/>")
    return Markup(f"<{tag}{words}>{inside}</{tag}>")


def joined(parts: Any, between: str = "") -> Markup:
    """Put parts behind each other, each escaped."""
    return Markup(escaped(between).join(escaped(part) for part in parts))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    shown = name.rstrip("_").replace("_", "-")
    return f" {shown}" if value is True else f' {shown}="{escaped(number(value))}"'


def number(value: Any) -> Any:
    """Write a float short, as coordinates need it: 12.50001 is 12.5; all else stays as it is."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
