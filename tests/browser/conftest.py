"""A headless Chromium for the tests of this folder, on pages that must stand on their own.

    def test_one(page, tmp_path):
        page.goto((tmp_path / "x.html").as_uri())       # a Page of playwright's sync API
    def test_dark_phone(new_page):
        page = new_page(color_scheme="dark", viewport={"width": 390, "height": 844})    # options of new_context

After a test each of its pages must have written no error to the console, thrown none, and asked for nothing outside
its own files (file:, data:, blob:); what it asked for elsewhere was not let through. With TORC_SHOTS=DIR,
`shot(page, "name")` leaves DIR/name.png to look at. Without Chromium or playwright the tests are skipped.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: scripts/env dev")

NAMES = ("chromium", "chromium-browser", "google-chrome")
OWN = ("file:", "data:", "blob:", "about:")
SHOTS = os.environ.get("TORC_SHOTS")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb")


class Complaints:
    """What pages did that no page of ours may do."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def watch(self, page: "playwright.Page") -> None:
        page.on("console", lambda m: m.type == "error" and self.lines.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: self.lines.append(f"thrown: {error}"))
        page.on("dialog", self._dialog)
        page.on("crash", lambda _: self.lines.append("the page crashed"))

    def _dialog(self, dialog: "playwright.Dialog") -> None:
        self.lines.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def let(self, route: "playwright.Route") -> None:
        """Let a request of the page's own through; stop and keep every other."""
        if route.request.url.startswith(OWN):
            route.continue_()
        else:
            self.lines.append(f"network: {route.request.url[:200]}")
            route.abort()


@pytest.fixture(scope="session")
def chromium() -> Iterator["playwright.Browser"]:
    """Give the browser, started once a run."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on PATH: scripts/env dev installs Debian's as root")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Complaints:
    """Give what the pages of this test did wrong so far: a test that means it clears `lines`."""
    return Complaints()


@pytest.fixture
def new_page(chromium: "playwright.Browser", complaints: Complaints) -> Iterator[Callable[..., "playwright.Page"]]:
    """Give new_page(**options of new_context): a page that must behave until the end of the test."""
    contexts = []

    def make(**options: object) -> "playwright.Page":
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(60_000)  # a machine under load is slow, not wrong
        context.route("**/*", complaints.let)
        page = context.new_page()
        complaints.watch(page)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints.lines == []


@pytest.fixture
def page(new_page: Callable[..., "playwright.Page"]) -> "playwright.Page":
    """Give a page of 1280 x 800 in light colours."""
    return new_page(color_scheme="light")


@pytest.fixture
def shot() -> Callable[..., None]:
    """Give shot(page, name, **options of screenshot), which leaves a picture where TORC_SHOTS asks for it."""

    def take(page: "playwright.Page", name: str, **options: object) -> None:
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), **options)

    return take
