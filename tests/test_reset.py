"""torc-reset: the named jobs, their dependents, and no other; refusals; the journal; a kill after each write."""

import sqlite3

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import GIB, dump, execute, prepare
from reach import dependents
from test_apply import lines, street, world

from torc_tools import states
from torc_tools.commands import reset
from torc_tools.core.resetting import Name
from torc_tools.exits import Failure
from torc_tools.flows import resetting
from torc_tools.shell import liveness
from torc_tools.states import BAD, BLOCKED, CANCELED, COMPLETED, DISABLED, FAILED, READY, RUNNING


def status(path) -> dict[int, tuple]:
    return {row[0]: row[1:] for row in execute(path, "SELECT job_id, status, run_id, attempt_id FROM job")}


def said(done) -> list[tuple]:
    return [
        (record["job_id"], record["because"], record["status"])
        for record in lines(done.stdout)
        if record["type"] == "reset"
    ]


def test_the_street_ends_in_the_jobs_that_were_adjusted_and_their_dependents(torc, store_file) -> None:
    applied = torc("apply", input=street(torc)).stdout
    done = torc("reset", input=applied)
    assert done.returncode == 0
    assert done.stderr == b"torc-reset: 2 job(s) named, 1 dependent(s) would run again: report\n"
    assert said(done) == [(2, "named", "ready"), (3, "named", "ready"), (5, "dependent", "blocked")]
    assert status(store_file) == {
        1: (COMPLETED, 1, 1),
        2: (READY, 2, 1),
        3: (READY, 2, 1),
        4: (FAILED, 1, 1),
        5: (BLOCKED, 2, 1),
        6: (CANCELED, 1, 1),
    }
    assert execute(store_file, "SELECT run_id FROM workflow") == [(2,)]


def test_a_dependent_of_a_parent_that_stays_failed_is_canceled_again(torc, store_file) -> None:
    done = torc("reset", "--job-ids", "3")
    assert said(done) == [(3, "named", "ready"), (5, "dependent", "blocked")]
    assert said(torc("reset", "--job-ids", "5")) == [(5, "named", "blocked")]  # 3 is not done
    execute(store_file, f"UPDATE job SET status = {COMPLETED} WHERE job_id = 3")
    assert said(torc("reset", "--job-ids", "5")) == [(5, "named", "canceled")]  # 2 is still failed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-w", "1", "--failed"], [2, 3, 4]),
        (["-w", "1", "--status", "terminated"], [3]),
        (["-w", "1", "--status", "failed,canceled"], [2, 4, 5, 6]),
        (["-w", "1", "--return-code", "137,1"], [2, 4]),
        (["-w", "1", "--failed", "--return-code", "152"], [3]),
        (["-w", "1", "--failed", "--job-ids", "1,4"], [4]),
        (["-w", "1", "--job-ids", "1"], [1]),
        (["--job-ids", "4,3"], [3, 4]),
        (["-w", "1", "--status", "ready"], []),
    ],
)
def test_jobs_are_chosen_by_options(torc, store_file, arguments, named) -> None:
    done = torc("reset", *arguments)
    assert done.returncode == 0
    assert [job_id for job_id, because, _ in said(done) if because == "named"] == named
    if not named:
        assert done.stderr == b""
        assert execute(store_file, "SELECT run_id FROM workflow") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--failed"], 2, "need a workflow"),
        (["-w", "1"], 2, "choose jobs of the workflow"),
        (["-w", "1", "--failed", "--status", "failed"], 2, "exclude each other"),
        (["--job-ids", "1", "file.jsonl"], 2, "not from both"),
        (["-w", "1", "--return-code", "x"], 2, "not return codes"),
        (["-w", "9", "--failed"], 66, "no such workflow"),
        (["--job-ids", "99"], 66, "no such job"),
        (["-w", "1", "--job-ids", "99"], 65, "job 99: refused: no such job"),
    ],
)
def test_choices_that_do_not_fit(torc, store_file, arguments, code, message) -> None:
    before = dump(store_file)
    done = torc("reset", *arguments)
    assert (done.returncode, message in done.stderr.decode()) == (code, True)
    assert dump(store_file) == before


@pytest.mark.parametrize(
    "record",
    [
        {"type": "job", "job_id": 3},
        {"type": "result", "job_id": 3, "run_id": 1, "attempt_id": 1},
        {"type": "diagnosis", "job_id": 3, "workflow_id": 1},
        {"type": "applied", "job_ids": [3]},
    ],
)
def test_records_name_jobs(torc, store_file, record) -> None:
    assert said(torc("reset", input=orjson.dumps(record)))[0] == (3, "named", "ready")


def test_adjustments_and_strangers_name_nothing_and_pass_through(torc, store_file) -> None:
    given_lines = [{"type": "adjustment", "job_ids": [3]}, {"type": "note", "job_id": 3}]
    done = torc("reset", input=b"\n".join(map(orjson.dumps, given_lines)))
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout)[1:-1] == given_lines
    assert execute(store_file, "SELECT run_id FROM workflow") == [(1,)]


def test_a_stale_record_is_refused_and_the_others_are_not(torc, store_file) -> None:
    stale = [{"type": "job", "job_id": 2, "run_id": 1, "attempt_id": 1}, {"type": "job", "job_id": 3, "run_id": 4}]
    done = torc("reset", input=b"\n".join(map(orjson.dumps, stale)))
    assert done.returncode == 65
    assert b"job 3: refused: the record is of run 4, the store has 1\n" in done.stderr
    assert [job_id for job_id, because, _ in said(done) if because == "named"] == [2]


def test_the_same_stream_again_is_refused_as_stale(torc, store_file) -> None:
    applied = torc("apply", input=street(torc)).stdout
    torc("reset", input=applied)
    before = dump(store_file)
    assert torc("reset", input=applied).returncode == 65
    assert dump(store_file) == before


def test_what_was_only_tried_is_not_reset_but_may_be_previewed(torc, store_file) -> None:
    preview = torc("apply", "-n", input=street(torc)).stdout
    before = store_file.read_bytes()
    assert said(torc("reset", "-n", input=preview))[0] == (2, "named", "ready")
    done = torc("reset", input=preview)
    assert (done.returncode, b"dry run" in done.stderr) == (65, True)
    assert store_file.read_bytes() == before


def test_running_jobs_are_refused_unless_forced(torc, store_file) -> None:
    execute(store_file, f"UPDATE job SET status = {RUNNING}, worker = 'w' WHERE job_id = 5")
    before = dump(store_file)
    done = torc("reset", "--job-ids", "2")
    assert (done.returncode, done.stdout) == (65, b"")
    assert b"job 5 (report) is running: nothing was reset" in done.stderr
    assert dump(store_file) == before
    assert torc("reset", "--force", "--job-ids", "2").returncode == 0
    assert execute(store_file, "SELECT worker FROM job WHERE job_id = 5") == [(None,)]


@pytest.mark.parametrize(("waiting", "expected"), [(READY, 75), (BLOCKED, 75), (FAILED, 0)])
def test_jobs_that_a_living_worker_may_start_are_refused_unless_forced(torc, store_file, waiting, expected) -> None:
    """The worker would run the job as its manifest has it, and the next worker would run it again."""
    host, pid, pid_start = liveness.me()
    execute(
        store_file,
        f"UPDATE job SET status = {waiting} WHERE job_id = 5",
        "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at)"
        f" VALUES (1, 'local', 'active', '{host}', {pid}, {pid_start}, 0)",
    )
    before = dump(store_file)
    done = torc("reset", "--job-ids", "2")
    assert done.returncode == expected
    if expected:
        assert f"(pid {pid}) may run it: nothing was reset".encode() in done.stderr
        assert dump(store_file) == before
        assert torc("reset", "--force", "--job-ids", "2").returncode == 0


def test_a_canceled_workflow_may_go_on(torc, store_file) -> None:
    execute(store_file, "UPDATE workflow SET is_canceled = 1")
    torc("reset", "--job-ids", "4")
    assert execute(store_file, "SELECT is_canceled, run_id FROM workflow") == [(0, 2)]


def test_every_change_is_in_the_journal(torc, store_file) -> None:
    torc("reset", "--job-ids", "4")
    journal = execute(
        store_file, "SELECT command, subject, subject_id, why, before, after FROM change ORDER BY change_id"
    )
    assert [row[:3] for row in journal] == [
        ("torc-reset", "workflow", 1),
        ("torc-reset", "job", 4),
        ("torc-reset", "job", 6),
    ]
    assert orjson.loads(journal[2][3]) == {"reset": "dependent"}
    assert orjson.loads(journal[1][4]) == {"status": "failed", "run_id": 1, "attempt_id": 1, "worker": None}


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"job"}',
        b'{"type":"job","job_id":true}',
        b'{"type":"job","job_id":-4}',
        b'{"type":"job","job_id":9223372036854775808}',
        b'{"type":"job","job_id":2,"run_id":"1"}',
        b'{"type":"applied","job_ids":["2"]}',
        b'{"type":"applied","job_ids":[2],"dry_run":"no"}',
        b'{"type":"job","job_id":NaN}',
        b"[]",
    ],
)
def test_a_bad_line_stops_everything_with_its_number(torc, store_file, bad: bytes) -> None:
    before = store_file.read_bytes()
    done = torc("reset", input=b'{"type":"job","job_id":2}\n' + bad)
    assert (done.returncode, done.stderr.startswith(b"torc-reset: line 2: ")) == (65, True)
    assert store_file.read_bytes() == before


def test_a_stream_that_was_cut_short_changes_nothing(torc, store_file) -> None:
    before = store_file.read_bytes()
    done = torc("reset", input=b'{"type":"begin","stage":"torc-apply"}\n{"type":"job","job_id":2}\n')
    assert done.returncode == 65
    assert store_file.read_bytes() == before


def test_names_that_could_drive_a_terminal_are_made_visible(torc, store_file) -> None:
    execute(store_file, "UPDATE job SET name = 'a\x1b[2J\nb' WHERE job_id = 6")
    assert torc("reset", "--job-ids", "4").stderr.endswith(b"again: a\\x1b[2J\\nb\n")


def test_a_kill_after_any_write_leaves_before_or_after(torc, work_dir) -> None:
    path = prepare(work_dir)
    before = dump(path)
    for count in range(1, 40):
        path.unlink()
        prepare(work_dir)
        done = torc("reset", "-w", "1", "--failed", env={"TORC_KILL_AFTER_WRITES": str(count)})
        if done.returncode == 0:
            break
        assert done.returncode == -9
        assert dump(path) == before, f"between, after write {count}"
    assert count > 8
    assert status(path)[4] == (READY, 2, 1)


# Properties, on random graphs and histories.


@st.composite
def histories(draw):
    """Give the jobs' states and cancel flags, their parents (all of smaller id), and the jobs that are named."""
    count = draw(st.integers(1, 12))
    settled = st.sampled_from([n for n in range(len(states.NAMES)) if n not in states.ACTIVE])
    jobs = [(draw(settled), draw(st.booleans())) for _ in range(count)]
    edges = [
        (job, parent) for job in range(2, count + 1) for parent in draw(st.sets(st.integers(1, job - 1), max_size=3))
    ]
    return jobs, edges, draw(st.sets(st.integers(1, count), min_size=1))


def graph(jobs, edges) -> sqlite3.Connection:
    db = world([(GIB, 60)], [1] * len(jobs))
    db.executemany(
        "UPDATE job SET status = ?, cancel_on_blocking_job_failure = ?, attempt_id = 3 WHERE job_id = ?",
        [(*job, job_id) for job_id, job in enumerate(jobs, 1)],
    )
    db.executemany("INSERT INTO job_depends_on VALUES (?, ?)", edges)
    return db


def standing(db: sqlite3.Connection) -> dict[int, tuple]:
    return {row[0]: tuple(row)[1:] for row in db.execute("SELECT job_id, status, run_id, attempt_id FROM job")}


@settings(deadline=None, max_examples=200)
@given(histories())
def test_a_reset_moves_the_named_jobs_and_what_depends_on_them_and_leaves_nothing_stuck(made) -> None:
    jobs, edges, named = made
    db = graph(jobs, edges)
    before = standing(db)
    records, refused = resetting.reset(db, [Name(job_id) for job_id in named], force=False, dry_run=False)
    after = standing(db)
    children: dict[int, list[int]] = {}
    parents: dict[int, list[int]] = {}
    for job_id, parent in edges:
        children.setdefault(parent, []).append(job_id)
        parents.setdefault(job_id, []).append(parent)
    disabled = {job_id for job_id, (state, _) in enumerate(jobs, 1) if state == DISABLED}
    roots = named - disabled
    affected = (roots | dependents(roots, children)) - disabled
    assert {record["job_id"] for record in records} == affected
    assert len(refused) == len(named & disabled)
    for job_id, (state, run_id, attempt_id) in after.items():
        if job_id not in affected:
            assert (state, run_id, attempt_id) == before[job_id]
            continue
        assert (run_id, attempt_id) == (2, 1)
        above = [after[parent][0] for parent in parents.get(job_id, ())]
        done = all(each in states.DONE for each in above)
        doomed = jobs[job_id - 1][1] and any(each in BAD for each in above)
        assert state == ((CANCELED if doomed else READY) if done else BLOCKED)


@settings(deadline=None)
@given(histories(), st.data())
def test_nothing_ever_runs_over_a_failed_parent_and_no_job_waits_for_ever(made, data) -> None:
    """Reset some jobs, then run the workflow to its end: the workers' rule, applied by the store's own fold."""
    from torc_tools.flows import fold

    jobs, edges, named = made
    jobs = [(COMPLETED if state in (DISABLED, states.PENDING_FAILED) else state, cancels) for state, cancels in jobs]
    db = graph(jobs, edges)
    parents: dict[int, set[int]] = {}
    for job_id, parent in edges:
        parents.setdefault(job_id, set()).add(parent)
    records, _ = resetting.reset(db, [Name(job_id) for job_id in named], force=False, dry_run=False)
    ours = {record["job_id"] for record in records}
    for _ in range(len(jobs) + 1):
        now = {job_id: row[0] for job_id, row in standing(db).items()}
        for job_id in (job_id for job_id in ours if now[job_id] == READY):
            above = {now[parent] for parent in parents.get(job_id, ())}
            assert above <= states.DONE
            assert not (jobs[job_id - 1][1] and above & BAD)
            ended = data.draw(st.sampled_from([COMPLETED, FAILED]))
            db.execute("UPDATE job SET status = ? WHERE job_id = ?", (ended, job_id))
        fold.settle(db, 1)
    for job_id, (state, _, _) in standing(db).items():
        if job_id in ours and state not in states.DONE:
            waits = {standing(db)[parent][0] for parent in parents[job_id]}
            assert waits - states.DONE, f"job {job_id} is stuck"


def test_a_named_workflow_that_the_job_is_not_of() -> None:
    db = world([(GIB, 60)], [1])
    _, refused = resetting.reset(db, [Name(1, workflow_id=2), Name(1)], force=False, dry_run=False)
    assert refused == ["job 1: refused: not of workflow 2"]


def test_a_failure_inside_rolls_everything_back() -> None:
    db = world([(GIB, 60)], [1, 1])
    db.execute("UPDATE job SET status = ? WHERE job_id = 2", (RUNNING,))
    whole = list(db.iterdump())
    with pytest.raises(Failure):
        resetting.reset(db, [Name(1), Name(2)], force=False, dry_run=False)
    assert list(db.iterdump()) == whole


def test_jobs_are_chosen_by_state_inside_the_transaction(store_file, monkeypatch, capsysbinary) -> None:
    """Else a reset that waits for another's would start those jobs over that the other has just let go."""
    locked = []
    chosen = reset.jobstate.chosen
    monkeypatch.setattr(
        reset.jobstate, "chosen", lambda db, *rest: locked.append(db.in_transaction) or chosen(db, *rest)
    )
    assert reset.main(["--store", str(store_file), "-w", "1", "--failed"]) == 0
    assert locked == [True]
