"""The library that draws, plotly.js of the package plotly: inside a page, beside it, or from a network."""

import base64
import os
import re
from typing import NamedTuple

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.shell import page

MODES = ("embed", "directory", "cdn")
_VERSION = re.compile(rb"plotly\.js v([\w.-]+)")


class Library(NamedTuple):
    """What a page needs to have the library, and the file that must lie beside it, if any."""

    head: str  # HTML before the scripts
    sources: str  # what the page's policy has to let in
    file_name: str = ""
    content: bytes = b""


def library(mode: str) -> Library:
    """Give the library for one of MODES. Raises Failure(69) where the package is not there.

    embed: compressed in every page (2 MB). directory: one file for all pages of a folder. cdn: fetched when a page is
    opened, and run only where it is the very file that the package holds.
    """
    content = _content()
    found = _VERSION.search(content, 0, 1000)
    name = f"plotly-{found[1].decode()}.min.js" if found else "plotly.min.js"
    if mode == "directory":
        return Library(f'<script src="{name}"></script>', "'self' file:", name, content)
    if mode == "cdn":
        where, known = f"https://cdn.plot.ly/{name}", page.hashed(content)
        return Library(f'<script src="{where}" integrity="{known}" crossorigin="anonymous"></script>', where)
    import gzip

    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return Library(f'<script type="text/plain" id="library">{packed}</script>', "blob:")


def _content() -> bytes:
    import importlib.util

    found = importlib.util.find_spec("plotly")  # loads nothing: the package itself takes 35 ms
    if found is None or not found.origin:
        raise Failure(exits.UNAVAILABLE, "the package plotly is not installed: pip install plotly")
    path = os.path.join(os.path.dirname(found.origin), "package_data", "plotly.min.js")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Failure(exits.UNAVAILABLE, f"the package plotly has no '{path}': {error.strerror}") from None
