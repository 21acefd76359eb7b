"""torc-report --html: what the page for the morning after says, and that no name of a job can speak in its place."""

import os
import re
import subprocess
import threading
from pathlib import Path

import nights
import orjson
import pytest
from conftest import Torc, said
from hypothesis import given
from hypothesis import strategies as st
from nights import MIB, adjustment, attempt, bad, job, night
from prepared import execute, prepare

from torc_tools import states
from torc_tools.core import (
    markup,
    morning,
    morning_charts,
    morning_data,
    morning_failures,
    morning_headline,
    morning_hours,
    morning_left,
    morning_page,
    morning_story,
    morning_usage,
    morning_words,
)  # fmt: skip
from torc_tools.shell import page

FAILED, CANCELED, BLOCKED = states.FAILED, states.CANCELED, states.BLOCKED


# ---- markup


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    made = markup.el("p", text, title=text)
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*</p>', made)
    assert "\x1b" not in made
    assert "\n" not in made


def test_markup_stays_and_what_is_none_is_left_out() -> None:
    inner = markup.el("b", "a&b")
    assert inner == "<b>a&amp;b</b>"
    assert (
        markup.el("p", inner, None, 3, class_="x", hidden=True, id_=None) == '<p class="x" hidden><b>a&amp;b</b>3</p>'
    )
    assert markup.el("rect", x=1.50001, y=2.0) == '<rect x="1.5" y="2"/>'


# ---- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "no limit"), (0, "0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (10.3, "10 s"), (59.6, "1 min"),
     (200, "3 min 20 s"), (3600, "1 h"), (27540, "7 h 39 min"), (273600, "3 d 4 h")],
)  # fmt: skip
def test_span(seconds: float | None, text: str) -> None:
    assert morning_words.span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "no limit"), (512, "512 B"), (2048, "2 KB"), (128 * MIB, "128 MB"), (1.5 * 1024 * MIB, "1.5 GB"),
     (10.25 * MIB, "10.2 MB"), (100 * 1024 * MIB, "100 GB")],
)  # fmt: skip
def test_size(count: float | None, text: str) -> None:
    assert morning_words.size(count) == text


@pytest.mark.parametrize(
    ("core_s", "text"),
    [(0, "0 core-seconds"), (30, "30 core-seconds"), (90, "1.5 core-minutes"), (7200, "2 core-hours"),
     (3600 * 12345, "12,345 core-hours")],
)  # fmt: skip
def test_work(core_s: float, text: str) -> None:
    assert morning_words.work(core_s) == text


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert [morning_words.share(*each) for each in ((0, 9), (1, 1000), (999, 1000), (1, 2), (9, 9), (1, 0))] == [
        "0 %", "under 1 %", "over 99 %", "50 %", "100 %", "0 %",
    ]  # fmt: skip


def test_cpus_that_were_used_are_never_none() -> None:
    assert [morning_words.cpus(each) for each in (None, 0.0, 0.002, 0.48, 1.0, 15.678)] == [
        "no limit", "under 0.01", "under 0.01", "0.48", "1", "15.68",
    ]  # fmt: skip


def test_names_are_listed_and_cut() -> None:
    assert [morning_words.listed(list("abcdefg")[:count], 3) for count in (0, 1, 2, 4, 5)] == [
        "", "a", "a and b", "a, b, c and d", "a, b, c and 2 more",
    ]  # fmt: skip


def test_the_clock_shows_day_and_seconds_where_they_tell_something() -> None:
    hour = 3600
    assert morning_words.Clock(0, 600, lambda _: 0).time(61) == "00:01:01"
    assert morning_words.Clock(0, 3 * hour, lambda _: 0).time(61) == "00:01"
    assert morning_words.Clock(22 * hour, 27 * hour, lambda _: 0).time(25 * hour) == "Fri 01:00"
    ahead = morning_words.Clock(0, 3 * hour, lambda at: hour if at < 7200 else 2 * hour)
    assert [ahead.time(3600), ahead.time(7200), ahead.zone(0), ahead.day(0)] == [
        "02:00", "04:00", "UTC+01:00", "Thu 1 Jan 1970, 01:00",
    ]  # fmt: skip


# ---- what became of jobs and work


def test_fates_and_the_headline() -> None:
    jobs = [job(1), job(2), job(3, FAILED), job(4, CANCELED), job(5, states.DISABLED)]
    made = night(jobs, [attempt(1), bad(2), attempt(2, 2, started_at=1020.0), bad(3), bad(3, 2)])
    assert [made.fates[each.job_id] for each in jobs] == ["completed", "cured", "failed", "canceled", "disabled"]
    said = morning_headline.headline(made)
    assert said.text == "2 of 5 jobs completed, 1 failed and 1 could not run."
    assert "2 jobs failed on the way; 1 round of recovery cured 1 of them." in said.more


def test_headlines_of_other_nights() -> None:
    assert morning_headline.headline(night([job(1), job(2)], [attempt(1), attempt(2)])).text == "All 2 jobs completed."
    running = night([job(1), job(2, states.RUNNING), job(3, BLOCKED)], [attempt(1)])
    assert morning_headline.headline(running).text == "1 of 3 jobs completed, 1 running and 1 waiting."
    assert morning_headline.headline(night([job(1, states.READY)], [])).more == "Nothing has run yet."
    assert morning_headline.headline(night([], [])).text == "There are no jobs."


def test_hours_say_what_was_lost_and_what_a_recovery_kept() -> None:
    attempts = [
        attempt(1, exec_time_s=100.0, num_cpus=4),  # stands, and was not done again
        bad(2, exec_time_s=50.0, started_at=1100.0),  # lost
        attempt(2, 2, exec_time_s=60.0, started_at=1200.0),  # done in the last run
        attempt(3, exec_time_s=7.0),  # completed, and done again
        attempt(3, 2, exec_time_s=9.0, started_at=1200.0),
    ]
    found = morning_hours.hours(night([job(1), job(2), job(3)], attempts))
    assert (found.useful, dict(found.lost), found.kept) == (469.0, {"oom": 50.0, "redone": 7.0}, 400.0)
    assert (found.lost_attempts, found.idle_s) == (2, 50.0)


def test_what_slurm_held_is_told_beside_what_jobs_used() -> None:
    made = night([job(1)], [attempt(1, exec_time_s=30.0, num_cpus=2)], allocations=[(900.0, 960.0, 4)])
    assert morning_hours.hours(made).held == 240.0
    assert "Slurm held 4 core-minutes for it, of which jobs used 25 %." in morning_page.body(made)


def test_an_attempt_without_times_costs_nothing_and_is_drawn_nowhere() -> None:
    made = night([job(1)], [attempt(1, started_at=None, exec_time_s=None, ended_at=None)])
    assert morning_hours.hours(made).all_s == 0
    assert morning_data.data(made)["attempts"]["lane"] == [-1]
    assert "<canvas" not in morning_page.body(made)


# ---- why, and what is left


def test_causes_name_what_was_done_and_what_logs_say() -> None:
    jobs = [job(number) for number in (1, 2, 3)] + [job(4, FAILED)]
    attempts = [bad(each) for each in (1, 2, 3, 4)]
    attempts += [attempt(each, 2, memory_bytes=150 * MIB) for each in (1, 2)]
    attempts += [attempt(3, 1, 2)]
    causes = {(3, 1, 1): ("unknown", "weak", "tile 3 is lost"), (4, 1, 1): ("unknown", "weak", "tile 44 is lost")}
    memory, unknown = morning_failures.causes(night(jobs, attempts, causes=causes))
    assert (memory.cause, memory.job_ids, memory.cured, memory.left) == ("oom", [1, 2], 2, 0)
    assert memory.steps == [("memory 100 MB → 150 MB", 2)]
    assert unknown.steps == [("tried again at once", 1)]
    assert unknown.words == [("tile 3 is lost", 2)]  # lines that differ in numbers alone are one
    assert (unknown.cured, unknown.left, unknown.certain) == (1, 1, 0)


def lines(made: morning.Night) -> list[list[str]]:
    return [[command.line for command in group.commands] for group in morning_left.left(made)]


def test_what_is_left_comes_with_the_command_for_it() -> None:
    jobs = [job(1, FAILED), job(2, FAILED), job(3, FAILED), job(4, CANCELED), job(5, CANCELED)]
    grows = {"action": "adjust", "reason": None, "override": None, "original_memory": "100m"}
    adjustments = [
        adjustment(1),
        adjustment(2, "oom", **grows, new_memory="150m"),
        adjustment(3, "oom", **grows, new_memory="1g"),
    ]
    made = night(
        jobs, [bad(1), bad(2), bad(3)], adjustments=adjustments, edges=[(4, 1), (5, 4)], options=" --store 'a b.db'"
    )
    memory, unknown = morning_left.left(made)
    assert memory.reason == "not recovered yet; they would get up to 1 GB of memory"
    assert list(unknown.waiting) == [4, 5]
    assert lines(made) == [
        ["torc-jobs --store 'a b.db' --logs 2", "torc-recover --store 'a b.db' 7"],
        [
            "torc-jobs --store 'a b.db' --logs 1",
            "torc-recover --store 'a b.db' --retry-unknown 7",
            "torc-reset --store 'a b.db' --job-ids 1 && torc-run --store 'a b.db' 7",
        ],
    ]


def test_a_job_on_slurm_goes_on_by_new_allocations() -> None:
    made = night([job(1, FAILED)], [bad(1)], adjustments=[adjustment(1)], engine="slurm")
    assert lines(made)[0][-1] == "torc-reset --job-ids 1 && torc-regenerate 7 | torc-submit"


def test_the_limits_of_the_last_watch_are_what_is_overridden() -> None:
    adjustments = [adjustment(each, "oom", action="adjust", new_memory="1g") for each in (1, 2, 3)]
    capped = [
        {"reason": "at cap: memory 100m may not grow", "override": f"--max-memory {size}", "attempts": attempts}
        for size, attempts in (("400m", [[1, 1, 1]]), ("1g", [[2, 1, 1]]), ("2g", [[3, 9, 1]]))  # the last is over
    ]
    jobs = [job(each, FAILED) for each in (1, 2, 3)]
    made = night(jobs, [bad(1), bad(2), bad(3)], adjustments=adjustments, watched={"capped": capped})
    held, grown = morning_left.left(made)
    assert (held.job_ids, held.reason) == ([1, 2], "at cap: memory 100m may not grow")
    assert held.commands[1].line == "torc-recover --max-memory 1g 7"
    assert grown.job_ids == [3]


# ---- the story


def change(
    number: int, subject: str, subject_id: int, before: object, after: object, **more: object
) -> dict[str, object]:
    why = more.pop("why", {})
    return {
        "change_id": number, "at": 1500.0, "who": "ann", "command": "torc-apply", "subject": subject,
        "subject_id": subject_id, "why": why, "before": before, "after": after, **more,
    }  # fmt: skip


def test_the_story_tells_changes_by_what_was_so_before_them() -> None:
    now = {
        1: {"name": "small", "memory_bytes": 100 * MIB, "runtime_s": 60},
        2: {"name": "copy", "memory_bytes": 400 * MIB, "runtime_s": 60},
    }
    changes = [
        change(1, "resource_requirements", 2, None, {"copy_of": 1, "memory_bytes": 200 * MIB, "runtime_s": 60}),
        change(2, "job", 1, {"resource_requirements_id": 1}, {"resource_requirements_id": 2}),
        change(3, "job", 1, {"status": "failed"}, {"status": "ready"}, why={"reset": "named"}, command="torc-reset"),
        change(4, "job", 3, {"status": "canceled"}, {"status": "blocked"}, why={"reset": "dependent"}),
        change(5, "job", 2, {"status": "failed"}, {"status": "ready"}, why={"reset": "named"}),
        change(6, "resource_requirements", 2, {"memory_bytes": 200 * MIB}, {"memory_bytes": 400 * MIB}, at=2500.0),
        change(7, "job", 2, {"command": "a"}, {"command": "b"}, at=2500.0, command="torc-jobs"),
        change(8, "workflow", 7, {"is_canceled": False}, {"is_canceled": True}, at=2500.0, command="torc-cancel"),
        change(9, "allocation", 1, None, {"status": "planned"}, at=2600.0),
        change(10, "allocation", 1, {}, {"status": "queued", "slurm_job_id": "5"}, at=2700.0, command="torc-submit"),
        change(11, "allocation", 1, {}, {"status": "complete"}, at=2700.0, command="torc-sync"),
    ]  # fmt: skip
    jobs = [morning.Job(1, "one", FAILED, 2), job(2), job(3)]
    attempts = [bad(1), bad(2), bad(1, 2, started_at=2000.0), attempt(2, 2, started_at=2000.0)]
    told = morning_story.story(night(jobs, attempts, requirements=now, changes=changes))
    assert [(each.title, [(item.text, list(item.job_ids)) for item in each.items]) for each in told] == [
        ("Run 1", [("2 attempts: 2 out of memory", [])]),
        (
            "Recovery",
            [
                ("memory 100 MB → 200 MB", [1]),
                ("as before", [2]),
                ("2 jobs started over, and 1 that depend on them", []),
            ],
        ),
        ("Run 2", [("2 attempts: 1 completed, 1 out of memory", [])]),
        (
            "Changed",
            [
                ("memory 200 MB → 400 MB", [1]),
                ("command: a → b", [2]),
                ("the workflow was canceled", []),
            ],
        ),
        ("Slurm", [("1 allocation submitted", [])]),
    ]


# ---- numbers and drawings


def test_usage_is_that_of_jobs_that_completed() -> None:
    jobs = [job(number) for number in range(1, 22)] + [job(22, FAILED)]
    attempts = [attempt(number, peak_memory_bytes=number * MIB) for number in range(1, 22)]
    (row,) = morning_usage.rows(night(jobs, [*attempts, bad(22, peak_memory_bytes=999 * MIB)]))
    assert (row.name, row.jobs, row.completed) == ("small", 22, 21)
    assert [row.memory.at(percent) for percent in (50, 95, 100)] == [11 * MIB, 20 * MIB, 21 * MIB]
    assert row.cpu.values[0] == 0.8
    assert (row.memory.fits, row.time.fits) == (None, None)  # one failed: it may be the one that needs it all


def test_what_was_too_little_says_what_would_fit() -> None:
    (row,) = morning_usage.rows(night([job(1)], [attempt(1, peak_memory_bytes=3 * 1024 * MIB)]))
    assert row.memory.asked is not None
    assert row.memory.fits == 4 * 1024 * MIB > row.memory.asked


def test_what_would_fit_is_what_the_usage_report_says(torc: Torc, work_dir: Path) -> None:
    jobs, attempts = [job(1)], [attempt(1, peak_memory_bytes=50 * MIB)]
    (row,) = morning_usage.rows(night(jobs, attempts))
    prepare(work_dir)
    execute("torc.db", "UPDATE job SET status = 5, resource_requirements_id = 1 WHERE job_id = 1")
    execute("torc.db", "UPDATE job SET resource_requirements_id = 2 WHERE job_id <> 1")
    execute("torc.db", f"UPDATE resource_requirements SET memory_bytes = {100 * MIB}")
    execute("torc.db", f"UPDATE result SET peak_memory_bytes = {50 * MIB}, exec_time_s = 10 WHERE job_id = 1")
    told = [orjson.loads(line) for line in torc("report", "--usage", 1).stdout.splitlines()]
    (usage,) = [each for each in told if each.get("resource_requirements") == "small"]
    assert row.memory.fits == usage["fitting_memory_bytes"] < 100 * MIB
    assert row.memory.at(95) == usage["peak_memory_p95_bytes"]


def test_the_largest_value_of_a_strip_is_always_drawn() -> None:
    made = morning_charts.strip([1.0] * 9999 + [100.0], 50.0)
    assert made.count('class="s') == 3  # the drawing itself, and two places
    assert '<rect x="119" ' in made
    assert 'class="over"' in made
    assert "largest at 200 % of the request" in made


def test_no_share_of_a_bar_is_too_small_to_be_seen() -> None:
    made = morning_charts.bar(
        [("completed", "completed", 9999), ("failed", "failed", 1), ("none", "none", 0)], "jobs", "f"
    )
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', made)]
    assert min(widths) > 0.5
    assert abs(sum(widths) - 100) < 0.1
    assert len(widths) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=30))
def test_attempts_in_a_lane_never_overlap(spans: list[tuple[int, int]]) -> None:
    attempts = [attempt(1, started_at=float(start), exec_time_s=float(took)) for start, took in sorted(spans)]
    lanes = morning_data.lanes(attempts)
    ends: dict[int, float] = {}
    for each, lane in zip(attempts, lanes, strict=True):
        assert each.started_at is not None
        assert ends.get(lane, -1.0) <= each.started_at
        ends[lane] = each.started_at + each.seconds
    at_once = [sum(a <= start < a + took for a, took in spans) for start, _ in spans]
    assert max(lanes, default=0) <= max(at_once, default=0)


def test_the_columns_are_whole() -> None:
    data = morning_data.data(
        night([job(4), job(9)], [bad(9), attempt(9, 2, started_at=1030.5), attempt(4, started_at=1005.0)])
    )
    assert data["jobs"]["id"] == [4, 5]
    tries = data["attempts"]
    assert {name: len(column) for name, column in tries.items() if name != "given"} == dict.fromkeys(
        (name for name in tries if name != "given"), 3
    )
    assert (data["tick"], tries["start"]) == (0.01, [0, 500, 2550])
    assert [tries["job"], tries["kind"], tries["took"]] == [[1, 0, 1], [1, 0, 0], [10_000] * 3]


def test_ten_thousand_jobs_are_a_small_page() -> None:
    made = nights.large()
    assert len(orjson.dumps(morning_data.data(made))) < 900_000
    assert len(morning_page.body(made)) < 60_000


# ---- the command


def texts(html: str) -> str:
    """Give what is on a page before its data, without its tags."""
    return re.sub(r"<[^>]*>", " ", html.partition("<body>")[2].partition('<script type="application/json"')[0])


def test_the_page_after_a_recovery(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    assert torc("recover", 1, "--no-run").returncode == 0
    assert torc("run", 1).returncode == 1
    done = torc("report", 1, "--html", "it's morning.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    html = (work_dir / "it's morning.html").read_text()
    shown = re.sub(r"\s+", " ", texts(html))
    assert "4 of 6&nbsp;jobs completed, 1&nbsp;failed and 1&nbsp;could not run." in shown
    assert "memory 2 GB → 3 GB train" in shown
    assert "time 1 min → 1 min 24 s sweep" in shown
    assert "ValueError: bad input" in shown
    assert "torc-reset --job-ids 4 &amp;&amp; torc-run 1" in shown
    assert "1 job behind could not run: after_bug" in shown
    assert "http:" not in html.replace("http://www.w3.org", "")
    assert "https:" not in html


def test_the_commands_on_the_page_do_what_they_say(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    html = torc("report", 1, "--html", "-").stdout.decode()
    found = [line.replace("&amp;", "&") for line in re.findall(r"<code>([^<]*)</code><button", html)]
    assert "torc-recover --retry-unknown 1" in found
    reset = next(line for line in found if line.startswith("torc-reset"))
    execute("torc.db", "UPDATE job SET command = 'true' WHERE job_id = 4")
    done = subprocess.run(["sh", "-c", reset], capture_output=True, check=False)
    assert execute("torc.db", "SELECT status FROM job WHERE job_id IN (4, 6)") == [(states.COMPLETED,)] * 2, done.stderr
    assert execute("torc.db", "SELECT status FROM job WHERE job_id = 2") == [(FAILED,)]


def test_what_a_watch_gave_up_is_told_with_its_override(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    limits = ("--max-memory", "2g", "--max-runtime", "PT1M")
    assert torc("watch", 1, "--recover", "--once", *limits).returncode == 1
    shown = re.sub(r"\s+", " ", texts(torc("report", 1, "--html", "-").stdout.decode()))
    assert "At cap: memory 2g may not grow." in shown
    assert "torc-recover --max-memory 3g 1" in shown
    assert "torc-recover --max-runtime PT1M30S 1" in shown
    assert torc("recover", 1, "--no-run").returncode == 0
    assert "--max-" not in texts(torc("report", 1, "--html", "-").stdout.decode())


def test_no_name_becomes_part_of_the_page(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    nights.spoil("torc.db")
    html = torc("report", 1, "--html", "-").stdout.decode()
    assert re.findall(r"<(?:img|iframe|object|a|form|base)\b", html) == []
    assert len(re.findall("<script", html)) == len(re.findall("</script", html)) == 2  # the data, the script
    assert re.findall(r"<[^>]*\son\w+=", html) == []
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_the_policy_lets_in_our_script_alone(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    html = torc("report", 1, "--html", "-").stdout.decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    assert f"script-src '{page.hashed(script)}';" in policy[1]
    assert policy[1].startswith("default-src 'none';")


def test_the_store_is_named_where_it_was(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir, "o'ther.db")
    html = torc("report", 1, "--store", "o'ther.db", "--html", "-").stdout.decode()
    assert "torc-recover --store " in html
    assert "o&#39;&quot;&#39;&quot;&#39;ther.db" in html


@pytest.mark.parametrize("option", [["-a"], ["--usage"], ["-r", "1"], ["-f", "json"], ["--where", "x"], ["-e"]])
def test_options_about_records_do_not_go_with_a_page(torc: Torc, work_dir: Path, option: list[str]) -> None:
    prepare(work_dir)
    done = torc("report", 1, "--html", "x.html", *option)
    assert done.returncode == 2
    assert "--html" in said(done)[-1]
    assert not (work_dir / "x.html").exists()


def test_a_page_that_cannot_be_written_leaves_what_was_there(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    (work_dir / "folder").mkdir()
    for path in ("folder", "missing/x.html"):
        done = torc("report", 1, "--html", path)
        assert done.returncode == 74
        assert said(done)[0].startswith(f"torc-report: cannot write '{path}': ")
    assert torc("report", 9, "--html", "x.html").returncode == 66
    assert sorted(each.name for each in work_dir.iterdir() if each.suffix != ".db") == ["folder"]


def test_a_link_and_a_pipe_are_written_through(torc: Torc, work_dir: Path) -> None:
    prepare(work_dir)
    (work_dir / "link.html").symlink_to("target.html")
    assert torc("report", 1, "--html", "link.html").returncode == 0
    assert (work_dir / "link.html").is_symlink()
    os.mkfifo(work_dir / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((work_dir / "pipe").read_bytes()))
    reader.start()
    assert torc("report", 1, "--html", "pipe").returncode == 0
    reader.join()
    assert (work_dir / "pipe").is_fifo()
    assert got[0].startswith(b"<!doctype html>")
    assert len(got[0]) == len((work_dir / "target.html").read_bytes())


def test_records_load_nothing_of_the_page(work_dir: Path) -> None:
    prepare(work_dir)
    code = (
        "import sys; from torc_tools.commands import report; report.main(['1']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([*sys_python(), "-c", code], capture_output=True, check=True)
    assert b"torc_tools.core.markup" not in done.stderr


def sys_python() -> list[str]:
    import sys

    return [sys.executable, "-P"]
