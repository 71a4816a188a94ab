"""Hooks of mkdocs: pages that lie outside of docs/, and the tutorial's notebook, in; pages out.

Links are written for the repository, so that they work where it is browsed. Here each is led to
its page; of a file that the site does not hold only the name is left.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tfrecords/README.md": "records.md",
    "docs/tutorial.ipynb": "tutorial.md",
}
_PATH = r"\((?![a-z]+:|#)([^()\s#]+)(#[^()\s]*)?\)"
_NAMED = re.compile(rf"(?<!!)\[([^\[\]]*)\]{_PATH}")
_TARGET = re.compile(rf"(?<=\]){_PATH}")
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files, config):
    """Add the pages of `PAGES`; the notebook's pictures become files beside its page."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pictures = {}
        if source.endswith(".ipynb"):
            files.remove(files.get_file_from_path(source.removeprefix("docs/")))
            text, pictures = notebook_page(json.loads(text))
        for name, content in {page: text, **pictures}.items():
            files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead the page's links to where they are in the site."""
    own = page.file.src_uri
    source = next((path for path, name in PAGES.items() if name == own), f"docs/{own}")

    def lead(match):
        place = _place(source, match[1], files)
        return f"({posixpath.relpath(place, posixpath.dirname(own) or '.')}{match[2] or ''})"

    def named(match):
        return match[0] if _place(source, match[2], files) else match[1]

    parts = _CODE.split(markdown)
    parts[::2] = [_TARGET.sub(lead, _NAMED.sub(named, part)) for part in parts[::2]]
    return "".join(parts)


def _place(source: str, link: str, files) -> str | None:
    """Return where in the site `link` of the repository's file `source` leads, None if nowhere.

    A folder stands for the README in it, or above it.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if path in PAGES:
        return PAGES[path]
    if not path.startswith("docs/"):
        return None
    if (ROOT / path).is_dir():
        there = (ROOT / folder / "README.md" for folder in (path, posixpath.dirname(path)))
        readme = next((file for file in there if file.is_file()), None)
        path = readme.relative_to(ROOT).as_posix() if readme else path
    place = path.removeprefix("docs/")
    return place if files.get_file_from_path(place) else None


def notebook_page(notebook: dict) -> tuple[str, dict[str, bytes]]:
    """Return an executed notebook as Markdown, and the pictures in it by name."""
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if kind := next((kind for kind in ("png", "jpeg") if f"image/{kind}" in data), None):
                name = f"tutorial-{len(pictures) + 1}.{kind}"
                pictures[name] = base64.b64decode("".join(data[f"image/{kind}"]))
                parts.append(f"![what the cell above draws]({name})")
            elif "text/html" in data:
                table = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.S)
                parts.append(re.sub(r"<table[^>]*>", "<table>", table))
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
