"""torc-plot: which files it writes, what is in them, what it refuses. tests/browser opens them."""

import base64
import html.parser
import json
import math
import os
import re
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc, said
from samplefiles import HOSTILE, START, Job, made, odd

from torc_tools.core import plots_bars

GIB = 2**30
IMAGE = "<img src=x onerror=alert(1)>"


def figure(path: Path) -> Any:
    return json.loads(path.read_bytes())


def column(value: Any) -> list[float]:
    """Read a typed array of a figure."""
    raw = base64.b64decode(value["bdata"])
    kind = {"f4": "f", "f8": "d"}[value["dtype"]]
    return list(struct.unpack(f"<{len(raw) // int(value['dtype'][1])}{kind}", raw))


def names(plot: Any) -> list[str]:
    return [trace["name"] for trace in plot["data"]]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def database(work_dir: Path) -> Path:
    """Give a database of three jobs, the second tried twice."""
    jobs = [
        Job(1, "train", memory=2 * GIB, cpus=4, runtime_s=600),
        Job(2, HOSTILE, memory=GIB),
        Job(2, HOSTILE, attempt=2, memory=4 * GIB),
        Job(3, IMAGE),
    ]
    return made(work_dir / "resource_metrics_n1_1_1.db", jobs, node=True)


def test_the_files_are_torcs_and_their_paths_are_written(torc: Torc, database: Path, work_dir: Path) -> None:
    done = torc("plot", "-o", "out/there", "--js", "cdn", database)
    assert (done.returncode, done.stderr) == (0, b"")
    stems = ["job_1", "job_2", "job_3", "cpu_all_jobs", "memory_all_jobs", "summary", "system_timeline",
             "system_summary"]  # fmt: skip
    assert done.stdout.decode().splitlines() == [f"out/there/resource_plot_{stem}.html" for stem in stems]
    assert files(work_dir / "out" / "there") == sorted(f"resource_plot_{stem}.html" for stem in stems)


def test_one_job_has_two_pages(torc: Torc, database: Path, work_dir: Path) -> None:
    done = torc("plot", "-j", "2", "-p", "it's", "-f", "json", "-o", "out", database)
    assert (done.returncode, done.stderr) == (0, b"")
    assert files(work_dir / "out") == ["it's_job_2.json", "it's_summary.json"]


def test_a_figure_holds_what_was_sampled_next_to_what_was_asked(torc: Torc, database: Path, work_dir: Path) -> None:
    torc("plot", "-f", "json", "-o", "out", database)
    plot = figure(work_dir / "out" / "resource_plot_job_1.json")
    assert plot["layout"]["title"]["text"] == "Job 1 (train) Resource Usage Timeline"
    assert names(plot) == ["Memory", "CPU", "Processes", "Requested memory", "Requested CPU"]
    memory, cpu, processes, asked, cpus = plot["data"]
    assert column(memory["x"])[:3] == [1, 6, 11]  # from the start, not from the first sample
    assert max(column(memory["y"])) == pytest.approx((3_000_000_001) / GIB)
    assert math.isnan(column(cpu["y"])[0])
    assert column(processes["y"])[:4] == [1, 2, 3, 1]
    assert set(column(asked["y"])) == {2}
    assert set(column(cpus["y"])) == {400}
    assert plot["layout"]["shapes"][0]["x0"] == 600
    assert plot["layout"]["xaxis"]["title"]["text"] == "Time (seconds)"


def test_attempts_stand_beside_each_other(torc: Torc, database: Path, work_dir: Path) -> None:
    torc("plot", "-f", "json", "-o", "out", database)
    plot = figure(work_dir / "out" / "resource_plot_job_2.json")
    groups = [(trace["legendgrouptitle"]["text"], trace["name"]) for trace in plot["data"]]
    assert groups[::4] == [("attempt 1", "Memory"), ("attempt 2", "Memory")]
    everyone = figure(work_dir / "out" / "resource_plot_memory_all_jobs.json")
    assert len(everyone["data"]) == 4 + 3  # and the three requests


def test_the_summary_has_peak_average_and_request(torc: Torc, database: Path, work_dir: Path) -> None:
    torc("plot", "-f", "json", "-o", "out", database)
    plot = figure(work_dir / "out" / "resource_plot_summary.json")
    peak, mean, asked = plot["data"][:3]
    assert names(plot)[:3] == ["Peak", "Average", "Requested"]
    assert column(peak["y"]) == pytest.approx([3_000_000_000 / GIB] * 4)
    assert column(mean["y"])[0] == pytest.approx((100_000_000 * 99 + 1000 * (4950 - 66) + 3_000_000_001) / 100 / GIB)
    assert column(asked["y"])[:3] == [2, 1, 4]
    assert math.isnan(column(asked["y"])[3])  # null is not 0
    assert peak["text"][1:3] == [f"2 (attempt {n}) a'b\"c\\n\\x1b[31m&lt;script&gt;alert(1)&lt;/…" for n in (1, 2)]


def test_machines_are_drawn_by_the_clock(torc: Torc, database: Path, work_dir: Path) -> None:
    torc("plot", "-f", "json", "-o", "out", database)
    plot = figure(work_dir / "out" / "resource_plot_system_timeline.json")
    assert names(plot) == ["CPU", "Memory", "Total memory"]
    assert column(plot["data"][0]["x"])[:2] == [START * 1000, (START + 5) * 1000]
    assert set(column(plot["data"][2]["y"])) == {16}
    summary = figure(work_dir / "out" / "resource_plot_system_summary.json")
    assert column(summary["data"][0]["y"]) == [7]


class Reader(html.parser.HTMLParser):
    """Collects what of a page could run, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        self.texts[self._in] = self.texts.get(self._in, "") + data


@pytest.mark.parametrize("mode", ["embed", "directory", "cdn"])
def test_no_name_is_markup_anywhere(torc: Torc, work_dir: Path, mode: str) -> None:
    nasty = [HOSTILE, IMAGE, "</script><script>alert(1)</script>", "<!--", "]]>", "\u2028\u202e", "a" * 5000, "",
             "{heading}", "<b>x</b>", "{{1}}%{x}", "é漢"]  # fmt: skip
    jobs = [Job(number, name, samples=3) for number, name in enumerate(nasty, 1)]
    made(work_dir / "<i>x' & \".db", jobs)
    done = torc("plot", "-p", "<u>\"'&", "--js", mode, "-o", "out", "<i>x' & \".db")
    assert done.returncode == 0, done.stderr
    pages = [path for path in (work_dir / "out").iterdir() if path.suffix == ".html"]
    assert len(pages) == len(nasty) + 3
    for path in pages:
        text = path.read_text()
        page = Reader()
        page.feed(text)
        tags = [tag for tag, _ in page.tags]
        assert not {"img", "b", "i", "u", "iframe", "object"} & set(tags)
        assert tags.count("script") == 3  # data, library, ours
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text


def test_the_policy_names_the_scripts_and_nothing_else(torc: Torc, database: Path, work_dir: Path) -> None:
    torc("plot", "-j", "1", "-o", "out", database)
    text = (work_dir / "out" / "resource_plot_job_1.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]+' blob:", rules["script-src"])
    assert "http" not in policy[1]
    assert re.findall(r'(?:src|href)="(?!resource_plot_)[^"]*"', text) == []


def test_the_library_lies_once_beside_many_pages(torc: Torc, work_dir: Path) -> None:
    path = made(work_dir / "x.db", [Job(number, "n", samples=2) for number in range(1, 52)])
    assert torc("plot", "-o", "many", path).returncode == 0
    (library,) = (work_dir / "many").glob("*.js")
    assert f'<script src="{library.name}"></script>' in (work_dir / "many" / "resource_plot_job_51.html").read_text()
    assert torc("plot", "-j", "1,2", "-o", "few", path).returncode == 0
    assert list((work_dir / "few").glob("*.js")) == []
    assert 1_500_000 < (work_dir / "few" / "resource_plot_job_1.html").stat().st_size < 2_200_000


def test_of_many_jobs_the_highest_are_lines_and_all_are_a_band(torc: Torc, work_dir: Path) -> None:
    jobs = [Job(number, f"n{number}", samples=20, peak=number * GIB) for number in range(1, 31)]
    torc("plot", "-f", "json", "-o", "out", made(work_dir / "x.db", jobs))
    plot = figure(work_dir / "out" / "resource_plot_memory_all_jobs.json")
    assert names(plot)[:3] == ["p10", "10 to 90 % of all 30", "Median of all 30"]
    assert names(plot)[3:] == [f"{number} n{number}" for number in range(11, 31)]
    assert plot["layout"]["title"]["text"].endswith("(the 20 highest of 30)")
    high = column(plot["data"][1]["y"])
    assert max(value for value in high if not math.isnan(value)) == pytest.approx(27, abs=0.01)


def test_of_very_many_the_highest_are_bars() -> None:
    bars = [plots_bars.Bar(f"n{peak}", (peak, 1, None), (None, None, 100)) for peak in range(2**20, 2**20 + 1500)]
    plot = plots_bars.figure(bars, "title", "Requested", "Job")
    assert names(plot) == ["Peak", "Average", "Peak", "Average", "Requested"]
    assert plot["data"][0]["text"][::999] == [f"n{2**20 + 1499}", f"n{2**20 + 500}"]
    assert plot["layout"]["xaxis"]["title"]["text"] == "1,000 highest peaks of 1,500"


def test_several_databases_are_drawn_together(torc: Torc, work_dir: Path) -> None:
    one = made(work_dir / "resource_metrics_n1_1_1.db", [Job(1, "one")], node=True)
    two = made(work_dir / "resource_metrics_n2_1_1.db", [Job(1, "one"), Job(2, "two")], node=True)
    three = made(work_dir / "resource_metrics_n2_1_2.db", [Job(1, "one")])
    assert torc("plot", "-f", "json", "-o", "a", one, two).returncode == 0
    groups = {each["legendgroup"] for each in figure(work_dir / "a" / "resource_plot_job_1.json")["data"]}
    assert groups == {"attempt 1 on n1", "attempt 1 on n2"}
    machines = {each["legendgroup"] for each in figure(work_dir / "a" / "resource_plot_system_timeline.json")["data"]}
    assert machines == {"n1 (resource_metrics_n1_1_1.db)", "n2 (resource_metrics_n2_1_1.db)"}
    assert torc("plot", "-f", "json", "-o", "b", two, three).returncode == 0
    groups = {each["legendgroup"] for each in figure(work_dir / "b" / "resource_plot_job_1.json")["data"]}
    assert groups == {"run 1, attempt 1", "run 2, attempt 1"}


def sample(**more: object) -> str:
    return json.dumps({"type": "sample", "at": 1000.0, "pid": 9, "memory_bytes": 5, "num_processes": 1, **more}) + "\n"


def test_records_are_drawn_from_a_pipe_and_from_a_file(torc: Torc, work_dir: Path) -> None:
    lines = sample() + sample(at=1001.0, cpu_percent=50) + '{"type":"usage"}\n' + sample(pid=10, job_name=HOSTILE)
    done = torc("plot", "-f", "json", "-o", "out", input=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    plot = figure(work_dir / "out" / "resource_plot_job_9.json")
    assert column(plot["data"][0]["x"]) == [0, 1]
    assert (work_dir / "out" / "resource_plot_job_10.json").exists()
    (work_dir / "s.jsonl").write_text(lines)
    assert torc("plot", "-f", "json", "-o", "again", "s.jsonl").returncode == 0
    assert files(work_dir / "again") == files(work_dir / "out")
    assert torc("plot", "-j", "10", "-f", "json", "-o", "ten", "-", input=lines).returncode == 0
    assert files(work_dir / "ten") == ["resource_plot_job_10.json", "resource_plot_summary.json"]


def test_a_stream_that_was_cut_short_is_drawn_as_far_as_it_goes(torc: Torc, work_dir: Path) -> None:
    begin = '{"type":"begin","stage":"torc-sample","v":1,"workflow_id":null}\n'
    assert torc("plot", "-f", "json", "-o", "out", input=begin + sample()).returncode == 0
    assert len(files(work_dir / "out")) == 2


def test_nothing_to_plot_is_no_failure(torc: Torc, work_dir: Path) -> None:
    done = torc("plot", "-o", "out", made(work_dir / "x.db", []))
    assert (done.returncode, len(said(done))) == (0, 1)
    assert "no samples, nothing to plot (torc-sample keeps them with --db" in said(done)[0]
    assert not (work_dir / "out").exists()


def test_jobs_without_samples_are_named(torc: Torc, database: Path, work_dir: Path) -> None:
    done = torc("plot", "-j", "99,77", "-o", "out", database)
    assert (done.returncode, said(done)) == (66, ["torc-plot: no samples of job '77', '99'"])
    assert not (work_dir / "out").exists()
    done = torc("plot", "-j", "99,1", "-f", "json", "-o", "out", database)
    assert (done.returncode, said(done)) == (0, ["torc-plot: no samples of job '99'"])


def test_what_is_no_database_is_refused_and_nothing_is_made(torc: Torc, work_dir: Path) -> None:
    (work_dir / "text.db").write_text("hello, I am a text of some length\n" * 200)
    (work_dir / "empty.db").touch()
    with sqlite3.connect(work_dir / "other.db") as db:
        db.execute("CREATE TABLE x (y)")
    db.close()
    (work_dir / "folder.db").mkdir()
    before = files(work_dir)
    for name, status in (("no\n.db", 66), ("folder.db", 66), ("text.db", 65), ("empty.db", 65), ("other.db", 65)):
        done = torc("plot", "-o", "out", name)
        assert done.returncode == status, (name, done.stderr)
        assert len(said(done)) == 1
        assert repr(name)[1:-1] in said(done)[0]
    assert files(work_dir) == before


@pytest.mark.parametrize(
    "options", [("-p", "a/b"), ("-p", ""), ("-p", "a\nb"), ("-j", "x"), ("--js", "x"), ("-f", "pdf")]
)
def test_usage(torc: Torc, work_dir: Path, options: tuple[str, str]) -> None:
    assert torc("plot", *options, "x.db").returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc takes no file from anyone, but others are refused elsewhere, too")
def test_a_folder_that_takes_no_file(torc: Torc, database: Path) -> None:
    done = torc("plot", "-o", "/proc/1", "-f", "json", database)
    assert done.returncode == 74
    assert said(done)[0].startswith("torc-plot: cannot write '/proc/1/resource_plot_job_1.json': ")
    done = torc("plot", "-o", database / "x", "-f", "json", database)
    assert (done.returncode, len(said(done))) == (74, 1)


def test_pages_are_written_over_and_nothing_else_is_left(torc: Torc, database: Path, work_dir: Path) -> None:
    for _ in range(2):
        assert torc("plot", "-o", "out", "-f", "json", "-j", "1", database).returncode == 0
    assert files(work_dir / "out") == ["resource_plot_job_1.json", "resource_plot_summary.json"]


def test_values_that_no_job_has_break_nothing(torc: Torc, work_dir: Path) -> None:
    done = torc("plot", "-o", "out", odd(work_dir / "x.db"))
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
