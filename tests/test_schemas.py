"""The published contract: each record type has one JSON Schema; every recorded line is held to it.

tests/data/schema-digests.json remembers each schema's `v` with a digest of what it demands. Changing what a schema
demands needs a new `v` (and `scripts/bless-schemas`, which writes the digests of schemas that are new or bumped).
"""

import functools
import json
from pathlib import Path
from typing import Any

import casework
import jsonschema
import pytest
import schemadigest
import sources

from torc_tools import records

FOLDER = sources.ROOT / "schemas"
FILES = sorted(FOLDER.glob("*.json"))
TYPES = {"begin", "end", "workflow", "job", "result", "diagnosis", "adjustment", "applied", "reset", "event", "summary"}


@functools.cache
def schema(kind: str) -> Any:
    return json.loads((FOLDER / f"{kind}.json").read_text())


@functools.cache
def validator(kind: str) -> Any:
    return jsonschema.Draft202012Validator(schema(kind))


def name(path: Path) -> str:
    return path.stem


def test_every_record_type_has_a_schema() -> None:
    assert {path.stem for path in FILES} >= TYPES


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_schema_is_valid_and_says_what_the_house_asks(path: Path) -> None:
    found = schema(path.stem)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == f"https://torc-tools.example/schemas/{path.stem}.json"
    assert found["title"]
    assert isinstance(found["v"], int)
    assert found["v"] >= 1
    assert found["required"][0] == "type"
    assert found["properties"]["type"]["const"] == path.stem
    assert set(found["required"]) <= set(found["properties"])
    assert found.get("additionalProperties", True) is True
    assert [key for key, value in found["properties"].items() if not value.get("description")] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_example_validates(path: Path) -> None:
    examples = schema(path.stem)["examples"]
    assert examples
    for example in examples:
        validator(path.stem).validate(example)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_example_shows_every_required_field(path: Path) -> None:
    found = schema(path.stem)
    assert set(found["required"]) <= set(found["examples"][0])


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_record_without_a_required_field_is_refused(path: Path) -> None:
    found = schema(path.stem)
    for key in found["required"]:
        cut = {other: value for other, value in found["examples"][0].items() if other != key}
        assert not validator(path.stem).is_valid(cut), key


@pytest.mark.parametrize("path", FILES, ids=name)
def test_identifiers_are_spelled_out(path: Path) -> None:
    assert "id" not in schema(path.stem)["properties"]


def test_begin_states_the_version_of_the_stream() -> None:
    assert schema("begin")["v"] == records.VERSION
    validator("begin").validate(records.begin("torc-x", None))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_changed_schema_has_a_new_version(path: Path) -> None:
    known = schemadigest.known().get(path.stem)
    assert known is not None, "new schema: run scripts/bless-schemas"
    found = schema(path.stem)
    if known["v"] == found["v"]:
        assert known["digest"] == schemadigest.digest(found), "it demands something else: raise its v"
    else:
        assert found["v"] > known["v"]
        pytest.fail("version raised: run scripts/bless-schemas, and tell users in CHANGELOG.md")


def test_the_digest_sees_demands_and_not_words() -> None:
    one = {"v": 1, "required": ["type"], "properties": {"type": {"const": "x", "description": "a"}}, "examples": [1]}
    other = {**one, "examples": [2], "properties": {"type": {"const": "x", "description": "b"}}}
    changed = {**one, "required": []}
    assert schemadigest.digest(one) == schemadigest.digest(other)
    assert schemadigest.digest(one) != schemadigest.digest(changed)
    described = {**one, "properties": {**one["properties"], "description": {"type": "string"}}}
    assert schemadigest.digest(described) != schemadigest.digest(one)


UNMASKED = {"@T@": 1.5, "@PID@": 7}


def unmask(value: Any) -> Any:
    """Put numbers back where the case runner put marks."""
    if isinstance(value, dict):
        return {key: unmask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unmask(item) for item in value]
    return UNMASKED.get(value, value) if isinstance(value, str) else value


def golden() -> list[tuple[str, dict[str, Any]]]:
    """Give every record of every case's expected stdout, with where it stands."""
    found = []
    for case in casework.folders():
        file = case / "stdout"
        for number, line in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a table, a text
            if isinstance(record, dict) and isinstance(record.get("type"), str):
                found.append((f"{casework.name(case)}/stdout:{number}", unmask(record)))
    return found


def test_every_golden_line_is_what_its_schema_says() -> None:
    known = {path.stem for path in FILES}
    complaints = []
    for where, record in golden():
        if record["type"] in known:
            complaints += [
                f"{where}: {e.json_path}: {e.message}" for e in validator(record["type"]).iter_errors(record)
            ]
    assert complaints == []


def test_golden_lines_have_a_type_that_is_published() -> None:
    known = {path.stem for path in FILES} | {"note", "x"}  # what cases use as a stranger's record
    assert sorted({f"{where}: {record['type']}" for where, record in golden() if record["type"] not in known}) == []


def test_every_field_that_is_written_has_its_place_in_a_schema(torc, store_file: Path, work_dir: Path) -> None:
    asked = [("workflows",), ("sync", "1"), ("status", "1"), ("jobs", "1"), ("results", "1"), ("diagnose", "1"),
             ("sample", "-o", "/dev/stdout", "--", "true"), ("cancel", "1"), ("run", "-c", "false")]  # fmt: skip
    lines = [line for words in asked for line in torc(*words).stdout.splitlines()]
    for folder in ("events", "manifests"):
        lines += [line for path in work_dir.glob(f"torc_output/{folder}/*") for line in path.read_bytes().splitlines()]
    found = [json.loads(line) for line in lines]
    assert {"workflow", "summary", "job", "result", "diagnosis", "usage", "event"} <= {each["type"] for each in found}
    assert [
        (each["type"], key) for each in found for key in each if key not in schema(each["type"])["properties"]
    ] == []
