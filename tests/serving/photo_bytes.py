"""Photos good, odd and damaged, as bytes, for the tests of what a served model decodes."""

import io
import struct
import zlib

from PIL import Image
from serving.tiny import PHOTOS, photo


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims `width` by `height` pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A small JPEG whose header claims `width` by `height` pixels."""
    encoded = bytearray(PHOTOS["jpeg"])
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def turned(orientation: int, seed: int = 1) -> bytes:
    """A JPEG of 60×80 with an EXIF orientation, among other entries."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", orientation
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(seed=seed))).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


GOOD = PHOTOS | {"cmyk jpeg": photo(mode="CMYK", seed=8), "large": photo(600, 800, seed=9)}
BAD = {
    "empty": b"",
    "junk": b"this is no photo at all",
    "text of a photo's length": b"x" * 5000,
    "webp": photo(format="WEBP"),
    "gif": photo(format="GIF"),
    "bmp": photo(format="BMP"),
    "tiff": photo(format="TIFF"),
    "jpeg cut in half": PHOTOS["jpeg"][: len(PHOTOS["jpeg"]) // 2],
    "jpeg without its end": PHOTOS["jpeg"][:-2],
    "start of a jpeg": b"\xff\xd8\xff",
    "jpeg header alone": PHOTOS["jpeg"][:200],
    "png cut in half": PHOTOS["png"][: len(PHOTOS["png"]) // 2],
    "start of a png": b"\x89PNG\r\n\x1a\n",
    "png header alone": png_claiming(60, 80)[:33],
    "png bomb": png_claiming(100_000, 100_000),
    "png of negative size": png_claiming(2**31 + 5, 3),
    "png slightly too large": png_claiming(4001, 4000),
    "jpeg bomb": jpeg_claiming(65_000, 65_000),
    "jpeg slightly too large": jpeg_claiming(8001, 8000),
}
