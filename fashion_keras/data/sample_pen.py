"""A colour, a pattern and a random generator in; a `Pen` to draw with and a small photo out."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 60, 80  # the unit of every coordinate: one pixel of a catalogue photo
SUPERSAMPLING = 3  # ImageDraw does not antialias; shrinking does
_BRIGHTEST = 246  # nothing drawn is pure white, which is how the background is told from it

# Colours of the Kaggle vocabulary.
COLOURS = {
    "Black": (34, 34, 38),
    "White": (243, 243, 243),
    "Grey": (141, 143, 146),
    "Silver": (192, 196, 202),
    "Charcoal": (66, 70, 76),
    "Blue": (45, 100, 190),
    "Navy Blue": (30, 38, 84),
    "Turquoise Blue": (45, 180, 196),
    "Teal": (16, 118, 122),
    "Green": (48, 142, 72),
    "Olive": (104, 108, 48),
    "Red": (200, 34, 42),
    "Maroon": (112, 24, 40),
    "Pink": (236, 128, 168),
    "Magenta": (202, 32, 124),
    "Purple": (112, 60, 148),
    "Lavender": (184, 166, 218),
    "Orange": (236, 120, 32),
    "Peach": (246, 186, 152),
    "Yellow": (242, 206, 58),
    "Mustard": (204, 154, 32),
    "Gold": (206, 168, 84),
    "Beige": (218, 200, 168),
    "Khaki": (176, 158, 112),
    "Tan": (190, 142, 92),
    "Brown": (108, 68, 42),
}
# Trimmings, whatever the product's colour.
METAL = ((196, 200, 206), (206, 172, 96), (150, 152, 158))
INK = (36, 36, 40)
PALE = (238, 238, 238)

PATTERNS = ("plain", "stripes", "bars", "checks", "dots", "print")

Point = tuple[float, float]
Colour = tuple[int, int, int]


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from `a` to `b`, never pure white."""
    red, green, blue = (
        min(_BRIGHTEST, max(0, round(x + (y - x) * share))) for x, y in zip(a, b, strict=True)
    )
    return red, green, blue


def mirrored(half: list[Point]) -> list[Point]:
    """Close a right half given as (distance from the middle, y), top to bottom, by its mirror."""
    middle = WIDTH / 2
    return [(middle + x, y) for x, y in half] + [(middle - x, y) for x, y in reversed(half) if x]


def rounded(points: list[Point], times: int = 2) -> list[Point]:
    """Cut the corners of a closed polygon `times` times (Chaikin 1974)."""
    for _ in range(times):
        cut = []
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            cut.append((0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1))
            cut.append((0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1))
        points = cut
    return points


def evenly(start: float, stop: float, count: int) -> list[float]:
    """Return `count` evenly spaced numbers from `start` to `stop`, both included."""
    return [start + (stop - start) * i / (count - 1) for i in range(count)]


class Pen:
    """Draws shapes in photo pixels on white and develops them into a photo.

    `base` is the product's colour after a little jitter, `dark` and `light` are its shades,
    `accent` is a second colour. Shapes with no `fill` are cut from the patterned fabric.
    """

    def __init__(self, rng: np.random.Generator, colour: str, pattern: str, *, grey: bool = False):
        self.rng = rng
        jitter = rng.integers(-9, 10) if grey else rng.integers(-9, 10, size=3)
        rgb = np.clip(np.array(COLOURS[colour]) + jitter, 0, _BRIGHTEST)
        red, green, blue = (int(c) for c in rgb)
        self.base: Colour = (red, green, blue)
        self.dark = blend(self.base, (0, 0, 0), 0.4)
        self.light = blend(self.base, (255, 255, 255), 0.45)
        self.accent = self._accent(grey)
        self.image = Image.new("RGB", (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING), "white")
        self._draw = ImageDraw.Draw(self.image)
        self._fabric = None if pattern == "plain" else self._weave(pattern)

    def uniform(self, low: float, high: float) -> float:
        """Draw a float from [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random() < probability)

    def pick(self, *choices):
        """Return one of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def shape(self, points, fill: Colour | None = None, *, smooth: int = 0, edge=True) -> None:
        """Fill a polygon, `smooth` times rounded off; `edge` is True, False or a colour."""
        points = _scaled(rounded(points, smooth))
        if fill is not None or self._fabric is None:
            self._draw.polygon(points, fill=fill or self.base)
        else:
            mask = Image.new("L", self.image.size)
            ImageDraw.Draw(mask).polygon(points, fill=255)
            self.image.paste(self._fabric, mask=mask)
        if edge:
            # Without an outline a white shirt would vanish on a white ground.
            colour = blend(fill or self.base, (0, 0, 0), 0.3) if edge is True else edge
            self._draw.line([*points, points[0]], fill=colour, width=2, joint="curve")

    def oval(self, x: float, y: float, rx: float, ry: float, fill=None, *, edge=True) -> None:
        """Fill an ellipse about (x, y) with radii `rx` and `ry`."""
        self.shape(_arc_points(x, y, rx, ry, 0, 360)[:-1], fill, edge=edge)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill=None, *, smooth=0, edge=True):
        """Fill an upright rectangle, its corners rounded where `smooth`."""
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        if smooth:
            r = min(x1 - x0, y1 - y0, 8.0) / 2
            corners = [
                *((x0, y0 + r), (x0, y0), (x0 + r, y0), (x1 - r, y0), (x1, y0), (x1, y0 + r)),
                *((x1, y1 - r), (x1, y1), (x1 - r, y1), (x0 + r, y1), (x0, y1), (x0, y1 - r)),
            ]
        self.shape(corners, fill, smooth=smooth, edge=edge)

    def line(self, points, fill: Colour, width: float = 0.7) -> None:
        """Draw a polyline `width` pixels thick."""
        thickness = max(1, round(width * SUPERSAMPLING))
        self._draw.line(_scaled(points), fill=fill, width=thickness, joint="curve")

    def arc(self, x, y, rx, ry, start, stop, fill: Colour, width: float = 0.7) -> None:
        """Draw a part of an ellipse, degrees clockwise from the right."""
        self.line(_arc_points(x, y, rx, ry, start, stop), fill, width)

    def develop(self, size: tuple[int, int], *, tilt: float, mirror: bool) -> Image.Image:
        """Pose, shrink, light and grain the drawing into an RGB photo of (width, height) `size`.

        `tilt` is the largest rotation in degrees; scale, stretch and shift vary by themselves.
        """
        posed = self._pose(size, tilt, mirror).resize(size, Image.Resampling.BOX)
        pixels = np.asarray(posed, dtype=np.float32)
        item = np.clip((254 - pixels.min(axis=2, keepdims=True)) / 8, 0, 1)
        pixels = pixels * (1 + item * (self._light(size) - 1))
        pixels += item * self.rng.normal(0, 2.5, pixels.shape)
        return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

    def _pose(self, size: tuple[int, int], tilt: float, mirror: bool) -> Image.Image:
        angle = math.radians(self.uniform(-tilt, tilt))
        fit = min(size[0] / WIDTH, size[1] / HEIGHT)
        scale = fit * self.uniform(0.76, 1.06)
        sx, sy = scale * self.uniform(0.93, 1.07), scale * self.uniform(0.95, 1.05)
        flip = -1 if mirror and self.chance(0.5) else 1
        # transform() wants the way back: from a pixel of the photo to one of the drawing.
        a, b = flip * math.cos(angle) / sx, flip * math.sin(angle) / sx
        d, e = -math.sin(angle) / sy, math.cos(angle) / sy
        px = (size[0] / 2 + self.uniform(-3, 3)) * SUPERSAMPLING
        py = (size[1] / 2 + self.uniform(-3, 3)) * SUPERSAMPLING
        c = WIDTH / 2 * SUPERSAMPLING - a * px - b * py
        f = HEIGHT / 2 * SUPERSAMPLING - d * px - e * py
        return self.image.transform(
            (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING),
            Image.Transform.AFFINE,
            (a, b, c, d, e, f),
            Image.Resampling.NEAREST,  # quick; the shrinking that follows averages
            fillcolor="white",
        )

    def _light(self, size: tuple[int, int]) -> np.ndarray:
        """Return brightness factors [height, width, 1]: light from a side, and soft folds."""
        few = Image.fromarray(self.rng.normal(0, 0.07, (7, 5)).astype(np.float32))
        folds = np.asarray(few.resize(size, Image.Resampling.BICUBIC))
        across = np.linspace(-1, 1, size[0])[None, :] * self.uniform(-0.16, 0.16)
        down = np.linspace(-1, 1, size[1])[:, None] * self.uniform(-0.14, 0.06)
        return (1 + folds + across + down)[..., None]

    def _accent(self, grey: bool) -> Colour:
        if grey:
            return blend(self.base, (0, 0, 0) if sum(self.base) > 380 else (255, 255, 255), 0.7)
        for _ in range(20):
            colour = COLOURS[self.pick(*COLOURS)]
            if sum(abs(x - y) for x, y in zip(colour, self.base, strict=True)) > 220:
                return colour
        return self.light

    def _weave(self, pattern: str) -> Image.Image:
        """Return a sheet of fabric; the base colour always covers most of it."""
        base, second = self.base, blend(self.base, self.accent, self.uniform(0.55, 1))
        sheet = Image.new("RGB", self.image.size, base)
        pen = ImageDraw.Draw(sheet)
        width, height = sheet.size
        step = round(self.uniform(3.5, 8) * SUPERSAMPLING)
        thick = max(2, round(step * self.uniform(0.18, 0.26 if pattern == "checks" else 0.42)))
        start = int(self.rng.integers(step))
        if pattern in ("stripes", "checks"):
            for y in range(start, height, step):
                pen.rectangle((0, y, width, y + thick - 1), fill=second)
        if pattern in ("bars", "checks"):
            colour = second if pattern == "bars" else blend(base, self.accent, 0.45)
            for x in range(start, width, step):
                pen.rectangle((x, 0, x + thick - 1, height), fill=colour)
        if pattern == "dots":
            radius = step * self.uniform(0.16, 0.28)
            for row, y in enumerate(range(start, height, step)):
                for x in range(start + row % 2 * step // 2, width, step):
                    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=second)
        if pattern == "print":
            self._print(pen, second)
        return sheet

    def _print(self, pen: ImageDraw.ImageDraw, colour: Colour) -> None:
        """Put a motif on the chest: a badge, a star, or lines of lettering."""
        x, y, r = (30 * SUPERSAMPLING, self.uniform(25, 36) * SUPERSAMPLING, 6 * SUPERSAMPLING)
        motif = self.pick("badge", "star", "lettering")
        if motif == "badge":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
            pen.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=self.base)
        elif motif == "star":
            corners = [
                (x + k * math.sin(i * math.pi / 5), y - k * math.cos(i * math.pi / 5))
                for i, k in enumerate([r * 1.2, r * 0.5] * 5)
            ]
            pen.polygon(corners, fill=colour)
        else:
            for row in range(int(self.rng.integers(1, 4))):
                half = r * self.uniform(0.7, 1.4)
                top = y + row * r * 0.6
                pen.rectangle((x - half, top, x + half, top + r * 0.34), fill=colour)


def _scaled(points) -> list[Point]:
    return [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]


def _arc_points(x, y, rx, ry, start, stop) -> list[Point]:
    angles = np.radians(np.linspace(start, stop, 33))
    points = np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)
    return [tuple(point) for point in points.tolist()]
