"""What must not end, or go on for ever, where nobody looks: a full disk, a job that never fits its allocation."""

import os
from pathlib import Path

import pytest
import street
from conftest import Torc, said, script

from torc_tools.commands import watch
from torc_tools.flows import watching


def test_a_log_on_a_full_disk_does_not_end_the_watch(torc: Torc, work_dir: Path) -> None:
    torc("torc-create", street.write(work_dir, bug=False))
    logs = work_dir / "logs"
    logs.mkdir()
    (logs / f"watch_{os.uname().nodename}_1.log").symlink_to("/dev/full")
    done = torc("torc-watch", "--recover", "-o", logs, 1)
    assert done.returncode == 0
    trouble = [line for line in said(done) if "cannot write" in line]
    assert len(trouble) == 1
    assert trouble[0].endswith("_1.log': No space left on device")


def test_a_job_that_no_allocation_is_long_enough_for_is_held_in_the_end(torc: Torc, work_dir: Path) -> None:
    spec = '{"name": "w", "jobs": [{"name": "a", "command": "sleep 60"}], %s}'
    (work_dir / "s.json").write_text(spec % '"execution_config": {"sigterm_lead_seconds": 1}')
    torc("torc-create", "s.json")
    done = torc("torc-watch", "--recover", "--walltime=00:00:01", 1)
    assert done.returncode == 1
    held = "held: allocation end 3 times: it needs a longer allocation (to override: --retry-unknown)"
    assert f"  Job 1 (a): {held}" in said(done)
    assert street.query("SELECT run_id FROM workflow") == [(3,)]


def test_a_hook_that_resets_by_itself_is_a_recovery(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "test -e ok")
    script(work_dir / "hook", "touch ok; torc-reset -w $1 --failed")
    done = torc("torc-watch", "--recover", "--recovery-hook=./hook", 1)
    assert (done.returncode, said(done)[-1]) == (0, "Workflow completed successfully (1 jobs)")


def test_hooks_that_reset_count_as_recoveries(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "exit 3")
    script(work_dir / "hook", "torc-reset -w $1 --failed")
    done = torc("torc-watch", "--recover", "--max-retries=2", "--recovery-hook=./hook", 1)
    assert done.returncode == 1
    assert "Max retries (2) exceeded. Manual intervention required." in said(done)
    assert street.query("SELECT run_id FROM workflow") == [(3,)]


def test_what_cannot_be_recovered_is_told_once_to_cron(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "exit 3")
    first = torc("torc-watch", "--recover", "--once", 1)
    again = torc("torc-watch", "--recover", "--once", 1)
    assert (first.returncode, again.returncode, said(again)) == (1, 1, [])
    assert "Use --retry-unknown to retry jobs with unknown failure causes." in said(first)
    other = torc("torc-watch", "--recover", "--once", "--retry-unknown", 1)
    assert (other.returncode, said(other)[-1]) == (75, "Recovery initiated. Resuming monitoring...")
    assert torc("torc-watch", "--once", 1).returncode in (75, 1)


def test_a_recovery_that_is_cut_off_before_the_restart_counts(
    torc: Torc, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torc("torc-run", "-c", "exit 3")

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_start", cut_off)
    with pytest.raises(KeyboardInterrupt):
        watch.main(["--recover", "--retry-unknown", "1"])
    assert street.query("SELECT run_id, json_extract(state, '$.recoveries') FROM workflow, watch") == [(2, 1)]
