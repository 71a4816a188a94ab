"""Write docs/config.md and docs/config.schema.json from the fields of fashion_keras/config.py.

python scripts/config_reference.py
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

from pydantic import TypeAdapter

from fashion_keras import config
from fashion_keras.config import ABOUT, BASE

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = """\
# Config

Every key with its default. A config file is YAML with these sections. It holds what differs from
the defaults, or from its `base`: a recipe's name or another file. On the command line
`--set section.key=value` sets a key, and `fashion-keras train --print-config` shows the resolved
config. [Recipes](recipes.md) explains how the parts play together.

For completion and checks in an editor, put this line at the head of a config file:

```yaml
# yaml-language-server: $schema=docs/config.schema.json
```

(This page and the schema are written by `scripts/config_reference.py`.)
"""


def descriptions() -> dict[str, dict[str, str]]:
    """Return the text below each field of each class of config.py."""
    tree = ast.parse(inspect.getsource(config))
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found.setdefault(node.name, {})[field.target.id] = inspect.cleandoc(
                        text.value.value
                    )
    return found


def schema() -> dict:
    """Return the JSON schema of a config file."""
    made = TypeAdapter(config.Config).json_schema()
    for name, texts in descriptions().items():
        for key, text in texts.items():
            made["$defs"][name]["properties"][key]["description"] = " ".join(text.split())
    made["properties"][ABOUT] = {"type": "object", "description": "For people; not read."}
    made["properties"][BASE] = {"type": "string", "description": "A recipe's name, or a file."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def page() -> str:
    """Return docs/config.md."""
    made = schema()
    lines = [HEAD]
    for section, reference in made["properties"].items():
        if "$ref" not in reference:
            continue
        definition = made["$defs"][reference["$ref"].rpartition("/")[2]]
        lines += [f"## {section}", "", definition["description"], ""]
        lines += ["| key | type | default | |", "| --- | --- | --- | --- |"]
        for key, field in definition["properties"].items():
            default = json.dumps(field.get("default", {}), ensure_ascii=False)
            text = field["description"]
            lines.append(f"| `{key}` | {_type(field)} | `{default}` | {text} |")
        lines.append("")
    return "\n".join(lines)


def _type(field: dict) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = {
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "true, false",
    }
    text = kind.get(field["type"], "list" if field["type"] == "array" else "mapping")
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    bounds["exclusiveMaximum"] = "below"
    limits = [f"{word} {field[key]:g}" for key, word in bounds.items() if key in field]
    return " ".join([text, *limits])


def main() -> None:
    """Write both files."""
    (DOCS / "config.md").write_text(page(), encoding="utf-8")
    text = json.dumps(schema(), indent=1, ensure_ascii=False)
    (DOCS / "config.schema.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
