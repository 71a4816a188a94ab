"""Text from outside, on its way to a terminal, a spreadsheet, Markdown and a shell."""

import ast
import html.parser
import io
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from tqdm import tqdm

from fashion_keras.commands import Screen, run_command
from fashion_keras.errors import UserError
from fashion_keras.text import as_code, as_markdown, cell, command, from_cell, printable

PACKAGE = Path(__file__).resolve().parents[1] / "fashion_keras"
# The screen cleared, the title changed, a link, a line overwritten, text turned around.
HOSTILE = (
    "\x1b[2J\x1b[1;1HBags",
    "\x1b]0;title\x07Bags",
    "\x1b]8;;http://shop.example\x1b\\Bags",
    "Shoes\rBags",
    "\x9b2JBags",
    "Ba\x08\x08gs\x00",
    "gpj.\u202egs\u2066aB",
    "Bags\u2028Shoes",
)
PLAIN = ("Écharpes", "Flip Flops", "T-Shirts & Tops", "日本", "👗 dress", "naïve\u0301", "a_b", "")


def acts(text):
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_would_obey_is_written_out(text):
    assert not acts(printable(text))
    assert "ags" in printable(text) or "gs" in printable(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_can_be_seen_stays(text):
    assert printable(text) == text
    assert cell(text) == text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_prints_it_harmless_wherever_it_prints(capfd, text, stream):
    def say(argv):
        print(f"class {text}", file=getattr(sys, stream))
        raise UserError(f"{text} is no class")

    assert run_command(say) == 2
    for printed in capfd.readouterr():
        assert not acts(printed.replace("\n", ""))


def test_lines_and_columns_stay_as_they_are(capsys):
    assert run_command(lambda argv: print("a\tb\nc")) == 0
    assert capsys.readouterr().out == "a\tb\nc\n"


def test_a_progress_bar_is_drawn_as_without_it():
    drawn = []
    for stream in (plain := io.StringIO(), Screen(screened := io.StringIO(), bars=True)):
        with tqdm(total=3, file=stream, mininterval=0, bar_format="{l_bar}{bar}|") as bar:
            bar.update(1)
            with tqdm(total=2, file=stream, mininterval=0, leave=False, bar_format="{bar}") as low:
                low.update(2)
            bar.write("a line", file=stream)
            bar.update(2)
        drawn.append(stream)
    assert "\r" in plain.getvalue() and "\x1b[A" in plain.getvalue()
    assert screened.getvalue() == plain.getvalue()


def test_a_screen_is_the_stream_in_all_else(capsys):
    screen = Screen(sys.stdout)
    assert screen.encoding == sys.stdout.encoding
    assert screen.isatty() is False
    assert screen.write("x\x1b") == 2


FORMULAS = (
    '=HYPERLINK("http://shop.example", "Bags")',
    "=1+1",
    "+1-1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "＝1",
    "-",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_a_text_and_comes_back(text):
    assert cell(text).startswith("'")
    assert from_cell(cell(text)) == text


@pytest.mark.parametrize("value", [1, -1, -0.5, "-1", "+49", "-1,5", "-1e-3", None, "'", "'tis"])
def test_a_number_stays_a_number_and_a_quote_a_quote(value):
    assert cell(value) == value
    if isinstance(value, str):
        assert from_cell(value) == value


MARKS = (
    "<img src=x onerror=alert(1)>",
    "</code><script>alert(1)</script>",
    "[Bags](javascript:alert(1))",
    "![](http://shop.example/x.png)",
    "*Bags* _Shoes_ __Ties__ ~~Socks~~",
    "# Bags",
    "`Bags` ``Shoes``",
    "Bags\n\n# Shoes\n<b>",
    "a\\*b\\",
    "AT&amp;T & Söhne",
    "a | b | c",
    "snake_case_name",
)


class Seen(html.parser.HTMLParser):
    """What a reader sees of HTML, and by which tags."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags = "", set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", [*MARKS, *filter(None, PLAIN), *HOSTILE])
def test_markdown_shows_a_name_and_nothing_of_it_works(text):
    markdown_it = pytest.importorskip("markdown_it")
    renderer = markdown_it.MarkdownIt("gfm-like", {"linkify": False})
    source = as_markdown(text).replace("|", "\\|")
    seen = Seen(renderer.render(f"| name |\n| --- |\n| NAME {source} |\n\nNAME {source}\n"))
    assert seen.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
    shown = printable(" ".join(text.splitlines()))
    assert [part.strip() for part in seen.text.split("NAME")[1:]] == [shown.strip()] * 2
    coded = Seen(renderer.render(f"x {as_code(text)}\n"))
    assert coded.tags <= {"p", "code"}
    assert coded.text.strip() == f"x {shown}".strip()


@pytest.mark.parametrize("path", ["läufe 1/run", "a'b", "$(touch x)", "`id`", "a;b", "-x", "*"])
def test_a_shell_reads_back_the_path_that_a_printed_command_names(path):
    line = command("evaluate", "--model", Path(path))
    assert shlex.split(line) == ["fashion-keras", "evaluate", "--model", path]
    printed = subprocess.run(
        ["sh", "-c", line.replace("fashion-keras", "printf '%s\\n'", 1)],
        capture_output=True,
        text=True,
    )
    assert printed.stdout.splitlines() == ["evaluate", "--model", path]


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield pytest.param(path, id=str(path.relative_to(PACKAGE)))


@pytest.mark.parametrize("path", sources())
def test_every_command_with_a_path_in_it_is_quoted(path):
    """Where a text names a command of ours, what is put into that text is not a bare name."""
    bare = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            written = "".join(
                part.value if isinstance(part, ast.Constant) else "\0" for part in node.values
            )
            if re.search(r"(fashion-keras [a-z]+ |--logdir |compose -f )[^\n]*\0", written):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue) and not isinstance(
                        part.value, ast.Call | ast.Name
                    ):
                        bare.append(ast.unparse(node))
                if "fashion-keras " in written:
                    bare.append(ast.unparse(node))
    assert not bare


@pytest.mark.parametrize("path", sources())
def test_every_csv_is_written_through_cell(path):
    source = path.read_text(encoding="utf-8")
    writes = re.search(r"csv\.writer\(|DictWriter\(|\.to_csv\(", source)
    of_figures = path.name == "checkpoint.py"  # history.csv: our own names, and numbers
    assert not writes or of_figures or re.search(r"import .*\bcell\b", source)
