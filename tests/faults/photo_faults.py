"""A seed in; some hundreds of photos, most of them damaged in one way each, out."""

import io
import random
import struct
import zipfile
import zlib

import numpy as np
from drawn_catalogue import encode, pixels
from PIL import Image, PngImagePlugin

ENDINGS = {"jpeg": "jpg", "png": "png", "gif": "gif", "webp": "webp", "bmp": "bmp", "tiff": "tif"}


def mutated_photos(seed: int = 0) -> dict[str, bytes]:
    """Return photos by file names that say what was done to them."""
    rng = random.Random(seed)
    sound = sound_photos()
    found = {f"sound {name}.{_ending(name)}": data for name, data in sound.items()}
    for name, data in sound.items():
        for what, damage in _DAMAGES.items():
            found[f"{name} {what}.{_ending(name)}"] = damage(data, rng)
    found |= {f"{name}.{_ending(name)}": data for name, data in _headers_that_lie(sound).items()}
    found |= {f"{name}.{_ending(name)}": data for name, data in _long_metadata(sound).items()}
    found |= _wrong_endings(sound)
    found |= _polyglots(sound)
    return {name.replace(" ", "-"): data for name, data in found.items()}


def sound_photos() -> dict[str, bytes]:
    """Return photos of every format and kind that is read."""

    def drawn(seed):
        return pixels(seed, 48, 36)

    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = Image.fromarray(drawn(5)).convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(transparent.size))
    frames = [Image.fromarray(drawn(seed)).quantize() for seed in (6, 7)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    rgba = io.BytesIO()
    transparent.save(rgba, "PNG")
    sixteen = io.BytesIO()
    Image.fromarray(drawn(8)[..., 0].astype(np.uint16) * 257).save(sixteen, "PNG")
    return {
        "jpeg": encode(drawn(0)),
        "jpeg grey": encode(drawn(1), mode="L"),
        "jpeg cmyk": encode(drawn(2), mode="CMYK"),
        "jpeg progressive": encode(drawn(3), progressive=True),
        "jpeg turned": encode(drawn(4), exif=exif.tobytes()),
        "jpeg large": encode(pixels(9, 600, 400)),
        "png": encode(drawn(10), "PNG"),
        "png transparent": rgba.getvalue(),
        "png palette": encode(drawn(11), "PNG", "P"),
        "png 16 bits": sixteen.getvalue(),
        "gif": encode(drawn(12), "GIF", "P"),
        "gif animated": animated.getvalue(),
        "webp": encode(drawn(13), "WEBP"),
        "webp lossless": encode(drawn(14), "WEBP", lossless=True),
        "bmp": encode(drawn(15), "BMP"),
        "tiff": encode(drawn(16), "TIFF"),
        "tiff lzw": encode(drawn(17), "TIFF", compression="tiff_lzw"),
    }  # fmt: skip


def _cut(least, most):
    def cut(data, rng):
        return data[: int(len(data) * rng.uniform(least, most))]

    return cut


def _overwrite(count, start=0.0, end=1.0, value=None):
    def overwrite(data, rng):
        changed = bytearray(data)
        at = int(len(data) * rng.uniform(start, end))
        new = rng.randbytes(count) if value is None else bytes([value]) * count
        changed[at : at + count] = new
        return bytes(changed[: len(data)])

    return overwrite


def _flip(data, rng):
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(7) + data[at:]


def _remove(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + data[at + 5 :]


_DAMAGES = {
    "cut in its head": _cut(0.01, 0.2),
    "cut in half": _cut(0.3, 0.7),
    "cut near its end": _cut(0.9, 0.999),
    "less its last byte": lambda data, rng: data[:-1],
    "less its last two": lambda data, rng: data[:-2],
    "16 bytes overwritten": _overwrite(16, 0.1),
    "16 bytes of its head": _overwrite(16, 0.0, 0.1),
    "16 bytes of its end": _overwrite(16, 0.9, 1.0),
    "200 bytes overwritten": _overwrite(200),
    "zeros": _overwrite(64, 0.2, 0.9, value=0),
    "FFs": _overwrite(64, 0.2, 0.9, value=255),
    "a bit flipped": _flip,
    "another bit flipped": _flip,
    "bytes put in": _insert,
    "bytes left out": _remove,
    "junk behind": lambda data, rng: data + rng.randbytes(50),
    "zeros behind": lambda data, rng: data + bytes(1000),
}  # fmt: skip


def _headers_that_lie(sound):
    found = {}
    for height, width in ((96, 72), (7_900, 8_000), (60_000, 60_000)):
        size = f"says {height} by {width}"
        jpeg = bytearray(sound["jpeg"])
        frame = jpeg.index(b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        found[f"jpeg {size}"] = bytes(jpeg)
        png = sound["png"]
        header = png[12:16] + struct.pack(">II", width, height) + png[24:29]
        found[f"png {size}"] = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
        gif = bytearray(sound["gif"])
        frame = gif.index(b",\0\0\0\0")
        gif[6:10] = gif[frame + 5 : frame + 9] = struct.pack("<HH", min(width, 65535), height)
        found[f"gif {size}"] = bytes(gif)
        bmp = bytearray(sound["bmp"])
        bmp[18:26] = struct.pack("<ii", width, height)
        found[f"bmp {size}"] = bytes(bmp)
        found[f"tiff {size}"] = _tiff_claiming(sound["tiff"], height, width)
        webp = bytearray(sound["webp"])
        start = webp.index(b"\x9d\x01\x2a") + 3  # RFC 6386, 9.1: 14 bits each
        webp[start : start + 4] = struct.pack("<HH", min(width, 16383), min(height, 16383))
        found[f"webp {size}"] = bytes(webp)
    return found


def _tiff_claiming(tiff, height, width):
    changed = bytearray(tiff)
    directory = struct.unpack_from("<I", tiff, 4)[0]
    for entry in range(struct.unpack_from("<H", tiff, directory)[0]):
        at = directory + 2 + 12 * entry
        tag = struct.unpack_from("<H", tiff, at)[0]
        if tag in (256, 257, 278):  # width, height, rows a strip
            value = width if tag == 256 else height
            struct.pack_into("<HII", changed, at + 2, 4, 1, value)
    return bytes(changed)


def _long_metadata(sound):
    def segments(marker, start, size, count=1):
        body = (start + b"x" * size)[:65_533]
        segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
        return sound_jpeg[:2] + segment * count + sound_jpeg[2:]

    found = {}
    for name in ("jpeg", "jpeg cmyk", "jpeg turned", "jpeg large"):
        sound_jpeg = sound[name]
        found[f"{name} comment of 65533"] = segments(0xFE, b"", 65_533)
        found[f"{name} ten comments"] = segments(0xFE, b"", 65_000, 10)
        found[f"{name} junk for icc"] = segments(0xE2, b"ICC_PROFILE\0\1\1", 60_000)
        found[f"{name} many iccs"] = segments(0xE2, b"ICC_PROFILE\0\1\xff", 60_000, 20)
        found[f"{name} junk for xmp"] = segments(0xE1, b"http://ns.adobe.com/xap/1.0/\0", 60_000)
        found[f"{name} junk for exif"] = segments(0xE1, b"Exif\0\0", 60_000)
        found[f"{name} exif that loops"] = segments(
            0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0", 20
        )
    bombs = {size: zlib.compress(bytes(size), 9) for size in (66_000, 2_000_000, 70_000_000)}
    for name in ("png", "png transparent", "png palette", "png 16 bits"):
        for size, packed in bombs.items():
            found[f"{name} icc of {size}"] = _png_with(sound[name], b"iCCP", b"icc\0\0" + packed)
            found[f"{name} xmp of {size}"] = _png_with(
                sound[name], b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed
            )
            found[f"{name} text of {size}"] = _png_with(
                sound[name], b"zTXt", b"Comment\0\0" + packed
            )
        found[f"{name} plain text"] = _png_with(sound[name], b"tEXt", b"Comment\0" + b"x" * 66_000)
        found[f"{name} junk for exif"] = _png_with(sound[name], b"eXIf", b"junk" * 20)
    comment = b"!\xfe" + b"".join(b"\xff" + b"x" * 255 for _ in range(260)) + b"\0"
    for name in ("gif", "gif animated"):
        frame = sound[name].index(b",\0\0\0\0")
        found[f"{name} comment of 66300"] = sound[name][:frame] + comment + sound[name][frame:]
    body = io.BytesIO()
    Image.open(io.BytesIO(sound["webp"])).save(
        body, "WEBP", xmp=b"x" * 3_000_000, icc_profile=b"x" * 3_000_000, exif=b"Exif\0\0junk"
    )
    found["webp metadata of 6 MB"] = body.getvalue()
    tiff = io.BytesIO()
    Image.open(io.BytesIO(sound["tiff"])).save(tiff, "TIFF", description="x" * 70_000)
    found["tiff description of 70000"] = tiff.getvalue()
    info = PngImagePlugin.PngInfo()
    for number in range(2000):
        info.add_text(f"key{number}", "value" * 10)
    many = io.BytesIO()
    Image.open(io.BytesIO(sound["png"])).save(many, "PNG", pnginfo=info)
    found["png two thousand texts"] = many.getvalue()
    return found


def _png_with(png, name, body):
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:33] + chunk + png[33:]


def _wrong_endings(sound):
    kinds = ("jpeg", "png", "gif", "webp", "bmp", "tiff")
    found = {
        f"{kind} called.{ENDINGS[other]}": sound[kind]
        for kind in kinds
        for other in kinds
        if other != kind
    }
    found |= {f"{kind} without ending": sound[kind] for kind in kinds}
    return found | {
        f"{kind} called.{end}": sound[kind] for kind in kinds for end in ("jfif", "txt")
    }


def _polyglots(sound):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.jpg", sound["jpeg grey"])
    jpeg, png = sound["jpeg"], sound["png"]
    return {
        "empty.jpg": b"",
        "one byte.jpg": b"\xff",
        "zeros.jpg": bytes(5000),
        "text.jpg": b"this is no photo at all\n" * 50,
        "html.jpg": b"<!DOCTYPE html><script>alert(1)</script>",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "pdf.jpg": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "jpeg before a zip.jpg": jpeg + packed.getvalue(),
        "zip called jpg.jpg": packed.getvalue(),
        "zip before a jpeg.jpg": packed.getvalue() + jpeg,
        "jpeg before a png.jpg": jpeg + png,
        "png before a jpeg.png": png + jpeg,
        "two jpegs.jpg": jpeg + sound["jpeg grey"],
        "jpeg in a jpeg.jpg": jpeg[:400] + sound["jpeg grey"] + jpeg[400:],
        "gif's start before a jpeg.jpg": b"GIF89a" + jpeg,
        "junk before a jpeg.jpg": b"junk" + jpeg,
        "pdf around a jpeg.jpg": b"%PDF-1.4\nstream\n" + jpeg + b"\nendstream\n%%EOF",
        "jpeg's start alone.jpg": b"\xff\xd8\xff",
        "jpeg of two ends.jpg": b"\xff\xd8\xff\xd9",
        "png's start alone.png": b"\x89PNG\r\n\x1a\n",
        "riff of nothing.webp": b"RIFF\x04\0\0\0WEBP",
        "ppm.jpg": b"P6 2 2 255\n" + bytes(12),
        "icon.jpg": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(100),
    }  # fmt: skip


def _ending(name: str) -> str:
    return ENDINGS[name.split()[0]]
