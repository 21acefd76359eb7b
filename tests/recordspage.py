"""The part of torc-records(5) that follows from the schemas: all types, all fields. scripts/bless-schemas writes it."""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "man" / "man5" / "torc-records.5"
FIRST, LAST = '.\\" from the schemas\n', '.\\" end of what is from the schemas\n'
ORDER = ("begin", "end", "workflow", "job", "event", "result", "diagnosis", "adjustment", "applied", "reset", "summary")


def part() -> str:
    """Give the mdoc text of all types."""
    schemas = {path.stem: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.json")}
    names = [name for name in ORDER if name in schemas] + sorted(set(schemas) - set(ORDER))
    return "".join(_type(name, schemas[name]) for name in names)


def split(text: str) -> tuple[str, str, str]:
    """Give what stands before, between and after the marks of the page."""
    before, _, rest = text.partition(FIRST)
    between, _, after = rest.partition(LAST)
    return before, between, after


def _type(name: str, schema: dict[str, Any]) -> str:
    lines = [f".Ss {name} (version {schema['v']})", *_sentences(schema.get("description", schema["title"]))]
    lines.append(".Bl -tag -width Ds")
    for field, value in schema["properties"].items():
        lines += [f".It Va {field} : {_kind(value)}{'' if field in schema['required'] else ', may be missing'}"]
        lines += _sentences(value["description"])
    return "\n".join([*lines, ".El", ""])


def _kind(value: dict[str, Any]) -> str:
    if "const" in value:
        return f"always {json.dumps(value['const'])}".replace('"', "\\(dq")
    if "enum" in value:
        return ", ".join("null" if each is None else str(each) for each in value["enum"])
    kinds = value.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _sentences(text: str) -> list[str]:
    """Give a text as mdoc wants it: a new line for each sentence, nothing that reads as a macro."""
    text = text.replace("\\", "\\e")
    text = text if text.endswith((".", "?", "!")) else text + "."
    lines = re.split(r"(?<=[.!?:;]) +(?=[A-Z])", " ".join(text.split()))
    return [f"\\&{line}" if line.startswith((".", "'")) else line for line in lines]


def main() -> int:
    """Write the part into the page."""
    before, _, after = split(PAGE.read_text())
    PAGE.write_text(before + FIRST + part() + LAST + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
