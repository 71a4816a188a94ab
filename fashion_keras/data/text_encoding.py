"""A text file's bytes in; its text, and a line to say where it is not UTF-8, out."""

from __future__ import annotations

import codecs
import re

from fashion_keras.errors import UserError

# UTF-32 before UTF-16, whose mark its own begins with.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx (a zip) and .xls
_SAMPLE = 4096  # bytes

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
            return _strictly(data[len(mark) :], _with_order(encoding, mark), where)
    if encoding := _utf16_without_mark(data) if b"\0" in data else None:
        return _strictly(data, encoding, where)
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return _western(data, where, error)


def _with_order(encoding: str, mark: bytes) -> str:
    if encoding == "UTF-8":
        return encoding
    little = mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE)
    return f"{encoding}-{'LE' if little else 'BE'}"


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
    sample = data[:_SAMPLE]
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
    example = _NOT_ASCII_WORD.search(text)[0]
    return text, (
        f"{where} is not UTF-8: read as Windows-1252, such as {example!r}. If that is wrong, save "
        "it as UTF-8"
    )


def _word_at(text: str, position: int) -> str:
    begin = position
    while begin and not text[begin - 1].isspace() and text[begin - 1] not in ",;\t":
        begin -= 1
    return re.match(r"[^\s,;]{1,40}", text[begin:])[0]
