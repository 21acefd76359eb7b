"""Pages that stand on their own: one HTML file with its styles, scripts and data inside, and no network."""

import base64
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from torc_tools.texts import visible

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pages")
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="torc-tools">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
"""


class Page(NamedTuple):
    """What a page is made of; texts of others in `body` are escaped by its maker."""

    title: str  # plain text
    body: str = ""  # HTML
    style: str = ""  # CSS
    scripts: Sequence[str] = ()  # JavaScript, each run in turn after the body and the data
    data: Any = None  # for the scripts: JSON.parse(document.getElementById("data").textContent)
    head_scripts: str = ""  # more HTML before the scripts, such as <script src="x.js"></script>
    script_sources: str = ""  # what the policy lets in besides `scripts`, such as blob:


def asset(name: str) -> str:
    """Give a file of torc_tools/pages as text."""
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        return file.read()


def escaped(text: str) -> str:
    """Make a text of others fit for HTML, in attributes, too; control characters are made visible."""
    import html

    return html.escape(visible(text))


def address(name: str) -> str:
    """Write the name of a file beside the page as the address of a link."""
    from urllib.parse import quote

    return quote(name.encode(errors="surrogateescape"))


def render(page: Page) -> bytes:
    """Write a page. Nothing runs in it but its own scripts, and nothing is fetched, whatever stands in its data."""
    style = page.style.replace("</", "<\\/")
    parts = [_HEAD.format(policy=_policy(page), title=escaped(page.title), style=style).encode(), page.body.encode()]
    if page.data is not None:
        parts += [b'\n<script type="application/json" id="data">', data_json(page.data), b"</script>\n"]
    parts.append(page.head_scripts.encode())
    parts += [b"\n<script>" + script.encode() + b"</script>" for script in page.scripts]
    parts.append(b"\n</body>\n</html>\n")
    return b"".join(parts)


def data_json(data: Any) -> bytes:
    """Write data as JSON that may stand in a <script>: no '<' is in it."""
    return orjson.dumps(data).replace(b"<", b"\\u003c")


def hashed(text: str | bytes) -> str:
    """Give the hash of a script as policies and `integrity` write it: 'sha256-...' without the quotes."""
    import hashlib

    raw = text.encode() if isinstance(text, str) else text
    return "sha256-" + base64.b64encode(hashlib.sha256(raw).digest()).decode()


def _policy(page: Page) -> str:
    scripts = " ".join([*(f"'{hashed(script)}'" for script in page.scripts), page.script_sources]).strip() or "'none'"
    rest = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {scripts}; {rest}"
