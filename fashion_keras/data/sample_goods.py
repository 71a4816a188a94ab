"""A `Pen` in; one cosmetic, ball or cushion drawn with it.

Coordinates are pixels of a 60×80 photo. Every function draws another specimen at each call.
"""

from __future__ import annotations

import math

from fashion_keras.data.sample_pen import INK, METAL, PALE, Pen, blend, evenly


def lipstick(pen: Pen) -> None:
    """Draw a lipstick: slanted bullet out of a metal collar and a dark case."""
    case, collar = pen.pick(INK, (86, 40, 52), (190, 190, 196)), pen.pick(*METAL)
    bottom = pen.uniform(66, 74)
    pen.shape([(25.5, 40), (25.5, 20), (28, 14), (34.5, 22), (34.5, 40)], smooth=1)
    pen.line([(27.5, 21), (27.5, 38)], pen.light, 1.2)
    pen.box(24, 36, 36, 48, collar)
    pen.box(22, 47, 38, bottom, case)
    pen.line([(25, 49), (25, bottom - 2)], blend(case, (255, 255, 255), 0.5), 1.3)
    if pen.chance(0.4):  # the cap beside it
        pen.box(42, bottom - 32, 55, bottom, case, smooth=1)


def lip_gloss(pen: Pen) -> None:
    """Draw a lip gloss: slender see-through tube under a long cap."""
    cap_fill = pen.pick(INK, (196, 196, 202), (206, 172, 96))
    top, half = pen.uniform(6, 12), pen.uniform(4.5, 6)
    pen.box(30 - half + 0.6, top, 30 + half - 0.6, 37, cap_fill, smooth=1)
    pen.box(30 - half, 37, 30 + half, 74, smooth=1)
    pen.line([(30, 39), (30, 62)], pen.dark, 1)
    pen.line([(30 - half * 0.55, 40), (30 - half * 0.55, 71)], pen.light, 1.4)
    pen.box(30 - half + 0.8, 36, 30 + half - 0.8, 38.4, pen.pick(*METAL), edge=False)
    pen.line([(28.5, 50), (31.5, 50)], PALE, 0.8)


def nail_polish(pen: Pen) -> None:
    """Draw a nail polish: squat bottle full of colour, tall black cap."""
    pen.shape([(26, 16), (34, 16), (36, 43), (24, 43)], pen.pick(INK, INK, PALE, (206, 172, 96)))
    body = [(22, 43), (38, 43), (43, 49), (44, 68), (40, 72), (20, 72), (16, 68), (17, 49)]
    if pen.chance(0.5):
        pen.oval(30, 57, 14, 15)
    else:
        pen.shape(body, smooth=1)
    pen.line([(21.5, 51), (21, 66)], pen.light, 1.8)
    pen.line([(26, 60), (34, 60)], PALE, 1)
    pen.line([(27, 63), (33, 63)], PALE, 0.8)


def perfume(pen: Pen) -> None:
    """Draw a perfume: glass bottle square, round or tapered, neck, cap, label."""
    shape = pen.pick("square", "round", "tapered")
    pen.box(26.5, 27, 33.5, 34, pen.pick(*METAL))
    pen.box(24, 13, 36, 28, pen.pick(INK, *METAL), smooth=1)
    if shape == "square":
        pen.box(13, 33, 47, 72, pen.light, smooth=1)
        pen.box(16, 42, 44, 69, smooth=1)
    elif shape == "round":
        pen.oval(30, 53, 20, 20, pen.light)
        pen.oval(30, 54, 16.5, 16.5)
    else:
        pen.shape([(22, 33), (38, 33), (46, 72), (14, 72)], pen.light, smooth=1)
        pen.shape([(22, 43), (38, 43), (43, 69), (17, 69)], smooth=1)
    pen.box(24, 50, 36, 60, PALE, edge=pen.dark)
    pen.line([(26, 54), (34, 54)], INK, 0.8)
    pen.line([(27, 57), (33, 57)], INK, 0.6)


def deodorant(pen: Pen) -> None:
    """Draw a deodorant: tall can, domed shoulder, cap, banner."""
    pen.box(24.5, 6, 35.5, 19, pen.pick(INK, PALE, pen.accent), smooth=1)
    pen.shape(
        [(24, 19), (36, 19), (39.5, 24), (39.5, 72), (38.5, 75), (21.5, 75), (20.5, 72), (20.5, 24)]
    )
    pen.box(20.7, 34, 39.3, pen.uniform(46, 58), pen.accent, edge=False)
    pen.line([(23.5, 25), (23.5, 73)], pen.light, 1.5)
    for y in (37, 40, 64, 67):
        pen.line([(26, y), (35, y)], PALE, 0.9)


def football(pen: Pen) -> None:
    """Draw a football: pentagons on a ball."""
    pen.oval(30, 40, 23, 23)
    turn = pen.uniform(0, 1)

    def pentagon(x, y, r, angle):
        return [
            (x + r * math.sin(a + angle), y - r * math.cos(a + angle)) for a in evenly(0, 5.03, 5)
        ]

    pen.shape(pentagon(30, 40, 8, turn), pen.accent)
    for a in evenly(turn, turn + 5.03, 5):
        x, y = math.sin(a), -math.cos(a)
        pen.line([(30 + 8 * x, 40 + 8 * y), (30 + 16 * x, 40 + 16 * y)], pen.dark, 1)
        pen.shape(pentagon(30 + 17.2 * x, 40 + 17.2 * y, 4.8, a + math.pi), pen.accent)


def basketball(pen: Pen) -> None:
    """Draw a basketball: a ball with black seams."""
    pen.oval(30, 40, 23, 23)
    pen.line([(7, 40), (53, 40)], INK, 1.2)
    pen.line([(30, 17), (30, 63)], INK, 1.2)
    pen.arc(8, 40, 13, 17.5, -62, 62, INK, 1.2)
    pen.arc(52, 40, 13, 17.5, 118, 242, INK, 1.2)


def cushion(pen: Pen) -> None:
    """Draw a cushion cover: a square with drawn-out corners and piping."""
    pen.shape([(5, 15), (30, 19), (55, 15), (51, 40), (55, 65), (30, 61), (5, 65), (9, 40)])
    pen.shape([(14, 24), (46, 24), (46, 56), (14, 56)], pen.accent)
    pen.shape([(30, 27), (43, 40), (30, 53), (17, 40)])
