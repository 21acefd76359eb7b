"""One watcher or recoverer a workflow."""

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from torc_tools.exits import Failure
from torc_tools.shell import lease, liveness, store, watchstate


def rows(path: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(store.open_store(str(path))) as db:
        return [tuple(row) for row in db.execute("SELECT holder, hostname, pid FROM lease")]


def hold(path: Path, hostname: str, pid: int, pid_start: int, silent_s: float = 0.0) -> None:
    at = time.time() - silent_s
    with contextlib.closing(store.open_store(str(path))) as db:
        db.execute(
            "INSERT OR REPLACE INTO lease VALUES (1, 'torc-watch', ?, ?, ?, ?, ?)", (hostname, pid, pid_start, at, at)
        )


def test_a_lease_is_taken_renewed_and_given_back(store_file: Path) -> None:
    with lease.take(str(store_file), 1, "torc-watch") as held:
        assert rows(store_file) == [("torc-watch", *liveness.me()[:2])]
        held.renew()
        held.renew(after_s=60)
    assert rows(store_file) == []


def test_a_living_holder_is_named_and_keeps_it(store_file: Path) -> None:
    parent = os.getppid()
    hold(store_file, liveness.me()[0], parent, liveness.start_ticks(parent) or 0, silent_s=1e6)
    with pytest.raises(Failure) as failed:
        lease.take(str(store_file), 1, "torc-watch")
    assert failed.value.status == 75
    start = f"workflow 1 is held by torc-watch on {liveness.me()[0]} (pid {parent}) since "
    assert failed.value.message.startswith(start)


def test_the_dead_are_taken_over_from_a_pid_used_again_is_dead_too(store_file: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    for pid, start in ((process.pid, 1), (os.getppid(), 1)):
        hold(store_file, liveness.me()[0], pid, start)
        lease.take(str(store_file), 1, "torc-recover").release()
        assert rows(store_file) == []


@pytest.mark.parametrize(("silent_s", "taken"), [(890.0, False), (910.0, True)])
def test_a_holder_on_another_machine_is_dead_when_silent(store_file: Path, silent_s: float, taken: bool) -> None:
    hold(store_file, "elsewhere", 1, 1, silent_s)
    if taken:
        lease.take(str(store_file), 1, "torc-watch").release()
    else:
        with pytest.raises(Failure, match="held by torc-watch on elsewhere"):
            lease.take(str(store_file), 1, "torc-watch")


def test_who_lost_the_lease_learns_it_and_does_not_give_back_anothers(store_file: Path) -> None:
    held = lease.take(str(store_file), 1, "torc-watch")
    hold(store_file, "elsewhere", 7, 1)
    with pytest.raises(lease.Lost, match="held by torc-watch on elsewhere"):
        held.renew()
    held.release()
    assert rows(store_file) == [("torc-watch", "elsewhere", 7)]


def test_the_state_of_a_watch_outlives_it(store_file: Path) -> None:
    assert watchstate.load(str(store_file), 1) == {}
    watchstate.save(str(store_file), 1, {"recoveries": 1})
    watchstate.save(str(store_file), 1, {"recoveries": 2})
    assert watchstate.load(str(store_file), 1) == {"recoveries": 2}
