"""torc-recover through the real commands."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import orjson
import pytest
import street
import waiting
from conftest import Torc, command, said, script
from prepared import execute

from torc_tools import states
from torc_tools.shell import liveness, store


@pytest.fixture
def failed(torc: Torc, work_dir: Path) -> Path:
    """Give a folder in which workflow 1 has run once: hog, late and bug failed."""
    assert torc("torc-create", street.write(work_dir)).returncode == 0
    assert torc("torc-run", 1).returncode == 1
    assert street.statuses()["hog"] == "failed"
    assert street.statuses()["late"] == "terminated"
    return work_dir


def records(output: bytes) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in output.splitlines()]


def test_the_street_at_once_and_stage_by_stage_come_to_the_same_end(torc: Torc, failed: Path) -> None:
    before = street.limits()
    (failed / "torc.db").rename(failed / "first.db")
    execute(failed / "first.db", "VACUUM INTO 'torc.db'")
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    whole = (street.statuses(), street.limits())
    assert whole[0] == street.HEALED
    assert {name for name, size in whole[1].items() if size != before[name]} == {"hog", "late"}
    (failed / "torc.db").unlink()
    for part in ("events", "claims", "manifests"):
        for path in (failed / "torc_output" / part).rglob("*_r2_*"):
            path.unlink()
    (failed / "first.db").rename(failed / "torc.db")
    line = torc("torc-recover", "--print", 1).stdout.decode().strip()
    assert line == (
        "torc-sync 1 && torc-diagnose 1 | torc-heuristics --memory-multiplier 1.5 --runtime-multiplier 1.4"
        " | torc-apply | torc-reset && torc-run 1"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=False, capture_output=True)
    assert (street.statuses(), street.limits()) == whole


def test_the_lines_are_those_torc_documents(torc: Torc, failed: Path) -> None:
    done = torc("torc-recover", 1)
    lines = said(done)
    at = lines.index("Diagnosing failures...")
    new = [re.sub(r"(48m|PT1S) -> (PT)?\d+", r"\1 -> \2NEW", line) for line in lines[at:]]
    assert new[:8] == [
        "Diagnosing failures...",
        "Applying recovery heuristics...",
        "  Job 2 (hog): OOM detected, increasing memory 48m -> NEWm",
        "  Job 3 (late): Timeout detected, increasing runtime PT1S -> PTNEWS",
        "  Applied fixes: 1 OOM, 1 timeout",
        "  1 job(s) with unknown failure cause (skipped, use --retry-unknown to include)",
        "Resetting 2 job(s) for retry...",
        "torc-reset: 2 job(s) named, 1 dependent(s) would run again: report",
    ]
    assert new[8:15] == [
        "  Reset 2 job(s)",
        "Reinitializing workflow...",
        "",
        "Recovery complete for workflow 1",
        "  - 1 job(s) had memory increased",
        "  - 1 job(s) had runtime increased",
        "Reset 2 job(s). Workflow restarted here.",
    ]
    made = records(done.stdout)
    kinds = [record["type"] for record in made]
    assert kinds[:7] == ["begin", "applied", "applied", "adjustment", "reset", "reset", "reset"]
    assert made[7] == {"type": "end", "stage": "torc-recover", "count": 6}
    assert [record.get("stage") for record in made[8:]][::2] == ["torc-run", "torc-run"]


def test_a_dry_run_leaves_every_byte_and_says_what_would_be_done(torc: Torc, failed: Path) -> None:
    before = street.digest(failed / "torc.db")
    names = sorted(path.name for path in failed.rglob("*"))
    done = torc("torc-recover", "--dry-run", "--recovery-hook", "touch hooked", 1)
    assert done.returncode == 0
    assert street.digest(failed / "torc.db") == before
    assert sorted(path.name for path in failed.rglob("*")) == names
    lines = said(done)
    assert "[DRY RUN] Proposed resource adjustments:" in lines
    assert "  Would apply fixes: 1 OOM, 1 timeout" in lines
    assert "  1 job(s) with unknown failure cause (would run recovery hook)" in lines
    assert "[DRY RUN] Would reset 3 job(s) for retry" in lines
    assert lines[-1] == "Run without --dry-run to apply these changes."
    assert all(record.get("dry_run", True) for record in records(done.stdout))


def test_a_dry_run_with_news_from_workers_leaves_every_byte_too(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir))
    unfolded = (work_dir / "torc.db").read_bytes()
    torc("torc-run", 1)
    (work_dir / "torc.db").write_bytes(unfolded)
    done = torc("torc-recover", "-n", 1)
    assert "  Would apply fixes: 1 OOM, 1 timeout" in said(done)
    assert (work_dir / "torc.db").read_bytes() == unfolded


def test_a_dry_run_says_that_lost_jobs_would_be_recovered(torc: Torc, store_file: Path) -> None:
    """The cleanup of orphans comes first in a recovery, so that a job without a worker is nothing to wait for."""
    host = os.uname().nodename
    running = f"UPDATE job SET status = {states.RUNNING}, worker = 'w' WHERE job_id = 1"
    gone = f"INSERT INTO worker (workflow_id, name, hostname, pid, pid_start) VALUES (1, 'w', '{host}', 1, 1)"
    done = f"UPDATE job SET status = {states.COMPLETED} WHERE job_id IN (2, 3, 4)"
    execute(store_file, running, gone)
    lines = [
        "[DRY RUN] Orphan cleanup would fail 1 job(s) whose worker is gone",
        "[DRY RUN] They would be recovered, too: after 'torc-sync 1' this shows how",
    ]
    assert said(torc("torc-recover", "--dry-run", 1))[:2] == lines
    execute(store_file, done)
    alone = torc("torc-recover", "--dry-run", 1)
    assert (alone.returncode, said(alone)) == (0, lines)


def test_nothing_to_recover_is_no_failure(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "true")
    done = torc("torc-recover", 1)
    assert (done.returncode, done.stdout) == (0, b"")
    assert said(done) == ["No failed or terminated jobs to recover. Workflow may have completed successfully."]
    assert torc("torc-recover", "-n", 1).returncode == 0


def test_unknown_causes_alone_give_up_and_change_nothing(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "exit 3", "-c", "exit 4")
    before = street.dump()
    done = torc("torc-recover", 1)
    assert done.returncode == 1
    assert said(done) == [
        "Diagnosing failures...",
        "Applying recovery heuristics...",
        "  2 job(s) with unknown failure cause (skipped, use --retry-unknown to include)",
        "",
        "No recoverable jobs found. 2 job(s) failed with unknown causes.",
        "Use --retry-unknown to retry jobs with unknown failure causes.",
        "Or use the Torc MCP server with your AI assistant to investigate.",
        "Or look yourself: 'torc-diagnose 1' says why, 'torc-jobs --logs 1' what job 1 wrote.",
    ]
    assert street.dump() == before
    dry = torc("torc-recover", "-n", 1)
    assert (dry.returncode, said(dry)[-1]) == (1, "[DRY RUN] No recoverable jobs found.")
    assert torc("torc-recover", "--retry-unknown", 1).returncode == 0
    assert street.query("SELECT count(*) FROM result") == [(4,)]


def test_a_workflow_that_never_ran_is_not_recovered(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir))
    done = torc("torc-recover", 1)
    assert done.returncode == 1
    words = "Cannot recover: workflow is not complete. Wait for all jobs to finish or use 'torc-cancel' first."
    assert said(done) == [f"torc-recover: {words}", "torc-recover: no worker runs it: 'torc-run 1' does"]


@pytest.mark.parametrize(("states", "text"), [("ready", "workflow is not complete"), (None, "active compute nodes")])
def test_a_living_worker_stops_it(torc: Torc, store_file: Path, states: str | None, text: str) -> None:
    with contextlib.closing(store.open_store(str(store_file))) as db:
        db.execute(
            "INSERT INTO allocation (workflow_id, kind, status, hostname, pid, pid_start, created_at)"
            " VALUES (1, 'local', 'active', ?, ?, ?, 0)",
            liveness.me(),
        )
        if states:
            db.execute("UPDATE job SET status = 2 WHERE job_id = 1")
    before = street.dump()
    done = torc("torc-recover", 1)
    assert done.returncode == 1
    assert text in done.stderr.decode()
    assert street.dump() == before


@pytest.mark.parametrize("kill_reset", [True, False])
def test_an_interrupted_recovery_is_gone_on_with(torc: Torc, failed: Path, kill_reset: bool) -> None:
    if kill_reset:
        torc("torc-recover", "--no-run", 1, env={"TORC_KILL_AFTER_WRITES": "6"})
    else:
        assert torc("torc-recover", "--no-run", 1).returncode == 0
    done = torc("torc-recover", 1)
    assert done.returncode == 0, said(done)
    assert street.statuses() == street.HEALED
    before = street.limits()
    again = torc("torc-recover", 1)
    assert again.returncode == 1
    assert street.limits() == before


def test_the_hook_comes_first_and_what_it_sets_counts(torc: Torc, failed: Path) -> None:
    body = 'echo "hook $1 $TORC_WORKFLOW_ID $TORC_RUN_ID $TORC_STORE"; touch mended; torc-jobs set 2 --memory 1g'
    script(failed / "fix.sh", body)
    done = torc("torc-recover", "--recovery-hook", "fix.sh", 1)
    lines = said(done)
    assert done.returncode == 0, lines
    assert f"  [hook] hook 1 1 1 {failed / 'torc.db'}" in lines
    order = [
        "1 job(s) with unknown failure cause - running recovery hook...",
        "Running recovery hook: fix.sh",
        "Recovery hook completed successfully",
        "Applying recovery heuristics...",
    ]
    assert [line for line in lines if line in order] == order
    assert set(street.statuses().values()) == {"completed"}
    assert street.limits()["hog"][0] == 2**30


@pytest.mark.parametrize(
    ("hook", "status", "text"),
    [
        ("sh -c 'exit 7'", 1, "Recovery hook 'sh -c 'exit 7'' failed with exit code 7"),
        ("sh -c 'sleep 50'", 1, "Recovery hook 'sh -c 'sleep 50'' ran longer than PT1S and was stopped"),
        ("bash 'x", 2, "Invalid quoting in recovery hook command: bash 'x"),
        ("no-such-hook", 66, "cannot run recovery hook 'no-such-hook': no such program"),
    ],
)
def test_a_hook_that_fails_changes_nothing(torc: Torc, failed: Path, hook: str, status: int, text: str) -> None:
    before = street.dump()
    done = torc("torc-recover", "--recovery-hook", hook, "--hook-timeout", "PT1S", 1)
    assert (done.returncode, said(done)[-1]) == (status, f"torc-recover: {text}")
    assert street.dump() == before


def test_a_hook_does_not_run_where_every_cause_is_known(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir, bug=False))
    torc("torc-run", 1)
    done = torc("torc-recover", "--recovery-hook", "touch hooked", 1)
    assert done.returncode == 0
    assert not (work_dir / "hooked").exists()


def edit(torc: Torc, folder: Path, text: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
    editor = script(folder / "editor", text)
    (folder / "tmp").mkdir(exist_ok=True)
    quoted = "'" + str(editor).replace("'", "'\\''") + "'"
    return torc("torc-recover", "-i", "--no-run", *options, 1, env={"VISUAL": quoted, "TMPDIR": str(folder / "tmp")})


def test_the_plan_may_be_edited(torc: Torc, failed: Path) -> None:
    change = r"""sed -i -e '/"late"/d' -e 's/"new_memory":"[0-9]*m"/"new_memory":"999m"/' """
    done = edit(torc, failed, change + '-e \'s/"action":"hold"/"action":"retry"/\' "$1"')
    assert done.returncode == 0, said(done)
    assert street.limits()["hog"][0] == 999 << 20
    now = street.statuses()
    assert (now["hog"], now["bug"], now["late"]) == ("ready", "ready", "terminated")
    assert list((failed / "tmp").iterdir()) == []


def test_an_unchanged_plan_is_applied_and_an_emptied_one_is_not(torc: Torc, failed: Path) -> None:
    before = street.dump()
    done = edit(torc, failed, ': > "$1"')
    assert (done.returncode, said(done)[-1]) == (0, "The plan is empty: nothing is recovered.")
    assert edit(torc, failed, "sed -i '/^[^#]/d' \"$1\"").returncode == 0
    assert street.dump() == before
    assert edit(torc, failed, "true").returncode == 0
    assert street.statuses()["hog"] == "ready"
    assert list((failed / "tmp").iterdir()) == []


def test_a_name_may_hold_what_other_languages_call_a_line_end(torc: Torc, work_dir: Path) -> None:
    (work_dir / "spec.json").write_text('{"name": "w", "jobs": [{"name": "a\\u2028b\\u0085c", "command": "exit 3"}]}')
    torc("torc-create", "spec.json")
    torc("torc-run", 1)
    done = edit(torc, work_dir, "true", "--retry-unknown")
    assert done.returncode == 0, said(done)
    assert list(street.statuses().values()) == ["ready"]


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ('echo "{broken" >> "$1"', 65, "line 12: not JSON"),
        ('echo "[1]" >> "$1"', 65, "line 12: not a record"),
        ('sed -i \'s/"new_memory":"[0-9]*m"/"new_memory":"much"/\' "$1"', 65, "line 9: "),
        ("exit 3", 1, "editor"),
    ],
)
def test_a_broken_plan_changes_nothing_and_is_kept(
    torc: Torc, failed: Path, text: str, status: int, words: str
) -> None:
    before = street.dump()
    done = edit(torc, failed, text)
    assert done.returncode == status, said(done)
    assert words in done.stderr.decode()
    (kept,) = (failed / "tmp").iterdir()
    assert str(kept) in done.stderr.decode()
    assert street.dump() == before


def test_i_and_dry_run_exclude_each_other(torc: Torc, store_file: Path) -> None:
    assert torc("torc-recover", "-i", "-n", 1).returncode == 2


def test_another_output_directory_is_refused(torc: Torc, store_file: Path) -> None:
    assert torc("torc-recover", "-n", "-o", "torc_output", 1).returncode == 0
    done = torc("torc-recover", "-n", "-o", "elsewhere", 1)
    assert done.returncode == 2
    assert "not in 'elsewhere'" in done.stderr.decode()


def test_a_stage_that_fails_stops_the_rest_with_its_status(torc: Torc, store_file: Path) -> None:
    execute(store_file, "UPDATE resource_requirements SET memory_bytes = -5")
    before = street.dump()
    done = torc("torc-recover", "--no-run", 1)
    assert done.returncode == 65
    assert said(done)[-1] == "torc-recover: 'torc-heuristics' failed with exit code 65"
    assert street.dump() == before


def test_caps_and_factors_reach_the_plan(torc: Torc, store_file: Path) -> None:
    done = torc(
        "torc-recover", "-n", "--memory-multiplier", 4, "--max-memory", "5g", "--max-runtime", "PT1M", 1
    )  # fmt: skip
    lines = said(done)
    assert "  Job 2 (train): OOM detected, increasing memory 2g -> 5g" in lines
    assert any(line.startswith("  Job 3 (sweep): held: at cap") and "--max-runtime" in line for line in lines)


def test_ctrl_c_reaches_the_run_and_is_130(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "test -e again && sleep 60 || exec kill -9 $$")
    (work_dir / "again").touch()
    process = subprocess.Popen(
        [*command("torc-recover"), "--retry-unknown", "1"], stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"Workflow restarted here." in line:
            break
    waiting.until(lambda: list((work_dir / "torc_output").glob("claims/*/1.r2.a1")), "the job to run again")
    os.killpg(process.pid, signal.SIGINT)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 130
    assert street.query("SELECT * FROM lease") == []


@pytest.mark.parametrize(("end", "status"), [("| true", 141), (">/dev/full", 74)])
def test_a_receipt_that_cannot_be_written_stops_no_recovery(torc: Torc, work_dir: Path, end: str, status: int) -> None:
    torc("torc-run", "-c", "test -e mended")
    (work_dir / "mended").touch()
    line = f"torc-recover --retry-unknown 1 {end}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=False)
    assert done.returncode == status, said(done)
    assert street.statuses() == {"job_1": "completed"}


def test_without_standard_output_nothing_is_done(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "exit 3")
    before = street.dump()
    done = subprocess.run(["bash", "-c", "torc-recover --retry-unknown 1 >&-"], capture_output=True, check=False)
    assert (done.returncode, said(done)) == (74, ["torc-recover: cannot write standard output: it is closed"])
    assert street.dump() == before
