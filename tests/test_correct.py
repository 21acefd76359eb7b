"""torc-correct on stores: the object of torc's reference, the law on sharing, twice is once, bad input."""

import shutil
import sqlite3
from pathlib import Path

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import GIB, dump, execute, in_memory
from test_schemas import schema

from torc_tools import states
from torc_tools.commands import correct as command
from torc_tools.core import correcting, corrections, fitting
from torc_tools.core.fitting import Policy
from torc_tools.flows import applying
from torc_tools.flows import correcting as flow


def filled(path: Path | str, requirements, jobs) -> Path | str:
    """Give workflow 1 of a store these requirements and jobs alone; a job whose code is None has no result.

    A requirement is (id, memory, runtime, cpus), a job (id, name, requirement, status, code, seconds, peak, cpu).
    """
    execute(
        path, "DELETE FROM job_depends_on", "DELETE FROM result", "DELETE FROM job",
        "DELETE FROM resource_requirements",
    )  # fmt: skip
    db = sqlite3.connect(path)
    with db:
        db.executemany(
            "INSERT INTO resource_requirements (resource_requirements_id, workflow_id, name, memory_bytes, runtime_s,"
            " num_cpus) VALUES (?, 1, 'r' || ?1, ?, ?, ?)", requirements,
        )  # fmt: skip
        db.executemany(
            "INSERT INTO job (job_id, workflow_id, name, command, resource_requirements_id, status)"
            " VALUES (?, 1, ?, 'true', ?, ?)", [job[:4] for job in jobs],
        )  # fmt: skip
        db.executemany(
            "INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, exec_time_s,"
            " peak_memory_bytes, peak_cpu_percent, memory_bytes, runtime_s, num_cpus)"
            " SELECT 1, j.job_id, 1, 1, ?, ?, ?, ?, ?, r.memory_bytes, r.runtime_s, r.num_cpus FROM job j"
            " JOIN resource_requirements r USING (resource_requirements_id) WHERE j.job_id = ?",
            [(*job[3:], job[0]) for job in jobs if job[4] is not None],
        )
    db.close()
    return path


@pytest.fixture
def documented_store(store_file: Path) -> Path:
    """Give a store that holds the example of torc's reference."""
    requirements = [(10, 8 * GIB, 3600, 1), (11, 32 * GIB, 4 * 3600, 1)]
    jobs = [
        (15, "train_model", 10, states.FAILED, 137, 600.0, 10_500_000_000, 80.0),
        (20, "preprocess_a", 11, states.COMPLETED, 0, 540.0, GIB, 80.0),
        (21, "preprocess_b", 11, states.COMPLETED, 0, 600.0, 2 * GIB, 99.0),
    ]
    filled(store_file, requirements, jobs)
    return store_file


DOCUMENTED = {
    "status": "success",
    "workflow_id": 1,
    "dry_run": False,
    "no_downsize": False,
    "memory_multiplier": 1.2,
    "cpu_multiplier": 1.2,
    "runtime_multiplier": 1.2,
    "resource_requirements_updated": 2,
    "jobs_analyzed": 1,
    "memory_corrections": 1,
    "runtime_corrections": 0,
    "cpu_corrections": 0,
    "downsize_memory_corrections": 2,
    "downsize_runtime_corrections": 2,
    "downsize_cpu_corrections": 0,
    "adjustments": [
        {
            "resource_requirements_id": 10,
            "direction": "upscale",
            "job_ids": [15],
            "job_names": ["train_model"],
            "memory_adjusted": True,
            "original_memory": "8g",
            "new_memory": "12g",  # torc's 13g is of 10.5 GiB; its peak is 10.5e9 bytes
            "max_peak_memory_bytes": 10500000000,
            "runtime_adjusted": False,
        },
        {
            "resource_requirements_id": 11,
            "direction": "downscale",
            "job_ids": [20, 21],
            "job_names": ["preprocess_a", "preprocess_b"],
            "memory_adjusted": True,
            "original_memory": "32g",
            "new_memory": "3g",
            "max_peak_memory_bytes": 2147483648,
            "runtime_adjusted": True,
            "original_runtime": "PT4H",
            "new_runtime": "PT12M",
            "max_peak_cpu_percent": 99.0,
        },
    ],
}


def requests(path: Path) -> dict[int, tuple]:
    query = "SELECT job_id, memory_bytes, runtime_s, num_cpus FROM job JOIN resource_requirements"
    return {row[0]: row[1:] for row in execute(path, f"{query} USING (resource_requirements_id)")}


def record(output: bytes) -> dict:
    begin, found, end = map(orjson.loads, output.splitlines())
    assert (begin["stage"], found["type"], end["count"]) == ("torc-correct", "correction", 1)
    jsonschema.Draft202012Validator(schema("correction")).validate(found)
    return found


def test_the_object_is_that_of_torcs_reference_key_by_key(torc, documented_store) -> None:
    done = torc("correct", 1, "-f", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == orjson.dumps(DOCUMENTED, option=orjson.OPT_INDENT_2) + b"\n"
    assert requests(documented_store) == {
        15: (12 * GIB, 3600, 1), 20: (3 * GIB, 720, 1), 21: (3 * GIB, 720, 1),
    }  # fmt: skip


def test_a_record_is_the_object_with_its_type(torc, documented_store) -> None:
    found = record(torc("correct", 1).stdout)
    assert found == {"type": "correction", **DOCUMENTED}


def test_a_dry_run_says_the_same_and_changes_no_byte(torc, documented_store) -> None:
    before = documented_store.read_bytes()
    done = torc("correct", 1, "-n", "-f", "json")
    assert orjson.loads(done.stdout) == {**DOCUMENTED, "dry_run": True}
    assert documented_store.read_bytes() == before


def test_nothing_falls_where_that_is_asked_for(torc, documented_store) -> None:
    found = record(torc("correct", 1, "--no-downsize").stdout)
    assert (found["no_downsize"], found["adjustments"]) == (True, DOCUMENTED["adjustments"][:1])
    assert requests(documented_store)[20] == (32 * GIB, 4 * 3600, 1)


def test_factors_are_taken_and_shown(torc, documented_store) -> None:
    factors = ("--memory-multiplier", "1.5", "--cpu-multiplier", "2", "--runtime-multiplier", "1.125")
    found = record(torc("correct", 1, *factors).stdout)
    shown = [found[f"{what}_multiplier"] for what in ("memory", "cpu", "runtime")]
    assert shown == [1.5, 2.0, 1.125]
    assert [(each["new_memory"], each.get("new_runtime")) for each in found["adjustments"]] == [
        ("15g", None), ("3g", "PT11M15S"),
    ]  # fmt: skip


def test_row_63_counts_jobs_with_too_little_and_requirements_that_change(torc, store_file) -> None:
    """14 jobs with too little, one of which cannot be helped: 7 memory, 4 runtime, 2 CPUs; 8 requirements fall, too."""
    failed, done, late = states.FAILED, states.COMPLETED, states.TERMINATED
    up_rows = [(row, 8 * GIB, 3600, 2) for row in range(1, 12)] + [(12, 8 * GIB, None, 2)]
    down_rows = [(row, 32 * GIB, 600, 1) for row in range(13, 21)]
    jobs = [(at, f"m{at}", min(at, 5), failed, 137, 60.0, 9 * GIB, 100.0) for at in range(1, 8)]
    jobs += [(at, f"t{at}", at - 2, late, 152, 3600.0, GIB, 100.0) for at in range(8, 12)]
    jobs += [(12, "c12", 10, failed, 1, 60.0, GIB, 250.0), (13, "c13", 11, done, 0, 60.0, 5 * GIB, 250.0)]
    jobs += [(14, "x14", 12, late, 152, 60.0, GIB, 100.0)]
    jobs += [(row + 7, f"d{row}", row, done, 0, 300.0, GIB, 80.0) for row in range(13, 21)]
    filled(store_file, [*up_rows, *down_rows], jobs)
    shutil.copy(store_file, "again.db")
    found = record(torc("correct", 1, "--no-downsize", "--store", "again.db").stdout)
    counted = [found[key] for key in ("jobs_analyzed", "memory_corrections", "runtime_corrections", "cpu_corrections")]
    assert counted == [14, 7, 4, 2]
    assert found["resource_requirements_updated"] == 11
    assert record(torc("correct", 1).stdout)["resource_requirements_updated"] == 19
    assert record(torc("correct", 1).stdout)["adjustments"] == []


def shared(path: Path) -> Path:
    """Make a store whose three jobs share a requirement: one is done, one ran out of memory, one was late."""
    jobs = [
        (1, "healthy", 5, states.COMPLETED, 0, 60.0, GIB, 90.0),
        (2, "big", 5, states.FAILED, 137, 60.0, 9 * GIB, 90.0),
        (3, "slow", 5, states.TERMINATED, 152, 3600.0, GIB, 90.0),
    ]
    filled(path, [(5, 8 * GIB, 3600, 1)], jobs)
    return path


def test_the_healthy_siblings_request_is_untouched(torc, store_file) -> None:
    shared(store_file)
    found = record(torc("correct", 1).stdout)
    assert requests(store_file) == {1: (8 * GIB, 3600, 1), 2: (11 * GIB, 3600, 1), 3: (8 * GIB, 4320, 1)}
    assert [
        (each["resource_requirements_id"], each["job_ids"], each["new_resource_requirements_id"] != 5)
        for each in found["adjustments"]
    ] == [(5, [2], True), (5, [3], True)]
    assert found["resource_requirements_updated"] == 2
    names = execute(store_file, "SELECT name FROM resource_requirements ORDER BY 1")
    assert names == [("r5",), ("r5_j2",), ("r5_j3",)]


def test_a_copy_is_not_named_before_it_is_made(torc, store_file) -> None:
    shared(store_file)
    found = record(torc("correct", 1, "--dry-run").stdout)
    assert [each.get("new_resource_requirements_id") for each in found["adjustments"]] == [None, None]


def test_twice_is_once_also_where_a_requirement_was_split(torc, store_file) -> None:
    """What is left of a requirement does not fall because those that had too little have moved to one of their own."""
    shared(store_file)
    assert len(record(torc("correct", 1).stdout)["adjustments"]) == 2
    once = dump(store_file)
    again = record(torc("correct", 1).stdout)
    assert (again["jobs_analyzed"], again["adjustments"], again["resource_requirements_updated"]) == (0, [], 0)
    assert dump(store_file) == once


def test_once_all_have_run_with_what_they_were_given_what_is_left_falls(torc, store_file) -> None:
    shared(store_file)
    torc("correct", 1)
    execute(
        store_file,
        f"UPDATE job SET status = {states.COMPLETED}, run_id = 2",
        "INSERT INTO result (workflow_id, job_id, run_id, attempt_id, status, return_code, exec_time_s,"
        " peak_memory_bytes, peak_cpu_percent, memory_bytes, runtime_s, num_cpus)"
        f" SELECT 1, job_id, 2, 1, {states.COMPLETED}, 0, 3000, {GIB}, 90.0, memory_bytes, runtime_s, 1"
        " FROM job JOIN resource_requirements USING (resource_requirements_id)",
    )
    found = record(torc("correct", 1).stdout)
    assert [(each["direction"], each["job_ids"], each["new_memory"]) for each in found["adjustments"]] == [
        ("downscale", [1], "2g"), ("downscale", [2], "2g"), ("downscale", [3], "2g"),
    ]  # fmt: skip


def test_the_journal_knows_every_change_and_its_reason(torc, documented_store) -> None:
    torc("correct", 1)
    changes = execute(documented_store, "SELECT subject_id, command, why, before, after FROM change ORDER BY change_id")
    assert [(row[0], row[1], orjson.loads(row[2])["cause"]) for row in changes] == [
        (10, "torc-apply", "oom"), (11, "torc-apply", "under_use"),
    ]  # fmt: skip
    assert orjson.loads(changes[1][3]) == {"memory_bytes": 32 * GIB, "runtime_s": 4 * 3600}


def test_a_job_that_was_reset_is_corrected_for_its_next_run(torc, store_file) -> None:
    shared(store_file)
    assert torc("reset", "-w", 1, "--failed").returncode == 0
    assert record(torc("correct", 1).stdout)["memory_corrections"] == 1
    assert requests(store_file)[2] == (11 * GIB, 3600, 1)


def test_cpus_grow_and_fall(torc, store_file) -> None:
    jobs = [
        (1, "wide", 5, states.COMPLETED, 0, 60.0, GIB, 250.0), (2, "narrow", 6, states.COMPLETED, 0, 60.0, GIB, 150.0),
    ]  # fmt: skip
    filled(store_file, [(5, None, None, 2), (6, None, None, 8)], jobs)
    found = record(torc("correct", 1).stdout)
    assert [
        (each["cpu_adjusted"], each["original_cpus"], each["new_cpus"], each["max_peak_cpu_percent"])
        for each in found["adjustments"]
    ] == [(True, 2, 3, 250.0), (True, 8, 2, 150.0)]
    assert (found["cpu_corrections"], found["downsize_cpu_corrections"]) == (1, 1)
    assert requests(store_file) == {1: (None, None, 3), 2: (None, None, 2)}


def test_what_moved_on_is_left_and_the_rest_corrected(torc, store_file, capfdbinary, monkeypatch) -> None:
    shared(store_file)
    planned = correcting.plan

    def stale(uses, policy):
        given, analyzed = planned(uses, policy)
        adjustments = list(given)
        adjustments[0]["original_memory"] = "7g"
        return adjustments, analyzed

    monkeypatch.setattr(correcting, "plan", stale)
    assert command.main(["1", "--store", str(store_file)]) == 65
    written = capfdbinary.readouterr()
    assert b"job 2: refused: planned from memory 7g, the store has 8g" in written.err
    found = record(written.out)
    assert (found["status"], found["memory_corrections"], found["runtime_corrections"]) == ("partial_success", 0, 1)


def test_what_another_has_done_meanwhile_is_not_counted() -> None:
    applied = {"already": True, "direction": "upscale", "memory_adjusted": True, "resource_requirements_id": 3}
    found = corrections.report({"workflow_id": 1, "jobs_analyzed": 1}, [applied])
    assert (found["memory_corrections"], found["resource_requirements_updated"], found["adjustments"]) == (0, 0, [])


def test_the_time_of_a_job_that_was_warned_of_its_end_is_no_measure(torc, store_file) -> None:
    jobs = [(1, "polite", 5, states.COMPLETED, 0, 60.0, GIB, 90.0)]
    filled(store_file, [(5, 8 * GIB, 4 * 3600, 1)], jobs)
    execute(store_file, """UPDATE result SET facts = '{"warned_at":1700000000.5}'""")
    torc("correct", 1)
    assert requests(store_file) == {1: (2 * GIB, 4 * 3600, 1)}


def test_a_workflow_that_has_not_run_is_said_to_have_nothing_to_go_by(torc, store_file) -> None:
    filled(store_file, [(5, 8 * GIB, 3600, 1)], [(1, "new", 5, states.READY, None)])
    found = record(torc("correct", 1).stdout)
    assert (found["status"], found["message"], found["jobs_analyzed"]) == ("success", "No completed jobs found", 0)
    execute(store_file, "UPDATE job SET resource_requirements_id = NULL")
    assert record(torc("correct", 1).stdout)["message"] == "No job asks for anything"


def test_jobs_that_ask_for_nothing_are_left_alone(torc, store_file) -> None:
    filled(store_file, [(5, 8 * GIB, 3600, 1)], [(1, "free", 5, states.FAILED, 137, 60.0, 9 * GIB, 900.0)])
    execute(store_file, "UPDATE job SET resource_requirements_id = NULL")
    assert record(torc("correct", 1).stdout)["adjustments"] == []


HOSTILE = 'a\n"b\x1b[31m<script>alert(1)</script>'


@pytest.mark.parametrize("kind", ["table", "csv", "json", "jsonl"])
def test_a_hostile_name_stays_text(torc, store_file, kind) -> None:
    shared(store_file)
    with sqlite3.connect(store_file) as db:
        db.execute("UPDATE job SET name = ? WHERE job_id = 2", (HOSTILE,))
    db.close()
    done = torc("correct", 1, "-f", kind)
    assert (done.returncode, b"\x1b" in done.stdout and kind != "csv") == (0, False)
    if kind == "json":
        assert orjson.loads(done.stdout)["adjustments"][0]["job_names"] == [HOSTILE]


def test_a_table_is_for_people(torc, store_file) -> None:
    shared(store_file)
    lines = torc("correct", 1, "-n", "-f", "table").stdout.decode().splitlines()
    assert lines[:7] == [
        "Resource Correction Summary:",
        "  Workflow: 1",
        "  Jobs with violations: 2",
        "  Resource requirements updated: 2",
        "  Memory corrections: 1 job(s)",
        "  Runtime corrections: 1 job(s)",
        "  (dry-run mode - changes not applied)",
    ]
    assert [line.split()[:2] for line in lines[8:]] == [
        ["requirements", "direction"], ["5", "upscale"], ["5", "upscale"],
    ]  # fmt: skip
    assert "8g -> 11g" in lines[9]


def test_lines_can_be_chosen_and_made_into_others(torc, documented_store) -> None:
    chosen = torc("correct", 1, "-n", "--query", "adjustments[].new_memory").stdout
    assert orjson.loads(chosen) == ["12g", "3g"]
    nothing = torc("correct", 1, "-n", "-f", "json", "-e", "--where", "jobs_analyzed > `9`")
    assert (nothing.returncode, nothing.stdout) == (1, b"")
    rows = torc("correct", 1, "-n", "-f", "csv").stdout.decode().splitlines()
    assert rows == [
        "requirements,direction,memory,runtime,cpus,jobs,names",
        "10,upscale,8g -> 12g,,,1,train_model",
        '11,downscale,32g -> 3g,PT4H -> PT12M,,2,"preprocess_a, preprocess_b"',
    ]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("1", "--memory-multiplier", "0.9"), 2, b"below 1"),
        (("1", "--cpu-multiplier", "0"), 2, b"--cpu-multiplier"),
        (("1", "--cpu-multiplier", "-1"), 2, b"--cpu-multiplier"),
        (("1", "--runtime-multiplier", "nan"), 2, b"not a factor"),
        (("1", "--runtime-multiplier", "1.2345"), 2, b"at most three decimals"),
        (("1", "--memory-multiplier", "1e9"), 2, b"not a factor"),
        (("1", "--job-ids", "2,x"), 2, b"not an id: 'x'"),
        (("1", "--job-ids", ""), 2, b"not an id"),
        (("1", "--job-ids", "15,99,98"), 66, b"workflow 1 has no job '98'"),
        (("9",), 66, b"no such workflow: '9'"),
        (("one",), 2, b"not an id: 'one'"),
        (("1", "--store", "none.db"), 66, b"none.db"),
        ((), 2, b"WORKFLOW"),
    ],
)
def test_bad_input_changes_nothing(torc, documented_store, words, status, said) -> None:
    before = dump(documented_store)
    done = torc("correct", *words)
    assert (done.returncode, done.stdout, said in done.stderr, b"Traceback" in done.stderr) == (
        status,
        b"",
        True,
        False,
    )
    assert dump(documented_store) == before


# Properties, on random stores in memory.

peaks = st.none() | st.integers(0, 40).map(lambda n: n * GIB // 2)
attempts = st.none() | st.fixed_dictionaries(
    {
        "status": st.sampled_from([states.COMPLETED] * 6 + [states.FAILED, states.TERMINATED, states.CANCELED]),
        "return_code": st.sampled_from([0, 1, 137, 152]),
        "exec_time_s": st.none() | st.floats(0, 20000),
        "peak_memory_bytes": peaks,
        "peak_cpu_percent": st.none() | st.floats(0, 900),
    }
)
limits = st.tuples(
    st.none() | st.integers(1, 16).map(lambda n: n * GIB), st.none() | st.integers(60, 15000), st.integers(1, 8)
)
worlds = st.tuples(
    st.lists(limits, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), attempts), min_size=1, max_size=7)
)
factors = st.integers(1000, 3000)
falls = st.sampled_from([True, True, False])
chosen = st.none() | st.frozensets(st.integers(1, 7), min_size=1)
policies = st.builds(
    Policy, memory_milli=factors, cpu_milli=factors, runtime_milli=factors, downsize=falls, job_ids=chosen
)


def world(made) -> sqlite3.Connection:
    """Make a store in memory; the results are of attempts that had what their jobs ask for."""
    requirements, jobs = made
    db = in_memory()
    db.executemany(
        "INSERT INTO resource_requirements (workflow_id, name, memory_bytes, runtime_s, num_cpus)"
        " VALUES (1, 'r', ?, ?, ?)", requirements,
    )  # fmt: skip
    for job_id, (at, attempt) in enumerate(jobs, 1):
        row = at % len(requirements)
        status = attempt["status"] if attempt else states.READY
        db.execute(
            "INSERT INTO job (job_id, workflow_id, name, command, status, resource_requirements_id)"
            " VALUES (?, 1, 'j', 'true', ?, ?)", (job_id, status, row + 1),
        )  # fmt: skip
        if attempt:
            code = 0 if status == states.COMPLETED else attempt["return_code"] or 1
            keys = ("exec_time_s", "peak_memory_bytes", "peak_cpu_percent")
            values = (job_id, status, code, *(attempt[key] for key in keys), *requirements[row])
            db.execute(
                "INSERT INTO result (workflow_id, run_id, attempt_id, job_id, status, return_code, exec_time_s,"
                " peak_memory_bytes, peak_cpu_percent, memory_bytes, runtime_s, num_cpus)"
                " VALUES (1, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values,
            )  # fmt: skip
    return db


def asked(db: sqlite3.Connection) -> dict[int, tuple]:
    query = "SELECT job_id, memory_bytes, r.runtime_s, num_cpus FROM job JOIN resource_requirements r"
    return {row[0]: tuple(row)[1:] for row in db.execute(f"{query} USING (resource_requirements_id)")}


@settings(deadline=None, max_examples=60)
@given(worlds, policies)
def test_a_correction_is_granted_whole_and_twice_is_once(made, policy) -> None:
    db = world(made)
    adjustments, _ = correcting.plan(flow._read(db, 1), policy)
    _, refused = applying.apply(db, list(adjustments), dry_run=False)
    assert refused == []
    whole = asked(db)
    again, _ = correcting.plan(flow._read(db, 1), policy)
    assert list(again) == []
    assert asked(db) == whole


@settings(deadline=None, max_examples=60)
@given(worlds, policies)
def test_no_job_falls_that_failed_and_none_to_less_than_it_used(made, policy) -> None:
    db = world(made)
    uses = {use.job_id: use for use in flow._read(db, 1)}
    before = asked(db)
    applying.apply(db, list(correcting.plan(uses.values(), policy)[0]), dry_run=False)
    for job_id, after in asked(db).items():
        used, had = uses[job_id], before[job_id]
        falls = any(new is not None and new < old for new, old in zip(after, had, strict=True) if old is not None)
        grows = any(new is not None and new > old for new, old in zip(after, had, strict=True) if old is not None)
        assert not (falls and grows)
        assert not (falls or grows) or policy.job_ids is None or job_id in policy.job_ids
        if falls:
            assert (policy.downsize, used.status, used.return_code) == (True, "completed", 0)
            assert after[0] is None or after[0] >= (used.peak_memory or 0)
            assert after[1] is None or after[1] >= (used.exec_s or 0)
            assert after[0] == had[0] or used.peak_memory
            assert after[2] == had[2] or (used.peak_cpu is not None and after[2] * 100 >= used.peak_cpu - 0.001)
        if used.status is None or (used.status == "completed" and not grows and not falls):
            assert after == had
        if grows:
            assert used.diagnosis is not None or fitting.more(used, policy).violated
