"""The pages of torc-plot, opened: they draw, hide, tell, zoom and save, and nothing that a name says is run."""

import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samplefiles import HOSTILE, Job, made, odd
from waiting import until

GIB = 2**30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a database of four jobs, one of which was tried twice, and of the machine."""
    folder = tmp_path_factory.mktemp("it's plots & more#1")
    made(
        folder / "resource_metrics_n1_1_1.db",
        [
            Job(1, "train", memory=2 * GIB, cpus=4, runtime_s=600),
            Job(2, HOSTILE, memory=GIB, cpus=1),
            Job(2, HOSTILE, attempt=2, memory=4 * GIB, cpus=1),
            Job(3, "<img src=x onerror=alert(1)>"),
            Job(4, "%{x} {{y}} ${z} &amp; é"),
        ],
        node=True,
    )
    return folder


@pytest.fixture
def pages(folder: Path, torc: Any) -> Path:
    """Give the folder of the pages, made once."""
    if not (folder / "pages").exists():
        done = torc("plot", "-o", folder / "pages", folder / "resource_metrics_n1_1_1.db")
        assert done.returncode == 0, done.stderr
    return folder / "pages"


def opened(page: Any, path: Path) -> Any:
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn], #trouble:not([hidden])")
    assert page.is_hidden("#trouble"), page.inner_text("#trouble")
    return page


def until_true(page: Any, expression: str) -> None:
    """Wait until JavaScript says so; playwright's own wait_for_function needs eval, which the pages do not allow."""
    until(lambda: page.evaluate(expression), expression)


def names(page: Any) -> list[str]:
    """Give the texts of the legend."""
    return [each.text_content() for each in page.query_selector_all(".legendtext")]


ALL = ("job_1", "job_2", "job_3", "job_4", "cpu_all_jobs", "memory_all_jobs", "summary", "system_timeline",
       "system_summary")  # fmt: skip


def test_every_page_draws_in_light_and_dark_and_on_a_phone(pages: Path, new_page: Any, shot: Any) -> None:
    assert sorted(path.stem.removeprefix("resource_plot_") for path in pages.iterdir()) == sorted(ALL)
    phone = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}
    looks: list[tuple[Any, Any]] = [({"color_scheme": "light"}, ALL), (phone, ALL[1::3])]
    for look, shown in looks:
        page = new_page(**look)
        for name in shown:
            opened(page, pages / f"resource_plot_{name}.html")
            assert page.query_selector("#plot svg.main-svg"), name
            assert page.query_selector_all("#table tbody tr"), name
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} pixels wider than the screen"
            shot(page, f"plot_{name}_{look['color_scheme']}", full_page=True)
        paper = page.evaluate("getComputedStyle(document.querySelector('#plot .main-svg')).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (look["color_scheme"] == "light")


def test_names_are_shown_and_never_run(pages: Path, page: Any) -> None:
    opened(page, pages / "resource_plot_memory_all_jobs.html")
    assert "3 <img src=x onerror=alert(1)>" in names(page)
    assert "4 %{x} {{y}} ${z} &amp; é" in names(page)
    assert page.query_selector("img") is None
    assert page.query_selector_all("#plot a, #plot script") == []
    opened(page, pages / "resource_plot_job_2.html")
    assert "\\n" in page.inner_text("h1")
    assert "<script>alert(1)</script>" in page.inner_text("h1")
    assert page.title().startswith("Job 2 ")


def test_even_what_came_into_the_page_would_not_run(pages: Path, page: Any, complaints: Any) -> None:
    opened(page, pages / "resource_plot_job_3.html")
    page.evaluate(
        """() => { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='document.title=1'>");
                   const made = document.createElement("script"); made.textContent = "document.title = 1";
                   document.body.append(made); }"""
    )
    until_true(page, "document.querySelector('img').complete")
    assert page.title() == "Job 3 <img src=x onerror=alert(1)>"
    assert all("Content Security Policy" in line for line in complaints.lines)
    assert len(complaints.lines) >= 2
    complaints.lines.clear()


def test_the_legend_hides_and_shows(pages: Path, page: Any) -> None:
    opened(page, pages / "resource_plot_job_1.html")
    assert names(page) == ["Memory", "CPU", "Processes", "Requested memory", "Requested CPU"]
    visible = "gd => document.getElementById('plot')._fullData.map(trace => trace.visible)"
    assert page.evaluate(visible) == [True] * 5
    page.locator(".legendtoggle").nth(3).click()
    until_true(page, "document.getElementById('plot')._fullData[3].visible === 'legendonly'")
    page.locator(".legendtoggle").nth(3).click()
    until_true(page, "document.getElementById('plot')._fullData[3].visible === true")


def test_hovering_tells_the_values(pages: Path, page: Any, shot: Any) -> None:
    opened(page, pages / "resource_plot_job_1.html")
    box = page.locator("#plot .draglayer .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot .hoverlayer .legendtext, #plot .hoverlayer .hovertext")
    told = page.locator("#plot .hoverlayer").text_content()
    shot(page, "plot_hover")
    for word in ("Memory", "GB", "CPU", "%", "Processes", "Requested memory"):
        assert word in told, told
    opened(page, pages / "resource_plot_summary.html")
    box = page.locator("#plot .bars .point").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot .hoverlayer .hovertext")
    assert "2 (attempt 2) a'b" in page.locator("#plot .hoverlayer").text_content()


def test_dragging_zooms_and_the_house_takes_back(pages: Path, page: Any) -> None:
    opened(page, pages / "resource_plot_job_1.html")
    span = "() => { const [a, b] = document.getElementById('plot')._fullLayout.xaxis.range; return b - a; }"
    whole = page.evaluate(span)
    box = page.locator("#plot .draglayer .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40, steps=5)
    page.mouse.up()
    until_true(page, f"({span})() < {whole} * 0.5")
    page.locator(".modebar-btn[data-val=reset]").click()
    until_true(page, f"({span})() === {whole}")


def test_a_page_saves_itself_as_png_and_svg(pages: Path, new_page: Any, tmp_path: Path) -> None:
    page = new_page(accept_downloads=True, color_scheme="dark")
    opened(page, pages / "resource_plot_job_2.html")
    for kind, begin in (("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<svg")):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind.upper()).click()
        assert waiting.value.suggested_filename == f"resource_plot_job_2.{kind}"
        waiting.value.save_as(tmp_path / f"saved.{kind}")
        content = (tmp_path / f"saved.{kind}").read_bytes()
        assert content.startswith(begin)
        assert len(content) > 10_000
    words = "".join(ET.fromstring((tmp_path / "saved.svg").read_text()).itertext())  # noqa: S314  we made it
    assert "Job 2 (a'b" in words
    assert "Requested memory" in words


def test_nothing_on_a_page_sends_it_anywhere(pages: Path, page: Any) -> None:
    opened(page, pages / "resource_plot_job_1.html")
    buttons = [each.get_attribute("data-title") for each in page.query_selector_all(".modebar-btn")]
    assert buttons == ["Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]
    assert page.query_selector("a[href^=http]") is None


def test_the_table_sorts_and_leads_to_the_jobs(pages: Path, page: Any) -> None:
    opened(page, pages / "resource_plot_summary.html")

    def first() -> str:
        return str(page.locator("#table tbody tr").first.locator("td").first.inner_text())

    assert page.locator("#table tbody tr").first.inner_text().split("\t") == [
        "1 train", "1", page.locator("#table tbody td").nth(2).inner_text(), "8m 16s", "83 %",
        "2.79 GB", "123.1 MB", "2.00 GB", "140 %", "150.0 %", "101.3 %", "400.0 %", "38 %", "3", "100", "n1",
    ]  # fmt: skip
    assert first() == "1 train"
    page.get_by_role("button", name="Job", exact=True).click()
    page.get_by_role("button", name="Job", exact=True).click()
    assert first().startswith("4 ")
    page.get_by_role("link", name="3 <img").click()
    page.wait_for_selector("html[data-drawn]")
    assert page.inner_text("h1") == "Job 3 <img src=x onerror=alert(1)>"
    page.get_by_role("link", name="Summary", exact=True).click()
    page.wait_for_selector("html[data-drawn]")
    assert page.inner_text("h1").startswith("Summary of all jobs")


@pytest.fixture(scope="module")
def many(folder: Path) -> Iterator[Path]:
    """Give a database of 60 jobs."""
    path = folder / "many.db"
    made(path, [Job(number, f"job {number}", memory=GIB, samples=30) for number in range(1, 61)])
    yield path
    assert sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def test_many_jobs_share_the_library_and_the_highest_are_drawn(
    many: Path, torc: Any, page: Any, tmp_path: Path
) -> None:
    done = torc("plot", "-o", tmp_path, many)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("plotly-*.min.js"))) == 1
    assert (tmp_path / "resource_plot_job_7.html").stat().st_size < 100_000
    opened(page, tmp_path / "resource_plot_memory_all_jobs.html")
    shown = names(page)
    assert len([name for name in shown if " job " in name]) == 20
    assert shown[:2] == ["10 to 90 % of all 60", "Median of all 60"]
    assert page.locator("#table tbody tr").count() == 20
    opened(page, tmp_path / "resource_plot_summary.html")
    assert page.locator("#table tbody tr").count() == 60
    page.fill("#find", "job 33")
    assert page.locator("#table tbody tr:visible").count() == 1


def test_numbers_that_no_job_has_are_drawn_or_left_out(torc: Any, page: Any, tmp_path: Path) -> None:
    assert torc("plot", "--js", "directory", "-o", tmp_path, odd(tmp_path / "x.db")).returncode == 0
    for name in ("job_1", "job_2", "job_3", "cpu_all_jobs", "memory_all_jobs", "summary"):
        opened(page, tmp_path / f"resource_plot_{name}.html")


def test_a_page_says_what_it_misses(many: Path, torc: Any, page: Any, complaints: Any, tmp_path: Path) -> None:
    torc("plot", "-o", tmp_path, "-j", "1", "--js", "directory", many)
    next(tmp_path.glob("plotly-*.min.js")).unlink()
    page.goto((tmp_path / "resource_plot_job_1.html").as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    assert "must lie beside this page" in page.inner_text("#trouble")
    assert page.locator("#table tbody tr").count() == 1
    complaints.lines.clear()  # the file that could not be loaded


def test_a_page_from_the_network_asks_for_the_library_alone(
    many: Path, torc: Any, page: Any, complaints: Any, tmp_path: Path
) -> None:
    torc("plot", "-o", tmp_path, "-j", "1", "--js", "cdn", many)
    page.goto((tmp_path / "resource_plot_job_1.html").as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    asked = [line for line in complaints.lines if line.startswith("network: ")]
    assert len(asked) == 1
    assert asked[0].startswith("network: https://cdn.plot.ly/plotly-")
    complaints.lines.clear()
