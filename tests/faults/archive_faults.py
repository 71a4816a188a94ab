"""A seed in; zips and CSVs of a small catalogue, most of them damaged in one way each, out."""

import io
import random
import struct
import zipfile
import zlib

from drawn_catalogue import encode, pixels

COUNT = 12
CSV = "products.csv"
QUOTED = '"two\nlines, and a ""word"""'
CLASSES = ("Bags", "Écharpes", "Shoes")
LABELS = {f"p{number}": CLASSES[number % 3] for number in range(COUNT)}
PHOTOS = {f"p{n}": encode(pixels(n, 24, 18)) for n in range(COUNT)}


def photo_name(id: str) -> str:
    """Return a photo's name in the archive."""
    return f"images/{id}.jpg"


def table(delimiter=",", end="\n", quote="", header=("id", "photo", "category")) -> str:
    """Return the catalogue's CSV."""
    rows = [header, *((id, photo_name(id), label) for id, label in LABELS.items())]
    return "".join(delimiter.join(f"{quote}{cell}{quote}" for cell in row) + end for row in rows)


def sound_zip(csv: bytes | None = None) -> bytes:
    """Return a zip of the catalogue: the photos stored, the CSV deflated."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for id, data in PHOTOS.items():
            file.writestr(zipfile.ZipInfo(photo_name(id)), data)
        content = table().encode() if csv is None else csv
        file.writestr(zipfile.ZipInfo(CSV), content, zipfile.ZIP_DEFLATED, 6)
    return packed.getvalue()


def mutated_zips(seed: int = 0) -> dict[str, bytes]:
    """Return zips by what was done to them."""
    rng, sound = random.Random(seed), sound_zip()
    found = {"sound": sound}
    found |= _directory_fields(sound)
    found |= _end_records(sound)
    found |= _names()
    found |= _around(sound)
    found |= _bombs()
    directory = sound.index(b"PK\1\2")
    for number in range(28):
        found[f"directory, bit flipped {number}"] = _flip(sound, directory, len(sound), rng)
    for number in range(14):
        found[f"anywhere, bit flipped {number}"] = _flip(sound, 0, directory, rng)
        found[f"cut {number}"] = sound[: rng.randrange(1, len(sound))]
    for number in range(10):
        at = rng.randrange(len(sound) - 16)
        found[f"16 bytes overwritten {number}"] = sound[:at] + rng.randbytes(16) + sound[at + 16 :]
        at = rng.randrange(directory, len(sound) - 8)
        found[f"directory, 8 bytes of FF {number}"] = sound[:at] + b"\xff" * 8 + sound[at + 8 :]
    for number in range(12):  # the header before a photo
        at = sound.index(b"PK\3\4" + sound[4:10], 0 if not number else at + 1)
        found[f"local header, bit flipped {number}"] = _flip(sound, at, at + 30, rng)
    return found


def _flip(data, start, end, rng):
    changed = bytearray(data)
    changed[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _directory_fields(sound):
    """Change one field of one entry (APPNOTE.TXT 4.3.12), in the directory alone."""
    fields = {
        "flags": (8, "<H", (0x1, 0x8, 0x800, 0x2000, 0xFFFF)),
        "method": (10, "<H", (8, 9, 12, 14, 99)),
        "date": (14, "<H", (0, 0xFFFF)),
        "crc": (16, "<I", (0, 0xDEADBEEF)),
        "packed size": (20, "<I", (0, 1, 10**6, 2**32 - 1)),
        "size": (24, "<I", (0, 1, 10**6, 2**32 - 1)),
        "name's length": (28, "<H", (0, 1, 200, 65_535)),
        "extra field's length": (30, "<H", (1, 65_535)),
        "comment's length": (32, "<H", (1, 65_535)),
        "attributes": (38, "<I", (0xA1FF << 16, 0x41ED << 16 | 0x10, 0x11FF << 16)),
        "place": (42, "<I", (0, 1, 10**5, 2**32 - 1)),
    }
    found, starts = {}, [i for i in range(len(sound)) if sound.startswith(b"PK\1\2", i)]
    for name, (offset, format, values) in fields.items():
        for value in values:
            for entry in (1, len(starts) - 1)[: 1 + (name in ("name's length", "size", "place"))]:
                changed = bytearray(sound)
                struct.pack_into(format, changed, starts[entry] + offset, value)
                found[f"entry {entry}, {name} {value:#x}"] = bytes(changed)
    changed = bytearray(sound)
    struct.pack_into(
        "<I", changed, starts[2] + 42, struct.unpack_from("<I", sound, starts[1] + 42)[0]
    )
    return found | {"two entries at one place": bytes(changed)}


def _end_records(sound):
    end = sound.rindex(b"PK\5\6")
    found = {"no end record": sound[:end], "two end records": sound + sound[end:]}
    for name, offset, format, values in (
        ("count", 10, "<H", (0, 1, COUNT, COUNT + 9, 65_535)),
        ("directory's size", 12, "<I", (0, 10, 10**6, 2**32 - 1)),
        ("directory's place", 16, "<I", (0, 10, 2**32 - 1)),
        ("comment's length", 20, "<H", (1, 65_535)),
        ("disk", 4, "<H", (1, 65_535)),
    ):
        for value in values:
            changed = bytearray(sound)
            struct.pack_into(format, changed, end + offset, value)
            found[f"end record, {name} {value:#x}"] = bytes(changed)
    return found


def _names():
    names = {
        "leads outside": "../../etc/evil.jpg",
        "absolute": "/etc/evil.jpg",
        "of a drive": "C:/evil.jpg",
        "with backslashes": "images\\extra.jpg",
        "empty": "",
        "with a zero byte": "images/a\0b.jpg",
        "very long": "images/" + "x" * 4000 + ".jpg",
        "with a line end": "images/a\nb.jpg",
        "that colours a terminal": "images/\x1b[31mred\x1b[0m.jpg",
        "of a right-to-left mark": "images/\u202egpj.exe.jpg",
        "that stands twice": "images/p1.jpg",
        "of a folder": "images/more/",
    }
    found = {}
    for what, name in names.items():
        packed = io.BytesIO(sound_zip())
        with zipfile.ZipFile(packed, "a") as file:
            info = zipfile.ZipInfo("x")
            info.filename = name
            file.writestr(info, b"" if name.endswith("/") else PHOTOS["p5"])
        found[f"a further name {what}"] = packed.getvalue()
    bad = sound_zip().replace(b"images/p7.jpg", b"images/\xff7.jpg")
    return found | {"a name that is no text": bad}


def _around(sound):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("inner.zip", sound)
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w"):
        pass
    return {
        "empty file": b"",
        "zeros": bytes(1000),
        "text": b"no zip\n" * 100,
        "no entries": empty.getvalue(),
        "a zip in a zip": inner.getvalue(),
        "junk before": b"#!/bin/sh\n" + sound,
        "junk behind": sound + b"junk" * 10,
        "two zips": sound + sound,
        "gzip": b"\x1f\x8b\x08\0" + sound,
        "only its directory": sound[sound.index(b"PK\1\2") :],
    }


def _bombs():
    """Many entries over one packed body (Fifield's), and one entry that unpacks to a gigabyte."""
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = body.compress(bytes(50 * 2**20)) + body.flush()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(packed), 50 * 2**20, 1, 0)
    central, count = b"", 300
    for number in range(count):
        name = f"{number:03}.jpg".encode()
        central += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(packed), 50 * 2**20,
            len(name), 0, 0, 0, 0, 0, 0,
        ) + name  # fmt: skip
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(central), len(local) + 1 + len(packed), 0
    )
    large = io.BytesIO(sound_zip())
    with zipfile.ZipFile(large, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images/large.jpg", bytes(250 * 2**20))
    return {
        "300 entries of one body": local + b"x" + packed + central + end,
        "a photo that unpacks to 250 MB": large.getvalue(),
    }


# Of a CSV whose text is whole: it must be refused, or read as it is meant.
def sound_csvs() -> dict[str, bytes]:
    """Return the same catalogue, written in the ways that people's programs write it."""
    found = {}
    for word, delimiter in {"commas": ",", "semicolons": ";", "tabs": "\t"}.items():
        for ends, end in {"": "\n", ", Windows' ends": "\r\n", ", old Mac's ends": "\r"}.items():
            found[f"{word}{ends}"] = table(delimiter, end).encode()
        found[f"{word}, quoted"] = table(delimiter, quote='"').encode()
        found[f"sep line, {word}"] = f"sep={delimiter}\r\n{table(delimiter)}".encode()
        for encoding in ("utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            found[f"{word}, {encoding}"] = table(delimiter).encode(encoding)
    marked = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    for encoding, mark in marked.items():
        found[f"{encoding} with its mark"] = mark + table(";").encode(encoding)
        found[f"{encoding} with a sep line"] = mark + f"sep=;\r\n{table(';')}".encode(encoding)
    text = table()
    lines = text.splitlines()
    return found | {
        "pipes": table("|").encode(),
        "blank lines between": text.replace("\n", "\n\n").encode(),
        "blank lines before": b"\n\n" + text.encode(),
        "no last end": text.rstrip("\n").encode(),
        "empty cells behind": "\n".join(f"{line},,," for line in lines).encode(),
        "spaces about the header": text.replace("id,photo", " id , photo ", 1).encode(),
        "a line end in a cell": "".join(
            f'{line},{"note" if not number else QUOTED}\n' for number, line in enumerate(lines)
        ).encode(),
    }  # fmt: skip


def broken_csvs(seed: int = 0) -> dict[str, bytes]:
    """Return CSVs that are damaged: each is refused, or every row is accounted for."""
    rng, text = random.Random(seed), table()
    sound = text.encode()
    wide = ",".join(f"c{n}" for n in range(10_000))
    found = {
        "empty": b"",
        "only a header": text.splitlines()[0].encode(),
        "only line ends": b"\n" * 100,
        "only delimiters": b",,,\n" * 20,
        "a header twice": text.replace("category", "photo", 1).encode(),
        "all headers alike": text.replace("id,photo,category", "id,id,id", 1).encode(),
        "an empty header": text.replace("category", "", 1).encode(),
        "10,000 columns": text.replace("category", f"category,{wide}", 1).encode(),
        "10,000 cells in a row": text.replace("Shoes", "Shoes" + ",x" * 10_000, 1).encode(),
        "a row too short": text.replace("images/p3.jpg,Bags", "images/p3.jpg", 1).encode(),
        "a row too long": text.replace("p3.jpg,Bags", "p3.jpg,Bags,Blue", 1).encode(),
        "a cell of a megabyte": text.replace("Shoes", "S" * 2**20, 1).encode(),
        "zero bytes": sound.replace(b"Bags", b"Ba\0gs", 1),
        "a zero byte in an id": sound.replace(b"p4,", b"p\x004,", 1),
        "zero bytes alone": bytes(500),
        "a quote that stays open": text.replace("Bags", '"Bags', 1).encode(),
        "a quote in a cell": text.replace("Bags", 'Ba"gs', 1).encode(),
        "quotes of both kinds": text.replace("Bags", '"B"a"gs"', 1).encode(),
        "an id twice": text.replace("p4,", "p3,", 1).encode(),
        "an id with a line end": text.replace("p4,", '"p\n4",', 1).encode(),
        "escapes in a class": text.replace("Bags", "\x1b[31mBags").encode(),
        "formulas": text.replace("Bags", '=HYPERLINK("http://x")').encode(),
        "a photo outside": text.replace("images/p3.jpg", "../../etc/passwd", 1).encode(),
        "a photo anywhere": text.replace("images/p3.jpg", "/dev/zero", 1).encode(),
        "a photo that is a folder": text.replace("images/p3.jpg", "images", 1).encode(),
        "a photo with a zero byte": sound.replace(b"images/p3.jpg", b"images/\x00.jpg", 1),
        "a photo of a long name": text.replace("images/p3.jpg", "x" * 5000, 1).encode(),
        "html": b"<html><table><tr><td>id</td></tr></table></html>",
        "a spreadsheet": sound_zip(),
        "sep line alone": b"sep=;\r\n",
        "sep line of another": f"sep=;\n{text}".encode(),
        "half of utf-16": ("\ufeff" + text).encode("utf-16-le")[:-1],
        "cp1252 and utf-8": sound.replace("Écharpes".encode(), "Écharpes".encode("cp1252"), 2),
        "one class": text.replace("Écharpes", "Bags").replace("Shoes", "Bags").encode(),
        "no classes": text.translate({ord(c): "" for c in "BEgahoqrsuÉ"}).encode(),
    }  # fmt: skip
    for number in range(24):
        found[f"bit flipped {number}"] = _flip(sound, 0, len(sound), rng)
    for number in range(6):
        found[f"cut {number}"] = sound[: rng.randrange(len(sound))]
    return found
