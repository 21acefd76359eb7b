"""torc-sync beside a squeue and a sacct that print what Slurm printed, or fail, hang and lie."""

import json
import os
import time
from pathlib import Path

import pytest
from conftest import said, script
from prepared import TOKEN, execute
from slurmtexts import account, sacct, squeue, waiting

from torc_tools import states
from torc_tools.core import slurmvalues
from torc_tools.shell import endnotes, layout

HEARD = {"fresh": 5, "silent": 1000}
STEP = {"ElapsedRaw": 10, "TotalCPU": "00:05.000", "MaxRSS": "1G"}


class Fake:
    """squeue, sacct and scancel in a folder, which say what they are told to."""

    def __init__(self, folder: Path) -> None:
        """Write the programs; none of them knows anything."""
        self.folder = folder
        folder.mkdir()
        for name in ("squeue", "sacct", "scancel", "sbatch"):
            script(folder / name, f'echo "$0 $*" >> "{folder}/asked"\n. "{folder}/{name}.does"')
            self.does(name, "exit 1")
        self.says("squeue", squeue())
        self.says("sacct", sacct())

    def does(self, name: str, line: str) -> None:
        """Let a program do this, in the shell."""
        (self.folder / f"{name}.does").write_text(line + "\n")

    def says(self, name: str, text: str, error: str = "", status: int = 0) -> None:
        """Let a program print this."""
        (self.folder / f"{name}.out").write_text(text)
        self.does(name, f"cat '{self.folder}/{name}.out'; echo '{error}' >&2; exit {status}")

    def asked(self, name: str) -> list[str]:
        """Give the command lines that a program was called with."""
        try:
            lines = (self.folder / "asked").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0].endswith(f"/{name}")]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Give the fake programs, first on PATH."""
    made = Fake(tmp_path / "fake")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


@pytest.fixture
def allocated(store_file: Path) -> Path:
    """Give the prepared store before its run, with allocation 1 (Slurm job 7) that was submitted long ago."""
    execute(
        store_file,
        "DELETE FROM result",
        f"UPDATE job SET status = {states.BLOCKED}",
        f"UPDATE job SET status = {states.READY} WHERE job_id IN (1, 3, 4)",
        "INSERT INTO allocation (workflow_id, kind, status, slurm_job_id, token, created_at, submitted_at)"
        " VALUES (1, 'slurm', 'queued', '7', 'a', 5, 5)",
    )
    return store_file


def work(folder: Path, *events: dict[str, object], heard: str = "fresh", restarts: int = 0, job: str = "7") -> Path:
    """Write what a worker of Slurm job 7 on another machine wrote: its start, `events`, each heard of some time ago."""
    at = time.time() - HEARD[heard]
    hello = {"event": "worker_started", "workflow_token": TOKEN, "hostname": "elsewhere", "pid": 5, "pid_start": 5,
             "allocation_id": 1, "slurm_job_id": job, "restart_count": restarts}  # fmt: skip
    lines = [{"type": "event", "at": at, "workflow_id": 1, **event} for event in (hello, *events)]
    path = folder / "torc_output" / "events" / f"wf1_r1_elsewhere_{job}_{5 + restarts}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def started(job: int, attempt: int = 1) -> dict[str, object]:
    return {"event": "started", "job_id": job, "run_id": 1, "attempt_id": attempt}


def ended(job: int, status: str = "completed", code: int = 0, **more: object) -> dict[str, object]:
    given = {"event": "ended", "job_id": job, "run_id": 1, "attempt_id": 1, "status": status, "return_code": code}
    step = {"slurm_job_id": "7", "slurm_step_name": f"wf1_j{job}_r1_a1"}
    return {**given, "exec_time_s": 10.0, "peak_memory_bytes": 5, **step, **more}


def step(job: int, state: str, code: str = "0:0", number: int = 0) -> dict[str, object]:
    return account(f"7.{number}", state, code, slurmvalues.step_name(1, job, 1, 1), **STEP)


def job_states(store: Path) -> dict[int, tuple[str, int]]:
    rows = execute(store, "SELECT job_id, status, attempt_id FROM job")
    return {job_id: (states.NAMES[status], attempt_id) for job_id, status, attempt_id in rows}


def sync(torc, *options: object, **env: str) -> dict[str, object]:
    done = torc("torc-sync", 1, *options, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[1])
    return found


def result(store: Path, job: int) -> tuple[int, str, dict[str, object]]:
    query = f"SELECT return_code, status, facts FROM result WHERE job_id = {job} ORDER BY attempt_id"
    code, status, facts = execute(store, query)[0]
    return code, states.NAMES[status], json.loads(facts)


def diagnosed(torc) -> dict[str, tuple[str, str]]:
    lines = map(json.loads, torc("torc-diagnose", 1).stdout.splitlines())
    return {each["job_name"]: (each["cause"], each["certainty"]) for each in lines if each["type"] == "diagnosis"}


def test_an_allocation_is_followed_from_the_queue_to_its_end(torc, allocated, fake):
    for row, status in (
        (waiting(7, "PENDING", "Priority"), "queued"),
        (waiting(7, "RUNNING", START_TIME=1000, END_TIME=2000), "active"),
        (waiting(7, "COMPLETING"), "active"),
        (waiting(7, "COMPLETED"), "complete"),
    ):
        fake.says("squeue", squeue(row))
        found = sync(torc)
        assert [each["status"] for each in found["allocations"]] == [status]
        assert execute(allocated, "SELECT status, slurm_state FROM allocation") == [(status, row["STATE"])]
    assert found["allocations_ended"] == [1]
    asked = len(fake.asked("squeue"))
    assert sync(torc)["slurm"] == {"squeue": "not_asked", "sacct": "not_asked"}
    assert len(fake.asked("squeue")) == asked
    journal = execute(allocated, "SELECT after FROM change WHERE subject = 'allocation' ORDER BY change_id")
    assert [json.loads(row[0])["status"] for row in journal] == ["active", "complete"]


@pytest.mark.parametrize(
    ("state", "code", "of_step", "cause"),
    [
        ("CANCELLED by 0", "0:0", ("CANCELLED", "0:15"), ("allocation_end", "certain")),
        ("TIMEOUT", "0:0", ("CANCELLED", "0:15"), ("allocation_end", "certain")),
        ("PREEMPTED", "0:0", ("CANCELLED", "0:15"), ("preempted", "certain")),
        ("OUT_OF_MEMORY", "0:125", ("OUT_OF_MEMORY", "0:125"), ("oom", "certain")),
        ("OUT_OF_MEMORY", "0:125", None, ("oom", "likely")),
        ("FAILED", "0:53", None, ("launch_fail", "certain")),
        ("FAILED", "0:9", ("TIMEOUT", "0:15"), ("timeout", "certain")),
        ("FAILED", "0:9", ("CANCELLED", "0:9"), ("orphan", "certain")),
    ],
)
def test_a_job_that_was_lost_with_its_allocation_has_its_true_cause(
    torc, work_dir, allocated, fake, state, code, of_step, cause
):
    work(work_dir, started(4))
    fake.says("squeue", squeue(waiting(7, state.split()[0])))
    fake.says("sacct", sacct(account("7", state, code), *([step(4, *of_step)] if of_step else [])))
    found = sync(torc)
    assert (found["slurm_jobs_failed"], found["running_jobs_failed"]) == (1, 0)
    assert found["failed_job_details"][0]["slurm_job_id"] == "7"
    assert result(allocated, 4)[:2] == (-128, "failed")
    assert diagnosed(torc) == {"bug": cause}
    assert execute(allocated, "SELECT memory_bytes, runtime_s FROM result") == [(2**30, 60)]
    assert execute(allocated, "SELECT count(*) FROM worker WHERE ended_at IS NULL") == [(0,)]


def test_a_failed_node_takes_its_jobs_only_after_silence_and_the_truth_wins(torc, work_dir, allocated, fake):
    path = work(work_dir, started(4))
    fake.says("squeue", squeue(waiting(7, "NODE_FAIL")))
    fake.says("sacct", sacct(account("7", "NODE_FAIL", FailedNode="n2")))
    assert sync(torc)["slurm_jobs_failed"] == 0
    assert job_states(allocated)[4] == ("running", 1)
    found = sync(torc, TORC_SILENT_S="1")
    assert found["failed_job_details"][0]["reason"] == "node n2 of Slurm job 7 failed"
    assert diagnosed(torc) == {"bug": ("node_fail", "certain")}
    with path.open("a") as file:
        file.write(json.dumps({"type": "event", "at": time.time(), "workflow_id": 1, **ended(4)}) + "\n")
    sync(torc)
    assert job_states(allocated)[4] == ("completed", 1)
    assert result(allocated, 4)[0] == 0


def test_a_requeued_allocation_runs_its_jobs_again_uncharged(torc, work_dir, allocated, fake):
    work(work_dir, started(4), heard="silent")
    claims = work_dir / layout.claims_dir({"output_dir": "torc_output", "workflow_id": 1, "token": TOKEN})
    claims.mkdir(parents=True)
    (claims / "3.r1.a1").write_text(json.dumps({"worker": "wf1_r1_elsewhere_7_5", "slurm_job_id": "7"}))
    fake.says("squeue", squeue(waiting(7, "PENDING", "BeginTime")))
    fake.says("sacct", sacct(account("7", "NODE_FAIL", Submit=1, Start=2), account("7", "PENDING", Submit=3)))
    found = sync(torc)
    assert [each["job_id"] for each in found["jobs_requeued"]] == [4]
    assert found["failed_job_details"] == []
    assert job_states(allocated)[4] == ("ready", 2)
    code, status, facts = result(allocated, 4)
    assert (code, status, facts["allocation_state"]) == (-128, "failed", "NODE_FAIL")
    assert execute(allocated, "SELECT status, slurm_reason FROM allocation") == [("queued", "BeginTime")]
    assert not (claims / "3.r1.a1").exists()


def test_the_next_life_of_an_allocation_is_not_taken_for_the_one_before(torc, work_dir, allocated, fake):
    work(work_dir, started(4), heard="silent")
    work(work_dir, started(3), restarts=1)
    fake.says("squeue", squeue(waiting(7, "RUNNING", START_TIME=int(time.time()) - 60)))
    fake.says("sacct", sacct(account("7", "REQUEUED", Submit=1, Start=2), account("7", "RUNNING", Submit=3, Start=4)))
    assert [each["job_id"] for each in sync(torc)["jobs_requeued"]] == [4]
    assert job_states(allocated)[3] == ("running", 1)


def test_what_slurm_holds_is_reported(torc, allocated, fake):
    held = "launch failure limit exceeded requeued held"
    fake.says("squeue", squeue(waiting(7, "PENDING", held)))
    assert [each["slurm_reason"] for each in sync(torc)["allocations_held"]] == [held]
    lines = torc("torc-status", 1, "-f", "table").stdout.decode()
    assert f"Slurm job 7: queued, PENDING ({held}), held: scontrol release 7" in lines


BROKEN = [
    ("squeue", "refuses", "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1),
    ("squeue", "times out, exit 0", "", "slurm_load_jobs error: Socket timed out on send/recv operation", 0),
    ("squeue", "prints garbage", "<html>Bad Gateway</html>\n", "", 0),
    ("squeue", "prints nothing", "", "", 0),
    ("squeue", "dies", "", "", 139),
]


@pytest.mark.parametrize(("name", "how", "text", "error", "status"), BROKEN, ids=lambda value: str(value)[:20])
def test_without_the_controller_nothing_is_concluded(torc, work_dir, allocated, fake, name, how, text, error, status):
    work(work_dir, started(4), heard="silent")
    fake.says(name, text, error, status)
    fake.says("sacct", sacct(account("7", "RUNNING")))
    done = torc("torc-sync", 1)
    assert done.returncode == 0
    found = json.loads(done.stdout.splitlines()[1])
    assert found["slurm"] == {"squeue": "unavailable", "sacct": "ok"}
    assert job_states(allocated)[4] == ("running", 1)
    assert execute(allocated, "SELECT status FROM allocation") == [("queued",)]
    assert [line for line in said(done) if line.startswith("warning: Slurm gives no answer: squeue")], said(done)
    assert len(said(done)) == 1


def test_a_hanging_slurm_is_given_up(torc, work_dir, allocated, fake):
    work(work_dir, started(4), heard="silent")
    fake.does("squeue", "sleep 100")
    fake.does("sacct", "sleep 100")
    found = sync(torc, TORC_SLURM_TIMEOUT_S="0.2")
    assert found["slurm"] == {"squeue": "unavailable", "sacct": "unavailable"}
    assert job_states(allocated)[4] == ("running", 1)


def test_without_slurm_on_path_nothing_is_concluded(torc, work_dir, allocated, fake):
    work(work_dir, started(4), heard="silent")
    empty = work_dir / "empty"
    empty.mkdir()
    (empty / "uname").symlink_to("/bin/uname")
    assert sync(torc, PATH=str(empty))["slurm"] == {"squeue": "unavailable", "sacct": "unavailable"}
    assert job_states(allocated)[4] == ("running", 1)


def test_without_slurmdbd_the_controller_is_enough_and_accounting_follows_later(torc, work_dir, allocated, fake):
    work(work_dir, started(4), started(1), ended(1))
    fake.says("squeue", squeue(waiting(7, "TIMEOUT")))
    fake.says("sacct", "", "sacct: error: Problem talking to the database: Connection refused", 1)
    found = sync(torc)
    assert (found["slurm_jobs_failed"], found["accounting_pending"]) == (1, 2)
    assert result(allocated, 1)[2]["accounting"] == "pending"
    assert diagnosed(torc) == {"bug": ("allocation_end", "certain")}
    fake.says(
        "sacct", sacct(account("7", "TIMEOUT"), step(4, "OUT_OF_MEMORY", "0:125"), step(1, "COMPLETED", number=1))
    )
    assert sync(torc)["accounting_pending"] == 0
    assert result(allocated, 1)[2]["accounting"] == "final"
    assert diagnosed(torc) == {"bug": ("oom", "certain")}
    assert sync(torc)["slurm"] == {"squeue": "not_asked", "sacct": "not_asked"}


def test_a_cause_that_accounting_is_late_with_is_waited_for(torc, work_dir, allocated, fake):
    work(work_dir, started(4))
    fake.says("squeue", squeue(waiting(7, "FAILED")))
    fake.says("sacct", sacct(account("7", "RUNNING"), step(4, "RUNNING")))
    (fake.folder / "later").write_text(sacct(account("7", "FAILED", "0:9"), step(4, "OUT_OF_MEMORY", "0:125")))
    fake.does("sacct", f"cat '{fake.folder}/sacct.out'; cp '{fake.folder}/later' '{fake.folder}/sacct.out'")
    assert sync(torc)["slurm_jobs_failed"] == 1
    assert len(fake.asked("sacct")) == 2
    assert diagnosed(torc) == {"bug": ("oom", "certain")}


@pytest.mark.parametrize(("state", "code"), [("FAILED", "0:9"), ("CANCELLED by 0", "0:0"), ("TIMEOUT", "0:0")])
@pytest.mark.parametrize("noted", [True, False])
def test_a_job_that_ended_well_is_done_though_its_worker_died_unheard(
    torc, work_dir, allocated, fake, state, code, noted
):
    """Its own note says so, and that no signal came before; a trap may make code 0 of that, which accounting has."""
    work(work_dir, started(1), started(4))
    note = Path(endnotes.path(str(work_dir / "torc_output"), 1, (1, 1, 1)))
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("end 0 \n" if noted else "end 0 told\n")
    good = noted or code == "0:9"
    fake.says("squeue", squeue(waiting(7, state.split()[0])))
    fake.says("sacct", sacct(account("7", state, code), step(1, "COMPLETED"), step(4, "CANCELLED", "0:15", 1)))
    found = sync(torc)
    assert [(each["job_id"], each["return_code"]) for each in found["corrected"]] == [(1, 0)] * good
    assert result(allocated, 1)[:2] == ((0, "completed") if good else (states.LOST_CODE, "failed"))
    assert result(allocated, 1)[2]["accounting"] == "final"
    assert result(allocated, 4)[:2] == (states.LOST_CODE, "failed")
    assert execute(allocated, "SELECT exec_time_s FROM result WHERE job_id = 1") == [(10.0,)]


@pytest.mark.parametrize("good", [True, False])
def test_what_a_job_spawned_whose_worker_died_unheard_is_judged_as_ever(torc, work_dir, allocated, fake, good):
    work(work_dir, started(1))
    note = Path(endnotes.path(str(work_dir / "torc_output"), 1, (1, 1, 1)))
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("end 0 \n")
    note.with_suffix(".spawn").write_text('{"name": "new", "command": "true"' + "}" * good)
    fake.says("squeue", squeue(waiting(7, "FAILED")))
    fake.says("sacct", sacct(account("7", "FAILED", "0:9"), step(1, "COMPLETED")))
    found = sync(torc)
    status, code, told = ("completed", 0, "completed") if good else ("failed", 1, "failed")
    assert [(each["job_id"], each["return_code"]) for each in found["corrected"]] == [(1, 0)] * good
    assert [each["job_id"] for each in found["failed_job_details"]] == [1] * (not good)
    assert result(allocated, 1)[:2] == (code, status)
    assert result(allocated, 1)[2].get("reason") == (None if good else "spawn_refused")
    assert execute(allocated, "SELECT count(*), min(status) FROM job WHERE name = 'new'")[0][0] == good
    (verdicts,) = (work_dir / "torc_output" / "claims").glob("*/spawned.jobs")
    assert [json.loads(line)["status"] for line in verdicts.read_text().splitlines()] == [told]


def test_a_slurm_without_accounting_is_not_asked_for_ever(torc, work_dir, allocated, fake):
    work(work_dir, started(1), ended(1))
    fake.says("squeue", squeue(waiting(7, "COMPLETED")))
    fake.says("sacct", "", "Slurm accounting storage is disabled", 1)
    assert sync(torc)["accounting_pending"] == 0
    assert result(allocated, 1)[2]["accounting"] == "unavailable"
    assert sync(torc)["slurm"]["sacct"] == "not_asked"


def test_what_the_controller_has_forgotten_is_over_when_accounting_says_so(torc, work_dir, allocated, fake):
    work(work_dir, started(4))
    fake.says("squeue", "", "slurm_load_jobs error: Invalid job id specified", 1)
    fake.says("sacct", sacct(account("7", "CANCELLED by 0")))
    found = sync(torc)
    assert found["failed_job_details"][0]["reason"].startswith("Slurm job 7 was canceled by root")
    assert execute(allocated, "SELECT status FROM allocation") == [("canceled",)]


def test_queued_allocations_that_slurm_has_forgotten_are_cleaned(torc, allocated, fake):
    columns = "workflow_id, kind, status, slurm_job_id, created_at, submitted_at"
    for job in (8, 9):
        execute(allocated, f"INSERT INTO allocation ({columns}) VALUES (1, 'slurm', 'queued', '{job}', 5, 5)")
    found = sync(torc)
    assert found["pending_allocations_cleaned"] == 3
    assert execute(allocated, "SELECT DISTINCT status FROM allocation") == [("lost",)]
    assert len(fake.asked("squeue")) == len(fake.asked("sacct")) == 1


def test_memory_hidden_behind_a_script_that_went_on(torc, work_dir, allocated, fake):
    work(work_dir, started(1), ended(1), started(4), ended(4), started(3), ended(3))
    fake.says("squeue", squeue(waiting(7, "COMPLETED")))
    steps = [step(1, "COMPLETED", number=0), step(4, "OUT_OF_MEMORY", "0:125", 1), step(3, "CANCELLED", "0:9", 2)]
    fake.says("sacct", sacct(account("7", "COMPLETED"), *steps))
    found = sync(torc)
    assert [(each["job_id"], each["return_code"]) for each in found["corrected"]] == [(4, 137)]
    assert result(allocated, 4)[:2] == (137, "failed")
    assert job_states(allocated)[4] == ("failed", 1)
    assert job_states(allocated)[3] == ("completed", 1)
    assert diagnosed(torc) == {"bug": ("oom", "certain")}
    peaks = execute(allocated, "SELECT peak_memory_bytes, avg_cpu_percent, exec_time_s FROM result WHERE job_id = 1")
    assert peaks == [(2**30, 50.0, 10.0)]
    before = allocated.read_bytes()
    sync(torc)
    assert allocated.read_bytes() == before


def test_a_job_that_has_run_again_since_is_not_failed_for_its_first_attempt(torc, work_dir, allocated, fake):
    work(work_dir, started(4), ended(4))
    torc("torc-results", 1)
    execute(allocated, f"UPDATE job SET status = {states.READY}, run_id = 2 WHERE job_id = 4")
    fake.says("squeue", squeue(waiting(7, "COMPLETED")))
    fake.says("sacct", sacct(account("7", "COMPLETED"), step(4, "OUT_OF_MEMORY", "0:125")))
    assert [each["job_id"] for each in sync(torc)["corrected"]] == [4]
    assert result(allocated, 4)[:2] == (137, "failed")
    assert job_states(allocated)[4] == ("ready", 1)


def test_queued_allocations_with_nothing_left_to_run_are_canceled(torc, allocated, fake):
    fake.says("squeue", squeue(waiting(7, "PENDING", "Priority")))
    assert sync(torc)["allocations_canceled"] == []
    execute(allocated, f"UPDATE job SET status = {states.COMPLETED}")
    assert [each["slurm_job_id"] for each in sync(torc, "-n")["allocations_canceled"]] == ["7"]
    assert fake.asked("scancel") == []
    (fake.folder / "gone").write_text(squeue(waiting(7, "CANCELLED")))
    fake.does("scancel", f"cp '{fake.folder}/gone' '{fake.folder}/squeue.out'")
    found = sync(torc)
    assert [each["slurm_job_id"] for each in found["allocations_canceled"]] == ["7"]
    assert found["pending_allocations_cleaned"] == 1
    assert fake.asked("scancel") == ["--state=PENDING 7"]
    query = "SELECT status, slurm_reason FROM allocation"
    assert execute(allocated, query) == [("canceled", "canceled by torc-sync: nothing left to run")]


@pytest.fixture
def named(allocated: Path) -> Path:
    """Give the store whose allocation says how its Slurm job is called: torc_wf1_a1_0f0f0f0f."""
    config = json.dumps({"workflow_id": 1, "token": "0f" * 16, "group": "small"})
    execute(allocated, f"UPDATE allocation SET config = '{config}'")
    return allocated


OURS = {"NAME": "torc_wf1_a1_0f0f0f0f", "COMMENT": "torc:" + "0f" * 16}


@pytest.mark.parametrize("theirs", [{"NAME": "theirs"}, {**OURS, "COMMENT": "torc:" + "f0" * 16}])
def test_an_id_that_slurm_gave_again_is_not_ours(torc, named, fake, theirs):
    """A controller that lost its newest jobs counts anew; what has our id then is not asked for, believed, canceled."""
    execute(named, f"UPDATE job SET status = {states.COMPLETED}")
    fake.says("squeue", squeue(waiting(7, "PENDING", "Priority", **theirs)))
    assert sync(torc)["allocations_ended"] == [1]
    assert execute(named, "SELECT status FROM allocation") == [("lost",)]
    execute(named, "UPDATE allocation SET status = 'queued'")
    assert torc("torc-cancel", 1).returncode == 0
    assert execute(named, "SELECT status FROM allocation") == [("canceled",)]
    assert fake.asked("scancel") == []


@pytest.mark.parametrize("change", [{}, {"NAME": "renamed"}, {"COMMENT": "by the site"}])
def test_a_job_of_ours_is_known_by_its_comment_or_its_name(torc, named, fake, change):
    fake.says("squeue", squeue(waiting(7, "PENDING", "Priority", **{**OURS, **change})))
    sync(torc)
    assert execute(named, "SELECT status FROM allocation") == [("queued",)]


def test_what_accounting_keeps_of_another_with_our_id_is_not_ours(torc, work_dir, named, fake):
    """Neither what had the id years ago nor what has it since; not even a step that is called as ours."""
    work(work_dir, started(4))
    fake.says("squeue", squeue())
    ours = account("7", "TIMEOUT", name=OURS["NAME"], Submit=50, Start=60), step(4, "CANCELLED", "0:15")
    old = account("7", "FAILED", name="old", Submit=1, Start=2), step(4, "OUT_OF_MEMORY", "0:125")
    new = account("7", "RUNNING", name="new", Submit=80, Start=90), step(4, "COMPLETED")
    fake.says("sacct", sacct(*old, *ours, *new))
    sync(torc)
    assert diagnosed(torc) == {"bug": ("allocation_end", "certain")}
    assert execute(named, "SELECT slurm_state FROM allocation") == [("TIMEOUT",)]


def test_a_dry_run_asks_and_leaves_every_byte(torc, work_dir, allocated, fake):
    work(work_dir, started(4))
    fake.says("squeue", squeue(waiting(7, "TIMEOUT")))
    fake.says("sacct", sacct(account("7", "TIMEOUT")))
    before = allocated.read_bytes()
    assert sync(torc, "-n")["slurm_jobs_failed"] == 1
    assert allocated.read_bytes() == before


def test_a_worker_by_hand_in_a_slurm_job_of_its_own_is_asked_for_too(torc, work_dir, allocated, fake):
    path = work(work_dir, started(4), job="8")
    path.write_text(path.read_text().replace('"allocation_id": 1', '"allocation_id": null'))
    fake.says("squeue", squeue(waiting(7, "PENDING"), waiting(8, "CANCELLED")))
    fake.says("sacct", sacct(account("8", "CANCELLED")))
    assert sync(torc)["slurm_jobs_failed"] == 1
    assert "--jobs=7,8" in fake.asked("squeue")[0]


def test_what_a_dead_submitter_sent_is_found_by_its_token(torc, allocated, fake):
    token = "0f" * 16
    config = json.dumps({"workflow_id": 1, "token": token, "group": "small", "singleton": False})
    columns = "workflow_id, kind, status, token, created_at, submitted_at, config, hostname, pid, pid_start"
    values = f"1, 'slurm', 'submitting', '{token}', 5, 5, '{config}', '{os.uname().nodename}', {2**22 - 1}, 1"
    execute(allocated, f"INSERT INTO allocation ({columns}) VALUES ({values})")
    rows = waiting(7, "PENDING"), waiting(8, "PENDING", NAME=f"torc_wf1_a2_{token[:8]}", COMMENT=f"torc:{token}")
    fake.says("squeue", squeue(*rows))
    sync(torc, "-n")
    assert execute(allocated, "SELECT status FROM allocation WHERE allocation_id = 2") == [("submitting",)]
    sync(torc)
    query = "SELECT status, slurm_job_id, slurm_state, pid FROM allocation WHERE allocation_id = 2"
    assert execute(allocated, query) == [("queued", "8", "PENDING", None)]


def test_statistics_of_steps(torc, work_dir, allocated, fake):
    work(work_dir, started(1), ended(1), started(4), ended(4))
    row = {**step(1, "COMPLETED"), "MaxRSS": "512K", "MaxVMSize": "1536M", "AveCPU": "00:00:07", "NodeList": "n1"}
    fake.says("squeue", squeue(waiting(7, "COMPLETED")))
    fake.says("sacct", sacct(account("7", "COMPLETED"), row))
    sync(torc)
    lines = torc("torc-stats", 1, "-f", "table").stdout.decode().splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "1", "1", "7", "COMPLETED", "512.0KB", "1.5GB", "7.0", "70.0", "n1"],
        ["4", "1", "1", "7", "-", "-", "-", "-", "-", "-"],
    ]
    assert lines[0].startswith("Job ID Run Attempt Slurm Job State")
    found = [json.loads(line) for line in torc("torc-stats", 1, "-j", 4).stdout.splitlines()]
    assert [each.get("slurm_job_id") for each in found] == [None, "7", None]
    assert found[1]["max_rss_bytes"] is None
    assert torc("torc-stats", 1, "--run-id", 2, "-e").returncode == 1
    assert torc("torc-stats", 1, "-j", 9).returncode == 0


@pytest.mark.slow
def test_ten_thousand_jobs_in_one_question_each(torc, work_dir, allocated, fake):
    count = 10_000
    rows = [f"({number}, 1, 'j{number}', 'true', {states.READY})" for number in range(100, 100 + count)]
    execute(allocated, f"INSERT INTO job (job_id, workflow_id, name, command, status) VALUES {', '.join(rows)}")
    events = [event for number in range(100, 100 + count) for event in (started(number), ended(number))]
    work(work_dir, *events)
    fake.says("squeue", squeue(waiting(7, "COMPLETED")))
    steps = [step(number, "COMPLETED", number=number - 100) for number in range(100, 100 + count)]
    fake.says("sacct", sacct(account("7", "COMPLETED"), *steps))
    assert sync(torc)["accounting_pending"] == 0
    assert execute(allocated, "SELECT count(*) FROM slurm_stats WHERE max_rss_bytes = 1073741824") == [(count,)]
    assert len(fake.asked("squeue")) == len(fake.asked("sacct")) == 1


def shown(torc, *options: object) -> list[str]:
    """Give the lines for people, as a terminal would show them."""
    lines = torc("torc-sync", 1, "-f", "table", *options).stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80, lines
    return lines


def test_people_get_lines_that_fit_a_terminal(torc, work_dir, allocated, fake):
    fake.says("squeue", squeue(waiting(7, "PENDING", "Priority")))
    assert shown(torc) == ["workflow 1: settled:", "  Slurm job 7: queued, PENDING (Priority)"]
    hostile = "x" * 90 + "\\n\x1b[31m"
    execute(allocated, f"UPDATE job SET name = '{hostile}' WHERE job_id = 3")
    fake.says("squeue", squeue(waiting(7, "PENDING", "launch failure limit exceeded requeued held")))
    assert "  Slurm job 7: held, scontrol release 7 (launch failure limit exceeded requeued…" in shown(torc)
    work(work_dir, started(3), started(4))
    fake.says("squeue", squeue(waiting(7, "TIMEOUT")))
    fake.says("sacct", sacct(account("7", "TIMEOUT", Start=1, End=2)))
    lines = shown(torc, "--dry-run")
    assert lines[:2] == ["workflow 1: would be settled:", "  2 jobs lost with their worker:"]
    assert lines[2].endswith("…): Slurm job 7 ran into its time limit"), lines
    assert "  Slurm job 7: complete, TIMEOUT" in lines
    shown(torc)
    assert shown(torc) == ["workflow 1: nothing to settle"]


def test_the_table_of_stats_has_the_state_and_fits_a_terminal(torc, work_dir, allocated):
    execute(
        allocated,
        "INSERT INTO slurm_stats (workflow_id, job_id, run_id, attempt_id, slurm_job_id, slurm_state, max_rss_bytes,"
        " max_vm_size_bytes, ave_cpu_seconds, node_list) VALUES"
        " (1, 3, 1, 1, '12345678', 'OUT_OF_MEMORY', 943718400, 943718400, 86399.94, 'r102u23')",
    )
    lines = torc("torc-stats", 1, "-f", "table", env={"COLUMNS": "80"}).stdout.decode().splitlines()
    assert lines[0].split()[4:7] == ["Slurm", "Job", "State"]
    assert max(map(len, lines)) <= 80, lines
    assert lines[1].split() == [
        "3",
        "1",
        "1",
        "12345678",
        "OUT_OF_MEMORY",
        "900.0MB",
        "900.0MB",
        "86399.9",
        "-",
        "r102u23",
    ]
