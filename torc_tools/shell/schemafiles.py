"""The schemas of our records: where they lie in a checkout, and where they are installed."""

import os
import sys
from collections.abc import Iterable
from typing import Any

import orjson

_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PLACES = (os.path.join(_HOME, "schemas"), os.path.join(sys.prefix, "share", "torc-tools", "schemas"))


def load(kinds: Iterable[str]) -> dict[str, Any]:
    """Give the schemas of some record types, by type; one that is nowhere is left out."""
    found = {}
    for kind in kinds:
        path = next((path for place in _PLACES if os.path.isfile(path := os.path.join(place, f"{kind}.json"))), None)
        if path is not None:
            with open(path, "rb") as file:
                found[kind] = orjson.loads(file.read())
    return found
