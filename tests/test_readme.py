import importlib
import re
import shlex
from pathlib import Path

import pytest

from fashion_keras.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "tfrecords/README.md",
]


def commands():
    """Every `fashion-keras X …` in a shell block of the documents, and each config's command."""
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("fashion-keras ", "python -m fashion_keras.")):
                    yield document.name, line
    for config in sorted((ROOT / "configs").glob("*.yaml")):
        found = re.search(
            r"^# Command: (fashion-keras .*)$", config.read_text(encoding="utf-8"), re.M
        )
        yield config.name, found[1] if found else "no command at its head"


@pytest.mark.parametrize(("document", "line"), commands())
def test_command_takes_the_options_it_is_shown_with(document, line):
    words = shlex.split(line, comments=True)
    if words[0] == "fashion-keras":
        words[:2] = ["python", "-m", COMMANDS[words[1]][0]]
    assert words[:2] == ["python", "-m"], f"{document}: {line}"
    module = importlib.import_module(words[2])
    parser = getattr(module, "parser", None) or module._parser
    parser().parse_args(words[3:])  # exits with 2 on an option that is not there


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_scripts_lead_to_files(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    scripts = re.findall(r"(?:bash|python) (scripts/\S+)", text)
    for link in links:
        assert (document.parent / link).exists(), link
    for script in scripts:
        assert (ROOT / script).is_file(), script
