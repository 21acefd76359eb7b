"""Specs in KDL: the same data as their twins in YAML and JSON, both versions, every line, and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import sources
from hypothesis import given
from hypothesis import strategies as st

from torc_tools.exits import Failure
from torc_tools.flows import creation
from torc_tools.shell import kdlplaces, specfile

FOLDER = sources.ROOT / "tests" / "data" / "torc-specs"
SINGULAR = {
    "jobs": "job", "files": "file", "user_data": "user_data", "resource_requirements": "resource_requirements",
    "slurm_schedulers": "slurm_scheduler", "failure_handlers": "failure_handler", "actions": "action",
}  # fmt: skip
ONE_EACH = {"depends_on": "depends_on_job", "input_files": "input_file", "output_files": "output_file",
            "job_name_regexes": "job_name_regexes", "commands": "command", "exit_codes": "exit_codes"}  # fmt: skip


def kdl(value: Any) -> str:
    """Write a value as KDL 2 does."""
    if value is None or isinstance(value, bool):
        return {None: "#null", True: "#true", False: "#false"}[value]
    return json.dumps(value, ensure_ascii=False)


def node(name: str, value: Any, indent: str = "") -> str:
    """Write a field as nodes, as torc's own KDL does."""
    if isinstance(value, dict):
        inner = "".join(node(key, each, f"{indent}    ") for key, each in value.items())
        return f"{indent}{kdl(name)} {{\n{inner}{indent}}}\n"
    if name == "rules":
        return "".join(node("rule", each, indent) for each in value)
    if isinstance(value, list):
        if name in ONE_EACH:
            return "".join(f"{indent}{ONE_EACH[name]} {kdl(each)}\n" for each in value)
        return f"{indent}{kdl(name)} {' '.join(map(kdl, value))}\n"
    return f"{indent}{kdl(name)} {kdl(value)}\n"


def written(spec: dict[str, Any]) -> str:
    """Write a whole spec as KDL."""
    text = ""
    for key, value in spec.items():
        if key not in SINGULAR:
            text += node(key, value)
            continue
        for entry in value:
            fields = dict(entry)
            if key == "user_data":
                fields["data"] = json.dumps(fields["data"])
            name = f" {kdl(fields.pop('name'))}" if "name" in fields and key != "actions" else ""
            inner = "".join(node(field, each, "    ") for field, each in fields.items())
            text += f"{SINGULAR[key]}{name} {{\n{inner}}}\n"
    return text


def given_only(value: Any) -> Any:
    """Leave out what is null, which counts as absent."""
    if isinstance(value, dict):
        return {key: given_only(each) for key, each in value.items() if each not in (None, [])}
    return [given_only(each) for each in value] if isinstance(value, list) else value


def load(folder: Path, text: str, name: str = "spec.kdl") -> specfile.Spec:
    (folder / name).write_text(text)
    return specfile.load(str(folder / name))


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_spec_is_the_same_in_kdl(tmp_path: Path, path: Path) -> None:
    twin = specfile.load(str(path))
    assert load(tmp_path, written(given_only(twin.data))).data == given_only(twin.data)
    plans = [creation.plan_file(str(each)) for each in (path, tmp_path / "spec.kdl")]
    assert vars(plans[0]) == vars(plans[1])


TORCS = """\
// as torc 0.21 writes it
name "sweep"
description #"has "quotes" and a \\"#
use_pending_failed #true
parameters {
    lr "[0.1,0.01]"
    n 1 2 3
}
file "raw" path="/data/raw.csv" st_mtime=1640995200.0
file "out_{n}" {
    path "/out/{n}"; use_parameters "n"
}
user_data "meta" {
    is_ephemeral #false
    data "{\\"url\\":\\"https://x\\", \\"n\\":[1]}"
}
resource_requirements "small" { num_cpus 1; memory "2g"; runtime "PT30M"
}
failure_handler "again" {
    rule { exit_codes 10; exit_codes 11; max_retries 3
    }
    /-rule { match_all_exit_codes #true
    }
    rule {
        match_all_exit_codes #true
    }
}
job "first" {
    command \"\"\"
        set -e
        run ${files.input.raw}
        \"\"\"
    resource_requirements "small"
    /- failure_handler "nobody"
}
job "train_{lr}" {
    command "train {lr}"   /* after /* the */ first */
    depends_on_job "first"
    input_file "raw" \\
        "out_1"
    use_parameters "lr"
    labels gpu
    env { A 1
    }
}
action {
    trigger_type on_jobs_ready
    action_type run_commands
    job first; job_name_regex "train_.*"
    command "echo a"
    command "echo b"
}
resource_monitor { enabled #true; sample_interval_seconds 2
}
"""
SAME = {
    "name": "sweep", "description": 'has "quotes" and a \\', "use_pending_failed": True,
    "parameters": {"lr": "[0.1,0.01]", "n": [1, 2, 3]},
    "files": [{"name": "raw", "path": "/data/raw.csv", "st_mtime": 1640995200.0},
              {"name": "out_{n}", "path": "/out/{n}", "use_parameters": ["n"]}],
    "user_data": [{"name": "meta", "is_ephemeral": False, "data": {"url": "https://x", "n": [1]}}],
    "resource_requirements": [{"name": "small", "num_cpus": 1, "memory": "2g", "runtime": "PT30M"}],
    "failure_handlers": [{"name": "again", "rules": [
        {"exit_codes": [10, 11], "max_retries": 3}, {"match_all_exit_codes": True}]}],
    "jobs": [
        {"name": "first", "command": "set -e\nrun ${files.input.raw}", "resource_requirements": "small"},
        {"name": "train_{lr}", "command": "train {lr}", "depends_on": ["first"], "input_files": ["raw", "out_1"],
         "use_parameters": ["lr"], "labels": ["gpu"], "env": {"A": 1}}],
    "actions": [{"trigger_type": "on_jobs_ready", "action_type": "run_commands", "jobs": ["first"],
                 "job_name_regexes": ["train_.*"], "commands": ["echo a", "echo b"]}],
    "resource_monitor": {"enabled": True, "sample_interval_seconds": 2},
}  # fmt: skip


def test_the_layout_of_torc(tmp_path: Path) -> None:
    spec = load(tmp_path, TORCS)
    assert spec.data == SAME
    lines = TORCS.splitlines()
    for path, words in (
        (("name",), "name "), (("parameters", "n"), "n 1"), (("files", 1), 'file "out'), (("files", 1, "path"), "path"),
        (("files", 0, "path"), 'file "raw"'), (("jobs", 1), 'job "train'), (("jobs", 1, "command"), 'command "train'),
        (("jobs", 1, "input_files", 1), "input_file"), (("jobs", 0, "resource_requirements"), "resource_req"),
        (("failure_handlers", 0, "rules", 1), "rule {"), (("actions", 0, "commands", 1), 'command "echo b"'),
        (("jobs", 1, "nothing"), 'job "train'), (("user_data", 0, "data", "url"), "data"),
        (("resource_monitor", "enabled"), "resource_monitor"), (("jobs", 1, "env", "A"), "env"),
    ):  # fmt: skip
        line = spec.line_of(path)
        assert line is not None, path
        assert lines[line - 1].strip().startswith(words), (path, line)
    assert spec.line_of(("failure_handlers", 0, "rules", 1)) == 1 + [line.strip() for line in lines].index("rule {")


def test_kdl_1_and_other_names_for_the_same(tmp_path: Path) -> None:
    text = """name "x"\nenable_ro_crate false\njob "a" {\n command r#"echo "a" \\n"#\n}\n"""
    text += """job "b" { command "b"; blocked_by_job "a"; cancel_on_blocking_job_failure true; scheduler null;\n}\n"""
    assert load(tmp_path, text).data == {
        "name": "x",
        "enable_ro_crate": False,
        "jobs": [
            {"name": "a", "command": 'echo "a" \\n'},
            {
                "name": "b",
                "command": "b",
                "depends_on": ["a"],
                "cancel_on_blocking_job_failure": True,
                "scheduler": None,
            },
        ],
    }


def test_it_is_told_without_an_extension(tmp_path: Path) -> None:
    assert load(tmp_path, TORCS, "spec").data == SAME
    assert load(tmp_path, 'name "x"; job "a" command="true"', "spec").data["jobs"] == [{"name": "a", "command": "true"}]
    with pytest.raises(Failure, match="not YAML"):
        load(tmp_path, "a: [1\nb: {", "spec")
    assert load(tmp_path, "just words", "spec").data == "just words"


WRONG = [
    ('name "x"\njob "a" {\n  command "c\n}\n', ":3: not KDL: a string has no end"),
    ('name "x"\njob "a" {\n  command "c"\n', ":2: not KDL: a '{' has no '}'"),
    ('name "x"\n}\n', ":2: not KDL: a '}' has no '{'"),
    ("{\n}\n", ":1: not KDL: a '{' stands behind no node"),
    ('name "x"\n/* a\n /* b */\n', ":2: not KDL: a comment has no end"),
    ('name "x"\njob "a" {\n  // "\n  command "c"\n  stdio { mode #non\n  }\n}\n', ":5: not KDL: "),
    ('name "x"\njob "a" {\n  command "\\q"\n}\nname 5 =\n', ":3: not KDL: "),
    ('name "x"\nname "y"\n', ":2: 'name' stands here twice"),
    ('job "a" {\n command "x"\n\n command "y"\n}\n', ":4: 'command' stands here twice"),
    ('job "a" "b"\n', ":1: 'job' takes one value, its name"),
    ('\naction "a"\n', ":2: 'action' takes no value"),
    ('job "a" {\n command\n}', ":2: 'command' has no value"),
    ('job "a" {\n env "x" {\n A 1\n }\n}', ":2: 'env' has both a value and fields"),
    ('job "a" {\n input_file {\n x 1\n }\n}', ":2: 'input_file' takes values only"),
    ('/- job {\n}\nuser_data "u" {\n data "{"\n}\n', ":4: the 'data' of a user_data is a string that is not JSON"),
    ("", ": is empty"),
    ("n " + "9" * 50, ":1: a number has too many digits"),
    ("a {\n" * 20000 + "}\n" * 20000, ": nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Failure) as failure:
        load(tmp_path, text)
    assert failure.value.status == 65
    assert failure.value.message.startswith(f"{tmp_path / 'spec.kdl'}{message}")


def test_faults_of_the_spec_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "spec.kdl").write_text(
        'name "x"\n\njob "a" {\n  comand "c"\n}\njob "b" {\n  command "b"\n  depends_on_job "c"\n}\ncolour 1\n'
    )
    with pytest.raises(Failure) as failure:
        creation.plan_file(str(tmp_path / "spec.kdl"))
    assert [line.partition("spec.kdl")[2] for line in failure.value.lines] == [
        ":3: jobs[0]: missing key 'command'",
        ":4: jobs[0].comand: unknown key 'comand', did you mean 'command'?",
        ":8: jobs[1].depends_on: unknown job 'c'",
        ":10: colour: unknown key 'colour'",
    ]


def test_without_the_package_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ckdl", None)
    with pytest.raises(
        Failure, match=r"^reading KDL needs the package ckdl: pip install 'torc-tools\[kdl\]'$"
    ) as failure:
        load(tmp_path, TORCS)
    assert failure.value.status == 69
    with pytest.raises(Failure, match="not YAML"):
        load(tmp_path, TORCS, "spec")


VALUES = st.one_of(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6), st.integers(), st.booleans())
NODES = st.recursive(
    st.lists(VALUES, min_size=1, max_size=3), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=12
)


@given(NODES, st.sampled_from(["\n", "; ", " // }\n", " /* { */\n", '\n/- dropped { "}"\n}\n']))
def test_places_are_those_of_the_reader(tree: Any, end: str) -> None:
    """As many nodes as the reader finds, in its order, whatever stands in the strings."""
    import ckdl

    def text(tree: Any) -> str:
        if tree and isinstance(tree[0], list):
            return "".join(f"n {{\n{text(each)}}}{end}" for each in tree)
        return f"n {' '.join(map(kdl, tree))}{end}"

    def count(nodes: Any) -> int:
        return sum(1 + count(node.children) for node in nodes)

    made = text(tree)
    places = [place for place in kdlplaces.places(made) if not place.dropped]
    assert len(places) == count(ckdl.parse(made, version="any").nodes)
    assert all(made[place.start] == "n" for place in places)
