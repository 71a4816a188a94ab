"""The documentation as a site: it builds without a warning, and its links lead somewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import fashion_keras as fk

for name in ("mkdocs", "material", "mkdocstrings_handlers.python"):
    pytest.importorskip(name)

ROOT = Path(__file__).resolve().parents[1]


class Page(HTMLParser):
    """The addresses that a page links to or loads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.add(attrs.get("id"))
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag == "link" or attrs.get("src"):
            self.loaded.append(attrs.get("src") or attrs.get("href"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the built site by their path in it, and its folder."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, {path: Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site):
    folder, pages = site
    documents = {path.stem for path in (ROOT / "docs").glob("*.md")}
    documents |= {"index", "tutorial", "records", "contributing", "changelog"}
    assert {path.stem for path in pages if path.parent == folder} == documents
    for path, page in pages.items():
        away = [address for address in page.loaded if urlsplit(address).netloc]
        assert not away, path.name


def test_every_link_leads_to_a_page_or_a_file_and_its_heading(site):
    _, pages = site
    lost = []
    for path, page in pages.items():
        for address in page.links + page.loaded:
            to = urlsplit(address)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            there = target.is_file()
            if there and to.fragment and target in pages:
                there = unquote(to.fragment) in pages[target].anchors
            if not there:
                lost.append((path.name, address))
    assert not lost


def test_the_reference_has_every_public_name(site):
    folder, pages = site
    anchors = {anchor.rpartition(".")[2] for anchor in pages[folder / "api.html"].anchors if anchor}
    assert set(fk.__all__) - {"__version__"} <= anchors
