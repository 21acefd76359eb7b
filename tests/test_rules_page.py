"""torc-rules(5): its file is one, its lines run, and it names every key and every cause."""

import os
import re
import subprocess
from pathlib import Path

import manpages
from prepared import prepare

from torc_tools.core import rules, rules_read
from torc_tools.flows import rulebook

PAGE = manpages.FOLDER / "man5" / "torc-rules.5"


def test_the_file_in_the_page_is_one_and_its_lines_run(work_dir: Path) -> None:
    prepare(work_dir)
    section = manpages.sections(PAGE)["EXAMPLES"]
    (block,) = [text for kind, text in manpages.displays(section) if kind == "Bd"]
    Path("site.yaml").write_text(block)
    assert [rule.name for rule in rulebook.own(["site.yaml"])] == [
        "backup-night", "mesh-too-fine", "bad-disk", "bad-input",
    ]  # fmt: skip
    lines = manpages.examples(PAGE)
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_every_key_and_cause_is_in_the_page() -> None:
    words = set(re.findall(r"[a-z_]+", PAGE.read_text()))
    keys = {*rules_read._RULE, *rules.Match._fields}
    causes = {rule.cause for rule in rulebook.builtin()}
    assert (keys | causes | set(rules.ACTIONS)) - words == set()
    assert os.path.exists(rulebook.BUILTIN)
