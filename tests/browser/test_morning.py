"""The page for the morning after in a browser: it says what it should, and its drawing and its list answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nights
import pytest
from conftest import Torc
from prepared import execute, prepare

from torc_tools.core import morning_data, morning_page
from torc_tools.core.morning import Night
from torc_tools.flows import morning
from torc_tools.shell import page as pages

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the address of a page of ten thousand jobs."""
    return written(nights.large(), tmp_path_factory.mktemp("large"))


def written(night: Night, folder: Path) -> str:
    """Write the page of a night; give its address."""
    file = folder / "it's morning.html"
    data = morning._packed(morning_data.data(night))
    style, scripts = pages.asset("morning.css"), [pages.asset("morning.js")]
    body = morning_page.body(night)
    file.write_bytes(pages.render(pages.Page(morning_page.title(night), body, style, scripts, data)))
    return file.as_uri()


@pytest.fixture
def recovered(torc: Torc, work_dir: Path) -> str:
    """Give the address of the page of a small workflow that was recovered and run again, with hostile names."""
    prepare(work_dir)
    nights.spoil("torc.db")
    assert torc("recover", 1, "--no-run").returncode == 0
    assert torc("run", 1).returncode == 1
    execute("torc.db", "UPDATE result SET started_at = ended_at - exec_time_s WHERE started_at IS NULL")
    assert torc("report", 1, "--html", "page.html").returncode == 0
    return (work_dir / "page.html").as_uri()


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    return page


def fits(page: Any) -> bool:
    """Say whether nothing on a page is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def ink(page: Any) -> int:
    """Count the points of the time line that something is drawn on, as they add up."""
    points = """() => {
        const canvas = document.querySelector("canvas");
        const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return bytes.reduce((sum, byte, at) => sum + (at % 4 === 3 && byte > 0), 0);
    }"""
    return int(page.evaluate(points))


def bar(page: Any, kind: str) -> dict[str, float]:
    """Give a point of the time line with this kind of end (as the page calls it), by walking over the drawing."""
    box = page.locator("canvas").bounding_box()
    for y in range(2, int(box["height"]) - 30, 4):
        for x in range(2, int(box["width"]), 6):
            page.mouse.move(box["x"] + x, box["y"] + y)
            if page.locator(".tip").is_visible() and kind in page.locator(".tip").inner_text():
                return {"x": box["x"] + x, "y": box["y"] + y}
    pytest.fail(f"no bar with {kind}")


def test_a_recovered_night_with_hostile_names(page: Any, recovered: str, shot: Callable[..., None]) -> None:
    opened(page, recovered)
    assert (
        page.locator("h1").inner_text().replace("\xa0", " ") == "4 of 6 jobs completed, 1 failed and 1 could not run."
    )
    assert page.title() == f"{nights.HOSTILE[0]} · workflow 1"
    for selector, least in ((".card", 1), (".causes tbody tr", 3), (".story > li", 3), (".usage tbody tr", 2)):
        assert page.locator(selector).count() >= least, selector
    assert page.locator("#jobs-rows tr.job").count() == 6
    names = page.locator("#jobs-rows .name").all_inner_texts()
    assert nights.HOSTILE[0] in names
    assert "two\\nlines \\x1b[31m" in names
    assert page.locator("img, iframe, form").count() == 0
    assert "</script><script>alert(3)</script>" in page.locator(".card .said").first.inner_text()
    assert fits(page)
    shot(page, "recovered", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_one_way(new_page: Any, recovered: str, ten_thousand: str, shot: Any, scheme: str) -> None:
    page = new_page(color_scheme=scheme, viewport=PHONE, has_touch=True)
    for name, address in (("recovered", recovered), ("large", ten_thousand)):
        opened(page, address)
        assert fits(page), name
        shot(page, f"{name}-phone-{scheme}")
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is (scheme == "dark")


def test_the_time_line_answers(page: Any, ten_thousand: str, shot: Callable[..., None]) -> None:
    opened(page, ten_thousand)
    page.locator("#timeline").scroll_into_view_if_needed()
    before = ink(page)
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 60)
    assert page.locator(".tip").inner_text().startswith("tile_")
    bar(page, "out of memory")
    shot(page, "hover")
    page.mouse.move(0, 0)
    assert not page.locator(".tip").is_visible()
    page.locator("#kinds button", has_text="completed").click()
    assert ink(page) < before / 2
    page.locator("#kinds button", has_text="completed").click()
    assert ink(page) == before


def test_the_time_line_is_looked_at_closer(page: Any, ten_thousand: str) -> None:
    opened(page, ten_thousand)
    page.locator("#timeline").scroll_into_view_if_needed()
    box, whole = page.locator("canvas").bounding_box(), page.locator("#whole")
    assert not whole.is_visible()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 50, steps=3)
    page.mouse.up()
    assert whole.is_visible()
    whole.click()
    assert not whole.is_visible()


def test_the_keyboard_goes_through_the_failures(page: Any, ten_thousand: str) -> None:
    opened(page, ten_thousand)
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator(".tip").inner_text()
    assert "out of memory" in first
    assert "out of memory" in second
    assert first != second
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def test_the_list_is_searched_and_opened(page: Any, ten_thousand: str, shot: Callable[..., None]) -> None:
    opened(page, ten_thousand)
    rows, shown = page.locator("#jobs-rows tr.job"), page.locator("#shown")
    assert shown.inner_text() == "25 of 10,000"
    page.locator("#more").click()
    assert rows.count() == 225
    page.locator("#fates button", has_text="completed after a failure").click()
    assert shown.inner_text() == "25 of 900, 10,000 in all"
    page.locator("#search").fill("TILE_001_1")
    assert shown.inner_text() == "1 of 1, 10,000 in all"  # of 1, 10 ... 19 the one that was cured
    rows.first.click()
    assert page.locator("#jobs-rows tr.more li").count() == 2
    assert "out of memory, code 137" in page.locator("#jobs-rows tr.more").inner_text()
    shot(page, "search")
    page.locator("#search").fill("")
    page.locator("button[data-cause]").click()
    assert shown.inner_text() == "25 of 1,000, 10,000 in all"


def test_a_job_is_opened_by_key_and_a_bar_by_finger(new_page: Any, ten_thousand: str) -> None:
    page = opened(new_page(viewport=PHONE, has_touch=True), ten_thousand)
    page.locator("#jobs-rows button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#jobs-rows tr.more li").count() == 2
    assert page.locator("#jobs-rows button").first.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert page.locator("#jobs-rows tr.more").count() == 0
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    page.touchscreen.tap(box["x"] + 10, box["y"] + 60)
    assert page.locator(".tip").inner_text().startswith("tile_")
    assert fits(page)


def test_a_command_is_copied(new_page: Any, recovered: str) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    opened(page, recovered)
    command = page.locator(".command").nth(1)
    command.locator("button").click()
    assert command.locator("button", has_text="Copied").count() == 1
    assert page.evaluate("navigator.clipboard.readText()") == command.locator("code").inner_text()


def test_without_scripts_it_still_says_what_is_left(new_page: Any, recovered: str) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(recovered)
    assert page.locator(".card code").count() >= 2
    assert "needs scripts" in page.locator("#jobs").inner_text()
