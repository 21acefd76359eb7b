"""What a recovery may never do, held on random results and random graphs. The README lists all ten with their tests."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import prepared
import pytest
import sources
from conftest import Torc
from hypothesis import given, settings
from hypothesis import strategies as st
from reach import dependents

from torc_tools import exits
from torc_tools.core import diagnosis, heuristics
from torc_tools.core.resetting import Name
from torc_tools.flows import resetting
from torc_tools.shell import queries, store
from torc_tools.states import BAD, BLOCKED, CANCELED, COMPLETED, DONE, FAILED, NAMES, READY, TERMINATED

CODES = st.sampled_from([1, 2, 11, 126, 127, 130, 134, 139, 255])


@given(CODES, st.sampled_from(["failed", "terminated"]))
def test_absence_of_evidence_is_a_verdict_of_its_own(code: int, status: str) -> None:
    """Nothing measured, no word of anyone: not out of memory, not too long, never sure, and nothing grows."""
    bare = {
        "type": "result",
        "job_id": 1,
        "status": status,
        "return_code": code,
        "memory_bytes": 1 << 30,
        "runtime_s": 60,
    }
    verdict = diagnosis.diagnose(bare)
    assert not verdict["likely_oom"]
    assert verdict["certainty"] != "certain"
    plan = heuristics.adjust(verdict, heuristics.Policy())
    if verdict["cause"] == "unknown":
        assert plan["action"] == "hold"
        assert plan["reason"]
    assert plan["new_memory"] is None


def street(torc: Torc, *stages: tuple[str, ...]) -> list[bytes]:
    """Run stages one after the other, each on the output of the one before; give what each wrote."""
    outputs: list[bytes] = []
    for name, *args in stages:
        done = torc(name, *args, input=outputs[-1] if outputs else None)
        assert done.returncode in (exits.OK, exits.DATA), done.stderr.decode()
        outputs.append(done.stdout)
    return outputs


STREET = (("diagnose", "1"), ("heuristics",), ("apply",), ("reset",))


def jobs(work_dir: Path) -> dict[int, tuple[Any, ...]]:
    db = store.open_store(str(work_dir / "torc.db"))
    return {
        job["job_id"]: (job["status"], job["run_id"], job["memory_bytes"], job["runtime_s"]) for job in queries.jobs(db)
    }


def test_the_street_grows_what_failed_and_starts_over_what_it_named(
    torc: Torc, store_file: Path, work_dir: Path
) -> None:
    before = jobs(work_dir)
    street(torc, *STREET)
    after = jobs(work_dir)
    assert after[2] == ("ready", 2, 3 * prepared.GIB, 600)
    assert after[3] == ("ready", 2, prepared.GIB, 90)
    assert after[5][:2] == ("blocked", 2)
    assert [after[job] for job in (1, 4, 6)] == [before[job] for job in (1, 4, 6)]


def test_every_line_between_the_stages_is_what_its_schema_says(torc: Torc, store_file: Path) -> None:
    for output in street(torc, *STREET):
        for line in output.splitlines():
            record = json.loads(line)
            schema = json.loads((sources.ROOT / "schemas" / f"{record['type']}.json").read_text())
            jsonschema.Draft202012Validator(schema).validate(record)


def test_the_street_twice_is_the_street_once(torc: Torc, store_file: Path, work_dir: Path) -> None:
    plan = street(torc, *STREET[:2])[-1]
    once = torc("apply", input=plan).stdout
    torc("reset", input=once)
    state = jobs(work_dir)
    for output in (torc("apply", input=plan).stdout, once):
        torc("reset", input=output)
    assert jobs(work_dir) == state


def test_a_job_whose_adjustment_was_not_written_is_not_reset(torc: Torc, store_file: Path, work_dir: Path) -> None:
    """The plan of job 2 is stale, that of job 3 is good: 3 alone starts over."""
    plan = street(torc, *STREET[:2])[-1]
    prepared.execute(
        store_file,
        "UPDATE resource_requirements SET memory_bytes = memory_bytes + 1 WHERE resource_requirements_id = 2",
    )
    applied = torc("apply", input=plan)
    assert applied.returncode == exits.DATA
    assert torc("reset", input=applied.stdout).returncode == exits.OK
    assert [jobs(work_dir)[job][0] for job in (2, 3)] == ["failed", "ready"]


@pytest.mark.parametrize("writes", range(1, 12))
def test_where_apply_dies_nothing_is_reset_that_did_not_grow(
    torc: Torc, store_file: Path, work_dir: Path, writes: int
) -> None:
    plan = street(torc, *STREET[:2])[-1]
    applied = torc("apply", input=plan, env={"TORC_KILL_AFTER_WRITES": str(writes)})
    torc("reset", input=applied.stdout)
    after = jobs(work_dir)
    for job, memory, runtime in ((2, 2 * prepared.GIB, 600), (3, prepared.GIB, 60)):
        status, _, now_memory, now_runtime = after[job]
        assert status != "ready" or now_memory > memory or now_runtime > runtime


def test_nothing_is_changed_before_the_whole_plan_is_checked(torc: Torc, store_file: Path) -> None:
    plan = street(torc, *STREET[:2])[-1]
    before = store_file.read_bytes()
    done = torc("apply", input=plan + b'{"type":"adjustment","job_ids":[2],"new_memory":"lots"}\n')
    assert done.returncode == exits.DATA
    assert store_file.read_bytes() == before


def test_a_preview_changes_no_byte(torc: Torc, store_file: Path, work_dir: Path) -> None:
    before = store_file.read_bytes()
    plan = street(torc, *STREET[:2])[-1]
    applied = torc("apply", "-n", input=plan).stdout
    assert torc("reset", "-n", input=applied).returncode == exits.OK
    assert torc("recover", "1", "--dry-run").returncode == exits.OK
    assert store_file.read_bytes() == before
    assert sorted(path.name for path in work_dir.iterdir()) == ["torc.db"]


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[int, set[int]], dict[int, int], set[int]]:
    """Give a graph, the end of each of its jobs as the transition rule has it, and the jobs that cancel on failure."""
    count = draw(st.integers(1, 10))
    parents = {
        job: draw(st.sets(st.integers(1, job - 1), max_size=3)) if job > 1 else set() for job in range(1, count + 1)
    }
    cancels = draw(st.sets(st.integers(1, count)))
    status: dict[int, int] = {}
    for job, ups in parents.items():
        ran = draw(st.sampled_from([COMPLETED, FAILED, TERMINATED]))
        status[job] = CANCELED if job in cancels and any(status[up] in BAD for up in ups) else ran
    return parents, status, cancels


def stored(parents: dict[int, set[int]], status: dict[int, int], cancels: set[int]) -> sqlite3.Connection:
    """Give a store in memory that holds such a history."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    store.migrations.migrate(db, ":memory:")
    db.execute(
        "INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
        " VALUES ('t', 'w', 0, '/x', '/x', '{}')"
    )
    db.executemany(
        "INSERT INTO job (job_id, workflow_id, name, command, status, cancel_on_blocking_job_failure)"
        " VALUES (?, 1, 'j' || ?1, 'true', ?, ?)",
        [(job, status[job], job in cancels) for job in parents],
    )
    db.executemany(
        "INSERT INTO job_depends_on VALUES (?, ?)", [(job, up) for job, ups in parents.items() for up in ups]
    )
    return db


@settings(deadline=None)
@given(histories(), st.sets(st.integers(1, 10), min_size=1))
def test_a_reset_touches_the_named_and_their_dependents_and_runs_nothing_over_a_failure(
    history: tuple[dict[int, set[int]], dict[int, int], set[int]], wanted: set[int]
) -> None:
    parents, status, cancels = history
    named = wanted & set(parents)
    db = stored(parents, status, cancels)
    resetting.reset(db, [Name(job) for job in named], force=False, dry_run=False)
    after = {row["job_id"]: NAMES.index(row["status"]) for row in queries.jobs(db)}
    children = {up: {job for job in parents if up in parents[job]} for up in parents}
    touched = named | dependents(named, children)
    assert {job for job in parents if after[job] != status[job]} <= touched
    assert {row["job_id"] for row in queries.jobs(db, "j.run_id = 2")} == touched
    for job in touched:
        bad = any(after[up] in BAD for up in parents[job])
        done = all(after[up] in DONE for up in parents[job])
        assert after[job] == (BLOCKED if not done else CANCELED if bad and job in cancels else READY)


def test_the_journal_names_every_change_of_the_street(torc: Torc, store_file: Path) -> None:
    street(torc, *STREET)
    db = store.open_store(str(store_file))
    rows = db.execute("SELECT subject, subject_id, command, why FROM change ORDER BY change_id").fetchall()
    assert all(orjson.loads(row["why"]) for row in rows)
    assert {row["subject_id"] for row in rows if row["subject"] == "job" and row["command"] == "torc-reset"} == {
        2,
        3,
        5,
    }
