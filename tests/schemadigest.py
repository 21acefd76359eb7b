"""The digests of the schemas: what each demands, without its words. scripts/bless-schemas runs it to write them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests" / "data" / "schema-digests.json"
WORDS = {"title", "description", "examples", "$comment"}


def demands(schema: Any, *, names: bool = False) -> Any:
    """Give a schema without titles, descriptions and examples; `names` says that the keys are property names."""
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if names or key not in WORDS}
        return {
            key: demands(value, names=not names and key in ("properties", "$defs", "patternProperties"))
            for key, value in kept.items()
        }
    return [demands(item) for item in schema] if isinstance(schema, list) else schema


def digest(schema: Any) -> str:
    """Give the digest of what a schema demands, its version left out."""
    text = json.dumps({key: value for key, value in demands(schema).items() if key != "v"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known() -> dict[str, dict[str, Any]]:
    """Give the digests on file."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def main() -> int:
    """Write the digests of schemas that are new or whose version was raised; refuse a silent change."""
    before, after, refused = known(), {}, 0
    for path in sorted((ROOT / "schemas").glob("*.json")):
        schema = json.loads(path.read_text())
        entry = {"v": schema["v"], "digest": digest(schema)}
        old = before.get(path.stem, entry)
        if old["v"] == entry["v"] and old["digest"] != entry["digest"] and "--unreleased" not in sys.argv:
            sys.stderr.write(f"schemas/{path.name} demands something else than version {old['v']} did: raise its v\n")
            entry, refused = old, 1
        after[path.stem] = entry
    FILE.write_text(json.dumps(after, indent=2, sort_keys=True) + "\n")
    return refused


if __name__ == "__main__":
    sys.exit(main())
