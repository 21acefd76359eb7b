"""What lies where a log should, and is none: pipes, devices, folders, archives that are torn."""

import os
from pathlib import Path

import orjson
import pytest
from conftest import said

from torc_tools.shell import launch, logends, logs, plainfile

LOG = "torc_output/job_stdio/job_wf1_j4_r1_a1.e"


@pytest.fixture
def odd(work_dir: Path) -> str:
    """Give the path of a log that is a named pipe; who opened it to read would wait for a writer."""
    os.makedirs(os.path.dirname(LOG))
    os.mkfifo(LOG)
    return LOG


def test_readers_do_not_wait_for_a_writer(odd) -> None:
    assert launch.tail(odd) is None
    assert logends.read(odd) is None
    assert logends.ending_with(odd, "x") is None
    assert logends.line_at(logends.End(odd, "x", 1)) is None
    for read in (lambda: next(logs.read(odd, 0)), lambda: logs.tail_offset(odd, 3)):
        with pytest.raises(OSError, match="not a plain file"):
            read()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/", "link"])
def test_only_plain_files_are_opened(work_dir, path) -> None:
    os.symlink("/dev/zero", "link")
    with pytest.raises(OSError, match=r"not a plain file|Is a directory"):
        plainfile.opened(path)
    Path("plain").write_text("text")
    os.symlink("plain", "to-plain")
    with plainfile.opened("to-plain") as file:
        assert file.read() == b"text"


def test_rules_look_at_what_the_record_keeps_instead(torc, store_file, odd) -> None:
    Path("r.yaml").write_text("- {name: any, match: {log: '.'}, cause: c, action: hold}\n")
    done = torc("torc-diagnose", "--rules", "r.yaml", "--job-ids", 4, 1)
    assert done.returncode == 0, done.stderr


def test_the_other_logs_are_looked_through(torc, odd) -> None:
    Path(odd).with_suffix(".o").write_text("CUDA out of memory\n")
    done = torc("torc-logs", "analyze", "torc_output")
    assert [orjson.loads(line)["type"] for line in done.stdout.splitlines()] == ["begin", "log_issue", "summary", "end"]
    assert said(done) == ["cannot read 'job_stdio/job_wf1_j4_r1_a1.e': not a plain file: it is left out"]


@pytest.mark.parametrize("keep", [40, -3000])
def test_a_torn_archive_is_named(torc, store_file, keep) -> None:
    Path(LOG).parent.mkdir(parents=True)
    Path(LOG).write_bytes(os.urandom(30_000).hex().encode())
    assert torc("torc-logs", "bundle", 1).returncode == 0
    Path("torn.tar.gz").write_bytes(Path("wf1.tar.gz").read_bytes()[:keep])
    done = torc("torc-logs", "analyze", "torn.tar.gz")
    assert done.returncode == 65
    assert said(done)[-1].startswith("torc-logs: cannot read archive 'torn.tar.gz': ")
