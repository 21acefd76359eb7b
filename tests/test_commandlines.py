"""What tests/commandlines.py finds in a guide."""

import pytest
from commandlines import extract
from conftest import ROOT

GUIDE = """\
Type `torc frob 1 --hard` or `torc frob`; `--hard` is hard, `--soft 3` is soft. See `torc frob <id>`.

```bash
# torc not this
torc frob 1 \\
  --soft 2 \\   # softer
  --hard       # hardest
for JOB in $(torc jobs list $ID -f json | jq -r '.[].id'); do
    torc frob 1
done
echo torc
--soft 4  # alone
```

```yaml
torc frob: yes
```
"""


def test_each_command_is_found_once_and_whole() -> None:
    assert extract(GUIDE) == [
        "torc frob 1 --hard",
        "--soft 3",
        "torc frob <id>",
        "torc frob 1 --soft 2 --hard",
        "torc jobs list $ID -f json | jq -r '.[].id'",
        "torc frob 1",
        "--soft 4",
    ]


@pytest.mark.parametrize("text", ["", "`torc`", "```bash\nls\n```\n", "```\ntorc recover 1\n```\n"])
def test_where_there_is_none(text: str) -> None:
    assert extract(text) == []


def test_the_lines_of_the_guides_are_what_it_finds() -> None:
    lines = (ROOT / "tests" / "data" / "command-lines").read_text().splitlines()
    fenced = "".join(f"```bash\n{line}\n```\n" for line in lines if "$" not in line)
    assert extract(fenced) == [line for line in lines if "$" not in line]
    assert len(set(lines)) == len(lines) == 36
