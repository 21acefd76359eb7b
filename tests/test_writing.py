"""What every command that writes must hold: nothing is said to be done that did not reach the store."""

import importlib
import os
import sqlite3
from pathlib import Path

import orjson
import pytest
from prepared import TOKEN

WRITERS = [
    ("apply", ["adjustment"]),
    ("reset", ["--job-ids=4"]),
    ("sync", ["1"]),
    ("cancel", ["1"]),
    ("jobs", ["set", "4", "--memory=3g"]),
]


@pytest.mark.parametrize(("command", "arguments"), WRITERS, ids=[command for command, _ in WRITERS])
def test_what_is_said_to_be_changed_is_on_the_disk(
    store_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    arguments: list[str],
) -> None:
    """The news that is folded in must not hide that the store may not be written: no command changes a copy."""
    news = {"type": "event", "event": "worker_started", "at": 9.0, "workflow_token": TOKEN, "hostname": "far"}
    events = store_file.parent / "torc_output" / "events"
    events.mkdir(parents=True)
    (events / "wf1_r1_far_local_1.jsonl").write_bytes(orjson.dumps(news, option=orjson.OPT_APPEND_NEWLINE))
    plan = store_file.parent / "adjustment"
    plan.write_text('{"type":"adjustment","job_ids":[4],"new_memory":"3g"}\n')
    before = store_file.read_bytes()
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)  # root may write what it may not
    main = importlib.import_module(f"torc_tools.commands.{command}").main
    assert main([*arguments, f"--store={store_file}"]) == 0
    assert store_file.read_bytes() != before
    with sqlite3.connect(store_file) as db:
        assert db.execute("SELECT count(*) FROM worker").fetchone() == (1,)
