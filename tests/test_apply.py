"""torc-apply: guards, copy-on-write, idempotence, journal, and a kill after each write."""

import shutil
import sqlite3
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import GIB, dump, execute, in_memory, prepare

from torc_tools.core import adjusting
from torc_tools.core.adjusting import Life
from torc_tools.core.heuristics import Policy, adjust
from torc_tools.flows import applying


def adjustment(job_id=2, **fields):
    return {"type": "adjustment", "job_ids": [job_id], "new_memory": "3g", **fields}


def lines(output: bytes) -> list[dict]:
    return [orjson.loads(line) for line in output.splitlines()]


def street(torc, *more: str) -> bytes:
    return torc("heuristics", *more, input=torc("diagnose", 1).stdout).stdout


def requests(path: Path) -> dict[int, tuple]:
    found = execute(
        path,
        "SELECT j.job_id, r.memory_bytes, r.runtime_s FROM job j LEFT JOIN resource_requirements r"
        " USING (resource_requirements_id)",
    )
    return {job_id: limits for job_id, *limits in found}


def test_only_the_failing_jobs_grow(torc, store_file) -> None:
    before = requests(store_file)
    done = torc("apply", input=street(torc))
    assert (done.returncode, done.stderr) == (0, b"")
    after = requests(store_file)
    assert after[2] == [3 * GIB, 600]
    assert after[3] == [GIB, 90]
    assert {job: after[job] for job in (1, 4, 5, 6)} == {job: before[job] for job in (1, 4, 5, 6)}
    applied = [record for record in lines(done.stdout) if record["type"] == "applied"]
    assert [(record["job_ids"], record["copied"]) for record in applied] == [([2], False), ([3], True)]
    assert execute(
        store_file, "SELECT name, num_cpus FROM resource_requirements WHERE resource_requirements_id = 3"
    ) == [("small_j3", 1)]


def test_a_held_adjustment_and_strangers_pass_through_in_order(torc, store_file) -> None:
    given_lines = [{"type": "note", "text": "x"}, {**adjustment(4), "action": "hold"}, adjustment(2), {"type": "z"}]
    done = torc("apply", input=b"\n".join(map(orjson.dumps, given_lines)))
    assert [record["type"] for record in lines(done.stdout)] == ["begin", "note", "adjustment", "applied", "z", "end"]
    assert lines(done.stdout)[1:3] == given_lines[:2]


def test_twice_is_once(torc, store_file) -> None:
    plan = street(torc)
    torc("apply", input=plan)
    once = dump(store_file)
    done = torc("apply", input=plan)
    assert done.returncode == 0
    assert [record["already"] for record in lines(done.stdout) if record["type"] == "applied"] == [True, True]
    assert dump(store_file) == once
    assert store_file.read_bytes()


def test_every_change_is_in_the_journal_with_its_reason(torc, store_file) -> None:
    done = torc("apply", input=street(torc))
    journal = execute(store_file, "SELECT change_id, subject, subject_id, why, before, after FROM change ORDER BY 1")
    assert [row[:3] for row in journal] == [
        (1, "resource_requirements", 2),
        (2, "resource_requirements", 3),
        (3, "job", 3),
    ]
    assert orjson.loads(journal[0][3])["cause"] == "oom"
    assert orjson.loads(journal[0][4])["memory_bytes"] == 2 * GIB
    changes = {record["job_ids"][0]: record["change_ids"] for record in lines(done.stdout) if "change_ids" in record}
    assert changes == {2: [1], 3: [2, 3]}


def test_a_dry_run_says_the_same_and_touches_no_byte(torc, store_file) -> None:
    plan, before = street(torc), store_file.read_bytes()
    dry = torc("apply", "-n", input=plan)
    assert store_file.read_bytes() == before
    real = torc("apply", input=plan)
    said = [{**record, "dry_run": False} if "dry_run" in record else record for record in lines(dry.stdout)]
    assert said == lines(real.stdout)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"original_memory": "1g"}, "planned from memory 1g, the store has 2g"),
        ({"run_id": 2}, "planned for run 2, the store has 1"),
        ({"run_id": 1, "attempt_id": 3}, "planned for attempt 3, the store has 1"),
        ({"new_memory": "1g"}, "memory would fall from 2g to 1g"),
        ({"new_memory": None, "new_runtime": "PT1M"}, "runtime would fall from PT10M to PT1M"),
        ({"new_memory": None, "new_runtime": "PT1H", "original_runtime": "PT9M"}, "planned from runtime PT9M"),
        ({"job_ids": [99]}, "job 99: refused: no such job"),
        ({"action": "retry", "attempt_id": 2}, "planned for attempt 2"),
    ],
)
def test_a_stale_adjustment_is_refused_and_the_others_are_not(torc, store_file, fields, message) -> None:
    good = orjson.dumps(adjustment(1, new_memory="2g"))
    done = torc("apply", input=orjson.dumps(adjustment(**fields)) + b"\n" + good)
    assert done.returncode == 65
    assert message in done.stderr.decode()
    assert [record["type"] for record in lines(done.stdout)] == ["begin", "adjustment", "applied", "end"]
    assert lines(done.stdout)[1]["refused"] in done.stderr.decode()
    assert requests(store_file)[1] == [2 * GIB, 60]
    assert requests(store_file)[2] == [2 * GIB, 600]


def test_another_workflows_job_is_refused(torc, store_file) -> None:
    execute(
        store_file,
        "INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
        " VALUES ('x', 'y', 1.0, '/nowhere', '/', '{}')",
    )
    done = torc("apply", input=orjson.dumps(adjustment(workflow_id=2)))
    assert (done.returncode, done.stderr) == (65, b"torc-apply: job 2: refused: not of workflow 2\n")
    assert torc("apply", input=orjson.dumps(adjustment(workflow_id=3))).returncode == 66


def test_lowering_needs_the_word_downscale(torc, store_file) -> None:
    assert torc("apply", input=orjson.dumps(adjustment(new_memory="1g", direction="downscale"))).returncode == 0
    assert requests(store_file)[2] == [GIB, 600]


def test_a_job_without_requirement_gets_one_of_its_own(torc, store_file) -> None:
    done = torc("apply", input=orjson.dumps(adjustment(6)))
    assert done.returncode == 0
    assert requests(store_file)[6] == [3 * GIB, None]
    assert execute(store_file, "SELECT name FROM resource_requirements")[-1] == ("default_j6",)


def test_siblings_share_one_copy_and_grow_once(torc, store_file) -> None:
    plan = b"\n".join(orjson.dumps(adjustment(job, new_memory="2g", original_memory="1g")) for job in (3, 4))
    torc("apply", input=plan)
    found = requests(store_file)
    assert found[3] == found[4] == [2 * GIB, 60]
    assert found[1] == found[5] == [GIB, 60]
    assert len(execute(store_file, "SELECT * FROM resource_requirements")) == 3


def test_one_adjustment_may_name_several_jobs(torc, store_file) -> None:
    done = torc("apply", input=orjson.dumps({"type": "adjustment", "job_ids": [3, 4], "new_memory": "2g"}))
    assert [record["job_ids"] for record in lines(done.stdout) if record["type"] == "applied"] == [[3], [4]]


def test_a_job_named_twice_with_different_values_is_refused_the_second_time(torc, store_file) -> None:
    plan = orjson.dumps(adjustment()) + b"\n" + orjson.dumps(adjustment(new_memory="5g"))
    done = torc("apply", input=plan)
    assert (done.returncode, b"named twice" in done.stderr) == (65, True)
    assert requests(store_file)[2] == [3 * GIB, 600]
    assert torc("apply", input=orjson.dumps(adjustment()) * 2).returncode == 65  # two records on one line: not JSON


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"type":"adjustment"}', "'job_ids' is missing"),
        (b'{"type":"adjustment","job_ids":[]}', "not a list of ids"),
        (b'{"type":"adjustment","job_ids":[true],"new_memory":"1g"}', "not a list of ids"),
        (b'{"type":"adjustment","job_ids":[99999999999999999999],"new_memory":"1g"}', "not a list of ids"),
        (b'{"type":"adjustment","job_ids":[9223372036854775808],"new_memory":"1g"}', "not a list of ids"),
        (b'{"type":"adjustment","job_ids":[2]}', "'new_memory' is missing"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":12}', "'new_memory' is 12, expected a string"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"lots"}', "not a memory size: 'lots'"),
        (b'{"type":"adjustment","job_ids":[2],"new_runtime":"90"}', "not a duration: '90'"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","original_memory":"?"}', "not a memory size: '?'"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","run_id":true}', "'run_id' is True"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","run_id":1.0}', "'run_id' is 1.0"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","workflow_id":18446744073709551615}', "'workflow_id'"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","action":"destroy"}', "'action' is 'destroy'"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":"3g","because":7}', "'because' is 7"),
        (b'{"type":"adjustment","job_ids":[2],"new_memory":NaN}', "not JSON"),
    ],
)
def test_a_bad_line_stops_everything_with_its_number(torc, store_file, bad: bytes, message: str) -> None:
    before = store_file.read_bytes()
    done = torc("apply", input=orjson.dumps(adjustment()) + b"\n" + bad + b"\n")
    assert done.returncode == 65
    assert done.stderr.startswith(b"torc-apply: line 2: ")
    assert message in done.stderr.decode()
    assert store_file.read_bytes() == before


def test_a_stream_that_was_cut_short_changes_nothing(torc, store_file) -> None:
    before = store_file.read_bytes()
    done = torc("apply", input=b"".join(street(torc).splitlines(keepends=True)[:-1]))
    assert (done.returncode, done.stdout) == (65, b"")
    assert b"nothing was changed" in done.stderr
    assert store_file.read_bytes() == before


def test_a_kill_after_any_write_leaves_before_or_after(torc, work_dir) -> None:
    path = prepare(work_dir)
    plan, before = street(torc), dump(path)
    ends = []
    for count in range(1, 40):
        path.unlink()
        shutil.rmtree(work_dir / "torc_output", ignore_errors=True)
        prepare(work_dir)
        done = torc("apply", input=plan, env={"TORC_KILL_AFTER_WRITES": str(count)})
        found = [line for line in dump(path) if '"change"' not in line]
        ends.append("before" if dump(path) == before else "after")
        if done.returncode == 0:
            break
        assert done.returncode == -9
        assert dump(path) == before, f"between, after write {count}"
    else:
        pytest.fail("never came to its end")
    assert len(ends) > 5
    assert requests(path)[2] == [3 * GIB, 600]
    assert found


# Properties, on random stores in memory.

sizes = st.none() | st.integers(1, 64).map(lambda n: n * GIB)


@st.composite
def worlds(draw):
    """Give requirement rows, the row of each job, and adjustments made for some of the jobs by the policy."""
    limits = draw(st.lists(st.tuples(sizes, st.none() | st.integers(60, 9000)), min_size=1, max_size=4))
    jobs = draw(st.lists(st.none() | st.integers(1, len(limits)), min_size=1, max_size=9))
    plan = []
    for job_id, row in enumerate(jobs, 1):
        cause = draw(st.sampled_from(["none", "oom", "timeout", "unknown", "orphan"]))
        if cause != "none":
            memory, runtime = limits[row - 1] if row else (None, None)
            peak = draw(st.none() | st.integers(1, 100).map(lambda n: n * GIB))
            plan.append(
                adjust(
                    {
                        "type": "diagnosis", "workflow_id": 1, "job_id": job_id, "run_id": 1, "attempt_id": 1,
                        "cause": cause, "memory_bytes": memory, "runtime_s": runtime, "peak_memory_bytes": peak,
                    },
                    Policy(),
                )
            )  # fmt: skip
    return limits, jobs, draw(st.permutations(plan))


def world(limits, jobs) -> sqlite3.Connection:
    db = in_memory()
    db.executemany(
        "INSERT INTO resource_requirements (workflow_id, name, memory_bytes, runtime_s) VALUES (1, 'r', ?, ?)", limits
    )
    db.executemany(
        "INSERT INTO job (workflow_id, name, command, status, resource_requirements_id) VALUES (1, 'j', 'true', 6, ?)",
        [(row,) for row in jobs],
    )
    return db


def asked(db: sqlite3.Connection) -> dict[int, tuple]:
    query = (
        "SELECT job_id, memory_bytes, r.runtime_s FROM job LEFT JOIN resource_requirements r"
        " USING (resource_requirements_id)"
    )
    return {row[0]: (row[1], row[2]) for row in db.execute(query)}


@settings(deadline=None)
@given(worlds())
def test_exactly_what_is_asked_happens_and_only_to_the_jobs_that_are_named(made) -> None:
    limits, jobs, plan = made
    db = world(limits, jobs)
    before = asked(db)
    _, refused = applying.apply(db, plan, dry_run=False)
    after = asked(db)
    assert refused == []
    wishes = {wish.job_id: wish for record in plan for wish in adjusting.wishes(record) if record["action"] != "hold"}
    for job_id, (memory, runtime) in before.items():
        wish = wishes.get(job_id)
        want = (wish and wish.memory) or memory, (wish and wish.runtime) or runtime
        assert after[job_id] == want
        assert all(
            new is None or old is None or new >= old for new, old in zip(after[job_id], before[job_id], strict=True)
        )
    whole = "\n".join(db.iterdump())
    again, refused = applying.apply(db, plan, dry_run=False)
    assert refused == []
    assert all(record["already"] or record["action"] == "retry" for record in again if record["type"] == "applied")
    assert "\n".join(db.iterdump()) == whole


def cpus_of(path: Path) -> dict[int, int]:
    query = "SELECT job_id, r.num_cpus FROM job JOIN resource_requirements r USING (resource_requirements_id)"
    return dict(execute(path, query))


def test_cpus_are_changed_where_they_stand_or_in_a_copy(torc, store_file) -> None:
    plan = [
        {"type": "adjustment", "job_ids": [2], "original_cpus": 1, "new_cpus": 3},
        {"type": "adjustment", "job_ids": [3], "new_cpus": 2, "new_memory": "2g"},
        {"type": "adjustment", "job_ids": [6], "new_cpus": 4},
    ]
    done = torc("apply", input=b"\n".join(map(orjson.dumps, plan)))
    assert (done.returncode, done.stderr) == (0, b"")
    assert cpus_of(store_file) == {1: 1, 2: 3, 3: 2, 4: 1, 5: 1, 6: 4}
    assert requests(store_file)[3] == [2 * GIB, 60]
    applied = [each for each in lines(done.stdout) if each["type"] == "applied"]
    shown = [(each["cpu_adjusted"], each["original_cpus"], each["new_cpus"], each["copied"]) for each in applied]
    assert shown == [(True, 1, 3, False), (True, 1, 2, True), (True, 1, 4, True)]
    (changed,) = execute(store_file, "SELECT before, after FROM change WHERE subject_id = 2 AND before != 'null'")
    assert (orjson.loads(changed[0])["num_cpus"], orjson.loads(changed[1])["num_cpus"]) == (1, 3)
    once = dump(store_file)
    again = torc("apply", input=b"\n".join(map(orjson.dumps, plan)))
    assert [each["already"] for each in lines(again.stdout) if each["type"] == "applied"] == [True] * 3
    assert dump(store_file) == once


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"original_cpus": 2, "new_cpus": 4}, b"job 2: refused: planned from 2 CPUs, the store has 1"),
        ({"new_cpus": 0}, b"adjustment: 'new_cpus' is 0, not a number of CPUs"),
        ({"new_cpus": 2**31}, b"adjustment: 'new_cpus' is 2147483648, not a number of CPUs"),
        ({"new_cpus": "2"}, b"adjustment: 'new_cpus' is '2', expected an integer"),
    ],
)
def test_cpus_that_do_not_fit_are_refused(torc, store_file, fields, why) -> None:
    before = dump(store_file)
    done = torc("apply", input=orjson.dumps({"type": "adjustment", "job_ids": [2], **fields}))
    assert done.returncode == 65
    assert why in done.stderr
    assert dump(store_file) == before


def test_cpus_fall_only_where_that_is_meant(torc, store_file) -> None:
    execute(store_file, "UPDATE resource_requirements SET num_cpus = 8 WHERE resource_requirements_id = 2")
    done = torc("apply", input=orjson.dumps({"type": "adjustment", "job_ids": [2], "new_cpus": 2}))
    assert b"refused: CPUs would fall from 8 to 2" in done.stderr
    fall = {"type": "adjustment", "job_ids": [2], "new_cpus": 2, "direction": "downscale"}
    assert torc("apply", input=orjson.dumps(fall)).returncode == 0
    assert cpus_of(store_file)[2] == 2


@given(st.integers(1, 9), st.sampled_from([0, 1, 2, 3]))
def test_an_attempt_or_value_that_moved_on_is_refused(job_id: int, field: int) -> None:
    life = Life(1, "j", 2, 3, 5, GIB, 60)
    plan = {
        "type": "adjustment", "workflow_id": 1, "job_ids": [job_id], "run_id": 2, "attempt_id": 3,
        "original_memory": "1g", "new_memory": "2g",
    }  # fmt: skip
    (wish,) = adjusting.wishes(plan)
    assert adjusting.refusal(wish, life) is None
    moved = [
        life._replace(workflow_id=9),
        life._replace(run_id=3),
        life._replace(attempt_id=4),
        life._replace(memory=9),
    ]
    assert adjusting.refusal(wish, moved[field])
