"""Reading YAML, JSON and JSON5: the data, the lines, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from torc_tools.exits import Failure
from torc_tools.shell import specfile


def load(folder: Path, name: str, text: str | bytes) -> specfile.Spec:
    raw = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(raw)
    return specfile.load(str(folder / name))


YAML = [
    ("a: yes\nb: no\nc: on", {"a": "yes", "b": "no", "c": "on"}),
    ("a: true\nb: False", {"a": True, "b": False}),
    ("a: 01:00:00\nb: 1:30\nc: 2026-01-15", {"a": "01:00:00", "b": "1:30", "c": "2026-01-15"}),
    ("a: 010\nb: 10\nc: -3\nd: 0o17\ne: 0x1f", {"a": "010", "b": 10, "c": -3, "d": 15, "e": 31}),
    ("a: 1e3\nb: .5\nc: 1.50\nd: 1.2.3\ne: 1_000", {"a": 1000.0, "b": 0.5, "c": 1.5, "d": "1.2.3", "e": "1_000"}),
    ("a: ~\nb:\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
    ("a: '5'\nb: |\n  x\n  y\nc: >\n  x\n  y\n", {"a": "5", "b": "x\ny\n", "c": "x y\n"}),
    ("a: &x {k: 1}\nb: *x\nc: {<<: *x, m: 2}\nd: {<<: *x, k: 3}", {
        "a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "m": 2}, "d": {"k": 3}}),
    ("# nothing", None),
    ("\ufeffa: \u00e9", {"a": "\u00e9"}),
    ("5: x", {"5": "x"}),
    ("a: 0x" + "f" * 5000, {"a": "0x" + "f" * 5000}),  # as a decimal number of so many digits
]  # fmt: skip


@pytest.mark.parametrize(("text", "data"), YAML)
def test_yaml_is_read_as_1_2_says(text: str, data: Any, tmp_path: Path) -> None:
    assert load(tmp_path, "s.yaml", text).data == data
    assert load(tmp_path, "s", text).data == data


BOMB = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
])  # fmt: skip
COLON = "not YAML: mapping values are not allowed in this context: a text with ': ' in it needs quotes"
REFUSED = [
    ("s.yaml", "a: 1\nb: 2\na: 3", ":3: duplicate key 'a'"),
    ("s.yaml", BOMB, ":5: aliases make more than 1000000 values of it"),
    ("s.yaml", "a: &x [*x]", ":1: an alias holds itself"),
    ("s.yaml", "[" * 100_000, ":1: nested too deeply"),
    ("s.yaml", "- " * 100_000, ":1: nested too deeply"),
    ("s.yaml", "a:\n  - [", ":3: not YAML: did not find expected node content"),
    ("s.yaml", "a:\n  - echo x: y\n  - b: echo x: y", f":3: {COLON}"),
    ("s.yaml", "a: 1\n---\nb: 2", ":2: not YAML: but found another document"),
    ("s.yaml", "", ": is empty"),
    ("s.yaml", "? [a]\n: b", ":1: a key is not a string"),
    ("s.yaml", "a: 1\n<<: 3", ":2: '<<' takes maps"),
    ("s.yaml", b"a: \xff", ":1: not UTF-8 text"),
    ("s.yaml", "a: !mine x", ":1: unknown tag '!mine'"),
    ("s.json", '{"a": 1,\n"a": 2}', ":2: duplicate key 'a'"),
    ("s.json", '{"a":\n}', ":2: not JSON: Expecting value"),
    ("s.json", '{"a": NaN}', ": not JSON: NaN"),
    ("s.json", "[" * 100_000, ": nested too deeply"),
    ("s.json", '{"a": ' + "9" * 5000 + "}", ": not JSON: a number has too many digits"),
    ("s.json5", "{a: 1,\n// c\na: 2}", ":3: duplicate key 'a'"),
    ("s.json5", "{a: 1,\nb: [,}", ":2: not JSON5: "),
    ("s.json5", "[" * 20_000, ": nested too deeply"),
]


@pytest.mark.parametrize(("name", "text", "words"), REFUSED)
def test_what_is_refused(name: str, text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        load(tmp_path, name, text)
    assert caught.value.status == 65
    assert caught.value.message.startswith(f"{tmp_path / name}{words}")
    assert "\n" not in caught.value.message


LINES = {
    "s.yaml": ["name: w", "jobs:", "  - name: a", "    env:", "      X: 1", "  - {name: b,", "     prio: 1}"],
    "s.json": ['{"name": "w",', '"jobs": [', '{"name": "a",', '"env":', '{"X": 1}},', '{"name": "b",', '"prio": 1}]}'],
    "s.json5": [
        "{name: 'w', // {",
        "jobs: [",
        r"{name: 'a\'{',",
        "env: /* [",
        "*/ {X: 1}},",
        "{name: 'b',",
        "prio: 1,}]}",
    ],
}


@pytest.mark.parametrize("name", LINES)
def test_lines(name: str, tmp_path: Path) -> None:
    line_of = load(tmp_path, name, "\n".join(LINES[name])).line_of
    assert line_of(()) == 1
    assert line_of(("jobs",)) == 2
    assert line_of(("jobs", 0, "env")) == 4
    assert line_of(("jobs", 0, "env", "X")) == 5
    assert line_of(("jobs", 1)) == 6
    assert line_of(("jobs", 1, "prio")) == 7
    assert line_of(("jobs", 1, "nosuch", 3)) == 6, "the deepest part that is there"


def test_files_beside_a_spec(tmp_path: Path) -> None:
    found = load(tmp_path, "s.yaml", "a: 1")
    (tmp_path / "v.txt").write_text("1\n")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    texts, wrong = specfile.beside(found, [(("a",), "v.txt"), (("b",), "no.txt"), (("c",), "bad.txt")])
    assert texts == {"v.txt": "1\n"}
    assert wrong == [
        (("b",), "cannot open 'no.txt': No such file or directory"),
        (("c",), "'bad.txt' is not UTF-8 text"),
    ]
