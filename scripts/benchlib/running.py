"""(d) Many short jobs, two at a time, beside xargs and GNU parallel; (e) a chain, beside a loop of the shell."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, ratio, timed

ROUNDS = 5
JOBS = 1_000
STAGES = 100
_RUN = "torc-run -j 2 -C FILE"
_STORED = "torc-run -j 2 WORKFLOW (created before)"
_PARALLEL = "parallel -j2 < FILE"
_XARGS = "xargs -P2 -n1 bash -c < FILE"


def jobs(folder: Path, _at_most: int) -> list[Row]:
    """Measure 1,000 jobs `true` and check afterwards that each has its events and its result."""
    here = folder / "jobs"
    here.mkdir()
    (here / "lines").write_text("true\n" * JOBS)
    run(["parallel", "--will-cite", "-j2", "true"], here)
    cases = {
        _RUN: _fresh(here, "a", ["torc-run", "-j", "2", "-C", here / "lines"]),
        _STORED: _stored(here),
        _PARALLEL: lambda _: run(["parallel", "--will-cite", "-j2"], here, source=here / "lines"),
        _XARGS: lambda _: run(["xargs", "-P2", "-n1", "bash", "-c"], here, source=here / "lines"),
    }
    taken = interleaved(cases, ROUNDS)
    peers = {name: f"{ratio(usage.wall_s, taken[_PARALLEL].wall_s)} parallel" for name, usage in taken.items()}
    peers |= {
        name: f"{peers[name]}, {ratio(taken[name].wall_s, taken[_XARGS].wall_s)} xargs" for name in (_RUN, _STORED)
    }
    notes = {_RUN: complete(here / f"a{ROUNDS - 1}", JOBS), _STORED: complete(here / f"b{ROUNDS - 1}", JOBS)}
    return [_jobs_row(name, usage, peers[name], notes.get(name, "")) for name, usage in taken.items()]


def chain(folder: Path, _at_most: int) -> list[Row]:
    """Measure 100 stages of one short job each; the loop runs the same jobs one after the other."""
    here = folder / "chain"
    here.mkdir()
    job = "sleep 0.01"
    links = [{"name": f"j{n}", "command": job} | ({"depends_on": [f"j{n - 1}"]} if n else {}) for n in range(STAGES)]
    (here / "chain.json").write_text(json.dumps({"name": "chain", "jobs": links}))
    loop = f"for i in $(seq {STAGES}); do bash -c '{job}'; done"
    cases = {
        "torc-run": _fresh(here, "c", ["torc-run", here / "chain.json"]),
        "loop": lambda _: run(["bash", "-c", loop], here),
    }
    taken = interleaved(cases, ROUNDS)
    usage, alone = taken["torc-run"], taken["loop"]
    each = (usage.wall_s - alone.wall_s) / STAGES * 1000
    note = complete(here / f"c{ROUNDS - 1}", STAGES)
    torc = "20 jobs: not done after 150 s; 21.5 s with the server at 1 s"
    return [
        timed("chain", f"torc-run: chain of {STAGES} x '{job}'", usage, ROUNDS, torc=torc, note=note),
        timed("chain", f"a loop of bash over the same {STAGES} jobs", alone, ROUNDS),
        Row("chain", "each stage beyond the job itself, start and end included", each, "ms", ROUNDS, aim="30 ms"),
    ]


def complete(folder: Path, count: int) -> str:
    """Say whether each of `count` jobs left a result and both of its events, its peak memory measured or not."""
    if not (folder / "torc_output" / "events").exists():
        return "NOTHING RAN"
    with closing(sqlite3.connect(folder / "torc.db")) as db:
        results, zeros, peaks = db.execute(
            "SELECT count(*), sum(return_code = 0), count(peak_memory_bytes) FROM result"
        ).fetchone()
    text = b"".join(path.read_bytes() for path in (folder / "torc_output" / "events").glob("*.jsonl"))
    events = [json.loads(line).get("event") for line in text.splitlines()]
    started, ended = events.count("started"), events.count("ended")
    whole = results == zeros == started == ended == count
    return f"{'all' if whole else 'NOT ALL:'} {results} results, {started} + {ended} events, {peaks} peaks"


def _fresh(here: Path, stem: str, argv: list[str | Path]) -> Callable[[int], Usage]:
    """Give a case that runs in a new folder each time, made before the clock starts."""

    def case(number: int) -> Usage:
        folder = here / f"{stem}{number}"
        folder.mkdir()
        return run(argv, folder)

    return case


def _stored(here: Path) -> Callable[[int], Usage]:
    spec = {"name": "many", "jobs": [{"name": "j{i}", "command": "true", "parameters": {"i": f"1:{JOBS}"}}]}
    (here / "many.json").write_text(json.dumps(spec))

    def case(number: int) -> Usage:
        folder = here / f"b{number}"
        folder.mkdir()
        run(["torc-create", here / "many.json"], folder)
        return run(["torc-run", "-j", "2", "1"], folder)

    return case


def _jobs_row(name: str, usage: Usage, peers: str, note: str) -> Row:
    aim = "1.8 s, half of parallel's" if name in (_RUN, _STORED) else ""
    torc = "5.2 s, monitor off (on: 500 jobs in 49 s)" if name == _RUN else ""
    return timed("jobs", f"{JOBS:,} x true: {name}", usage, ROUNDS, peers=peers, aim=aim, torc=torc, note=note)
