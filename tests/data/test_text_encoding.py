"""Text of every usual encoding is read as it was meant, or refused: never as something else."""

import codecs

import pytest

from fashion_keras.data.csv_reader import decode_text
from fashion_keras.errors import UserError

TEXT = "id;Größe\n1;Läufer\n2;Mütze\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_is_read_without_a_word(encoding):
    assert decode_text(TEXT.encode(encoding), "a.csv") == (TEXT, "")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "UTF-16-LE"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16-BE"),
        (TEXT.encode("utf-16-le"), "UTF-16-LE"),
        (TEXT.encode("utf-16-be"), "UTF-16-BE"),
        (TEXT.encode("utf-32"), "UTF-32-LE"),
        (TEXT.encode("cp1252"), "Windows-1252, such as 'Größe'"),
    ],
)
def test_another_encoding_is_read_and_told(data, told):
    text, note = decode_text(data, "a.csv")
    assert text == TEXT
    assert note.startswith("a.csv is") and told in note


@pytest.mark.parametrize(
    "text",
    [
        "Übergrößen;ÄÖÜ",
        "créée à l’œuvre – 20 €",
        "¿Niño pequeño? 3º",
        "NÃO;PÃES;calção",
        "Blåbærgrød på Øya",
        "L·L; L´Oréal; Levi’s® 501™; Nike×Off-White",
        "Wäsche „Größe“ …",
        "«Été»;MÜTZE",
    ],
)
def test_western_text_of_windows_is_read(text):
    assert decode_text(text.encode("cp1252"), "a.csv")[0] == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Обувь;Кроссовки"),
        ("koi8-r", "Обувь;Кроссовки"),
        ("mac-roman", "Läufer;Größe;Mütze"),
        ("mac-roman", "café"),
        ("cp850", "Läufer;Größe;Mütze"),
        ("cp850", "café"),
        ("cp1250", "błękitna;żółta"),
        ("gbk", "鞋子;帽子"),
        ("shift-jis", "スニーカー;帽子"),
        ("big5", "鞋子;帽子"),
        ("cp1253", "Παπούτσια"),
    ],
)
def test_text_of_other_code_pages_is_refused(encoding, text):
    with pytest.raises(UserError, match=r"a\.csv is not UTF-8 \(byte 0x.* in line 2\)") as error:
        decode_text(b"id;kind\n" + text.encode(encoding), "a.csv")
    assert "UTF-8" in str(error.value).split("in line 2")[1]


def test_utf8_with_a_damaged_byte_is_not_taken_for_windows():
    data = "Läufer\nGröße\n".encode().replace("ö".encode(), b"\xf6")
    with pytest.raises(UserError, match=r"byte 0xf6 in line 2\), though elsewhere it seems to be"):
        decode_text(data, "a.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0rest", "Excel workbook"),
        (b"id\n\x00\xff\n", "a zero byte in line 2"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "a zero byte"),
        (codecs.BOM_UTF16_LE + b"i\x00d", "is damaged: it begins as UTF-16-LE"),
        (codecs.BOM_UTF8 + b"id\n\xe4", "is damaged: it begins as UTF-8, and byte 0xe4 in line 2"),
    ],
)
def test_what_is_no_text_is_refused(data, message):
    with pytest.raises(UserError, match=message) as error:
        decode_text(data, "a.csv")
    assert len(str(error.value).splitlines()) <= 2
