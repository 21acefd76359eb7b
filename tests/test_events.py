"""The worker's event file on a full disk, the reading of its siblings', its loop."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from conftest import command

from torc_tools.shell import liveness
from torc_tools.shell.claims import Claims
from torc_tools.shell.events import EventFile, Siblings
from torc_tools.shell.loop import Loop

TOKEN = "0123456789abcdef"  # noqa: S105  names a workflow, opens nothing


def line(event: str, **fields: Any) -> bytes:
    return json.dumps({"type": "event", "event": event, **fields}).encode() + b"\n"


def first(token: str = TOKEN, pid: int | None = None) -> bytes:
    hostname, own, start = liveness.me()
    about = (
        {"hostname": hostname, "pid": own, "pid_start": start} if pid is None else {"hostname": hostname, "pid": pid}
    )
    return line("worker_started", workflow_token=token, **about)


def siblings(folder: Path, **offsets: int) -> Siblings:
    return Siblings(str(folder), 1, TOKEN, "wf1_own", {f"{name}.jsonl": offset for name, offset in offsets.items()})


def kinds(reader: Siblings) -> list[str]:
    return [event["event"] for event in reader.news()]


def test_lines_wait_while_the_disk_is_full(tmp_path: Path) -> None:
    file = EventFile("/dev/full")
    file.write(b"one\n")
    assert file.trouble == "No space left on device"
    assert not file.retry()
    good = os.open(tmp_path / "events", os.O_WRONLY | os.O_CREAT)
    os.dup2(good, file._fd)
    os.close(good)
    file.write(b"two\n")
    assert file.retry()
    assert file.trouble is None
    file.sync()
    assert (tmp_path / "events").read_bytes() == b"one\ntwo\n"


def test_a_file_that_is_removed_is_made_again_with_all_it_held(tmp_path: Path) -> None:
    path = tmp_path / "events" / "w.jsonl"
    file = EventFile(str(path))
    file.write(b"one\n")
    shutil.rmtree(path.parent)
    file.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_siblings_are_read_by_full_lines_from_the_offset(tmp_path: Path) -> None:
    file = tmp_path / "wf1_a.jsonl"
    (tmp_path / "wf1_own.jsonl").write_bytes(first() + line("mine"))
    (tmp_path / "wf1_b.jsonl").write_bytes(first("another token") + line("theirs"))
    (tmp_path / "wf2_c.jsonl").write_bytes(first() + line("another workflow"))
    file.write_bytes(first() + line("one") + line("two")[:-5])
    reader = siblings(tmp_path, wf1_a=len(first()))
    assert kinds(reader) == ["one"]
    with file.open("ab") as more:
        more.write(line("two")[-5:])
    (tmp_path / "wf1_d.jsonl").write_bytes(first() + b"rubbish\n" + line("new"))
    assert [event.get("event") for event in reader.news()] == ["two", "worker_started", None, "new"]
    assert kinds(reader) == []


def test_a_sibling_lives_until_it_ends_dies_or_falls_silent(tmp_path: Path) -> None:
    reader = siblings(tmp_path)
    assert not reader.alive()
    file = tmp_path / "wf1_a.jsonl"
    file.write_bytes(first())
    reader.news()
    assert reader.alive()
    with file.open("ab") as more:
        more.write(line("worker_ended"))
    reader.news()
    assert not reader.alive()
    assert not siblings(tmp_path, wf1_a=file.stat().st_size).alive()
    file.write_bytes(first(pid=2**22 + 5))
    dead = siblings(tmp_path)
    dead.news()
    assert not dead.alive()
    file.write_bytes(first())
    os.utime(file, (1, 1))
    silent = siblings(tmp_path, wf1_a=file.stat().st_size)
    silent.news()
    assert not silent.alive()


def test_of_two_claims_one_wins(tmp_path: Path) -> None:
    one, two = (Claims(str(tmp_path / "claims"), {"worker": name}) for name in ("one", "two"))
    assert [one.take("1.r1.a1"), two.take("1.r1.a1"), two.take("1.r1.a2")] == [True, False, True]
    assert json.loads((tmp_path / "claims/1.r1.a1").read_text()) == {"worker": "one"}
    assert not one.canceled()
    (tmp_path / "claims/cancel").touch()
    assert one.canceled()


def test_a_worker_that_cannot_write_events_starts_nothing_more_and_says_74(work_dir: Path) -> None:
    about = {"workflow_id": 1, "run_id": 1, "token": TOKEN, "output_dir": str(work_dir / "out")}
    config = {"compute_node_wait_for_new_jobs_seconds": 1}
    lines = [{"type": "workflow", **about, "submission_dir": str(work_dir), "config": config}]
    lines += [{"type": "job", "workflow_id": 1, "job_id": n, "command": f"touch ran{n}"} for n in range(1, 31)]
    shell = 'ulimit -f 2; PYTHONDONTWRITEBYTECODE=1 exec "$@"'  # Python does not see that its own files are cut
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *command("torc-work"), "-q", "-j", "1"],
        input="".join(json.dumps(each) + "\n" for each in lines).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert b"cannot write events: File too large" in done.stderr
    assert 0 < len(list(work_dir.glob("ran*"))) < 10
    (file,) = (work_dir / "out/events").iterdir()
    *full, _torn = file.read_bytes().split(b"\n")
    assert all(json.loads(each)["type"] == "event" for each in full)


def test_after_many_ends_of_strangers_the_loop_calls_once() -> None:
    """One look at all adopted processes for each that ends takes minutes where a job leaves ten thousand behind."""
    ended: list[int] = []
    looks: list[int] = []
    loop = Loop()
    loop.stranger = lambda pid, _: ended.append(pid)
    loop.strangers = lambda: looks.append(len(ended))
    pids = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(3)]
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    loop.reap()
    loop.reap()
    assert (sorted(ended), looks) == (sorted(pids), [3])
