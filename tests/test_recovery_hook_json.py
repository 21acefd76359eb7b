"""A recovery that asks a program of the user's what to do: the whole answer counts, or nothing is changed."""

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import street
import waiting
from conftest import Torc, command, said, script
from prepared import GIB, execute

from torc_tools.core import pace, recovery_text
from torc_tools.flows import watching
from torc_tools.flows.recovery_stages import Request

HOOK = ("--recovery-hook-json", "./hook")
RECOVER = ("torc-recover", "--no-run", *HOOK)
GOOD = """echo '{"type": "adjustment", "job_ids": [4], "new_memory": "2g", "reason": "it asks for more"}'"""
UNKNOWN = "UPDATE result SET facts = '{}', return_code = 3 WHERE job_id = 4"


@pytest.fixture
def failed(store_file: Path) -> Path:
    """Give a folder with a workflow whose job 4 failed, and nobody knows why; jobs 2 and 3 needed more."""
    execute(store_file, UNKNOWN)
    return store_file.parent


def sizes() -> dict[str, int]:
    return {name: memory for name, (memory, _) in street.limits().items()}


def test_the_hook_is_asked_and_its_answer_is_carried_out_with_the_rest(torc: Torc, failed: Path) -> None:
    script(failed / "hook", f'cat > asked; echo "about $1 $TORC_WORKFLOW_ID $TORC_RUN_ID" >&2; {GOOD}')
    done = torc(*RECOVER, 1)
    lines = said(done)
    assert done.returncode == 0, lines
    asked = [orjson.loads(line) for line in (failed / "asked").read_bytes().splitlines()]
    assert [each["type"] for each in asked] == ["begin", "diagnosis", "end"]
    assert (asked[1]["job_id"], asked[1]["cause"], asked[2]["count"]) == (4, "unknown", 1)
    order = [
        "1 job(s) with unknown failure cause - asking recovery hook...",
        "Running recovery hook: ./hook",
        "  [hook] about 1 1 1",
        "Recovery hook completed successfully",
        "  Job 4 (bug): it asks for more: memory 1g -> 2g",
        "  Applied fixes: 1 OOM, 1 timeout",
        "  1 job(s) as the recovery hook answered",
        "  Reset 3 job(s)",
        "  - 1 job(s) reset as the recovery hook answered",
    ]
    assert [line for line in lines if line in order] == order
    assert (sizes()["train"], sizes()["bug"], sizes()["sweep"]) == (3 * GIB, 2 * GIB, GIB)
    (why,) = street.query(
        "SELECT why FROM change WHERE subject = 'job' AND subject_id = 4 AND before LIKE '%resource%'"
    )
    assert orjson.loads(why[0])["hook"] is True


def test_no_answer_leaves_the_plan_as_it_is(torc: Torc, failed: Path) -> None:
    script(failed / "hook", "exit 0")
    done = torc(*RECOVER, 1)
    assert done.returncode == 0
    assert "The recovery hook has no answer: the plan stays as it is" in said(done)
    assert "  1 job(s) with unknown failure cause (skipped, use --retry-unknown to include)" in said(done)
    assert (street.statuses()["bug"], street.statuses()["train"]) == ("failed", "ready")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"{GOOD}; exit 3", "failed with exit code 3"),
        (f"{GOOD}; sleep 50", "ran longer than PT1S and was stopped"),
        (f"{GOOD}; kill -9 $$", "failed with exit code 137"),
        (f"{GOOD}; echo Hello", ": its answer is refused: line 2: answer: not JSON"),
        (f"{GOOD} | tr -d '\\n'", ": its answer is refused: its last line has no end"),
        (GOOD.replace("2g", "512m"), ": its answer is refused: job 4: refused: memory would fall from 1g to 512m"),
    ],
)
def test_a_hook_that_fails_or_gives_no_right_answer_changes_nothing(
    torc: Torc, failed: Path, body: str, text: str
) -> None:
    script(failed / "hook", body)
    before = street.dump()
    done = torc(*RECOVER, "--hook-timeout", "PT1S", 1)
    assert done.returncode == 1
    assert f"torc-recover: Recovery hook './hook' {text}".replace("' :", "':") in said(done)[-1]
    assert street.dump() == before


def test_a_hook_that_changes_things_by_itself_is_planned_with(torc: Torc, failed: Path) -> None:
    """What it gave to a job of known cause, too, is where the plan starts from: nothing is refused half-way."""
    script(failed / "hook", f"torc-jobs set --memory 8g 2 > out; torc-jobs set --num-cpus 2 4 >> out; {GOOD}")
    done = torc(*RECOVER, 1)
    assert done.returncode == 0, said(done)
    assert (sizes()["train"], sizes()["bug"]) == (8 * GIB, 2 * GIB)
    assert {street.statuses()[name] for name in ("train", "sweep", "bug")} == {"ready"}


def test_a_hook_that_resets_the_job_it_answers_for_is_refused(torc: Torc, failed: Path) -> None:
    script(failed / "hook", f"torc-reset -j 4 > out 2>&1; {GOOD}")
    done = torc(*RECOVER, 1)
    assert done.returncode == 1
    assert said(done)[-1].endswith("its answer is refused: the answer names job 4, which was not asked about")
    assert (sizes()["train"], street.statuses()["train"]) == (2 * GIB, "failed")


@pytest.mark.parametrize("option", ["--recovery-hook-json", "--recovery-hook"])
def test_a_hook_that_changes_things_and_then_fails_is_all_that_has_changed_them(
    torc: Torc, failed: Path, option: str
) -> None:
    script(failed / "hook", f"torc-jobs set --memory 4g 4 > out; {GOOD}; exit 1")
    done = torc("torc-recover", option, "./hook", 1)
    assert (done.returncode, said(done)[-1]) == (1, "torc-recover: Recovery hook './hook' failed with exit code 1")
    assert (sizes()["bug"], sizes()["train"], street.statuses()["train"]) == (4 * GIB, 2 * GIB, "failed")
    assert street.query("SELECT DISTINCT command FROM change") == [("torc-jobs",)]


@pytest.mark.parametrize("option", ["--recovery-hook-json", "--recovery-hook"])
def test_a_recovery_killed_while_a_hook_runs_has_changed_nothing(torc: Torc, failed: Path, option: str) -> None:
    before = street.dump()
    script(failed / "hook", f"echo $$ > pid; mv pid asked; read line < go; touch over; {GOOD}")
    os.mkfifo(failed / "go")
    process = subprocess.Popen([*command("torc-recover"), "--no-run", option, "./hook", "1"], stderr=subprocess.DEVNULL)
    waiting.until((failed / "asked").exists, "the hook")
    process.send_signal(signal.SIGKILL)
    process.wait()
    (failed / "go").write_text("\n")
    waiting.until((failed / "over").exists, "the end of the hook")
    assert [line for line in street.dump() if "lease" not in line] == [line for line in before if "lease" not in line]
    script(failed / "hook", GOOD)
    assert torc(*RECOVER, 1).returncode == 0
    assert sizes()["bug"] == 2 * GIB


def test_the_plain_hook_comes_first_and_its_retries_may_be_answered(torc: Torc, failed: Path) -> None:
    script(failed / "plain", "echo plain >> order")
    script(
        failed / "hook",
        """cat > /dev/null; echo asked >> order
        echo '{"type": "adjustment", "job_ids": [4], "action": "hold", "reason": "no"}'""",
    )
    done = torc(*RECOVER, "--recovery-hook", "./plain", 1)
    assert done.returncode == 0, said(done)
    assert (failed / "order").read_text() == "plain\nasked\n"
    assert (street.statuses()["bug"], street.statuses()["sweep"]) == ("failed", "ready")


def test_a_dry_run_asks_nobody_and_says_so(torc: Torc, failed: Path) -> None:
    script(failed / "hook", f"touch asked; {GOOD}")
    before = street.dump()
    done = torc(*RECOVER, "-n", 1)
    assert done.returncode == 0
    assert "  1 job(s) with unknown failure cause (would ask recovery hook; its answer is not known)" in said(done)
    assert not (failed / "asked").exists()
    assert street.dump() == before


def test_the_printed_line_comes_to_the_same_end(torc: Torc, failed: Path) -> None:
    script(failed / "hook", f'cat > asked; test "$TORC_WORKFLOW_ID" = 1 && {GOOD}')
    execute(failed / "torc.db", "VACUUM INTO 'first.db'")
    assert torc(*RECOVER, 1).returncode == 0
    whole = street.statuses(), street.limits()
    (failed / "first.db").replace(failed / "torc.db")
    line = torc(*RECOVER, "--print", 1).stdout.decode()
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, capture_output=True)
    assert (street.statuses(), street.limits()) == whole
    assert "hook" not in torc(*RECOVER, "--print", "-n", 1).stdout.decode()


def test_a_watch_asks_as_well_and_ends_where_the_hook_fails(torc: Torc, failed: Path) -> None:
    script(failed / "hook", "exit 9")
    before = street.dump()
    done = torc("torc-watch", "-r", *HOOK, 1)
    assert (done.returncode, said(done)[-1]) == (1, "torc-watch: Recovery hook './hook' failed with exit code 9")
    assert [line for line in street.dump() if "watch" not in line] == [line for line in before if "watch" not in line]
    script(failed / "hook", GOOD)
    done = torc("torc-watch", "-r", "-m", 1, *HOOK, 1)
    assert "  Job 4 (bug): it asks for more: memory 1g -> 2g" in said(done)
    assert sizes()["bug"] == 2 * GIB


def test_while_accounting_is_awaited_a_hook_is_asked_once_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm may still say why jobs failed, so that a watch looks again; whoever was asked need not be asked again."""
    monkeypatch.setattr(watching, "keep", lambda *_: None)
    policy = pace.Policy(poll_s=1.0)
    watcher: Any = SimpleNamespace(log=SimpleNamespace(say=lambda _: None), policy=policy)
    request = Request(1, "torc.db", hook_json="./hook")
    state: dict[str, Any] = {}
    asked = []
    for progress in ("a", "a", "a", "b", "b"):
        seen = pace.Seen(0.0, {}, capacity=False, progress=progress, unheard=True)
        asked.append(watching._asking(request, state, seen).hook_json)
        watching._nothing(watcher, state, recovery_text.plan([]), seen)
    assert asked == ["./hook", None, None, "./hook", None]
    assert watching._asking(request, state, seen).hook_json is None
    assert watching._asking(request, state, seen).hook_json == "./hook"  # by the next watch, whoever starts it
