"""torc-hooks(7): each of its hooks is taken from the page, and does what the page says; so are its lines."""

import re
import subprocess
from pathlib import Path

import manpages
import orjson
import pytest
import street
from conftest import Torc, said, script
from prepared import GIB, execute

from torc_tools.core import adjusting, answers

PAGE = manpages.FOLDER / "man7" / "torc-hooks.7"
NAMED = re.compile(r"#!.*\n# ([\w.-]+): ")


@pytest.fixture
def failed(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the hooks of the page, and a workflow whose job 4 failed otherwise than jobs 2 and 3."""
    for text in manpages.sections(PAGE).values():
        for kind, block in manpages.displays(text):
            if kind == "Bd" and (found := NAMED.match(block)):
                (store_file.parent / found[1]).write_text(block)
                (store_file.parent / found[1]).chmod(0o755)
    monkeypatch.setenv("USER", "ann")
    return store_file.parent


def logged(store: Path, text: str) -> None:
    """Let job 4 have ended with these words."""
    facts = orjson.dumps({"log_tail": text}).decode().replace("'", "''")
    execute(store / "torc.db", f"UPDATE result SET facts = '{facts}', return_code = 3 WHERE job_id = 4")


def recovered(torc: Torc, hook: str) -> list[str]:
    """Recover as the page says it under a hook."""
    shown = [
        text for part in manpages.sections(PAGE).values() for kind, text in manpages.displays(part) if kind == "D1"
    ]
    (line,) = [text for text in shown if hook in text]
    name, *words = line.replace("42", "1").split()
    done = torc(name, *words, *(["-m", "1", "--once"] if name == "torc-watch" else ["--no-run"]))
    assert done.returncode in (0, 75), said(done)
    return said(done)


def test_the_first_hook_changes_a_configuration_and_the_job_runs_again(torc: Torc, failed: Path) -> None:
    logged(failed, "step 17: did not converge\n")
    (failed / "bug.json").write_text('{"step": 0.5, "name": "a b"}')
    assert "  [hook] bug: the step is 0.25 now" in recovered(torc, "smaller-step")
    assert orjson.loads((failed / "bug.json").read_bytes()) == {"step": 0.25, "name": "a b"}
    assert street.statuses()["bug"] == "ready"


def test_the_second_hook_gives_a_job_what_its_log_asks_for(torc: Torc, failed: Path) -> None:
    logged(failed, "it's large: workspace needs 6 GiB\n")
    assert "  Job 4 (bug): its workspace needs 6 GiB: memory 1g -> 6g" in recovered(torc, "as-it-says")
    assert (street.limits()["bug"][0], street.statuses()["bug"]) == (6 * GIB, "ready")
    assert street.limits()["train"][0] == 3 * GIB


def test_the_second_hook_has_no_answer_for_other_failures(torc: Torc, failed: Path) -> None:
    logged(failed, "something else\n")
    assert "The recovery hook has no answer: the plan stays as it is" in recovered(torc, "as-it-says")
    assert street.statuses()["bug"] == "failed"


@pytest.mark.parametrize(("times", "status"), [(1, "ready"), (3, "failed")])
def test_the_third_hook_tries_twice_and_then_asks_a_person(
    torc: Torc, failed: Path, monkeypatch: pytest.MonkeyPatch, times: int, status: str
) -> None:
    logged(failed, "no licence\n")
    for run in range(2, times + 1):
        columns = "workflow_id, job_id, {}, attempt_id, status, return_code, facts, worker"
        execute(
            failed / "torc.db",
            f"INSERT INTO result ({columns.format('run_id')}) SELECT {columns.format(run)} FROM result"
            " WHERE job_id = 4 AND run_id = 1",
            f"UPDATE job SET run_id = {run} WHERE job_id = 4",
        )
    (failed / "bin").mkdir()
    script(failed / "bin" / "mail", f'{{ echo "$*"; cat; }} > "{failed}/mailed"')
    monkeypatch.setenv("PATH", str(failed / "bin"), prepend=":")
    lines = recovered(torc, "ask-me")
    assert street.query("SELECT count(*) FROM change WHERE subject = 'job' AND subject_id = 4") == [
        (status == "ready",)
    ]
    assert ("  [hook] sent a mail about 1 job(s)" in lines) == (times == 3)
    if times == 3:
        mail = (failed / "mailed").read_text()
        assert mail.startswith("-s workflow 1: jobs wait for you ann\njob_id ")
        assert "\n4       bug " in mail


def test_the_answers_of_the_page_are_answers() -> None:
    blocks = [text for part in manpages.sections(PAGE).values() for kind, text in manpages.displays(part)]
    (block,) = [text for text in blocks if text.startswith('{"type"')]
    found = [orjson.loads(line) for line in block.splitlines()]
    for each in found:
        answers.check(each)
    answers.Answers(found)
    assert {each.get("action", "adjust") for each in found} == set(adjusting.ACTIONS)


def test_the_lines_of_the_page_run(torc: Torc, failed: Path) -> None:
    logged(failed, "who knows\n")
    execute(failed / "torc.db", "UPDATE job SET status = 10 WHERE job_id = 4")
    shown = [pair for part in manpages.sections(PAGE).values() for pair in manpages.displays(part)]
    lines = [text for kind, text in shown if kind == "Dl" or text.startswith("$ ")]
    assert len(lines) == 4
    for line in lines:
        text = line.removeprefix("$ ").replace("42", "1")
        done = subprocess.run(["bash", "-o", "pipefail", "-c", text], capture_output=True, check=False)
        assert done.returncode == 0, f"{text}: {done.stderr.decode()}"
    assert street.statuses()["bug"] == "failed"
