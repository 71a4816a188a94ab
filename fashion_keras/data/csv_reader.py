"""A CSV that a person gives in; its header, rows and where each row stands, out.

The one reader for all of them: catalogues, lists of paths, corrections. Commas, semicolons or
tabs, or what Excel's line `sep=` says; line ends within quotes; encodings as `decode_text` finds
them, with a line to say so where it is not UTF-8.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fashion_keras.data.schema import NAME_COLUMN, did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes

# UTF-32 before UTF-16, whose mark its own begins with.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx (a zip) and .xls
_SNIFFED = 4096  # bytes

# UTF-8 of two bytes or more; and of the letters of Western Europe alone.
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_WESTERN = re.compile(rb"[\xc2\xc3][\x80-\xbf]")

_LETTER = "A-Za-zÀ-ÖØ-öø-ÿŠšŽžŒœŸ"
# What no Western European word has, and what other code pages look like when they are taken for
# Windows-1252: four such letters in a row (Cyrillic, Chinese), a capital after a small letter
# (Macintosh), a symbol within or right behind a word (DOS, Central European).
_FOREIGN = re.compile(
    "[À-ÖØ-öø-ÿŠšŽžŒœŸ]{4}"
    "|[a-zß-öø-ÿšžœ][À-ÖØ-ÞŠŽŒŸ]"
    f"|[{_LETTER}][‚„†‡ˆ‰§]"
    f"|[{_LETTER}][€ƒ‹›“”˜¡¢£¤¥¦¨ª«¬¯±²³¶¸¹º»¼½¾¿÷][{_LETTER}]"
)
_NOT_ASCII_WORD = re.compile(r"\w*[^\x00-\x7f]\w*")


def decode_text(data: bytes, where: str) -> tuple[str, str]:
    """Return a file's text without its byte order mark, and a line to say, "" for UTF-8.

    Takes UTF-8; UTF-16 and UTF-32 by their mark, UTF-16 also by its zero bytes; else
    Windows-1252, as Excel saves a CSV in Western Europe, where nothing speaks against it.

    `where` begins each message. Raises `UserError` for what is none of these, is a workbook, or
    is UTF-8 but for a few bytes: a guess would put garbage into class names.
    """
    if data.startswith(_WORKBOOKS):
        raise UserError(f"{where} is an Excel workbook or a zip: save it as CSV UTF-8")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding, where)
    if utf16 := _utf16_without_mark(data) if b"\0" in data else None:
        return _strictly(data, utf16, where)
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return _western(data, where, error)


def _strictly(data: bytes, encoding: str, where: str) -> tuple[str, str]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} in line {_line(data[: error.start], encoding)}"
        raise UserError(
            f"{where} is damaged: it begins as {encoding}, and {found} is not. "
            "Save it again, as UTF-8"
        ) from None
    text = text.removeprefix("\ufeff")
    note = f"{where} is {encoding}: read as that" if not encoding.startswith("UTF-8") else ""
    return text, note


def _line(before: bytes, encoding: str) -> int:
    return before.decode(encoding, "replace").count("\n") + 1


def _utf16_without_mark(data: bytes) -> str | None:
    """Return the byte order of UTF-16, whose ASCII has its zeros all on one side; None if none."""
    sample = data[:_SNIFFED]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(data) % 2 == 0 and max(even, odd) >= len(sample) / 4 and min(even, odd) == 0:
        return "UTF-16-LE" if odd else "UTF-16-BE"
    return None


def _western(data: bytes, where: str, error: UnicodeDecodeError) -> tuple[str, str]:
    """Return text as Windows-1252, unless it is something else; `error` is that of UTF-8."""
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise UserError(f"{where} is no text (a zero byte in line {line}): save it as CSV UTF-8")
    line = data.count(b"\n", 0, error.start) + 1
    refused = f"{where} is not UTF-8 (byte 0x{data[error.start]:02x} in line {line})"
    single = sum(byte >= 0x80 for byte in _MULTIBYTE.sub(b"", data))
    if _WESTERN.search(data) or len(_MULTIBYTE.findall(data)) >= single:
        raise UserError(f"{refused}, though elsewhere it seems to be: save it anew, as UTF-8")
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise UserError(f"{refused}, nor Windows-1252: save it as UTF-8") from None
    foreign = _FOREIGN.search(text)
    if foreign:
        line = text.count("\n", 0, foreign.start()) + 1
        raise UserError(
            f"{refused}, and as Windows-1252 line {line} would read "
            f"{_word_at(text, foreign.start())!r}: save it as UTF-8"
        )
    example = next(_NOT_ASCII_WORD.finditer(text))[0]
    return text, (
        f"{where} is not UTF-8: read as Windows-1252, such as {example!r}. If that is wrong, save "
        "it as UTF-8"
    )


def _word_at(text: str, position: int) -> str:
    begin = position
    while begin and not text[begin - 1].isspace() and text[begin - 1] not in ",;\t":
        begin -= 1
    return re.split(r"[\s,;]", text[begin : begin + 40], maxsplit=1)[0]


_DELIMITERS = ",;\t"
_SEP_LINE = re.compile(r'"?sep=(?P<delimiter>[^"\w\s]|\t)"?[,;\t]*', re.IGNORECASE)
_SAMPLE = 50  # rows that decide between two delimiters of the header

Record = tuple[int, list[str]]  # the line it begins in, from 0, and its cells


@dataclasses.dataclass(frozen=True)
class Table:
    """A CSV: its header, and its rows, whose lengths may differ from the header's.

    `where` is what messages call it, `lines` the line of the file that each row begins in, from
    1. `note` says how it was read where it is not UTF-8, and is empty where it is.
    """

    where: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    note: str = ""

    def index(self, column: str, option: str = "") -> int:
        """Return a column's place; `UserError` if it is not there once.

        `option` is what chooses another column, if any does.
        """
        found = [place for place, name in enumerate(self.header) if name == column]
        if not found:
            raise UserError(
                f"{self.where} has no column {column!r}{did_you_mean(column, self.header)}: it has "
                + _shortened(", ".join(self.header))
                + (f".\nName another with {option}" if option else "")
            )
        if len(found) > 1:
            places = " and ".join(str(place + 1) for place in found)
            raise UserError(
                f"{self.where} has the column {column!r} {len(found)} times (columns {places}): "
                "which one is meant? Rename the others"
            )
        return found[0]


def read_csv(path: Path) -> Table:
    """Read a CSV from a file; `UserError` where it cannot be read."""
    return parse_csv(read_bytes(path), str(path))


def parse_csv(data: bytes, where: str) -> Table:
    """Return the header and rows of a CSV, less its blank lines.

    A row of one's own CSV that is longer than the header by empty cells alone, as Excel writes
    them, is cut. Raises `UserError` for text of no known encoding, and where there is no row.
    """
    text, note = decode_text(data, where)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    begin, delimiter = 0, None
    if match := _SEP_LINE.fullmatch(lines[0].strip(" ")):
        begin, delimiter = 1, match["delimiter"]
    delimiter = delimiter or _delimiter(lines)
    kaggle = NAME_COLUMN in next((line for line in lines[begin:] if line), "")
    records = _line_by_line if kaggle else _records
    table = [(at, row) for at, row in records(lines, delimiter, begin) if any(row)]
    if len(table) < 2:
        raise UserError(f"{where} is empty: expected a header and at least one row")
    header = [cell.strip() for cell in table[0][1]]
    rows = [row for _, row in table[1:]]
    if header[-1] != NAME_COLUMN:  # else more cells are a name's commas
        rows = [_trimmed(row, len(header)) for row in rows]
    return Table(where, header, rows, [at + 1 for at, _ in table[1:]], note)


def is_csv(text: str, column: str) -> bool:
    """Say whether text is a CSV with a header, and no list of a value a line.

    It is where its first line holds several cells, or is the name `column` alone.
    """
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    if not lines or _SEP_LINE.fullmatch(lines[0]):
        return bool(lines)
    cells = _alone(lines[0], _delimiter(lines[:1]))
    return len(cells) > 1 or cells[0].strip() == column


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that splits the header, and most rows as it splits the header."""

    def fit(delimiter: str) -> tuple[bool, int, int]:
        rows = (row for _, row in _records(lines, delimiter, 0) if any(row))
        widths = [len(row) for row in islice(rows, _SAMPLE)] or [0]
        return widths[0] > 1, Counter(widths)[widths[0]], widths[0]

    return max(_DELIMITERS, key=fit)  # the first of equals: a comma


def _records(lines: Sequence[str], delimiter: str, begin: int) -> Iterator[Record]:
    """Yield records; where a line's quotes do not add up, it is a record of its own.

    They do not where the CSV's grammar is broken, or where a record of several lines has not as
    many cells as the header: then a stray quote has swallowed the lines behind it.
    """
    width = 0
    while begin < len(lines):
        start = begin
        reader = csv.reader(
            (f"{lines[i]}\n" for i in range(start, len(lines))), delimiter=delimiter, strict=True
        )
        try:
            for row in reader:
                end = start + reader.line_num
                if end > begin + 1 and width and len(_trimmed(row, width)) != width:
                    break
                yield begin, row
                width = width or len(row) * any(row)
                begin = end
            else:
                return
        except csv.Error:
            pass
        yield begin, _alone(lines[begin], delimiter)
        width = width or len(_alone(lines[begin], delimiter))
        begin += 1


def _line_by_line(lines: Sequence[str], delimiter: str, begin: int) -> Iterator[Record]:
    """Yield a record a line.

    Kaggle's file has one product a line and does not escape quotes, so a stray one must not join
    its line to the next.
    """
    for at in range(begin, len(lines)):
        yield at, _alone(lines[at], delimiter)


def _alone(line: str, delimiter: str) -> list[str]:
    """Return a line's cells; where its quotes do not add up, they are plain characters."""
    if '"' in line:
        with contextlib.suppress(csv.Error):
            return next(csv.reader([line], delimiter=delimiter, strict=True))
    return line.split(delimiter)


def _trimmed(row: list[str], width: int) -> list[str]:
    return row if any(row[width:]) else row[:width]


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
