"""A `Pen` in; one watch, bag, belt or other accessory drawn with it.

Coordinates are pixels of a 60×80 photo. Every function draws another specimen at each call.
"""

from __future__ import annotations

import math

from fashion_keras.data.sample_pen import INK, METAL, PALE, Pen, blend, evenly


def watch(pen: Pen) -> None:
    """Draw a wrist watch: strap, case, dial with hands, crown."""
    case, dial = pen.pick(*METAL), pen.pick(PALE, INK, pen.light)
    hands = INK if sum(dial) > 380 else PALE
    for y0, y1 in ((3, 30), (50, 77)):
        edge, near = (y0, y1) if y0 < 20 else (y1, y0)
        strap = [(24.5, edge), (35.5, edge), (38, near), (22, near)]
        pen.shape(strap)
        if pen.chance(0.5):  # links of a bracelet
            for link in range(y0 + 2, y1, 4):
                pen.line([(22.8, link), (37.2, link)], pen.dark)
        else:
            pen.line([(25, edge), (23, near)], pen.dark, 0.6)
            pen.line([(35, edge), (37, near)], pen.dark, 0.6)
    if pen.chance(0.75):
        pen.oval(30, 40, 14.5, 14.5, case)
        pen.oval(30, 40, 11, 11, dial)
    else:
        pen.box(17.5, 26.5, 42.5, 53.5, case, smooth=1)
        pen.box(20.5, 29.5, 39.5, 50.5, dial)
    pen.box(44, 38.5, 47, 41.5, case)
    for hour in range(12):
        x, y = math.sin(hour * math.pi / 6), math.cos(hour * math.pi / 6)
        pen.line([(30 + 8.3 * x, 40 - 8.3 * y), (30 + 10 * x, 40 - 10 * y)], hands, 0.7)
    for length, width in ((5, 1.4), (8, 0.9)):
        angle = pen.uniform(0, 2 * math.pi)
        tip = (30 + length * math.sin(angle), 40 - length * math.cos(angle))
        pen.line([(30, 40), tip], hands, width)


def handbag(pen: Pen) -> None:
    """Draw a handbag: a wide body under tall handles, a clasp."""
    top, flare = pen.uniform(36, 42), pen.uniform(20, 25)
    for inset in (0, 2):
        pen.arc(30, top + 1, 13 - inset, pen.uniform(17, 24) - inset, 180, 360, pen.dark, 1.8)
    body = [(30 - 17, top), (30 + 17, top), (30 + flare, 64), (30 + 20, 69), (30 - 20, 69)]
    pen.shape([*body, (30 - flare, 64)], smooth=1)
    pen.shape([(14, top), (46, top), (47, top + 5), (13, top + 5)], pen.dark, smooth=1)
    pen.box(27.5, top + 3, 32.5, top + 9, pen.pick(*METAL))
    if pen.chance(0.5):
        pen.box(18, 51, 42, 65, edge=pen.dark, smooth=1)
    for x in (17, 43):
        pen.oval(x, top + 2.5, 1.5, 1.5, pen.pick(*METAL))


def backpack(pen: Pen) -> None:
    """Draw a backpack: rounded body, carrying loop, front pocket, side straps."""
    pen.arc(30, 14, 5, 6, 180, 360, pen.dark, 1.8)
    for side in (-1, 1):
        pen.arc(
            30 + side * 16, 50, 7, 17, 270 if side > 0 else 90, 450 if side > 0 else 270, INK, 2
        )
    half = [
        (13, 24),
        (15, 14),
        (30, 11),
        (45, 14),
        (47, 24),
        (49, 64),
        (45, 71),
        (15, 71),
        (11, 64),
    ]
    pen.shape(half, smooth=2)
    pen.arc(30, 30, 14.5, 15, 190, 350, pen.dark, 1.1)
    pen.box(17, 44, 43, 67, pen.pick(pen.accent, pen.dark), smooth=2)
    pen.line([(19, 49), (41, 49)], pen.pick(*METAL), 1)
    pen.line([(39, 49), (39, 53)], PALE, 1)
    pen.box(26, 30, 34, 35, pen.light, smooth=1)


def clutch(pen: Pen) -> None:
    """Draw a clutch: a flat bag with a flap and a clasp, no handle."""
    pen.box(7, 29, 53, 58, smooth=1)
    depth = pen.uniform(42, 50)
    pen.shape([(7.5, 29), (52.5, 29), (50, 35), (30, depth), (10, 35)], blend(pen.base, INK, 0.18))
    pen.oval(30, depth - 1.5, 2.4, 2.4, pen.pick(*METAL))
    if pen.chance(0.5):  # a wrist chain
        pen.arc(48, 42, 8, 22, 0, 90, pen.pick(*METAL), 1)


def belt(pen: Pen) -> None:
    """Draw a belt closed to a ring, its buckle in front."""
    rise, width = pen.uniform(8, 13), pen.uniform(6, 9)
    pen.oval(30, 38, 27, rise, pen.dark)
    pen.oval(30, 36.5, 24.5, rise - 2.2, (255, 255, 255), edge=pen.dark)
    front = [(3, 38), (8, 38 + rise * 0.62), (19, 38 + rise * 0.93), (30, 38 + rise)]
    front += [(60 - x, y) for x, y in reversed(front[:-1])]
    pen.shape(front + [(x, y + width) for x, y in reversed(front)])
    y, metal = 38 + rise, pen.pick(*METAL)
    pen.box(24, y - 1.5, 37, y + width + 1.5, metal)
    pen.box(26.2, y + 0.8, 34.8, y + width - 0.8, pen.dark, edge=False)
    pen.line([(30, y + width / 2), (37, y + width / 2)], metal, 1.2)
    for x in (41, 45, 49):
        pen.oval(x, y + width / 2 - (x - 30) * rise / 70, 0.8, 0.8, INK, edge=False)


def sunglasses(pen: Pen) -> None:
    """Draw sunglasses: two dark lenses in a frame, bridge, temples."""
    lens = blend(pen.pick(INK, (92, 62, 44), (58, 78, 92)), (255, 255, 255), pen.uniform(0, 0.25))
    round_ones, ry = pen.chance(0.4), pen.uniform(7.5, 10)
    for side in (-1, 1):
        pen.line([(30 + side * 25, 37), (30 + side * 22, 27), (30 + side * 15, 24)], pen.base, 1.6)
    for side in (-1, 1):
        x = 30 + side * 14
        if round_ones:
            pen.oval(x, 41, 11.5, ry + 2.5)
            pen.oval(x, 41, 9.6, ry + 0.6, lens)
        else:
            for grow, fill in ((1.6, None), (0, lens)):
                wing = [(-11, -6), (11, -7), (11.5, 0), (7, ry + 1), (-5, ry + 1), (-10, 3)]
                scale = 1 + grow / 9
                corners = [(x + side * a * scale, 41 + b * scale) for a, b in wing]
                pen.shape(corners, fill, smooth=2)
        pen.line([(x - 5, 44), (x + 1, 36)], blend(lens, (255, 255, 255), 0.5), 1.3)
    pen.arc(30, 39, 4, 3.5, 180, 360, pen.base, 1.8)


def wallet(pen: Pen) -> None:
    """Draw a wallet: upright or lying, a fold, stitching, a stamp or a press stud."""
    if pen.chance(0.5):
        x0, y0, x1, y1 = 13, 20, 47, 60
        pen.line([(16.5, y0), (16.5, y1)], pen.dark, 1.2)
    else:
        x0, y0, x1, y1 = 9, 27, 51, 55
    pen.box(x0 + 1.5, y0 + 1.5, x1 + 1.5, y1 + 1.5, pen.dark, smooth=1)
    pen.box(x0, y0, x1, y1, smooth=1)
    pen.line([(x0 + 3.5, y0), (x0 + 3.5, y1)], pen.dark, 1.1)
    stitch = pen.pick(pen.light, pen.dark)
    for x in range(x0 + 6, x1 - 3, 3):
        for y in (y0 + 2.2, y1 - 2.2):
            pen.line([(x, y), (x + 1.6, y)], stitch, 0.7)
    for y in range(y0 + 3, y1 - 3, 3):
        pen.line([(x1 - 2.2, y), (x1 - 2.2, y + 1.6)], stitch, 0.7)
    if pen.chance(0.5):
        y = (y0 + y1) / 2
        pen.box(x1 - 11, y - 3.5, x1 + 1, y + 3.5, pen.dark, smooth=1)
        pen.oval(x1 - 7, y, 1.7, 1.7, pen.pick(*METAL))
    else:
        pen.box(x0 + 16, y1 - 11, x0 + 26, y1 - 6, pen.dark, edge=False)


def tie(pen: Pen) -> None:
    """Draw a tie: loop, knot, a blade that widens to a point."""
    half = pen.uniform(4.2, 6)
    pen.shape([(27, 10), (21, 3), (39, 3), (33, 10)], pen.dark)
    pen.shape([(28, 13), (32, 13), (30 + half, 69), (30, 77), (30 - half, 69)])
    pen.shape([(25.6, 7), (34.4, 7), (32, 14.5), (28, 14.5)])


def earrings(pen: Pen) -> None:
    """Draw a pair of drop earrings: hooks, stones, drops."""
    gem, long = pen.accent, pen.uniform(52, 62)
    drop = pen.pick("drop", "hoop", "jhumka")
    for x in (18, 42):
        pen.arc(x, 25, 3, 6, 150, 400, pen.base, 1.1)
        pen.oval(x, 34, 3.2, 3.2)
        pen.oval(x, 34, 1.6, 1.6, gem, edge=False)
        if drop == "hoop":
            pen.arc(x, 46, 7, 9, 0, 360, pen.dark, 2.2)
            pen.arc(x, 46, 7, 9, 0, 360, pen.base, 1.5)
        elif drop == "drop":
            pen.shape([(x, 37), (x + 6, 50), (x, long), (x - 6, 50)], smooth=2)
            pen.oval(x, 50, 2.2, 3, gem)
        else:
            pen.shape([(x - 2, 38), (x + 2, 38), (x + 7, 50), (x - 7, 50)], smooth=1)
            for dx in (-6, -3, 0, 3, 6):
                pen.oval(x + dx, 52.5, 1.4, 1.8, gem)


def necklace(pen: Pen) -> None:
    """Draw a necklace: beads along a hanging loop, a pendant."""
    depth, bead = pen.uniform(40, 50), pen.uniform(1.5, 2.6)
    for step in range(31):
        angle = math.pi * (step / 30 * 1.36 - 0.18)
        x, y = 30 + 19 * math.cos(angle), 18 + depth * 0.8 * max(-0.25, math.sin(angle))
        pen.oval(x, y, bead, bead, pen.accent if step % 5 == 2 else None)
    low = 18 + depth * 0.8
    pen.shape([(30, low), (36, low + 7), (30, low + 15), (24, low + 7)], smooth=pen.pick(0, 2))
    pen.oval(30, low + 7, 2.6, 2.6, pen.accent)


def ring(pen: Pen) -> None:
    """Draw a finger ring with a stone on top."""
    ry = pen.uniform(12.5, 15)
    for width, colour in ((4.2, pen.dark), (3.2, pen.base), (0.9, pen.light)):
        pen.arc(30, 47, 14, ry, 0, 360, colour, width)
    gem = pen.pick((120, 190, 235), (214, 60, 90), (90, 180, 130), PALE)
    size = pen.uniform(6, 8.5)
    crown = [(-0.6, -0.8), (0.6, -0.8), (1, -0.2), (0, 1), (-1, -0.2)]
    pen.shape([(30 + size * x, 29 + size * y) for x, y in crown], gem, edge=INK)
    facet = blend(gem, (255, 255, 255), 0.7)
    pen.shape(
        [(30 + size * x, 29 + size * y) for x, y in [(-0.5, -0.7), (0.5, -0.7), (0, 0.7)]], facet
    )


def cap(pen: Pen) -> None:
    """Draw a baseball cap from the side: dome, button, peak, badge."""
    peak = pen.pick(pen.accent, None, pen.dark)
    dome = [(12, 52), (12, 40), (15, 29), (26, 23), (34, 24), (43, 33), (44, 52)]
    pen.shape(dome, smooth=2)
    pen.shape([(34, 48), (44, 45), (54, 50), (57, 57), (46, 54), (34, 54)], peak, smooth=2)
    pen.arc(20, 50, 9, 25, 250, 330, pen.dark)
    pen.arc(36, 50, 9, 25, 200, 270, pen.dark)
    pen.oval(28, 24.5, 2, 1.2, pen.dark)
    pen.oval(35, 40, 4, 4, pen.accent)
    pen.line([(13, 51), (35, 52.5)], pen.dark, 1)


def umbrella(pen: Pen) -> None:
    """Draw an open umbrella: ribbed dome, stick, hooked handle."""
    pen.line([(30, 16), (30, 67)], INK, 1.2)
    pen.arc(33.5, 67, 3.5, 5, 0, 180, INK, 2)
    dome = [(30 + 26 * math.cos(a), 42 - 24 * math.sin(a)) for a in evenly(0, math.pi, 25)]
    hem = [(4 + 52 * i / 24, 42 - 3.2 * abs(math.sin(i * math.pi / 6))) for i in range(25)]
    pen.shape(dome + hem)
    for x in (17, 30, 43):
        pen.line([(30, 18), ((x + 30) / 2 + (x - 30) * 0.12, 27), (x, 42)], pen.dark, 0.8)
    pen.line([(30, 13), (30, 18)], INK, 1.4)


def bottle(pen: Pen) -> None:
    """Draw a water bottle: body, shoulder, screw cap with a loop, a level scale."""
    pen.box(26, 10, 34, 19, INK, smooth=1)
    pen.arc(30, 11, 6, 5, 180, 360, INK, 1.4)
    pen.shape(
        [(25, 18), (35, 18), (42, 27), (42, 71), (40, 75), (20, 75), (18, 71), (18, 27)], smooth=1
    )
    pen.box(18.5, 38, 41.5, 56, pen.pick(pen.light, pen.accent))
    pen.line([(22.5, 28), (22.5, 70)], pen.light, 1.6)
    for y in range(30, 72, 6):
        pen.line([(37, y), (41, y)], pen.dark, 0.8)
