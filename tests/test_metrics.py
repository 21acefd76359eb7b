"""torc-watch --metrics: what a Prometheus server would read, by the parser of its own client."""

import os
import signal
import stat
from pathlib import Path

import pytest
import waiting
from conftest import Torc, command, said
from prepared import execute
from prometheus_client.parser import text_string_to_metric_families

from torc_tools import states
from torc_tools.core import metrics
from torc_tools.texts import visible

HOSTILE = 'a\nb\r"\\ \x1b[31m<script>{}=,#\u00e9'


def samples(text: str) -> dict[tuple[str, str], float]:
    """Give the value of each sample by its name and what tells it from others; labels that all have are checked."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for name, labels, value, *_ in family.samples:
            rest = {key: label for key, label in labels.items() if key not in ("workflow_id", "workflow")}
            assert {"workflow_id", "workflow"} <= set(labels)
            found[name, ",".join(rest.values())] = value
    return found


def read(path: Path) -> dict[tuple[str, str], float]:
    return samples(path.read_text())


def test_the_end_of_a_watch_that_gave_up(torc: Torc, store_file: Path) -> None:
    path = store_file.parent / "torc.prom"
    mask = os.umask(0o077)
    try:
        done = torc("torc-watch", "--metrics", path, 1)
    finally:
        os.umask(mask)
    assert done.returncode == 1
    found = read(path)
    assert {name: found["torc_jobs", name] for name in states.NAMES if found["torc_jobs", name]} == {
        "completed": 1, "failed": 2, "terminated": 1, "canceled": 2,
    }  # fmt: skip
    assert found["torc_attempts_total", "failed"] == 2
    assert found["torc_attempts_seconds_total", "terminated"] == pytest.approx(60.2)
    assert found["torc_attempts_peak_memory_bytes", ""] == 2 * 2**30
    assert (found["torc_workflow_complete", ""], found["torc_workflow_success", ""]) == (1, 0)
    assert (found["torc_watch_running", ""], found["torc_watch_gave_up", ""]) == (0, 1)
    assert found["torc_watch_poll_interval_seconds", ""] == 60
    assert found["torc_watch_last_poll_timestamp_seconds", ""] > 1.7e9
    assert ("torc_watch_max_recoveries", "") not in found
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in store_file.parent.glob("*prom*")] == ["torc.prom"]


def test_recoveries_what_is_held_and_a_success(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "test $TORC_RUN_ID -gt 1")
    path = work_dir / "m.prom"
    assert torc("torc-watch", "-r", "-m", 3, "--metrics", path, 1).returncode == 1
    found = read(path)
    assert (found["torc_jobs_held", ""], found["torc_watch_recoveries", ""]) == (1, 0)
    assert found["torc_watch_max_recoveries", ""] == 3
    step = ("torc-watch", "--once", "--recover", "--retry-unknown", "--metrics", path, 1)
    assert torc(*step).returncode == 75
    found = read(path)
    assert (found["torc_watch_recoveries", ""], found["torc_jobs_held", ""]) == (1, 0)
    assert (found["torc_watch_running", ""], found["torc_watch_gave_up", ""]) == (1, 0)
    assert ("torc_watch_poll_interval_seconds", "") not in found
    waiting.until(lambda: torc(*step).returncode == 0, "the run in the background")
    found = read(path)
    assert (found["torc_workflow_success", ""], found["torc_watch_gave_up", ""]) == (1, 0)
    assert found["torc_attempts_total", "failed"] == found["torc_attempts_total", "completed"] == 1
    assert found["torc_workflow_run", ""] == 2


def test_a_watch_that_was_left_has_not_given_up(torc: Torc, work_dir: Path) -> None:
    import subprocess

    torc("torc-create", "-", input="name: one\njobs: [{name: a, command: 'until test -e go; do sleep 0.05; done'}]")
    words = [*command("torc-watch"), "--recover", "--metrics", "m.prom", "1"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        waiting.until((work_dir / "m.prom").exists, "the file")
        assert read(work_dir / "m.prom")["torc_watch_running", ""] == 1
        os.killpg(process.pid, signal.SIGINT)
    (work_dir / "go").touch()
    found = read(work_dir / "m.prom")
    assert (found["torc_watch_running", ""], found["torc_watch_gave_up", ""]) == (0, 0)


def test_what_cannot_be_written_is_said_once(torc: Torc, work_dir: Path) -> None:
    torc("torc-run", "-c", "test $TORC_RUN_ID -gt 1")
    done = torc("torc-watch", "-r", "--retry-unknown", "--metrics", "nowhere/m.prom", 1)
    assert done.returncode == 0
    lines = [line for line in said(done) if "metrics" in line]
    assert lines == ["torc-watch: cannot write 'nowhere/m.prom': No such file or directory: no metrics"]


def test_a_pipe_that_nobody_reads_does_not_hold_the_watch_up(torc: Torc, work_dir: Path) -> None:
    os.mkfifo(work_dir / "pipe")
    torc("torc-run", "-c", "true")
    done = torc("torc-watch", "--metrics", "pipe", 1, timeout=60)
    assert b"cannot write 'pipe': No such device or address: no metrics" in done.stderr


def test_names_cannot_break_the_format(torc: Torc, store_file: Path) -> None:
    quoted = HOSTILE.replace("'", "''")
    execute(store_file, f"UPDATE workflow SET name = '{quoted}'")
    torc("torc-watch", "--metrics", "m.prom", 1)
    text = (store_file.parent / "m.prom").read_text()
    families = list(text_string_to_metric_families(text))
    names = {sample.labels["workflow"] for family in families for sample in family.samples}
    assert names == {visible(HOSTILE)}
    assert not set(text) & set("\x1b\r")


def test_held_allocations_are_counted_and_half_a_character_is_written() -> None:
    seen = metrics.Seen(
        workflow={"workflow_id": 1, "name": "\ud800", "run_id": 1, "is_canceled": 1},
        counts=dict.fromkeys(states.NAMES, 0),
        attempts={},
        peak_memory_bytes=None,
        allocations={("slurm", "queued"): 3},
        held=2,
        held_jobs=0,
        recoveries=0,
        max_retries=None,
        polled_at=None,
        poll_s=1.5,
        runs=True,
        gave_up=False,
    )
    text = metrics.text(seen)
    found = samples(text)
    assert (found["torc_allocations", "slurm,queued"], found["torc_allocations_held", ""]) == (3, 2)
    assert (found["torc_workflow_canceled", ""], found["torc_watch_poll_interval_seconds", ""]) == (1, 1.5)
    assert ("torc_watch_last_poll_timestamp_seconds", "") not in found
    assert text.encode()
