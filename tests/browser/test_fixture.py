"""The browser's fixture sees what it is there to see."""

from pathlib import Path
from typing import Any

import pytest

BAD = {
    "console": "<script>console.error('spoken')</script>",
    "thrown": "<script>throw new Error('thrown by hand')</script>",
    "network": "<img src='https://example.invalid/x.png'>",
    "dialog": "<script>alert(1)</script>",
}


@pytest.mark.parametrize("kind", BAD)
def test_the_fixture_hears_complaints(new_page: Any, complaints: Any, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "it's a page.html"
    file.write_text(f"<!doctype html><title>x</title>{BAD[kind]}<p>text")
    page = new_page()
    page.goto(file.as_uri())
    assert any(line.startswith(kind) for line in complaints.lines), complaints.lines
    complaints.lines.clear()


def test_a_page_of_its_own_files_is_no_complaint(page: Any, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("document.title = 'ran'")
    file = tmp_path / "a.html"
    file.write_text("<!doctype html><script src='a.js'></script><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>")
    page.goto(file.as_uri())
    assert page.title() == "ran"
