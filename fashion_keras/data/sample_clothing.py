"""A `Pen` in; one article of clothing drawn with it.

Coordinates are pixels of a 60×80 photo. Every function draws another specimen at each call:
lengths, necklines, fittings and wearers come from the pen's random generator.
"""

from __future__ import annotations

from fashion_keras.data.sample_pen import INK, METAL, PALE, Pen, Point, blend, mirrored

SKIN = ((236, 196, 168), (214, 164, 128), (166, 112, 78), (112, 74, 52))


def _wearer(pen: Pen, *, arms: bool = True, legs: float | None = None) -> None:
    """Draw head, arms and legs (from height `legs`) for a garment to be put on."""
    skin = pen.pick(*SKIN)
    hair = pen.pick(INK, (70, 44, 30), (120, 82, 48))
    if legs is not None:
        cloth = pen.pick((52, 66, 104), INK, (120, 104, 84), skin)
        pen.shape(mirrored([(9, legs), (9.5, 79), (2, 79), (0, legs + 4)]), cloth)
    if pen.chance(0.5):
        pen.oval(30, 7, 6.5, 8, hair, edge=False)  # long hair
    pen.box(27, 7, 33, 18, skin, edge=False)
    pen.oval(30, 5.5, 5, 6.2, skin, edge=False)
    pen.shape(
        [(24.6, 5), (25.5, -1.5), (34.5, -1.5), (35.4, 5), (33, 2), (27, 2)], hair, edge=False
    )
    if arms:
        for side in (-1, 1):
            arm = [(9, 15), (13, 16), (19.5, 50), (18, 55), (15.5, 51), (9, 26)]
            pen.shape([(30 + side * x, y) for x, y in arm], skin, smooth=1)


def _top(pen: Pen, *, sleeve: str, hem: float, flare: float, neck: float, waist=11.5) -> None:
    """Draw a garment for the upper body; `neck` is the depth of its neckline."""
    half = [(0, 14 + neck), (3 + neck * 0.15, 13.5 + neck * 0.5), (5, 12)]
    sleeves: dict[str, list[Point]] = {
        "none": [(8.5, 13), (8.8, 20), (12, 27)],
        "cap": [(11, 14), (15.5, 20), (12, 24)],
        "short": [(12, 14.5), (21, 27), (16.5, 31.5), (12, 25)],
        "long": [(12, 14), (15.5, 20), (21, 52), (17, 54), (12, 28)],
    }
    half += sleeves[sleeve]
    half += [(waist, 42), (12 + flare, hem), (12 + flare, hem), (0, hem + 1)]
    pen.shape(mirrored(half), smooth=1)
    for side in (-1, 1):
        pen.line([(30 + side * 12, 27), (30 + side * 11, 19)], pen.dark)


def _neckline(pen: Pen, depth: float, trim) -> None:
    pen.arc(30, 12.5, 4.8, 1.5 + depth, 0, 180, trim, 1.2)


def tshirt(pen: Pen) -> None:
    """Draw a T-shirt: short sleeves, round or V neck."""
    worn, hem = pen.chance(0.45), pen.uniform(58, 66)
    if worn:
        _wearer(pen, legs=hem - 5)
    neck = pen.uniform(2, 5)
    _top(pen, sleeve="short", hem=hem, flare=0, neck=neck)
    if not worn:
        pen.oval(30, 12.8, 4.6, 1.3, pen.dark, edge=False)
    trim = pen.pick(pen.dark, pen.accent)
    _neckline(pen, neck * 0.7, trim)
    for side in (-1, 1):
        pen.line([(30 + side * 20.2, 26.6), (30 + side * 16.2, 30.4)], trim)


def shirt(pen: Pen) -> None:
    """Draw a shirt: collar, placket with buttons, breast pocket."""
    hem = pen.uniform(60, 67)
    if pen.chance(0.45):
        _wearer(pen, legs=hem - 5)
    sleeve = pen.pick("long", "long", "short")
    _top(pen, sleeve=sleeve, hem=hem, flare=0.5, neck=1)
    pen.line([(28.6, 17), (28.6, hem)], pen.dark)
    pen.line([(31.4, 17), (31.4, hem)], pen.dark)
    for y in range(21, int(hem) - 1, 7):
        pen.oval(30, y, 0.8, 0.8, PALE if sum(pen.base) < 380 else INK, edge=False)
    for side in (-1, 1):
        collar = [(0, 16.5), (5.4, 10.5), (7.2, 15), (3, 20.5)]
        pen.shape([(30 + side * x, y) for x, y in collar], pen.light, edge=pen.dark)
        if sleeve == "long":
            pen.line([(30 + side * 20.3, 49), (30 + side * 16.3, 50)], pen.dark, 0.9)
    pen.box(33.5, 27, 39, 33.5, edge=pen.dark)


def blouse(pen: Pen) -> None:
    """Draw a top: sleeveless or cap sleeves, deep neck, fitted waist, flared hem."""
    hem = pen.uniform(50, 60)
    if pen.chance(0.6):
        _wearer(pen, legs=hem - 4)
    neck = pen.uniform(6, 10)
    _top(
        pen,
        sleeve=pen.pick("none", "cap"),
        hem=hem,
        flare=pen.uniform(2, 6),
        neck=neck,
        waist=pen.uniform(8.5, 10),
    )
    _neckline(pen, neck * 0.75, pen.dark)
    if pen.chance(0.6):
        pen.line([(20.5, 39), (30, 40.5), (39.5, 39)], pen.accent, 1.4)
    for x in (24, 30, 36):
        pen.line([(30 + (x - 30) * 0.7, 43), (x, hem - 1)], pen.dark, 0.5)


def kurta(pen: Pen) -> None:
    """Draw a kurta: down to the knees, long sleeves, short placket, side slits, borders."""
    if pen.chance(0.5):
        _wearer(pen, legs=66)
    _top(pen, sleeve="long", hem=72, flare=pen.uniform(1.5, 4), neck=2)
    pen.line([(30, 16), (30, 34)], pen.dark, 2.2)
    pen.line([(30, 16), (30, 34)], pen.accent, 1.1)
    _neckline(pen, 2, pen.accent)
    pen.line([(17.5, 69.5), (30, 70.5), (42.5, 69.5)], pen.accent, 1.6)
    for side in (-1, 1):
        pen.line([(30 + side * 20, 50.5), (30 + side * 16.8, 51.5)], pen.accent, 1.3)
        pen.line([(30 + side * 12, 52), (30 + side * 12.4, 70)], pen.dark, 0.9)


def jacket(pen: Pen) -> None:
    """Draw a jacket: bulky long sleeves, standing collar, zip, pockets, ribbed hem."""
    if pen.chance(0.4):
        _wearer(pen, arms=False, legs=58)
    for side in (-1, 1):
        arm = [(9, 13), (15, 15), (23.5, 53), (16.5, 56), (11, 30)]
        fill = pen.accent if pen.chance(0.3) else None
        pen.shape([(30 + side * x, y) for x, y in arm], fill, smooth=1)
    pen.shape(mirrored([(0, 13), (6, 11), (14, 15), (14, 60), (0, 61)]), smooth=1)
    pen.shape(mirrored([(0, 12), (6, 8), (7.5, 15), (0, 20)]), pen.dark)
    pen.box(16.5, 57, 43.5, 62, pen.dark)
    pen.line([(30, 14), (30, 62)], pen.pick(*METAL), 1.3)
    for side in (-1, 1):
        pen.line([(30 + side * 5, 52), (30 + side * 10, 43)], pen.dark, 1.2)
        pen.line([(30 + side * 23, 52), (30 + side * 16.5, 54)], pen.dark, 2)


def sweater(pen: Pen) -> None:
    """Draw a sweater: long sleeves, V neck, ribbed cuffs and hem, knitted bands."""
    if pen.chance(0.4):
        _wearer(pen, arms=False, legs=60)
    _top(pen, sleeve="long", hem=62, flare=1, neck=8)
    pen.line([(25, 12.5), (30, 22), (35, 12.5)], pen.dark, 1.8)
    for x in range(18, 43, 2):
        pen.line([(x, 59), (x, 62.5)], pen.dark, 0.7)
    if pen.chance(0.7):  # argyle
        for x in (23, 30, 37):
            y = pen.uniform(33, 36)
            pen.shape([(x, y - 6), (x + 3.3, y), (x, y + 6), (x - 3.3, y)], pen.accent, edge=False)
    for side in (-1, 1):
        pen.line([(30 + side * 20.5, 51), (30 + side * 16.6, 52.5)], pen.dark, 2.4)


def _legs(pen: Pen, *, top: float, hem: float, thigh: float, ankle: float) -> None:
    """Draw trouser legs from the waist at `top` down to `hem`."""
    crotch = top + 19
    outer, inner = thigh + 1, thigh + 1 - ankle
    half = [(0, top), (8.5, top), (thigh, top + 12), (outer, hem), (inner, hem + 0.5)]
    pen.shape(mirrored([*half, (0.8, crotch), (0, crotch)]))
    pen.line([(30, top), (30, crotch)], pen.dark)
    pen.line([(21.5, top + 1.6), (38.5, top + 1.6)], pen.dark, 0.7)


def _shirt_and_shoes(pen: Pen, top: float, hem: float, thigh: float) -> None:
    skin, cloth = pen.pick(*SKIN), pen.pick((232, 232, 232), INK, (150, 60, 60), (70, 120, 160))
    pen.shape(mirrored([(8, 0), (10, top + 3), (0, top + 3)]), cloth)
    for side in (-1, 1):
        x = 30 + side * (thigh - 2)
        pen.box(x - 2, hem - 6, x + 2, 76, skin, edge=False)
        pen.shape([(x - 3, 79), (x - 2, 74), (x + 2, 74), (x + 3, 79)], INK)


def jeans(pen: Pen) -> None:
    """Draw jeans: pocket stitching, fly, faded thighs."""
    thigh = pen.uniform(10.5, 12.5)
    if pen.chance(0.5):
        _shirt_and_shoes(pen, 7, 72, thigh)
    _legs(pen, top=7, hem=73, thigh=thigh, ankle=pen.uniform(5.5, 8.5))
    thread = (206, 154, 84)
    for side in (-1, 1):
        faded = blend(pen.base, (255, 255, 255), 0.25)
        pen.oval(30 + side * 6.5, 32, 2.4, 10, faded, edge=False)
        pen.line([(30 + side * 4, 9), (30 + side * 6, 13.5), (30 + side * 10, 14)], thread, 0.8)
        pen.line([(30 + side * (thigh - 3.2), 42), (30 + side * (thigh - 2), 71)], pen.dark, 0.5)
        for x in (3, 7.5):
            pen.line([(30 + side * x, 6.5), (30 + side * x, 9.5)], thread, 0.9)
    pen.line([(30, 9), (31.8, 18), (30, 21)], thread)


def trousers(pen: Pen) -> None:
    """Draw formal trousers: straight, pressed creases, a belt."""
    if pen.chance(0.5):
        _shirt_and_shoes(pen, 7, 72, 11)
    _legs(pen, top=7, hem=73, thigh=pen.uniform(10.5, 11.5), ankle=pen.uniform(7.5, 9))
    for side in (-1, 1):
        pen.line([(30 + side * 5.5, 11), (30 + side * 7.6, 72)], pen.light, 0.8)
        pen.line([(30 + side * 9.5, 10), (30 + side * 8, 17)], pen.dark)
    pen.box(21.5, 6.5, 38.5, 9, INK, edge=False)
    pen.box(28.5, 6.3, 31.5, 9.2, pen.pick(*METAL), edge=False)


def shorts(pen: Pen) -> None:
    """Draw shorts: wide legs that end above the knee, a drawstring."""
    hem = pen.uniform(46, 55)
    if pen.chance(0.4):
        _shirt_and_shoes(pen, 16, hem, 11)
    _legs(pen, top=16, hem=hem, thigh=pen.uniform(12.5, 15.5), ankle=pen.uniform(12, 13.5))
    pen.box(21.3, 15.5, 38.7, 18.5, pen.dark, edge=False)
    pen.line([(29, 18), (28, 25)], PALE, 0.8)
    pen.line([(31, 18), (32, 24)], PALE, 0.8)
    for side in (-1, 1):
        pen.line([(30 + side * 11, 20), (30 + side * 12.5, hem)], pen.accent, 1.2)


def skirt(pen: Pen) -> None:
    """Draw a skirt: waistband, a flared body, pleats."""
    hem, flare = pen.uniform(52, 66), pen.uniform(14, 20)
    if pen.chance(0.4):
        _shirt_and_shoes(pen, 18, hem, 7)
    pen.shape(mirrored([(8, 18), (11, 26), (flare, hem), (flare * 0.5, hem + 2), (0, hem + 1)]))
    for x in (-0.66, -0.33, 0, 0.33, 0.66):
        pen.line([(30 + 9 * x, 22), (30 + flare * x, hem + 0.5)], pen.dark, 0.8)
    pen.box(21.8, 16.5, 38.2, 20, pen.dark)


def dress(pen: Pen) -> None:
    """Draw a dress: fitted bodice, belt, wide skirt."""
    hem, flare = pen.uniform(64, 74), pen.uniform(14, 21)
    if pen.chance(0.5):
        _wearer(pen)
        skin = pen.pick(*SKIN)
        for leg in (26, 34):
            pen.box(leg - 1.6, hem - 3, leg + 1.6, 80, skin, edge=False)
    sleeve = pen.pick([(7.5, 12), (7.8, 20)], [(11, 13), (15, 20), (11, 23)])
    half = [(0, 19), (4, 17), (5, 12), *sleeve, (10.5, 26), (7.5, 40)]
    pen.shape(mirrored([*half, (flare, hem), (flare * 0.5, hem + 2), (0, hem + 1)]), smooth=1)
    for x in (-0.6, -0.2, 0.2, 0.6):
        pen.line([(30 + 7 * x, 42), (30 + flare * x, hem)], pen.dark, 0.6)
    pen.box(22.4, 38.5, 37.6, 41.5, pen.pick(pen.accent, pen.dark))


def briefs(pen: Pen) -> None:
    """Draw briefs: a broad waistband, high-cut legs."""
    pen.shape(mirrored([(19, 29), (18.5, 37), (9, 46), (4.5, 56), (0, 57)]), smooth=1)
    band = pen.pick(pen.accent, pen.dark)
    pen.box(10.8, 27, 49.2, 32, band)
    for side in (-1, 1):
        pen.line([(30 + side * 18, 38), (30 + side * 9, 46), (30 + side * 5, 55)], band, 1)
        pen.line([(30 + side * 6, 32), (30 + side * 4, 50)], pen.dark, 0.6)


def bra(pen: Pen) -> None:
    """Draw a bra: two cups, straps, side bands."""
    for side in (-1, 1):
        pen.line([(30 + side * 9, 37), (30 + side * 9.5, 17)], pen.dark, 1.6)
        band = [(15, 40), (21, 40), (21, 46), (12, 48)]
        pen.shape([(30 + side * x, y) for x, y in band], pen.dark)
        cup = [(0.5, 46), (6, 37), (9, 33), (16, 40), (16.5, 48), (9, 51), (1, 49.5)]
        pen.shape([(30 + side * x, y) for x, y in cup], smooth=2)
        pen.arc(30 + side * 8.5, 43, 7.5, 7.5, 20, 160, pen.dark)
    pen.oval(30, 46.5, 1.3, 1.3, pen.accent)


def vest(pen: Pen) -> None:
    """Draw an innerwear vest: narrow straps, deep arm holes, bound edges."""
    if pen.chance(0.4):
        _wearer(pen, legs=63)
    half = [(0, 26), (3.5, 22), (4.5, 12), (7.5, 12), (8, 22), (12, 32)]
    pen.shape(mirrored([*half, (11, 48), (12, 67), (0, 68)]), smooth=1)
    trim = pen.pick(pen.accent, pen.dark)
    pen.line([(25.3, 13), (26.3, 21), (30, 25), (33.7, 21), (34.7, 13)], trim, 1.2)
    for side in (-1, 1):
        pen.line([(30 + side * 7.3, 13), (30 + side * 8.2, 22), (30 + side * 11.4, 31)], trim, 1.2)
    for x in range(21, 41, 3):
        pen.line([(x, 36), (x, 66)], pen.dark, 0.4)


def socks(pen: Pen) -> None:
    """Draw a pair of socks: cuff, heel and toe in a second colour."""
    top, trim = pen.uniform(10, 32), pen.pick(pen.accent, pen.dark)
    for dx, dy in ((9, -5), (-5, 3)):
        leg = [(20, top), (31, top), (31, 50), (33, 57), (44, 63), (45, 70), (40, 72), (24, 67)]
        pen.shape([(x + dx, y + dy) for x, y in [*leg, (19, 56), (20, 46)]], smooth=1)
        pen.box(19.8 + dx, top - 1 + dy, 31.2 + dx, top + 4 + dy, trim)
        toe = [(39, 61), (45, 64), (45.5, 70), (40, 72), (37, 71)]
        pen.shape([(x + dx, y + dy) for x, y in toe], trim, smooth=1)
        pen.shape([(x + dx, y + dy) for x, y in [(19, 55), (26, 57), (24, 67), (20, 62)]], trim)
