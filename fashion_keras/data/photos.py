"""A photo's bytes as the shop has them in, the bytes that the records keep out."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps

from fashion_keras.data.catalog import PhotoInfo
from fashion_keras.errors import UserError

JPEG_QUALITY = 92
# What TensorFlow decodes to the same pixels as Pillow; anything else is encoded anew.
_KEPT = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "RGBA", "L", "LA", "P")}


def stored_photo(
    data: bytes, info: PhotoInfo, max_size: int, name: str = "photo"
) -> tuple[bytes, int, int]:
    """Return the bytes to store and their height and width in pixels.

    A sound JPEG or PNG whose longer side is at most `max_size` keeps its bytes. Others are turned
    upright, laid on white where transparent, shrunk to `max_size` with antialiasing, keeping
    their shape, and saved as JPEG. Raises `UserError`, with `name`, where Pillow cannot.
    """
    small = max(info.height, info.width) <= max_size
    sound = not info.rotated and not info.damaged
    if small and sound and info.mode in _KEPT.get(info.format, ()):
        return data, info.height, info.width
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            # Of damaged metadata; the pixels have been looked at.
            warnings.simplefilter("ignore")
            # Has libjpeg decode at 1/2, 1/4 or 1/8 as long as that leaves twice what is needed.
            image.draft(None, (2 * max_size, 2 * max_size))
            upright = _on_white(_turned(image))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f"{name} cannot be converted ({error}): save it as a JPEG, or leave it out"
        ) from error
    upright.thumbnail((max_size, max_size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue(), upright.height, upright.width


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # metadata fed with junk raise nearly anything; the pixels are fine
        return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion cuts off at 255 where 65535 is white.
        image = image.convert("I").point(lambda value: value * (1 / 256))
    if image.mode in ("I", "F"):
        image = image.convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(background, rgba).convert("RGB")
