"""A `Pen` in; one shoe, sandal or pair of flip-flops drawn with it, the toe to the right.

Coordinates are pixels of a 60×80 photo. Every function draws another specimen at each call.
"""

from __future__ import annotations

from fashion_keras.data.sample_pen import INK, METAL, PALE, Pen


def casual_shoe(pen: Pen) -> None:
    """Draw a canvas shoe: low or high, white rubber sole and toe cap, laces."""
    top = pen.pick(34, 34, 24)
    pen.shape([(6, 54), (6, top), (18, top - 2), (25, 38), (42, 45), (53, 49), (55, 55)], smooth=1)
    pen.shape([(44, 46.5), (50, 46.5), (56, 51), (56, 56), (44, 56)], PALE, smooth=1)
    pen.box(4.5, 53.5, 57, 58.5, PALE, smooth=1)
    pen.line([(6, 56), (56, 56)], pen.accent, 0.8)
    pen.shape([(9, top), (17, top - 1.6), (18, top + 1.5), (10, top + 2.5)], pen.dark)
    for i in range(5):
        pen.line([(23 + i * 4, 36.5 + i * 2), (19.5 + i * 4, 40.5 + i * 2)], PALE, 1.2)
    if top < 30:
        pen.oval(12, 38, 4, 4, PALE)


def sports_shoe(pen: Pen) -> None:
    """Draw a running shoe: thick curved sole, overlays, a swoosh or bars, laces."""
    upper = [(5, 52), (4, 34), (9, 30), (16, 36), (24, 33), (40, 43), (54, 47), (57, 53)]
    pen.shape(upper, smooth=2)
    pen.shape([(4, 51), (5, 37), (12, 42), (15, 52)], pen.accent, smooth=1)
    pen.shape([(42, 45), (54, 47), (58, 53), (46, 53)], pen.accent, smooth=1)
    sole = [(2, 50), (14, 53), (40, 53), (58, 51), (57, 57), (48, 60), (26, 58), (4, 61)]
    pen.shape(sole, PALE, smooth=1)
    pen.shape([(4, 58), (26, 56), (50, 58), (47, 60.5), (26, 59), (4, 61.5)], pen.accent)
    if pen.chance(0.5):
        pen.shape([(18, 46), (23, 49.5), (40, 42), (24, 51.5), (19, 51)], PALE, edge=pen.dark)
    else:
        for x in (20, 25, 30):
            pen.line([(x, 52), (x + 4, 42)], PALE, 1.9)
    for i in range(4):
        pen.line([(24 + i * 4, 34 + i * 2.3), (21 + i * 4, 38.5 + i * 2)], PALE, 1.3)


def formal_shoe(pen: Pen) -> None:
    """Draw a formal shoe: sleek pointed upper, thin sole, stacked heel."""
    pen.shape([(5, 55), (6, 38), (10, 36), (24, 39), (36, 46), (52, 50), (58, 55)], smooth=1)
    pen.shape([(4, 54.5), (58, 54.5), (57, 57), (20, 57), (18, 62), (5, 62)], INK)
    pen.shape([(10, 38), (22, 39.5), (20, 42), (11, 41)], pen.dark, smooth=1)
    pen.line([(40, 47), (43, 54)], pen.dark, 1)
    if pen.chance(0.6):
        for i in range(3):
            pen.line([(25 + i * 4, 41 + i * 2), (22 + i * 4, 45 + i * 1.6)], INK, 1.1)
    else:  # a loafer's saddle
        pen.shape([(27, 41), (34, 45), (31, 53), (23, 53)], pen.dark)
    pen.line([(44, 50), (52, 52)], pen.light, 1.2)


def heel(pen: Pen) -> None:
    """Draw a high-heeled pump: arched sole, open instep, thin heel."""
    tip = pen.uniform(1.2, 3.5)
    pen.shape([(4, 40), (14, 44), (7.5 + tip, 66), (6, 66)], pen.dark)
    instep = [(4, 26), (8, 26), (14, 38), (30, 50), (40, 47), (52, 57), (58, 64)]
    pen.shape([(4, 42), *instep, (40, 65), (30, 62), (16, 46)], smooth=1)
    pen.line([(14, 45), (30, 62), (40, 65.5), (57, 65)], INK, 1.4)
    if pen.chance(0.4):
        pen.line([(6, 27), (16, 23), (25, 29), (22, 42)], pen.base, 1.8)
    if pen.chance(0.4):
        pen.oval(44, 51, 3, 2.2, pen.accent)


def sandal(pen: Pen) -> None:
    """Draw a sandal from the side: flat sole, two broad straps over the foot, a heel strap."""
    thick = pen.uniform(3, 7)
    sole = [(3, 53), (20, 56), (42, 56), (58, 53), (58, 54 + thick), (42, 57 + thick)]
    pen.shape([*sole, (5, 56 + thick)], INK, smooth=1)
    pen.line([(4, 53), (20, 55.5), (42, 55.5), (57, 53)], (196, 150, 104), 2.4)
    pen.line([(5, 52), (7, 41), (24, 37)], pen.base, 2.2)  # round the heel
    front = pen.uniform(38, 42)
    pen.shape([(36, 54), (38, front), (44, front - 1), (52, 47), (54, 53)], smooth=2)
    pen.line([(41, front + 1), (40, 54)], pen.dark, 0.8)
    pen.shape([(16, 54), (22, 37), (25, 33), (32, 35), (28, 54)], smooth=2)
    if pen.chance(0.6):  # joined over the instep
        pen.shape([(27, 38), (41, front), (40, front + 5), (27, 44)], smooth=2)
    pen.box(20, 41, 26, 47, pen.pick(*METAL))


def sports_sandal(pen: Pen) -> None:
    """Draw a sports sandal: deep treaded sole, broad hook-and-loop straps."""
    pen.shape([(3, 50), (20, 53), (42, 53), (58, 50), (57, 60), (5, 61)], INK, smooth=1)
    for x in range(8, 56, 6):
        pen.line([(x, 58), (x, 62)], (120, 120, 124), 1.4)
    pen.line([(4, 52), (22, 55), (42, 55), (57, 52)], pen.accent, 1.6)
    pen.line([(6, 51), (6, 38), (13, 33), (24, 35)], pen.base, 3.2)
    for strap in (
        [(16, 53), (20, 34), (26, 29), (33, 32), (29, 54)],
        [(34, 54), (37, 39), (44, 39), (53, 47), (55, 52)],
    ):
        pen.shape(strap, smooth=2)
    pen.shape([(28, 36), (40, 40), (38, 46), (28, 44)], pen.dark, smooth=2)
    pen.box(19, 38, 30, 44, pen.accent)
    pen.box(38, 45, 50, 50, pen.accent)


def flip_flops(pen: Pen) -> None:
    """Draw a pair of flip-flops from above: footbeds with a Y-shaped thong."""
    strap = pen.pick(pen.accent, pen.dark)
    for x, y, side in ((17, 42, -1), (43, 38, 1)):
        bed = [(-5, -27), (5, -28), (10, -18), (8, 0), (7, 20), (3, 28), (-4, 28), (-7, 18)]
        bed += [(-7, 0), (-10, -16)]
        pen.shape([(x - side * a + 1, y + b + 1.2) for a, b in bed], pen.dark, smooth=2)
        pen.shape([(x - side * a, y + b) for a, b in bed], smooth=2)
        knot = (x - side * 1, y - 17)
        for foot in ((x - 8, y + 3), (x + 8, y + 3)):
            bend = ((knot[0] + foot[0]) / 2 + (foot[0] - x) * 0.25, y - 10)
            pen.line([knot, bend, foot], strap, 2.4)
        pen.oval(*knot, 1.8, 1.8, strap)
