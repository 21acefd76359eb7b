"""Jobs that jobs spawn: through TORC_SPAWN, the fold's verdict and back to the workers; nothing twice, nothing lost."""

import contextlib
import json
import os
import resource
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import prepared
import pytest
from conftest import Torc, command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from street import query, statuses
from waiting import until

from torc_tools import states
from torc_tools.core import references, spawning
from torc_tools.core.board import Board
from torc_tools.core.packing import Capacity
from torc_tools.core.spawning import Known
from torc_tools.flows import creation, fold
from torc_tools.shell import appending, spawnfile, store

KNOWN = Known(["a", "b"], {"b": "0" * 32}, ["small"], [], [], [("f", "/f")], [], {"files": [(0, 0)], "data": []})
HOSTILE = "x\n'\"\x1b[31m<script>$(touch pwned)"


def line(name: str, text: str = "true", **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": text, **fields}


def lines(*jobs: Any) -> bytes:
    return b"".join(json.dumps(job).encode() + b"\n" for job in jobs)


def spec(folder: Path, *jobs: dict[str, Any], **fields: Any) -> str:
    path = folder / "s.json"
    requirements = [{"name": "small", "num_cpus": 1, "memory": "64m"}]
    path.write_text(json.dumps({"name": "w", "resource_requirements": requirements, "jobs": jobs, **fields}))
    return str(path)


def spawns(folder: Path, *jobs: Any, name: str = "batch", then: str = "true") -> str:
    """Write a batch to a file; give the command line of a job that spawns it and ends as `then` does."""
    (folder / name).write_bytes(jobs[0] if isinstance(jobs[0], bytes) else lines(*jobs))
    return f'cat {name} >> "$TORC_SPAWN"; {then}'


def ran(folder: Path) -> Counter[str]:
    return Counter((folder / "ran").read_text().split())


def told(batch: bytes, known: Known = KNOWN) -> list[str]:
    return spawning.batch(batch, known).problems


# the lines


@pytest.mark.parametrize(
    ("batch", "problem"),
    [
        (b'{"name": "x", "command": "y"}\n{"name": "z", "comm', "line 2: is not JSON, or cut short"),
        (b"\xff\xfe\n", "line 1: is not JSON, or cut short"),
        (b"[" * 100_000, "line 1: is not JSON, or cut short"),
        (b'\n\n{"name": "x", "command": "y", "priority": NaN}', "line 3: is not JSON, or cut short"),
        (b"[1]\n", "line 1: expected a map, found '[1]'"),
        (lines({"type": "file", "name": "f"}), "line 1: is of type 'file': only jobs are spawned"),
        (lines({"name": "x"}), "line 1: missing key 'command'"),
        (lines(line("x", comand="y")), "line 1: comand: unknown key 'comand', did you mean 'command'?"),
        (lines(line("x", "a\0b")), "line 1: command: holds a NUL character"),
        (lines(line("x", priority=-1)), "line 1: priority: -1 is below 0"),
        (lines(line("x", use_parameters=["i"])), "is for specs: a spawned job has its own 'parameters'"),
        (
            lines(line("x", resource_requirements="smal")),
            "line 1: resource_requirements: unknown resource requirements 'smal', did you mean 'small'?",
        ),
        (lines(line("x"), line("y", depends_on=["z"])), "line 2: depends_on: unknown job 'z'"),
        (lines(line("x", input_files=["g"])), "line 1: input_files: unknown file 'g'"),
        (lines(line("x", depends_on=["x"])), "line 1: jobs depend on each other in a circle: 'x -> x'"),
        (
            lines(line("x", depends_on=["y"]), line("y", depends_on=["x"])),
            "line 1: jobs depend on each other in a circle: 'x -> y -> x'",
        ),
        (lines(line("a")), "line 1: name: job 'a' is there already, and was not spawned"),
        (lines(line("b")), "line 1: name: job 'b' was spawned before with other fields"),
        (lines(line("x"), line("x", "false")), "line 2: name: job 'x' is there twice, with different fields"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(batch: bytes, problem: str) -> None:
    assert any(problem in each for each in told(batch)), told(batch)


def test_all_that_is_wrong_is_told_at_once_and_in_order() -> None:
    found = told(lines(line("x", depends_on=["y"]), line("y", resource_requirements="big"), {"name": 5}, [], {}))
    assert [each.partition(":")[0] for each in found] == ["line 1"] * 0 + ["line 2"] + ["line 3"] * 2 + [
        "line 4",
        *["line 5"] * 2,
    ]
    assert len(told(lines(*([{}] * 100)))) == 20


def test_a_line_holds_what_a_job_of_a_spec_holds() -> None:
    batch = lines(
        line("s{i}", "cat ${files.input.f} {i}", parameters={"i": "1:2"}, env={"E": "{i}", "F": 1}, type="job"),
        line("all", depends_on_regexes=["^s"], cancel_on_blocking_job_failure=False, priority=3, labels=["l"]),
        line("braces", "echo {i}", resource_requirements="small"),
        line("braces", "echo {i}", resource_requirements="small"),
    ).rstrip(b"\n")
    found = spawning.batch(batch, KNOWN)
    assert (found.problems, found.first) == ([], 2)
    plan = found.plan
    assert plan.names[2:] == ["s1", "s2", "all", "braces"]
    assert plan.commands[2:] == ["cat /f 1", "cat /f 2", "true", "echo {i}"]
    assert plan.parents[2:] == [(0,), (0,), (2, 3), ()]
    assert plan.settings[2][2] == {"env": {"E": "1", "F": "1"}}
    assert plan.settings[4] == (3, False, {"labels": ["l"]})
    assert plan.requirement[2:] == [None, None, None, 0]


@given(st.permutations(["name", "command", "priority", "env"]))
def test_the_same_fields_are_the_same_job_in_any_order(keys: list[str]) -> None:
    values = {"name": "x", "command": "y", "priority": 2, "env": {"A": "1", "B": "2"}}
    (digest,) = spawning.batch(lines(values), KNOWN).digests
    known = KNOWN._replace(jobs=["a", "b", "x"], digests={"x": digest})
    again = spawning.batch(lines({key: values[key] for key in keys}), known)
    assert (again.problems, again.digests) == ([], [])
    assert told(lines({**values, "priority": 3}), known)


def test_a_worker_takes_jobs_in_whose_parents_ended_before_it_heard_of_them() -> None:
    base = {"run_id": 1, "attempt_id": 1, "parent_failed": False, "cancel_on_blocking_job_failure": True}
    base |= {"num_cpus": 1, "memory_bytes": None, "num_gpus": 0, "num_nodes": 1, "runtime_s": None, "priority": 0}

    def job(job_id: int, status: str, *parents: int) -> dict[str, Any]:
        return {**base, "job_id": job_id, "status": status, "waits_for": parents, "failure_handler_id": None}

    board = Board([job(1, "ready"), job(2, "blocked", 1)], Capacity(None, None, None, 9))
    board.open()
    board.take(None)
    board.await_verdict(1, 1, 1)
    assert (board.take(None), board.hopeful(is_dear=True), board.judged) == (None, True, {1})
    board.end(77, 1, 1, 5, again=False)  # of another worker, and in no manifest of ours
    board.add([job(3, "blocked", 1, 77), job(4, "blocked", 3), job(5, "canceled"), job(2, "ready")])
    assert board.take(None) is None
    board.end(1, 1, 1, 5, again=False)
    assert {board.take(None)["job_id"], board.take(None)["job_id"]} == {2, 3}
    assert (board.take(None), board.is_over(5), board.is_over(4), board.judged) == (None, True, False, set())
    board.end(8, 1, 1, 6, again=True)  # siblings were told of these two first, and ran them
    board.end(9, 1, 1, 5, again=False)
    board.add([job(8, "ready"), job(9, "ready"), job(10, "blocked", 9)])
    taken = {board.take(None)["job_id"], board.take(None)["job_id"]}
    assert (taken, board.take(None), board.attempt[8], board.is_over(9)) == ({8, 10}, None, 2, True)


# the street


def test_spawned_jobs_run_after_the_one_that_spawned_them(torc: Torc, work_dir: Path) -> None:
    batch = [line(f"w{n}", f"echo w{n} >> ran", resource_requirements="small") for n in range(3)]
    batch.append(line("gather", "cp ran all", depends_on_regexes=["^w"]))
    batch.append(line(HOSTILE, 'printf %s "$TORC_JOB_NAME" > name; test -z "$TORC_SPAWN" || true'))
    seed = line("seed", "echo seed >> ran; " + spawns(work_dir, *batch))
    done = torc("torc-run", spec(work_dir, seed, line("after", "echo after >> ran", depends_on=["seed"])))
    assert done.returncode == 0, done.stderr
    assert statuses() == dict.fromkeys(["seed", "after", "w0", "w1", "w2", "gather", HOSTILE], "completed")
    assert ran(work_dir) == Counter(["seed", "after", "w0", "w1", "w2"])
    assert {"seed", "w0", "w1", "w2"} <= set((work_dir / "all").read_text().split())
    assert (work_dir / "name").read_text() == HOSTILE
    assert not (work_dir / "pwned").exists()
    parents = "SELECT count(*) FROM job_depends_on d JOIN job p ON p.job_id = d.depends_on_job_id WHERE p.name = 'seed'"
    assert query(parents) == [(6,)]
    journal = query("SELECT subject_id, command, why, before FROM change WHERE subject = 'job' ORDER BY change_id")
    assert [row[0] for row in journal] == [3, 4, 5, 6, 7]
    assert {row[1:] for row in journal} == {("torc-work", '{"attempt_id":1,"run_id":1,"spawned_by":1}', "null")}
    jobs = [json.loads(text) for text in torc("torc-jobs", 1).stdout.splitlines()]
    assert [job["config"]["spawned"]["by"] for job in jobs if job["type"] == "job" and job["job_id"] > 2] == [1] * 5
    listed = json.loads(torc("torc", "-f", "json", "jobs", "list", 1).stdout)
    assert [job.get("origin") for job in listed] == [None, None, *["spawn"] * 5]


LOOP = """
n=${TORC_JOB_NAME#step}; echo $TORC_JOB_NAME >> ran; [ $n -ge LAST ] && exit 0
printf '{"name": "step%d", "command": %s}' $((n + 1)) "$(jq -Rs . < loop.sh)" >> "$TORC_SPAWN"
"""


@pytest.mark.parametrize(("most", "count", "status"), [({}, 5, 0), ({"dynamic_jobs": {"max_iterations": 2}}, 3, 1)])
def test_a_job_may_go_on_by_spawning_the_next_as_often_as_the_spec_lets_it(
    torc: Torc, work_dir: Path, most: dict[str, Any], count: int, status: int
) -> None:
    (work_dir / "loop.sh").write_text(LOOP.replace("LAST", "4"))
    done = torc("torc-run", spec(work_dir, line("step0", (work_dir / "loop.sh").read_text()), **most))
    assert done.returncode == status
    assert ran(work_dir) == Counter(f"step{n}" for n in range(count))
    if most:
        assert statuses()["step2"] == "failed"
        ((facts,),) = query("SELECT facts FROM result WHERE status = 6")
        assert "iteration 3 is more than dynamic_jobs.max_iterations of 2" in json.loads(facts)["log_tail"]
        said = torc("torc-diagnose", 1).stdout.decode()
        assert "spawn_refused" in said
        assert "max_iterations" in said


def test_a_spec_may_not_forbid_all_spawning_by_mistake(torc: Torc, work_dir: Path) -> None:
    for wrong in ({"max_iterations": 0}, {"max_iteration": 3}, 5):
        assert torc("torc-create", spec(work_dir, line("x"), dynamic_jobs=wrong)).returncode == 65


def test_one_bad_line_refuses_all_and_fails_the_job(torc: Torc, work_dir: Path) -> None:
    batch = (line("good", "touch good"), line("bad", resource_requirements="nowhere"))
    seed = line("seed", spawns(work_dir, *batch))
    done = torc("torc-run", spec(work_dir, seed, line("after", "touch after", depends_on=["seed"])))
    assert done.returncode == 1
    assert statuses() == {"seed": "failed", "after": "canceled"}
    assert not (work_dir / "good").exists()
    assert not (work_dir / "after").exists()
    (row,) = query("SELECT return_code, facts FROM result")
    facts = json.loads(row[1])
    assert (row[0], facts["reason"]) == (1, "spawn_refused")
    assert "line 2: resource_requirements: unknown resource requirements 'nowhere'" in facts["log_tail"]
    (summary,) = [each for each in map(json.loads, done.stdout.splitlines()) if each["type"] == "summary"]
    why = "torc-results 1 --failed --query facts.log_tail"
    words = f"job 1: what it spawned was refused: '{why}' tells why"
    assert json.loads(torc(*why.split()).stdout) == facts["log_tail"]
    assert [(each["reason"], each["text"]) for each in summary["reasons"]] == [("spawn_refused", words)]
    assert words.encode() in torc("torc-status", 1, "-f", "table").stdout
    (work_dir / "batch").write_bytes(lines(line("good", "touch good")))
    assert torc("torc-reset", "-w", 1, "--failed").returncode == 0
    assert torc("torc-run", 1).returncode == 0
    assert statuses() == {"seed": "completed", "after": "completed", "good": "completed"}
    assert b"refused" not in torc("torc-status", 1).stdout


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ('mkdir "$TORC_SPAWN"', "cannot be read"),
        ('ln -s /dev/zero "$TORC_SPAWN"', "cannot be read"),
        ('mkfifo "$TORC_SPAWN"', "cannot be read"),
        ('truncate -s 65M "$TORC_SPAWN"', "more than 67108864"),
    ],
)
def test_what_is_no_list_of_jobs_is_refused(torc: Torc, work_dir: Path, way: str, says: str) -> None:
    assert torc("torc-run", spec(work_dir, line("seed", way))).returncode == 1
    ((facts,),) = query("SELECT facts FROM result")
    assert says in json.loads(facts)["log_tail"]


@pytest.mark.parametrize("way", ["ln -s NAME NAME", "python3 -c 'import socket; socket.socket(1).bind(\"NAME\")'"])
def test_what_is_put_in_the_place_of_the_lines_holds_nobody_up(torc: Torc, work_dir: Path, way: str) -> None:
    torc("torc-create", spec(work_dir, line("s")))
    events(ended(1, lines(line("w"))))
    name = "torc_output/job_stdio/job_wf1_j1_r1_a1.spawn"
    os.unlink(name)
    subprocess.run(["sh", "-c", way.replace("NAME", name)], check=True)
    assert torc("torc-status", 1).returncode == 0
    assert statuses() == {"s": "failed"}


def test_a_file_that_is_still_written_to_is_read_no_further_than_it_may_go(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawnfile, "MAX_BYTES", 1000)
    (work_dir / "grown").write_bytes(b" " * 5000)
    seen = os.stat_result((0o100644, *[0] * 9))
    monkeypatch.setattr(spawnfile.os, "fstat", lambda _: seen)
    assert spawnfile._read(str(work_dir / "grown")) == (None, 1001)


def test_a_batch_of_more_lines_than_a_workflow_may_have_jobs_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spawning, "MAX_JOBS", 9)
    assert told(b"{}\n" * 10) == ["more than 9 lines"]
    many = (line(f"{name}{{i}}", parameters={"i": "1:9"}) for name in "wv")
    assert told(lines(*many)) == ["the workflow would have more than 9 jobs"]


@pytest.mark.parametrize("field", ["name", "command", "env", "depends_on_regexes", "x\\ud800"])
def test_half_a_character_is_refused_and_holds_nobody_up(torc: Torc, work_dir: Path, field: str) -> None:
    fields = {"name": '"w"', "command": '"true"', field: '["x\\ud800"]' if field[0] == "d" else '"x\\ud800"'}
    if field == "env":
        fields[field] = '{"x\\ud800": "y\\ud800"}'
    torc("torc-create", spec(work_dir, line("s")))
    events(ended(1, ("{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}").encode()))
    assert torc("torc-status", 1).returncode == 0
    ((facts,),) = query("SELECT facts FROM result")
    assert "line 1: is not JSON, or cut short" in json.loads(facts)["log_tail"]


def test_a_regular_expression_that_takes_too_long_is_refused(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", spec(work_dir, line("s"), line("a" * 60 + "!")))
    slow = [line(f"w{n}", depends_on_regexes=["^(a|aa)+" + "$" * n]) for n in range(1, 9)]
    events(ended(1, lines(*slow)))
    assert torc("torc-status", 1, timeout=60).returncode == 0
    assert statuses()["s"] == "failed"
    ((facts,),) = query("SELECT facts FROM result")
    tail = json.loads(facts)["log_tail"]
    assert "line 1: depends_on_regexes: regular expression '^(a|aa)+$' takes too long" in tail
    assert tail.count("too long") == 1


def test_what_was_meant_is_looked_for_only_as_long_as_it_is_told() -> None:
    known = KNOWN._replace(jobs=[f"work_{n}" for n in range(5000)])
    with pytest.MonkeyPatch.context() as patch:
        count: list[str] = []
        patch.setattr(references, "nearest", lambda word, _: count.append(word) or "")
        assert len(told(lines(*(line(f"w{n}", depends_on=[f"wrk_{n}"]) for n in range(200))), known)) == 20
    assert len(count) == 20


def test_a_line_that_a_full_disk_cut_costs_no_other(work_dir: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        appending.append("told", b'{"first": 1}\n')
        with pytest.raises(OSError, match="No space"):
            appending.append("told", b'{"second": 2}\n')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    appending.append("told", b'{"third": 3}\n')
    assert (work_dir / "told").read_bytes() == b'{"first": 1}\n{"secon\n{"third": 3}\n'


def test_only_the_attempt_that_ends_well_spawns(torc: Torc, work_dir: Path) -> None:
    once = spawns(work_dir, line("w", "echo w >> ran"), then="test $TORC_ATTEMPT_ID = 2")
    first = spawns(work_dir, line("never"), name="first", then="exit 1")
    handlers = [{"name": "again", "rules": [{"exit_codes": [1], "max_retries": 1}]}]
    jobs = (line("seed", once, failure_handler="again"), line("fails", first), line("empty", ': > "$TORC_SPAWN"'))
    assert torc("torc-run", spec(work_dir, *jobs, failure_handlers=handlers)).returncode == 1
    assert statuses() == {"seed": "completed", "fails": "failed", "empty": "completed", "w": "completed"}
    assert ran(work_dir) == Counter(["w"])


def test_two_that_spawn_the_same_spawn_it_once(torc: Torc, work_dir: Path) -> None:
    same = spawns(work_dir, line("w", "echo w >> ran"), line("v", "echo v >> ran", depends_on=["w"]))
    assert torc("torc-run", spec(work_dir, *(line(f"s{n}", same) for n in range(3)))).returncode == 0
    assert ran(work_dir) == Counter(["v", "w"])
    assert query("SELECT count(*) FROM job") == [(5,)]


def test_a_reset_runs_what_was_spawned_again_and_adds_nothing(torc: Torc, work_dir: Path) -> None:
    seed = line("seed", spawns(work_dir, line("w", "echo w >> ran; test -e mended"), line("v", depends_on=["w"])))
    assert torc("torc-run", spec(work_dir, seed)).returncode == 1
    assert statuses() == {"seed": "completed", "w": "failed", "v": "canceled"}
    (work_dir / "mended").touch()
    assert torc("torc-recover", 1, "--retry-unknown", "--no-run").returncode == 0
    assert statuses() == {"seed": "completed", "w": "ready", "v": "blocked"}
    assert torc("torc-run", 1).returncode == 0
    assert torc("torc-reset", "-w", 1, "-j", 1).returncode == 0
    assert statuses() == {"seed": "ready", "w": "blocked", "v": "blocked"}
    assert torc("torc-run", 1).returncode == 0
    assert statuses() == dict.fromkeys(["seed", "w", "v"], "completed")
    assert ran(work_dir) == Counter({"w": 3})


# crashes, and what nobody tells


def worker(torc: Torc, folder: Path) -> None:
    """Make a workflow that spawns."""
    seed = line("seed", "echo seed >> ran; " + spawns(folder, line("w", "echo w >> ran"), line("v", "echo v >> ran")))
    assert torc("torc-create", spec(folder, seed, compute_node_wait_for_new_jobs_seconds=0)).returncode == 0


@pytest.mark.parametrize("writes", range(1, 16))
def test_killed_at_any_write_nothing_spawned_is_lost_or_runs_twice(torc: Torc, work_dir: Path, writes: int) -> None:
    """Both torc-run and its worker count their writes; a worker that is left hears of its verdict from the next run."""
    worker(torc, work_dir)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = {**os.environ, "TORC_KILL_AFTER_WRITES": str(writes)}
    subprocess.run([*command("torc-run"), "1"], env=env, **quiet, timeout=60, check=False)  # type: ignore[call-overload]
    until(lambda: torc("torc-run", 1).returncode == 0, "the workflow to complete", 120)
    assert statuses() == {"seed": "completed", "w": "completed", "v": "completed"}
    count = ran(work_dir)
    attempts = dict(query("SELECT name, attempt_id FROM job"))
    assert all(1 <= count[name] <= attempts[name] for name in ("seed", "w", "v")), (count, attempts)


def ended(job_id: int, text: bytes, **fields: Any) -> dict[str, Any]:
    """Write what attempt 1 of a job spawned; give the event of its end."""
    import hashlib

    folder = Path("torc_output/job_stdio")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"job_wf1_j{job_id}_r1_a1.spawn").write_bytes(text)
    mark = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    about = {"type": "event", "event": "ended", "at": 1.0, "workflow_id": 1, "run_id": 1, "attempt_id": 1}
    return {**about, "job_id": job_id, "status": "completed", "return_code": 0, "spawned": mark, **fields}


def events(*records: dict[str, Any], name: str = "wf1_r1_h_local_1") -> None:
    """Append to the event file of a worker of workflow 1."""
    folder = Path("torc_output/events")
    folder.mkdir(parents=True, exist_ok=True)
    ((token,),) = query("SELECT token FROM workflow")
    file = folder / f"{name}.jsonl"
    about = {"type": "event", "event": "worker_started", "at": 1.0, "workflow_id": 1, "worker": name}
    start = [] if file.exists() else [{**about, "workflow_token": token, "hostname": "h", "pid": 1}]
    with file.open("ab") as out:
        out.write(lines(*start, *records))


def verdicts() -> list[dict[str, Any]]:
    files = list(Path("torc_output/claims").glob("*/spawned.jobs"))
    return [json.loads(text) for file in files for text in file.read_bytes().splitlines()]


def test_whoever_folds_tells_once_and_one_who_died_before_that_is_stood_in_for(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", spec(work_dir, line("s"), line("t")))
    events(ended(1, lines(line("w"), line("v", depends_on=["w", "t"]))))
    before = Path("torc.db").read_bytes()
    for dry in (["torc-status", "--read-only", 1], ["torc-recover", "--dry-run", 1], ["torc-reset", "-n", "-j", 1]):
        torc(*dry)
    assert (Path("torc.db").read_bytes(), verdicts()) == (before, [])
    writes = 0
    while True:
        writes += 1
        done = torc("torc-status", 1, env={"TORC_KILL_AFTER_WRITES": str(writes)})
        assert query("SELECT count(*) FROM job") in ([(2,)], [(4,)])
        if done.returncode != -signal.SIGKILL:
            break
    assert torc("torc-status", 1).returncode in (0, 1)
    assert statuses() == {"s": "completed", "t": "ready", "w": "ready", "v": "blocked"}
    assert query("SELECT count(*), sum(is_told) FROM spawn") == [(1, 1)]
    first, *more = verdicts()
    assert all(other == first for other in more)
    assert (first["spawn_id"], first["job_id"], first["status"]) == (1, 1, "completed")
    assert [(job["job_name"], job["waits_for"]) for job in first["jobs"]] == [("w", []), ("v", [2, 3])]


BATCHES = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["s", "u", "v", "w"]), "command": st.sampled_from(["true", "false"])},
            optional={"depends_on": st.lists(st.sampled_from(["s", "t", "u", "w"]), max_size=2)},
        ),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(BATCHES, st.lists(st.floats(0, 1), max_size=3))
def test_the_end_is_the_same_however_often_somebody_folds(
    work_dir: Path, batches: list[list[dict[str, Any]]], cuts: list[float]
) -> None:
    found = [after(work_dir, batches, at) for at in ([], sorted(cuts))]
    assert found[0] == found[1]
    jobs, edges = found[0]
    names = [name for name, *_ in jobs]
    assert len(set(names)) == len(names)
    assert all(parent != job for job, parent in edges)
    ends = [status for _, _, status, *_ in jobs]
    spawned = len(jobs) - len(batches) - 1
    assert spawned == 0 or states.COMPLETED in ends
    assert not any(ends[parent - 1] == states.FAILED for job, parent in edges)


def after(folder: Path, batches: list[list[dict[str, Any]]], cuts: list[float]) -> tuple[Any, Any]:
    """Fold the ends of jobs that spawn `batches`, in so many steps; give what the store then holds of jobs."""
    place = folder / os.urandom(4).hex()
    place.mkdir()
    declared = [line(f"{number}") for number in range(len(batches))] + [line("t")]
    with contextlib.chdir(place):
        plan = creation.plan_spec({"name": "w", "jobs": declared}, "spec")
        db = store.create("torc.db")
        creation.save(db, plan, "torc_output")
        events(*(ended(number, lines(*batch)) for number, batch in enumerate(batches, 1)))
        (file,) = Path("torc_output/events").iterdir()
        whole = file.read_bytes()
        for cut in [*cuts, 1.0]:
            file.write_bytes(whole[: round(len(whole) * cut)])
            fold.fold(db, 1)
        rows = (
            db.execute("SELECT name, command, status, run_id, attempt_id FROM job ORDER BY job_id"),
            db.execute("SELECT job_id, depends_on_job_id FROM job_depends_on ORDER BY 1, 2"),
        )
        jobs, edges = ([tuple(row) for row in each] for each in rows)
        assert db.execute("SELECT count(*) FROM spawn WHERE NOT is_told").fetchone()[0] == 0
        db.close()
    return jobs, edges


def test_a_late_end_a_second_line_and_a_changed_file_add_nothing(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", spec(work_dir, *(line(name) for name in "stuvx")))
    good = ended(1, lines(line("w")))
    late, wrong = ended(2, lines(line("late"))), ended(3, lines(line("changed")))
    Path("torc_output/job_stdio/job_wf1_j3_r1_a1.spawn").write_bytes(lines(line("chAnged")))
    prepared.execute("torc.db", "UPDATE job SET run_id = 2 WHERE job_id = 2")
    gone = ended(4, lines(line("gone")))
    Path("torc_output/job_stdio/job_wf1_j4_r1_a1.spawn").unlink()
    rubbish = [{**good, "job_id": 5, "spawned": each} for each in (7, {}, {"bytes": "1", "sha256": 2}, [], "x")]
    events(good, good, late, wrong, gone, *rubbish)
    events(good, name="wf1_r1_h_local_2")
    assert torc("torc-status", 1).returncode in (0, 1)
    assert statuses() == {
        "s": "completed", "t": "ready", "u": "failed", "v": "failed", "x": "completed", "w": "ready",
    }  # fmt: skip
    tails = [json.loads(facts)["log_tail"] for (facts,) in query("SELECT facts FROM result WHERE status = 6")]
    assert ["changed since the job ended" in tails[0], "No such file" in tails[1]] == [True, True]


def test_what_is_spawned_in_a_workflow_that_was_canceled_is_canceled(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", spec(work_dir, line("s")))
    events(
        {"type": "event", "event": "started", "at": 1.0, "workflow_id": 1, "job_id": 1, "run_id": 1, "attempt_id": 1}
    )
    torc("torc-cancel", 1)
    events(ended(1, lines(line("w"), line("v", cancel_on_blocking_job_failure=False, depends_on=["w"]))))
    torc("torc-status", 1)
    assert statuses() == {"s": "completed", "w": "canceled", "v": "canceled"}
    assert [job["status"] for job in verdicts()[0]["jobs"]] == ["canceled"] * 2


def test_ten_thousand_lines_are_one_transaction(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", spec(work_dir, line("s")))
    many = [line(f"w{n}", f"echo {n}", resource_requirements="small") for n in range(9_999)]
    events(ended(1, lines(*many, line("last", depends_on_regexes=["^w"]))))
    assert torc("torc-status", 1).returncode in (0, 1)
    assert query("SELECT status, count(*) FROM job GROUP BY 1 ORDER BY 1") == [(1, 1), (2, 9_999), (5, 1)]
    assert query("SELECT count(*) FROM job_depends_on") == [(10_000 + 9_999,)]
    (verdict,) = verdicts()
    assert len(verdict["jobs"]) == 10_000


def test_a_worker_that_nobody_folds_for_leaves_what_it_spawned_to_the_next(torc: Torc, work_dir: Path) -> None:
    """As in an allocation without torc-watch: its worker leaves, the next fold adds the jobs, and a run runs them."""
    seed = line("seed", spawns(work_dir, line("w", "echo w >> ran")))
    torc("torc-create", spec(work_dir, seed))
    ((token, out),) = query("SELECT token, output_dir FROM workflow")
    head = {"type": "workflow", "workflow_id": 1, "run_id": 1, "token": token, "output_dir": out}
    head["config"] = {"compute_node_wait_for_new_jobs_seconds": 0}
    job = {"type": "job", "workflow_id": 1, "job_id": 1, "command": seed["command"]}
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    one = subprocess.Popen([*command("torc-work"), "-j", "1"], **quiet, env={**os.environ})  # type: ignore[call-overload]
    one.stdin.write(lines(head, job))
    one.stdin.close()
    files = Path("torc_output/events")
    until(lambda: any(b'"ended"' in file.read_bytes() for file in files.glob("*")), "the end of the job")
    assert one.poll() is None
    one.send_signal(signal.SIGTERM)
    assert one.wait(20) is not None
    assert query("SELECT count(*) FROM job") == [(1,)]
    assert torc("torc-run", 1).returncode == 0
    assert ran(work_dir) == Counter(["w"])
