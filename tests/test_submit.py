"""torc-submit: each planned allocation reaches Slurm exactly once, whatever sbatch, Slurm or kill -9 do."""

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import fakeslurm
import orjson
import pytest
from conftest import command
from prepared import execute
from waiting import until

from torc_tools import exits
from torc_tools.core import sbatch

READY = 2
PLACE = sbatch.Place("/home/ann", "/home/ann/out/slurm_output_wf1_sl")
NAMES = sbatch.Names(1, "small", 3, "torc_wf1_a3_00000003")


def planned(number: int, group: str = "small", **more: Any) -> dict[str, Any]:
    """Make the `allocation` record number `number` of a plan."""
    return {"type": "allocation", "workflow_id": 1, "kind": "slurm", "status": "planned", "token": f"{number:032x}",
            "plan": "one", "planned_after": 0, "group": group, "number": number, "num_allocations": 3, "job_count": 5,
            "account": "proj", "walltime_s": 3600, "num_cpus": 4, "memory_bytes": 2**30, **more}  # fmt: skip


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


PLAN = lines(*(planned(number) for number in (1, 2, 3)))
NAMED = ["torc_wf1_a1_00000000", "torc_wf1_a2_00000000", "torc_wf1_a3_00000000"]


@pytest.fixture
def fake(work_dir: Path, store_file: Path, monkeypatch: pytest.MonkeyPatch) -> fakeslurm.Fake:
    """Give a Slurm that does as it is told, and the store with job 5 ready."""
    execute(store_file, f"UPDATE job SET status = {READY} WHERE job_id = 5")
    made = fakeslurm.install(work_dir / "slurm bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "20")
    return made


def submissions(done: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    return [record for record in found if record["type"] == "submission"]


def statuses(path: Path) -> list[tuple[Any, ...]]:
    return execute(path, "SELECT status, slurm_job_id FROM allocation ORDER BY allocation_id")


# sbatch as it should be


def test_a_plan_from_a_file_says_what_fits_nowhere(torc, fake, store_file, work_dir) -> None:
    hopeless = {"type": "allocation", "status": "unplannable", "group": "huge", "job_count": 2,
                "reason": "no node has 9 TB", "would_fit": "1 TB"}  # fmt: skip
    (work_dir / "plan").write_bytes(lines(planned(1), hopeless))
    line = b"torc-submit: group 'huge' (2 jobs) fits nowhere: no node has 9 TB; would fit: 1 TB\n"
    assert torc("submit", "plan").stderr == line
    assert b"submission" in subprocess.run(["bash", "-c", "torc-submit < plan"], capture_output=True, check=True).stdout


def test_a_plan_is_submitted_and_what_is_not_a_plan_passes(torc, fake, store_file) -> None:
    note = {"type": "note", "text": "x"}
    hopeless = {"type": "allocation", "status": "unplannable", "group": "huge", "reason": "no node has 9 TB"}
    done = torc("submit", input=lines(note, planned(1), hopeless, planned(2)))
    assert done.returncode == 0
    assert done.stderr == b""  # torc-regenerate, at the other end of the pipe, has said it
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [record["type"] for record in found] == ["begin", "note", "submission", "allocation", "submission", "end"]
    assert [record["slurm_job_id"] for record in submissions(done)] == ["101", "102"]
    assert statuses(store_file) == [("queued", "101"), ("queued", "102")]
    assert fake.live() == NAMED[:2]
    assert execute(store_file, "SELECT count(*) FROM allocation WHERE pid IS NOT NULL") == [(0,)]
    told = Path(found[2]["script"]).parent.parent / "claims" / "wf1_01234567" / "allocations.jsonl"
    assert told.read_bytes() == (
        b'{"allocation_id":1,"slurm_job_id":"101"}\n{"allocation_id":2,"slurm_job_id":"102"}\n'
    )


def test_the_same_plan_again_brings_nothing_new(torc, fake) -> None:
    first = submissions(torc("submit", input=PLAN))
    again = torc("submit", input=PLAN)
    assert again.returncode == 0
    assert [record["already"] for record in first] == [False] * 3
    assert submissions(again) == [{**record, "already": True} for record in first]
    assert submissions(torc("submit", "-w", 1)) == []
    assert fake.live() == NAMED


def test_a_dry_run_shows_it_and_changes_nothing(torc, fake, store_file, work_dir) -> None:
    before = store_file.read_bytes()
    text = lines(planned(1), planned(2, "after", after_groups=["small"]))
    done = torc("submit", "--dry-run", input=text)
    first, second = submissions(done)
    assert (first["slurm_job_id"], first["status"], first["dry_run"]) == (None, "planned", True)
    assert first["script"] == str(work_dir / "torc_output/slurm_scripts/wf1_a1.sh")
    assert (second["after_allocations"], second["depends_on"]) == ([1], [])
    assert store_file.read_bytes() == before
    assert not (work_dir / "torc_output").exists()
    assert fake.read()["calls"] == 0


def test_the_job_gets_the_environment_of_a_login(torc, fake) -> None:
    """What an outer allocation, an outer job of ours or the user's own sbatch variables would spoil is left out."""
    hostile = {
        "SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "100", "TORC_JOB_ID": "9", "TORC_STORE": "torc.db",
        "CUDA_VISIBLE_DEVICES": "0", "SBATCH_TIMELIMIT": "1", "SBATCH_ARRAY_INX": "1-9", "SBATCH_WAIT": "1",
        "SBATCH_QOS": "high", "KEPT": "yes", "TORC_SLURM_TIMEOUT_S": "30",
    }  # fmt: skip
    assert torc("submit", input=PLAN, env=hostile).returncode == 0
    assert fake.jobs()[0]["env"] == {
        "SBATCH_QOS": "high", "KEPT": "yes", "TORC_SLURM_TIMEOUT_S": "30",
    }  # fmt: skip


def test_groups_wait_for_those_they_are_deferred_behind(torc, fake) -> None:
    """Whatever the order of the input; two groups that wait for each other go in their order."""
    text = lines(
        planned(1, "last", after_groups=["first", "loop"]), planned(2, "first"), planned(3, "first"),
        planned(4, "loop", after_groups=["pool"]), planned(5, "pool", after_groups=["loop"]),
    )  # fmt: skip
    done = torc("submit", input=text)
    assert done.returncode == 0
    waits = {job["name"].split("_")[2]: job["dependency"] for job in fake.jobs()}
    assert waits == {"a2": None, "a3": None, "a4": None, "a5": "afterany:103", "a1": "afterany:101:102:103"}
    assert submissions(done)[0]["depends_on"] == ["101", "102", "103"]


def test_serialized_allocations_are_a_chain_of_one_name(torc, fake) -> None:
    text = lines(*(planned(number, singleton=True, slurm_scheduler_id=8) for number in (1, 2)))
    assert torc("submit", input=text).returncode == 0
    assert {(job["name"], job["dependency"]) for job in fake.jobs()} == {("torc_wf1_s8_01234567", "singleton")}
    fake.next("fail")
    assert torc("submit", input=lines(planned(3, singleton=True, slurm_scheduler_id=8))).returncode == 0
    assert len(fake.live()) == 3


def test_plans_that_do_not_fit_any_more_are_refused(torc, fake, store_file) -> None:
    assert torc("submit", input=PLAN).returncode == 0
    late = torc("submit", input=lines(planned(9, plan="two", planned_after=1)))
    assert (late.returncode, late.stdout) == (exits.TEMPORARY, b"")
    assert late.stderr == (
        b"torc-submit: another plan brought workflow 1 2 allocation(s) since, the first is 2: plan anew\n"
    )
    both = torc("submit", input=lines(planned(10, plan="two"), planned(11, plan="three")))
    assert both.returncode == exits.DATA
    execute(store_file, "UPDATE workflow SET is_canceled = 1")
    canceled = torc("submit", input=lines(planned(12, plan="two", planned_after=3)))
    assert (canceled.returncode, canceled.stderr) == (
        exits.DATA,
        b"torc-submit: workflow 1 is canceled: torc-reset -w 1 --status canceled, then plan anew\n",
    )
    assert len(statuses(store_file)) == 3


def test_a_new_plan_takes_the_place_of_what_was_never_sent(torc, fake, store_file) -> None:
    fake.next("ok", "reject Invalid account")
    assert torc("submit", input=PLAN).returncode == exits.UNAVAILABLE
    assert torc("submit", input=lines(planned(9, plan="two", planned_after=3))).returncode == 0
    assert statuses(store_file) == [("queued", "101"), ("canceled", None), ("canceled", None), ("queued", "102")]
    again = torc("submit", input=PLAN)
    assert (again.returncode, [record["status"] for record in submissions(again)]) == (0, ["queued"] + ["canceled"] * 2)


BAD = {
    "token": {"token": "no good"},
    "walltime_s": {"walltime_s": 0},
    "memory_bytes": {"memory_bytes": -1},
    "qos": {"qos": "a\nb"},
    "kind": {"kind": "local"},
    "sbatch": {"sbatch": {"nice": "1\n2"}},
    "mode": {"mode": "magic"},
}


@pytest.mark.parametrize("key", BAD)
def test_a_bad_record_is_refused_with_its_line(torc, fake, key) -> None:
    done = torc("submit", input=lines(planned(1), {**planned(2), **BAD[key]}))
    assert done.returncode == exits.DATA
    assert done.stderr.startswith(b"torc-submit: line 2: allocation: '")
    assert fake.read()["calls"] == 0


def test_a_workflow_and_a_file_are_one_too_many(torc, fake, work_dir) -> None:
    (work_dir / "plan").write_bytes(PLAN)
    assert torc("submit", "-w", 1, "plan").returncode == exits.USAGE


# sbatch as it is


@pytest.mark.parametrize("how", ["fail", "die", "lie", "twice", "no-fail", "no-die", "no-lie"])
def test_one_live_submission_for_each_whatever_sbatch_answers(torc, fake, store_file, how) -> None:
    fake.next("ok", how)
    done = torc("submit", input=PLAN)
    if how.startswith("no-"):
        assert done.returncode == exits.UNAVAILABLE
        assert b"'torc-submit -w 1' goes on" in done.stderr
        assert [status for status, _ in statuses(store_file)] == ["queued", "planned", "planned"]
        done = torc("submit", "-w", 1)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(fake.live()) == NAMED
    assert [status for status, _ in statuses(store_file)] == ["queued"] * 3
    ids = {name: job["id"] for job in reversed(fake.jobs()) for name in [job["name"]]}
    assert [job_id for _, job_id in statuses(store_file)] == [ids[name] for name in NAMED]


@pytest.mark.parametrize("how", ["hang", "no-hang"])
def test_a_hanging_sbatch_is_killed_and_looked_for(torc, fake, how) -> None:
    fake.next(how)
    done = torc("submit", input=PLAN, env={"TORC_SLURM_TIMEOUT_S": "1"})
    assert done.returncode == (0 if how == "hang" else exits.UNAVAILABLE), done.stderr
    if how == "no-hang":
        assert done.stderr.startswith(b"torc-submit: allocation 1 of 'small': sbatch: no answer in time (0 of 3")
        assert torc("submit", input=PLAN).returncode == 0
    assert fake.live() == NAMED


@pytest.mark.parametrize(
    "words",
    ["Socket timed out on send/recv operation", "Invalid account or account/partition combination specified",
     "Requested node configuration is not available"],
)  # fmt: skip
def test_refusals_are_one_line_and_leave_the_rest_planned(torc, fake, store_file, words) -> None:
    fake.next("ok", f"reject {words}")
    done = torc("submit", input=PLAN)
    assert done.returncode == exits.UNAVAILABLE
    assert [record["status"] for record in submissions(done)] == ["queued", "planned", "planned"]
    text = f"sbatch: Batch job submission failed: {words}"
    end = "(1 of 3 submitted, 2 left: 'torc-submit -w 1' goes on)"
    assert done.stderr.decode() == f"torc-submit: allocation 2 of 'small': {text} {end}\n"
    assert torc("submit", "-w", 1).returncode == 0
    assert fake.live() == NAMED


def test_a_controller_that_is_down_leaves_it_open_whether_it_was_accepted(torc, fake, store_file) -> None:
    fake.write(always="fail", down=["squeue", "sacct"])
    done = torc("submit", input=PLAN)
    assert done.returncode == exits.UNAVAILABLE
    assert b"Unable to contact slurm controller" in done.stderr
    assert [status for status, _ in statuses(store_file)] == ["submitting", "planned", "planned"]
    assert torc("submit", "-w", 1).returncode == exits.UNAVAILABLE
    fake.write(always="ok", down=["sacct"])
    done = torc("submit", "-w", 1)
    assert done.returncode == 0
    assert fake.live() == NAMED
    assert statuses(store_file)[0] == ("queued", "101")


def test_what_the_controller_has_forgotten_is_found_in_accounting(torc, fake, store_file) -> None:
    fake.write(always="fail", down=["squeue", "sacct"])
    torc("submit", input=lines(planned(1)))
    fake.write(down=[], jobs=[{**job, "forgotten": True, "state": "COMPLETED"} for job in fake.jobs()])
    assert torc("submit", "-w", 1).returncode == 0
    assert statuses(store_file) == [("queued", "101")]
    assert fake.read()["calls"] == 1


def test_no_sbatch_at_all(torc, fake, store_file) -> None:
    (fake.folder / "sbatch").unlink()
    done = torc("submit", input=PLAN, env={"PATH": str(fake.folder)})
    assert done.returncode == exits.UNAVAILABLE
    assert done.stderr.startswith(b"torc-submit: no program 'sbatch' on PATH")
    assert [status for status, _ in statuses(store_file)] == ["planned"] * 3


# kill -9, and two at once


def test_a_kill_after_any_write_leaves_what_a_rerun_completes(torc, fake, store_file, work_dir) -> None:
    store = store_file.read_bytes()
    for count in range(1, 200):
        store_file.write_bytes(store)
        (work_dir / "torc.db-journal").unlink(missing_ok=True)
        fake.write(jobs=[], last=100)
        done = torc("submit", input=PLAN, env={"TORC_KILL_AFTER_WRITES": str(count)})
        again = torc("submit", *(() if count % 2 else ("-w", 1)), input=PLAN if count % 2 else None)
        assert again.returncode == 0, (count, again.stderr)
        if count % 2 == 0 and len(fake.live()) < 3:  # killed before the plan was stored: the plan has to be read again
            assert not fake.live(), count
            assert torc("submit", input=PLAN).returncode == 0
        assert sorted(fake.live()) == NAMED, count
        assert [status for status, _ in statuses(store_file)] == ["queued"] * 3, count
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    else:
        pytest.fail("never came to its end")
    assert count > 30


@pytest.mark.parametrize("how", ["hang", "no-hang"])
def test_a_kill_while_sbatch_runs_takes_no_second_one_beside_it(torc, fake, how, work_dir, store_file) -> None:
    """The sbatch of a dead submitter may still be at it: it is ended before Slurm is asked what it has."""
    fake.next(how)
    first = subprocess.Popen([*command("submit")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert first.stdin
    first.stdin.write(PLAN)
    first.stdin.close()
    until(lambda: fake.read()["calls"] == 1, "sbatch to be started")
    first.kill()
    first.wait()
    assert statuses(store_file)[0][0] == "submitting"
    assert torc("submit", "-w", 1).returncode == 0
    assert fake.live() == NAMED
    assert fake.read()["calls"] == (3 if how == "hang" else 4)


def test_two_at_once_share_the_work(torc, fake, store_file) -> None:
    plan = lines(*(planned(number) for number in range(1, 9)))
    both = [
        subprocess.Popen(command("submit"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for each in both:
        assert each.stdin
        each.stdin.write(plan)
        each.stdin.close()
        each.stdin = None
    said = [each.communicate(timeout=60) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert len(fake.live()) == len(set(fake.live())) == 8
    rows = [orjson.loads(line) for out, _ in said for line in out.splitlines() if b'"submission"' in line]
    assert sum(not row["already"] for row in rows) == 8
    assert fake.read()["calls"] == 8


def test_a_living_submitter_is_waited_for_and_then_left_alone(torc, fake, store_file) -> None:
    """Its row is not touched while it lives: 75 after the time that an sbatch may take."""
    torc("submit", input=lines(planned(1)))
    pid = os.getpid()
    start = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    execute(
        store_file,
        "UPDATE allocation SET status = 'submitting', slurm_job_id = NULL, submitted_at = 9e9,"
        f" hostname = '{os.uname().nodename}', pid = {pid}, pid_start = {start}",
    )
    done = torc("submit", "-w", 1, env={"TORC_SLURM_TIMEOUT_S": "0.1"})
    assert done.returncode == exits.TEMPORARY
    assert statuses(store_file) == [("submitting", None)]


# The script, by itself


def script(record: dict[str, Any], place: sbatch.Place = PLACE, name: str = "small") -> str:
    return sbatch.script(record, NAMES._replace(workflow_name=name), place, 90, ["torc-work", "it's"])


def test_the_script_is_readable() -> None:
    assert script(planned(1, partition="standard", extra="--exclusive --nice=5")).splitlines() == [
        "#!/bin/bash",
        "# Workflow 1: small",
        "# Allocation 3: group small, 1 of 3, for 5 jobs",
        "# torc-submit made this and adds --job-name, --comment and --dependency.",
        "#SBATCH --job-name=torc_wf1_a3_00000003",
        "#SBATCH --account=proj",
        "#SBATCH --partition=standard",
        "#SBATCH --time=01:00:00",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=1024M",
        "#SBATCH --output=/home/ann/out/slurm_output_wf1_sl%j.o",
        "#SBATCH --error=/home/ann/out/slurm_output_wf1_sl%j.e",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:TERM@90",
        "#SBATCH --chdir=/home/ann",
        "#SBATCH --exclusive --nice=5",
        "",
        "unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_BIND",
        "exec torc-work 'it'\"'\"'s'",
    ]


def test_the_users_own_options_come_first_and_cannot_take_ours() -> None:
    asked = {"nice": 5, "exclusive": True, "hold": True, "job-name": "x", "output": "y", "time": "1", "none": None}
    found = [line for line in script(planned(1, sbatch=asked)).splitlines() if line.startswith("#SBATCH")]
    assert found[1:4] == ["#SBATCH --nice=5", "#SBATCH --exclusive", "#SBATCH --time=1"]
    assert [line for line in found if "--time" in line][-1] == "#SBATCH --time=01:00:00"
    assert not any("hold" in line or "=x" in line or "=y" in line for line in found)


def test_hostile_names_stay_what_they_are() -> None:
    place = sbatch.Place('/tmp/a "b" #c', "/tmp/50% d'e\u00fc/sl")
    text = script(planned(1, "x\ny"), place, "evil\n#SBATCH --wrap=x")
    assert '#SBATCH --chdir="/tmp/a \\"b\\" #c"' in text
    assert '#SBATCH --output="/tmp/50%% d\'e\u00fc/sl%j.o"' in text
    assert "# Workflow 1: evil\\n#SBATCH --wrap=x\n" in text
    with pytest.raises(sbatch.Failure, match="control character"):
        sbatch.check_path("/tmp/a\nb")


def test_a_path_with_a_backslash_is_opened_by_the_shell() -> None:
    """Such a path switches sbatch's patterns off."""
    text = script(planned(1), sbatch.Place("/tmp", "/tmp/back\\slash/sl"))
    assert "#SBATCH --output=/dev/null\n" in text
    assert "exec >>'/tmp/back\\slash/sl'\"$SLURM_JOB_ID.o\" 2>>'/tmp/back\\slash/sl'\"$SLURM_JOB_ID.e\"\n" in text


def test_values_that_are_too_long_for_a_line_go_to_the_command_line() -> None:
    place = sbatch.Place("/tmp/" + "x" * 5000, "/tmp/sl")
    assert "--chdir" not in script(planned(1), place)
    assert f"--chdir={place.chdir}" in sbatch.command_line(planned(1), NAMES, place, 90, [])


def test_one_worker_on_each_node() -> None:
    last = script(planned(1, nodes=3, start_one_worker_per_node=True)).splitlines()[-1]
    words = shlex.split(last)
    assert words[:5] == ["exec", "srun", "--nodes=3", "--ntasks=3", "--ntasks-per-node=1"]
    assert {"--wait=0", "--kill-on-bad-exit=0", "--cpus-per-task=4"} <= set(words)


def test_very_many_dependencies_name_the_newest() -> None:
    text, named = sbatch.dependency({}, [str(number) for number in range(100_000, 130_000)])
    assert text is not None
    assert len(text) < 131_000
    assert named[-1] == "129999"
    assert len(named) > 10_000
    assert sbatch.dependency({"singleton": True}, ["7"]) == ("singleton,afterany:7", ["7"])
    assert sbatch.dependency({}, []) == (None, [])


@pytest.mark.parametrize(
    ("lead", "walltime", "expected"), [(90, 3600, 90), (30, 3600, 60), (90, 60, 30), (9e9, 9e9, 65535)]
)
def test_the_warning_never_comes_in_the_first_half(lead, walltime, expected) -> None:
    assert sbatch.lead_s(lead, int(walltime)) == expected


def test_times_are_written_as_sbatch_reads_them() -> None:
    assert [sbatch.walltime(seconds) for seconds in (59, 5400, 90_061)] == ["00:00:59", "01:30:00", "1-01:01:01"]


# torc-cancel


def test_cancel_takes_back_what_is_queued_and_drops_what_is_planned(torc, fake, store_file) -> None:
    fake.next("ok", "ok", "reject x")
    assert torc("submit", input=PLAN).returncode == exits.UNAVAILABLE
    dry = torc("cancel", "--dry-run", 1)
    assert dry.returncode == 0
    assert fake.live() == NAMED[:2]
    done = torc("cancel", 1)
    assert (done.returncode, done.stderr) == (0, b"")
    assert fake.live() == []
    assert statuses(store_file) == [("canceled", "101"), ("canceled", "102"), ("canceled", None)]
    said = execute(store_file, "SELECT slurm_reason FROM allocation")
    assert said == [("torc-cancel",), ("torc-cancel",), (None,)]
    assert fake.read()["canceled"] == [["--state=PENDING", "101", "102"]]
    again = torc("cancel", 1)
    assert (again.returncode, len(fake.read()["canceled"])) == (0, 1)
    assert submissions(torc("submit", "-w", 1)) == []


def test_cancel_ends_what_runs_after_the_grace(torc, fake, store_file) -> None:
    assert torc("submit", input=PLAN).returncode == 0
    fake.move("102", "RUNNING")
    assert torc("cancel", 1, "--grace", "PT1S").returncode == 0
    assert fake.read()["canceled"] == [["--state=PENDING", "101", "102", "103"], ["102"]]
    assert {status for status, _ in statuses(store_file)} == {"canceled"}


def test_cancel_finds_what_was_being_submitted(torc, fake, store_file) -> None:
    fake.write(always="fail", down=["squeue", "sacct"])
    assert torc("submit", input=PLAN).returncode == exits.UNAVAILABLE
    down = torc("cancel", 1)
    assert down.returncode == exits.UNAVAILABLE
    assert b"torc-cancel 1" in down.stderr
    assert statuses(store_file)[0] == ("submitting", None)
    fake.write(down=[])
    refused = torc("submit", "-w", 1)
    assert (refused.returncode, statuses(store_file)[0]) == (exits.DATA, ("submitting", None))
    assert torc("cancel", 1).returncode == 0
    assert (fake.live(), statuses(store_file)[0]) == ([], ("canceled", "101"))


def test_canceling_jobs_tells_the_workers_that_are_still_queued(torc, fake, work_dir) -> None:
    assert torc("submit", input=PLAN).returncode == 0
    assert torc("cancel", 1, "--job-ids", 5).returncode == 0
    told = work_dir / "torc_output/claims/wf1_01234567/cancel.jobs"
    assert not told.exists() or orjson.loads(told.read_bytes()) == {"job_id": 5, "run_id": 1, "attempt_id": 1}
    assert told.exists()
    assert fake.live() == NAMED


# torc-run --slurm

SPEC = """
name: many
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT10M}]
slurm_schedulers: [{name: site, account: proj, partition: short, walltime: "01:00:00", nodes: 1}]
jobs: [{name: "job_{i}", command: "true", resource_requirements: small, parameters: {i: "1:4"}}]
"""


def test_run_on_slurm_says_what_it_made(torc, fake, work_dir) -> None:
    (work_dir / "spec.yaml").write_text(SPEC)
    done = torc("run", "--slurm", "spec.yaml", "--account", "proj", "--profile", "kestrel")
    said = done.stderr.decode().splitlines()
    count = len(fake.live())
    assert (done.returncode, said[0], said[-1]) == (
        0, "Created workflow 2 with 4 jobs", f"Submitted to Slurm with {count} allocation{'s' * (count != 1)}",
    )  # fmt: skip
    assert count >= 1
    assert "--account=proj" in fake.jobs()[0]["script"]
    again = torc("run", "--slurm", 2, "--account", "proj", "--profile", "kestrel")
    assert (again.returncode, len(fake.live())) == (0, count)


def test_run_on_slurm_that_fails_says_how_to_go_on(torc, fake, work_dir) -> None:
    (work_dir / "spec.yaml").write_text(SPEC)
    fake.next("reject Invalid account")
    done = torc("run", "--slurm", "spec.yaml", "--account", "proj", "--profile", "kestrel")
    assert done.returncode == exits.UNAVAILABLE
    last = "torc-run: torc-submit failed: workflow 2 is stored, 'torc-submit -w 2' goes on with it"
    assert done.stderr.decode().splitlines()[-1] == last
    assert torc("submit", "-w", 2).returncode == 0
    assert fake.live()


def test_run_on_slurm_where_nothing_can_be_planned_gives_up(torc, fake, work_dir) -> None:
    (work_dir / "spec.yaml").write_text(SPEC.replace("100m", "900t"))
    done = torc("run", "--slurm", "spec.yaml", "--account", "proj", "--profile", "kestrel")
    assert done.returncode == exits.EMPTY, done.stderr
    last = "torc-run: torc-regenerate failed: workflow 2 is stored, 'torc-run --slurm 2' goes on with it"
    assert done.stderr.decode().splitlines()[-1] == last


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--slurm", "--num-cpus", 2), "--num-cpus goes without --slurm"),
        (("--account", "x"), "--account goes with --slurm"),
    ],
)
def test_options_of_the_other_engine_are_refused(torc, fake, options, said) -> None:
    done = torc("run", *options, 1)
    assert (done.returncode, done.stderr.decode()) == (exits.USAGE, f"torc-run: {said}\n")
