"""torc-recover and torc-watch on Slurm through the real commands, on a cluster that fails and hangs on request."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fakecluster
import orjson
import pytest
import street
import waiting
from conftest import Torc, command, said
from fakecluster import Cluster
from prepared import execute

from torc_tools import states
from torc_tools.shell import allocations, store, watchstate

SPEC = """\
name: oom
resource_requirements: [{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}]
jobs:
  - {name: hog, command: 'test "$SLURM_MEM_PER_NODE" -ge 150 || exit 137', resource_requirements: small}
  - {name: healthy, command: "true", resource_requirements: small}
  - {name: report, command: "echo done > report", resource_requirements: small, depends_on: [hog]}
"""
DONE = {"hog": "completed", "healthy": "completed", "report": "completed"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a fake cluster, its clients on PATH; no USER, as under cron."""
    made = fakecluster.build(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "20")
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.stop()


@pytest.fixture
def oomed(torc: Torc, cluster: Cluster, work_dir: Path) -> Path:
    """Give a folder in which workflow 1 has run once on Slurm: hog was killed for memory."""
    submit(torc)
    over(cluster)
    return work_dir


def submit(torc: Torc) -> None:
    done = torc("torc-run", "--slurm", "-", "--account", "proj", input=SPEC)
    assert done.returncode == 0, said(done)


def over(cluster: Cluster) -> None:
    """Wait until Slurm has ended all that was submitted."""
    waiting.until(lambda: all(job["end"] for job in cluster.jobs()), "the allocations to end", 60)


def settled(torc: Torc) -> dict[str, str]:
    assert torc("torc-sync", 1).returncode == 0
    return street.statuses()


def records(output: bytes) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in output.splitlines()]


def submitted(output: bytes) -> list[str]:
    return [str(each["status"]) for each in records(output) if each["type"] == "submission"]


def live() -> int:
    (row,) = street.query("SELECT count(*) FROM allocation WHERE status IN ('submitting', 'queued', 'active')")
    return int(row[0])


def test_the_seven_steps_with_torcs_words(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    before = len(cluster.jobs())
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    lines = said(done)
    at = lines.index("Diagnosing failures...")
    assert lines[at:] == [
        "Diagnosing failures...",
        "Applying recovery heuristics...",
        "  Job 1 (hog): OOM detected, increasing memory 100m -> 150m",
        "  Applied fixes: 1 OOM, 0 timeout",
        "Resetting 1 job(s) for retry...",
        "torc-reset: 1 job(s) named, 1 dependent(s) would run again: report",
        "  Reset 1 job(s)",
        "Reinitializing workflow...",
        "Regenerating Slurm schedulers...",
        *[line for line in lines if line.startswith("  Submitted Slurm allocation with 1 job")],
        "",
        "Recovery complete for workflow 1",
        "  - 1 job(s) had memory increased",
        "Reset 1 job(s). Slurm schedulers regenerated and submitted.",
    ]
    made = records(done.stdout)
    kinds = [record["type"] for record in made]
    sent = len(cluster.jobs()) - before
    assert kinds == ["begin", "applied", "reset", "reset", *["submission"] * sent, "end"]
    assert sent > 0
    over(cluster)
    assert settled(torc) == DONE
    assert street.limits()["healthy"] == (100 << 20, 60)
    again = torc("torc-recover", 1)
    assert said(again) == ["No failed or terminated jobs to recover. Workflow may have completed successfully."]


def test_a_failed_submission_is_completed_by_the_same_command(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    before = len(cluster.jobs())
    cluster.knob("sbatch", "fail")
    done = torc("torc-recover", 1)
    assert done.returncode == 69, said(done)
    assert said(done)[-1] == "torc-recover: run torc-recover again: 'torc-recover 1'"
    assert [record["type"] for record in records(done.stdout)][:2] == ["begin", "applied"]
    assert (street.statuses()["hog"], live()) == ("ready", 0)
    assert torc("torc-recover", 1).returncode == 69
    cluster.knob("sbatch", None)
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    assert any(re.fullmatch(r"\d job\(s\) are ready, and no Slurm .*: the workflow goes on.", x) for x in said(done))
    assert said(done)[-1] == "Slurm schedulers regenerated and submitted."
    assert submitted(done.stdout) == ["queued"] * (len(cluster.jobs()) - before)
    over(cluster)
    assert settled(torc) == DONE


@pytest.mark.parametrize("how", ["late", "lost"])
def test_a_submission_of_which_the_answer_was_lost_is_made_once(
    torc: Torc, cluster: Cluster, oomed: Path, how: str
) -> None:
    before = len(cluster.jobs())
    cluster.knob("sbatch", how)
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    over(cluster)
    names = [job["name"] for job in cluster.jobs()[before:]]
    assert len(names) == len(set(names)) == len(submitted(done.stdout))
    assert settled(torc) == DONE


def test_without_accounting_the_recovery_is_the_same(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    cluster.knob("sacct", "unable")
    cluster.knob("sacctmgr", "unable")
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    over(cluster)
    assert settled(torc) == DONE


@pytest.mark.parametrize(
    ("hog", "message"),
    [
        ("failed", "Cannot recover: there are pending Slurm allocations. Wait for them to start or cancel them with"),
        ("ready", "Cannot recover: workflow is not complete. Wait for all jobs to finish or use 'torc-cancel' first."),
    ],
)
def test_a_queued_allocation_is_waited_for(
    torc: Torc, cluster: Cluster, work_dir: Path, hog: str, message: str
) -> None:
    cluster.hold()
    submit(torc)
    cluster.knob("scancel", "unable")  # what has nothing to run would be canceled
    rest = f"UPDATE job SET status = {states.COMPLETED} WHERE name != 'hog'"
    execute("torc.db", rest, f"UPDATE job SET status = {states.NUMBERS[hog]} WHERE name = 'hog'")
    for options in ((), ("--dry-run",)):
        done = torc("torc-recover", *options, 1)
        assert done.returncode == 1, said(done)
        assert any(line.startswith(f"torc-recover: {message}") for line in said(done)), said(done)
    assert live() == len(cluster.jobs())


def test_a_dry_run_plans_with_the_new_limits_and_the_dependents_and_changes_nothing(
    torc: Torc, cluster: Cluster, oomed: Path
) -> None:
    """Even before anybody has asked Slurm whether the allocations are over."""
    digest = street.digest(oomed / "torc.db")
    files = sorted(path for path in oomed.rglob("*"))
    jobs = len(cluster.jobs())
    done = torc("torc-recover", "--dry-run", 1)
    assert done.returncode == 0, said(done)
    assert street.digest(oomed / "torc.db") == digest
    assert sorted(path for path in oomed.rglob("*")) == files
    assert len(cluster.jobs()) == jobs
    lines = said(done)
    assert "[DRY RUN] Would reset 1 job(s) for retry" in lines
    at = lines.index("[DRY RUN] Slurm schedulers that would be created:")
    assert re.fullmatch(r"    Account: proj, Partition: \w+, Walltime: [\d:]+, Nodes: 1, Mem: \d+m", lines[at + 2])
    assert re.fullmatch(r"\[DRY RUN\] Total: \d allocation\(s\) would be submitted", lines[-7])
    assert lines[-6:] == [
        "",
        "[DRY RUN] Summary for workflow 1",
        "  - 1 job(s) would have memory increased",
        "Would reset 1 job(s) and regenerate Slurm schedulers.",
        "",
        "Run without --dry-run to apply these changes.",
    ]
    planned = [each for each in records(done.stdout) if each["type"] == "allocation"]
    assert sum(int(str(each["job_count"])) for each in planned if each["number"] == 1) == 2
    settled(torc)
    plain = records(torc("torc-regenerate", 1, "--include-job-ids", "1,3").stdout)
    assert max(int(str(each["memory_bytes"])) for each in planned) - (50 << 20) == max(
        int(str(each["memory_bytes"])) for each in plain if each["type"] == "allocation"
    )


def test_print_shows_what_runs_and_options_go_where_they_belong(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    options = ("--account", "other", "--partition", "debug", "--walltime", "02:00:00", "-j", 2)
    done = torc("torc-recover", "--print", *options, 1)
    line = done.stdout.decode().strip()
    assert line.endswith(  # nothing grows past the largest node, or the walltime less what an allocation itself needs
        " --runtime-multiplier 1.4 --max-memory 4000m --max-runtime PT1H57M | torc-apply | torc-reset"
        " && torc-regenerate --max-parallel-jobs=2 --walltime=PT2H --account=other --partition=debug 1 | torc-submit"
    )
    tried = torc("torc-recover", "--print", "--dry-run", 1).stdout.decode()
    assert tried.endswith(" | torc-apply --dry-run | torc-reset --dry-run --force | torc-regenerate --dry-run\n")
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, capture_output=True)
    scripts = [Path(job["script"]).read_text() for job in cluster.jobs()]
    assert "--max-parallel-jobs 2" in scripts[-1]
    assert (cluster.jobs()[-1]["account"], cluster.jobs()[-1]["given"]["time"]) == ("other", "02:00:00")
    over(cluster)
    assert settled(torc) == DONE


@pytest.mark.parametrize(("option", "value", "status"), [("--partition", "nowhere", 66), ("--walltime", "00:00:30", 1)])
def test_what_cannot_be_planned_is_said_before_anything_is_changed(
    torc: Torc, cluster: Cluster, oomed: Path, option: str, value: str, status: int
) -> None:
    settled(torc)
    before = street.limits(), street.statuses(), street.query("SELECT count(*) FROM change")
    done = torc("torc-recover", option, value, 1)
    assert done.returncode == status, said(done)
    assert said(done)[-1].endswith(": nothing was changed"), said(done)
    assert (street.limits(), street.statuses(), street.query("SELECT count(*) FROM change")) == before
    dry = torc("torc-recover", "--dry-run", option, value, 1)
    assert (dry.returncode, said(dry)[-1].endswith(": nothing would be changed")) == (status, True), said(dry)
    cluster.knob("scontrol", "unable")
    assert torc("torc-recover", "--dry-run", 1).returncode == 69
    done = torc("torc-recover", 1)
    assert (done.returncode, said(done)[-1].endswith(": nothing was changed")) == (69, True)


def test_no_run_stops_after_the_reset_and_the_next_goes_on(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    before = len(cluster.jobs())
    done = torc("torc-recover", "--no-run", 1)
    assert said(done)[-1].endswith("Not restarted (--no-run): torc-regenerate 1 | torc-submit does it.")
    assert len(cluster.jobs()) == before
    assert torc("torc-recover", 1).returncode == 0
    over(cluster)
    assert settled(torc) == DONE


def test_account_and_partition_are_for_slurm(torc: Torc, store_file: Path) -> None:
    for option in ("--account", "--partition"):
        done = torc("torc-recover", option, "x", 1)
        assert done.returncode == 2
        assert said(done) == [
            f"torc-recover: {option} is for Slurm allocations, and workflow 1 runs on this machine",
            "torc-recover: 'torc-recover --no-run 1', then 'torc-run --slurm 1' with the option, moves it to Slurm",
        ]


def test_the_second_recovery_at_once_is_told_who_holds_it_and_one_killed_is_gone_on_with(
    torc: Torc, cluster: Cluster, oomed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "10")  # the sbatch of the one that is killed hangs for so long
    before = len(cluster.jobs())
    cluster.knob("sbatch", "hang")
    first = subprocess.Popen([*command("torc-recover"), "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        sending = "SELECT 1 FROM allocation WHERE status = 'submitting'"
        waiting.until(lambda: street.query(sending), "the submission to begin")
        second = torc("torc-recover", 1)
        assert (second.returncode, "is held by torc-recover" in said(second)[0]) == (75, True)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    cluster.knob("sbatch", None)
    done = torc("torc-recover", 1)
    while done.returncode != 0 and "Slurm has not said yet" in done.stderr.decode():
        done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    over(cluster)
    names = [job["name"] for job in cluster.jobs()[before:]]
    assert len(names) == len(set(names))
    assert settled(torc) == DONE


def test_nothing_is_reset_or_run_here_beside_an_allocation(torc: Torc, cluster: Cluster, work_dir: Path) -> None:
    cluster.hold()
    submit(torc)
    for name, *options in (("torc-reset", "-w", 1, "--status", "ready"), ("torc-run", 1)):
        done = torc(name, *options)
        assert done.returncode == 75, said(done)
        assert "Slurm allocation 1001 (queued) is there for workflow 1" in done.stderr.decode()
    done = torc("torc-reset", "-w", 1, "--status", "ready", "--force")
    assert done.returncode == 0, said(done)
    (path,) = work_dir.glob("torc_output/claims/*/run")
    assert path.read_text() == "2\n"
    cluster.hold(held=False)
    over(cluster)
    assert settled(torc)["healthy"] == "ready"


def test_a_watch_goes_from_the_first_submission_to_the_end(torc: Torc, cluster: Cluster, work_dir: Path) -> None:
    submit(torc)
    done = torc("torc-watch", "--recover", "-p", 2, 1, timeout=120)
    lines = said(done)
    assert done.returncode == 0, lines
    at = lines.index("Resetting failed jobs...")
    middle = [line for line in lines[at:] if not line.startswith("torc-reset: ")]
    assert middle[:3] == [
        "Resetting failed jobs...",
        "  Reset 1 job(s)",
        "Regenerating Slurm schedulers and submitting...",
    ]
    assert middle[3].startswith("  Submitted Slurm allocation with ")
    assert "Recovery initiated. Resuming monitoring..." in middle
    assert lines[-1] == "Workflow completed successfully (3 jobs)"
    assert street.statuses() == DONE


def test_a_watch_outlives_a_controller_that_is_down(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    """It says so once, tries again at each poll, and goes on when the controller is back."""
    for client in ("sbatch", "sinfo", "scontrol"):
        cluster.knob(client, "unable")
    words = [*command("torc-watch"), "--recover", "-p", "1", "1"]
    watch = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        waiting.until(lambda: said_so(oomed, "trying again at the next poll") > 1, "two attempts", 60)
        for client in ("sbatch", "sinfo", "scontrol"):
            cluster.knob(client, None)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        watch.communicate()
    assert street.statuses() == DONE
    assert said_so(oomed, "Attempting automatic recovery (attempt 1)") == 1


def test_a_watch_that_is_refused_for_long_keeps_its_plan(torc: Torc, cluster: Cluster, oomed: Path) -> None:
    """A limit on submissions may hold for a weekend: the store does not grow with every look."""
    cluster.knob("sbatch", "fail")
    plans = []
    for more in ((), (), (), (), ("--partition", "debug")):  # it recovers, it starts, it starts, it starts otherwise
        done = torc("torc-watch", "--once", "--recover", *more, 1)
        assert done.returncode == 75
        assert "trying again at the next poll" in "\n".join(said(done))
        plans.append(street.query("SELECT count(DISTINCT plan) FROM allocation")[0][0])
    assert [number - plans[0] for number in plans] == [0, 1, 1, 1, 2]
    cluster.knob("sbatch", None)
    done = torc("torc-watch", "--recover", "--partition", "debug", "-p", 1, 1, timeout=60)
    assert done.returncode == 0, said(done)
    assert street.statuses() == DONE


def said_so(folder: Path, text: str) -> int:
    return sum(path.read_text().count(text) for path in folder.rglob("watch_*.log"))


def test_steps_from_cron_go_on_where_they_were(torc: Torc, cluster: Cluster, work_dir: Path) -> None:
    submit(torc)
    statuses = []
    for _ in range(40):
        over(cluster)
        done = torc("torc-watch", "--once", "--recover", 1)
        statuses.append(done.returncode)
        if done.returncode != 75:
            break
    assert statuses[-1] == 0, said(done)
    assert street.statuses() == DONE


def test_an_allocation_that_was_canceled_is_replaced_where_that_is_wanted(
    torc: Torc, cluster: Cluster, work_dir: Path
) -> None:
    cluster.hold()
    submit(torc)
    for job in cluster.jobs():
        cluster.change(job["job_id"], state="CANCELLED by 0", end=time.time())
    stuck = torc("torc-watch", 1)
    assert stuck.returncode == 1
    assert said(stuck)[-2:] == [
        "No pending or active scheduled compute nodes found",
        "2 ready jobs with no schedulers. Use --auto-schedule to regenerate.",
    ]
    cluster.hold(held=False)
    done = torc("torc-watch", "--auto-schedule", "--recover", "-p", 2, 1, timeout=120)
    assert done.returncode == 0, said(done)
    lines = said(done)
    assert "Auto-schedule: No schedulers available but 2 ready jobs found (0 retries)" in lines
    assert "Auto-schedule: Successfully submitted new allocations" in lines


def test_allocations_of_a_run_that_was_reset_neither_count_nor_wait(
    torc: Torc, cluster: Cluster, work_dir: Path
) -> None:
    """They would start nothing: their jobs are planned anew, nothing is deferred behind them, and they are canceled."""
    cluster.hold()
    submit(torc)
    old = [job["job_id"] for job in cluster.jobs()]
    assert torc("torc-reset", "-w", 1, "-j", "1,2,3", "--force").returncode == 0
    standing = torc("torc-status", 1, "-f", "table").stdout.decode()
    assert "Slurm job 1001: queued, of an earlier run" in standing
    assert "2 jobs: no allocation: torc-regenerate 1 | torc-submit" in standing
    done = torc("torc-submit", input=torc("torc-regenerate", 1, "--account", "proj").stdout)
    found = [each for each in records(done.stdout) if each["type"] == "submission"]
    assert found
    assert not {str(each) for each in old} & {after for each in found for after in each["depends_on"]}
    assert settled(torc) == {"hog": "ready", "healthy": "ready", "report": "blocked"}
    assert [job["job_id"] for job in cluster.jobs() if job["state"].startswith("CANCELLED")] == old
    assert live() == len(found)


def test_what_slurm_holds_is_said_once_by_a_watch_and_by_the_status(
    torc: Torc, cluster: Cluster, work_dir: Path
) -> None:
    cluster.hold()
    submit(torc)
    ids = [job["job_id"] for job in cluster.jobs()]
    cluster.change(ids[0], reason="JobHeldUser")
    line = f"Slurm holds allocation 1 (Slurm job {ids[0]}): JobHeldUser. 'scontrol release {ids[0]}' lets it start."
    done = torc("torc-watch", "--once", "-r", 1)
    assert (done.returncode, said(done)) == (75, [line])
    assert f"(JobHeldUser), held: scontrol release {ids[0]}" in torc("torc-status", 1, "-f", "table").stdout.decode()
    assert torc("torc-watch", "--once", "-r", 1).stderr == b""
    cluster.change(ids[0], reason="Priority")
    assert torc("torc-watch", "--once", "-r", 1).stderr == b""
    cluster.change(ids[0], state="PENDING", reason="launch failed requeued held")
    assert "launch failed requeued held. 'scontrol release" in "\n".join(said(torc("torc-watch", "--once", "-r", 1)))


def cancel_queued(cluster: Cluster) -> None:
    for job in cluster.jobs():
        if job["state"] == "PENDING":
            cluster.change(job["job_id"], state="CANCELLED by 0", end=time.time())


def test_a_watch_gives_up_where_every_allocation_is_canceled(torc: Torc, cluster: Cluster, work_dir: Path) -> None:
    cluster.hold()
    submit(torc)
    words = [*command("torc-watch"), "--recover", "-p", "1", "1"]
    watch = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        waiting.until(lambda: cancel_queued(cluster) or watch.poll() is not None, "the watch to give up", 60)
        assert watch.poll() == 1
    finally:
        watch.kill()
        watch.communicate()
    plans = street.query("SELECT count(DISTINCT plan) FROM allocation")
    assert plans == [(4,)]  # the first, and three of the watch


@pytest.fixture
def giant(torc: Torc, cluster: Cluster, work_dir: Path) -> Path:
    """Give a folder in which workflow 1 runs on Slurm, with a job that fits nowhere."""
    huge = "resource_requirements: [{name: huge, num_cpus: 1, memory: 900t, runtime: PT1M}, {"
    spec = (
        SPEC.replace("resource_requirements: [{", huge) + "  - {name: giant, command: x, resource_requirements: huge}\n"
    )
    done = torc("torc-run", "--slurm", "-", "--account", "proj", input=spec)
    assert done.returncode == 0, said(done)
    return work_dir


def test_steps_from_cron_say_once_what_fits_nowhere(torc: Torc, cluster: Cluster, giant: Path) -> None:
    ticks: list[tuple[int, list[str]]] = []
    while len(ticks) < 20 and ticks[-1:] != [(1, [])]:
        over(cluster)
        done = torc("torc-watch", "--once", "--recover", 1)
        ticks.append((done.returncode, said(done)))
    assert ticks[-1] == (1, []), ticks
    lines = [line for _, said_then in ticks for line in said_then]
    assert len([line for line in lines if " fits nowhere: " in line]) == 1, ticks
    assert len([line for line in lines if line.startswith("torc-watch: no job that is ready fits: ")]) == 1, ticks
    assert torc("torc-jobs", "set", 4, "--memory", "100m", "--command", "true").returncode == 0
    assert torc("torc-watch", "--once", "--recover", 1).returncode == 75
    over(cluster)
    assert settled(torc) == {**DONE, "giant": "completed"}


def test_a_watch_that_may_not_start_anything_says_what_would_fit(torc: Torc, cluster: Cluster, giant: Path) -> None:
    over(cluster)
    done = torc("torc-watch", "-p", 1, 1, timeout=60)
    lines = said(done)
    assert done.returncode == 1
    assert [line for line in lines if line.startswith("  job 4: fits nowhere: ") and "would fit: " in line], lines
    assert "  1 failed: 'torc-diagnose 1' says why, 'torc-jobs --logs 1' what job 1 wrote." in lines
    assert not [line for line in lines if "torc-regenerate" in line or "--auto-schedule" in line], lines


def test_a_job_that_fits_nowhere_keeps_no_other_from_its_recovery(torc: Torc, cluster: Cluster, giant: Path) -> None:
    done = torc("torc-watch", "--recover", "-p", 1, 1, timeout=120)
    assert (done.returncode, street.statuses()) == (1, {**DONE, "giant": "ready"}), said(done)
    assert said(done)[-1].startswith("torc-watch: no job that is ready fits: 'torc-jobs set'"), said(done)
    assert "Workflow 1 is complete" not in said(done)


def test_the_status_says_what_would_fit_of_a_job_that_fits_nowhere(
    torc: Torc, cluster: Cluster, work_dir: Path
) -> None:
    submit(torc)
    over(cluster)
    settled(torc)
    assert torc("torc-reset", "-w", 1, "--failed").returncode == 0
    assert torc("torc-jobs", "set", 1, "--memory", "64g").returncode == 0
    (summary,) = [each for each in records(torc("torc-status", 1).stdout) if each["type"] == "summary"]
    texts = [str(each["text"]) for each in summary["reasons"]]
    fits = "memory on a node up to 3.91 GB (debug)"
    assert [text for text in texts if text.startswith("job 1: fits nowhere: ") and fits in text], texts
    assert "torc-regenerate" not in "\n".join(texts)
    for client in ("sinfo", "scontrol"):
        cluster.knob(client, "unable")
    assert "no allocation: torc-regenerate 1 | torc-submit" in torc("torc-status", 1).stdout.decode()


def test_who_has_left_and_since_when_retries_wait(store_file: Path) -> None:
    execute(
        store_file,
        "INSERT INTO allocation (allocation_id, workflow_id, kind, status, slurm_job_id, created_at, submitted_at,"
        " started_at, config) VALUES (1, 1, 'slurm', 'active', '7', 0, 50, 100, '{}'),"
        " (2, 1, 'slurm', 'queued', '8', 0, 60, NULL, '{}'), (3, 1, 'slurm', 'planned', NULL, 10, NULL, NULL, '{}'),"
        " (4, 1, 'slurm', 'planned', NULL, 990, NULL, NULL, '{}')",
        "INSERT INTO worker (workflow_id, name, allocation_id, ended_at) VALUES (1, 'w1', 1, 150), (1, 'w2', 1, NULL)",
        f"UPDATE job SET status = {states.READY}, attempt_id = 2 WHERE job_id IN (2, 3)",
        "UPDATE result SET ended_at = 700 WHERE job_id = 2",
        "UPDATE result SET ended_at = NULL WHERE job_id = 3",
        "INSERT INTO change (workflow_id, at, who, command, subject, subject_id, why, before, after, hash)"
        " VALUES (1, 650, 'ann', 'torc-sync', 'job', 3, '{}', '{}', '{}', 'x')",
    )
    db = store.open_store(str(store_file))
    seen = [row["allocation_id"] for row in allocations.working(db, 1)]
    assert (seen, allocations.attended(db, 1)) == ([1, 2], True)
    db.execute("UPDATE worker SET ended_at = 160 WHERE name = 'w2'")
    assert [row["allocation_id"] for row in allocations.working(db, 1)] == [2]
    db.execute("UPDATE allocation SET started_at = 170 WHERE allocation_id = 1")  # requeued, and started anew
    assert [row["allocation_id"] for row in allocations.working(db, 1)] == [1, 2]
    db.execute("INSERT INTO worker (workflow_id, name, allocation_id, ended_at) VALUES (1, 'w3', 2, 180)")
    assert (len(allocations.working(db, 1)), allocations.attended(db, 1)) == (2, False)
    assert watchstate.retry_ready_at(db, 1) == 650
    db.execute("UPDATE job SET attempt_id = 1 WHERE job_id = 3")
    assert watchstate.retry_ready_at(db, 1) == 700
    assert watchstate.submissions(db, 1, 1000.0, 60.0) == (60.0, 1)
    db.execute("DELETE FROM worker")
    assert allocations.attended(db, 1)
    db.execute(f"UPDATE job SET status = {states.BLOCKED} WHERE status = {states.READY}")
    assert not allocations.attended(db, 1)  # the allocation that waits in the queue has nothing to do
    db.close()


def test_a_workflow_that_was_meant_for_slurm_is_not_run_here_when_planning_failed(
    torc: Torc, cluster: Cluster, work_dir: Path
) -> None:
    """Ten thousand jobs on a login node are nobody's wish."""
    cluster.knob("sinfo", "unable")
    cluster.knob("scontrol", "unable")
    cluster.knob("sbatch", "unable")
    assert torc("torc-run", "--slurm", "-", "--account", "proj", input=SPEC).returncode == 69
    for name in ("sinfo", "scontrol", "sbatch"):
        cluster.knob(name, None)
    cluster.hold()
    for arguments in (("--auto-schedule",), ("--recover",)):
        torc("torc-watch", 1, "--once", *arguments, "--account", "proj")
        assert execute("torc.db", "SELECT DISTINCT kind FROM allocation") in ([], [("slurm",)])
    assert execute("torc.db", "SELECT count(*) FROM result") == [(0,)]
    assert len(cluster.jobs()) > 0
