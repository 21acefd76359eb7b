"""(i) torc-plot: 1,000 jobs of 720 samples, 1,000,000 samples of one; beside plotly's own way of writing pages."""

import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from benchlib.measure import VENV, Usage, interleaved, run
from benchlib.table import Row, ratio, timed

ROUNDS = 3
PEER_PAGES = 10  # of plotly, as many as a bench can wait for
_TABLES = """
CREATE TABLE job_resource_samples (id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, timestamp REAL NOT NULL,
    cpu_percent REAL, memory_bytes INTEGER, num_processes INTEGER, attempt_id INTEGER NOT NULL DEFAULT 1);
CREATE TABLE job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT);
"""
_PEER = """
import math, plotly.graph_objects as go
for job in range({pages}):
    figure, x = go.Figure(), list(range(720))
    for name in ("CPU", "Memory", "Processes"):
        figure.add_trace(go.Scatter(x=x, y=[math.sin(n / 9 + job) for n in x], name=name))
    figure.write_html(f"peer/{{job}}.html")
"""


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure both, and plotly's default with the library in each page; give times, memory and sizes."""
    jobs = min(1000, at_most)
    many, long = folder / "many.db", folder / "long.db"
    _make(many, jobs, 720)
    _make(long, 1, 1_000_000)
    peer = _PEER.format(pages=PEER_PAGES)
    cases: dict[str, Callable[[int], Usage]] = {
        "many": lambda _: _into(folder, "many", ["torc-plot", "-o", "many", many]),
        "long": lambda _: _into(folder, "long", ["torc-plot", "-o", "long", long]),
        "peer": lambda _: _into(folder, "peer", [VENV / "python3", "-c", peer]),
    }
    taken = interleaved(cases, ROUNDS)
    a_page = taken["peer"].wall_s / PEER_PAGES
    peers = f"{ratio(taken['many'].wall_s, a_page * jobs)} plotly's write_html"
    rows = [
        timed("plot", f"torc-plot: {jobs:,} jobs x 720 samples", taken["many"], ROUNDS, peers=peers,
              aim="5 s, 300 MB", torc="1.1 s (0.21.0)"),
        timed("plot", "torc-plot: 1,000,000 samples of a job", taken["long"], ROUNDS, aim="300 MB"),
        timed("plot", f"plotly's write_html: {PEER_PAGES} jobs x 720 samples", taken["peer"], ROUNDS),
    ]  # fmt: skip
    return [*rows, *_sizes(folder, jobs)]


def _sizes(folder: Path, jobs: int) -> Iterator[Row]:
    one = _bytes(folder / "peer") / PEER_PAGES
    all_of_them = _bytes(folder / "many")
    peers = f"{ratio(all_of_them, one * jobs)} plotly's default, {one * jobs / 2**20:,.0f} MiB"
    torc = "79 MB that need a network (0.21.0)"
    yield Row("plot", f"all pages of {jobs:,} jobs", all_of_them / 2**20, "MiB", 1, peers=peers, torc=torc)
    for name in ("memory_all_jobs", "summary"):
        size = (folder / "many" / f"resource_plot_{name}.html").stat().st_size
        torc = "18 MB (0.21.0)" if name != "summary" else ""
        yield Row("plot", f"{name} of {jobs:,} jobs", size / 2**20, "MiB", 1, aim="2 MB", torc=torc)
    size = (folder / "long" / "resource_plot_job_1.html").stat().st_size
    yield Row(
        "plot", "a page with the library inside", size / 2**20, "MiB", 1, peers=f"{ratio(size, one)} plotly's default"
    )


def _into(folder: Path, name: str, argv: list[str | Path]) -> Usage:
    """Run a command that fills the folder `name`, emptied before."""
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir()
    return run(argv, folder)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _make(path: Path, jobs: int, samples: int) -> None:
    """Make a database in which jobs sample in turn, as a worker writes it."""
    with sqlite3.connect(path) as db:
        db.executescript(_TABLES)
        db.executemany("INSERT INTO job_metadata VALUES (?, ?)", ((job, f"job_{job}") for job in range(1, jobs + 1)))
        rows = (
            (job, 1.79e9 + 10 * n, 100 + 90 * math.sin(n / 9 + job), int(1e9 + 5e8 * math.sin(n / 50 + job)), 1 + n % 4)
            for n in range(samples)
            for job in range(1, jobs + 1)
        )
        columns = "job_id, timestamp, cpu_percent, memory_bytes, num_processes"
        db.executemany(f"INSERT INTO job_resource_samples ({columns}) VALUES (?, ?, ?, ?, ?)", rows)
    db.close()
