"""A report's numbers in; its reliability, automation and long-tail figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from matplotlib.transforms import Bbox

from fashion_keras.decision.automation import proportion_interval
from fashion_keras.evaluation.plots import INK, LINE, MUTED, RIGHT, short_name

_SIZE = (5.6, 4.2)  # inches
_FONT = 9.5
_NAMED = 24  # classes that the long tail names at most


def reliability_figure(calibration: dict) -> Figure:
    """Draw how often the model is right against how sure it says it is.

    `calibration` is of `insight.calibration`. Bars below say how many photos each bin holds; a
    bin's share of right ones has its exact 95% interval.
    """
    figure, (axes, below) = _axes(heights=(4, 1))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, dashes=(4, 3))
    shown = calibration["after"] or calibration["before"]
    if calibration["after"]:
        bins = calibration["before"]["reliability"]
        axes.plot(
            [b["confidence"] for b in bins],
            [b["accuracy"] for b in bins],
            color=MUTED,
            marker="o",
            markersize=4,
            linewidth=1,
            label="before temperature scaling",
        )
    bins = shown["reliability"]
    confidence = np.array([b["confidence"] for b in bins])
    accuracy = np.array([b["accuracy"] for b in bins])
    low, high = proportion_interval([b["hits"] for b in bins], [b["photos"] for b in bins])
    axes.errorbar(
        confidence,
        accuracy,
        # An interval holds its share, but for the last bit of a float.
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        color=RIGHT,
        marker="o",
        markersize=5,
        linewidth=1.6,
        elinewidth=1,
        label="after" if calibration["after"] else "as predicted",
    )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), ylabel="share that is right")
    # Bins of few photos have long intervals, and lie at the left.
    axes.legend(loc="lower right", frameon=False, fontsize=_FONT, labelcolor=INK)
    axes.tick_params(labelbottom=False)
    below.bar(
        [b["low"] for b in bins],
        [b["photos"] for b in bins],
        width=[b["high"] - b["low"] for b in bins],
        align="edge",
        color=RIGHT,
        alpha=0.55,
        linewidth=0,
    )
    below.set_yscale("log")
    below.set(xlim=(0, 1.01), ylim=(0.7, None), ylabel="photos", xlabel="probability given")
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    below.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis, below.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def automation_figure(automation: dict) -> Figure:
    """Draw the error among accepted photos against the share accepted.

    `automation` is of `insight.automation`. The band is the exact 95% interval of each point by
    itself; the dot is the threshold chosen on validation, with what it does here.
    """
    figure, (axes,) = _axes()
    curve, target, check = automation["curve"], automation["target_error"], automation["check"]
    coverage, error = np.array(curve["coverage"]), np.array(curve["error"])
    low, high = proportion_interval(curve["wrong"], curve["accepted"])
    top = 1.25 * max(error[-1], 1.5 * target, check["high"] or 0 if check else 0)
    axes.fill_between(coverage, low, high, color=RIGHT, alpha=0.16, linewidth=0)
    axes.plot(coverage, error, color=RIGHT, linewidth=1.8)
    axes.axhline(target, color=MUTED, linewidth=1, dashes=(4, 3))
    # At the right, where the curve is far above, unless the dot is there; below the line unless the
    # axis is near.
    right = not (check and check["coverage"] > 0.75)
    above = not right or target < 0.1 * top
    axes.annotate(
        f"target {100 * target:.4g}%",
        (1 if right else 0.3, target),
        xytext=(-2, 4 if above else -4),
        textcoords="offset points",
        ha="right",
        va="bottom" if above else "top",
        color=MUTED,
        fontsize=_FONT,
    )
    if check and check["accepted"]:
        axes.errorbar(
            [check["coverage"]],
            [check["error"]],
            yerr=[[check["error"] - check["low"]], [check["high"] - check["error"]]],
            color=INK,
            marker="o",
            markersize=7,
            elinewidth=1.4,
            capsize=3,
            zorder=5,
        )
        on_the_right = check["coverage"] > 0.5
        axes.annotate(
            f"{check['coverage']:.1%} accepted,\n{check['error']:.2%} of them wrong",
            (check["coverage"], check["high"]),
            xytext=(-10 if on_the_right else 10, 14),
            textcoords="offset points",
            ha="right" if on_the_right else "left",
            color=INK,
            fontsize=_FONT,
            linespacing=1.35,
        )
    axes.set(
        xlim=(0, 1.005),
        ylim=(0, top),
        xlabel="share of photos tagged without a person",
        ylabel="share of those that is wrong",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
    return figure


def long_tail_figure(per_class: Sequence[dict]) -> Figure:
    """Draw each class's F1 against its training photos; a dot's area grows with its support.

    `per_class` is of an evaluation. Classes that the split has no photo of are left out.
    """
    figure, (axes,) = _axes(size=(11, 4.8))
    rows = [row for row in per_class if row["support"]]
    # A class that was never seen in training has no place on a logarithmic axis: half a photo.
    trained = np.array([max(row["train_support"], 0.5) for row in rows], float)
    f1 = np.array([row["f1"] for row in rows])
    support = np.array([row["support"] for row in rows], float)
    axes.set_xscale("log")
    area = 14 + 9 * np.sqrt(support)
    axes.scatter(trained, f1, s=area, color=RIGHT, alpha=0.55, linewidth=0, clip_on=False)
    axes.set(
        xlim=(min(trained.min(initial=10) * 0.7, 5), max(trained.max(initial=10) * 1.5, 100)),
        ylim=(-0.03, 1.03),
        xlabel="training photos of the class",
        ylabel="F1",
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.minorticks_off()
    _name_classes(axes, rows, trained, f1, area)
    return figure


def _name_classes(axes, rows, x, y, area):
    """Write the worst classes' names beside their dots, where there is room."""
    figure = axes.figure
    figure.canvas.draw()  # only then is it known where a point lies
    renderer = figure.canvas.get_renderer()
    points = axes.transData.transform(np.column_stack([x, y]))
    radius = np.sqrt(area / np.pi) * figure.dpi / 72
    taken = [
        Bbox.from_extents(px - r, py - r, px + r, py + r)
        for (px, py), r in zip(points, radius, strict=True)
    ]
    frame, named = axes.bbox, 0
    for index in np.argsort(y, kind="stable"):
        if named == _NAMED or y[index] == 1:
            break
        for text in _placings(
            axes, short_name(rows[index]["class"]), (x[index], y[index]), radius[index]
        ):
            box = text.get_window_extent(renderer)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and box.y1 < frame.y1
            if inside and not box.count_overlaps(taken):
                taken.append(box)
                named += 1
                break
            text.remove()


def _placings(axes, name, point, radius):
    """Yield a name at a dot's right, its left and upright above it."""
    gap = (radius + 3) * 72 / axes.figure.dpi
    beside = {"va": "center_baseline", "xytext": (gap, 0), "ha": "left"}
    above = {"va": "bottom", "xytext": (0, gap), "ha": "center", "rotation": 90}
    # In the row at the bottom, dots stand close to each other and there is room above.
    order = (
        (above,) if point[1] < 0.02 else (beside, {**beside, "xytext": (-gap, 0), "ha": "right"})
    )
    for placing in order:
        yield axes.annotate(
            name,
            point,
            textcoords="offset points",
            fontsize=_FONT - 1,
            color=INK,
            parse_math=False,
            **placing,
        )


def _axes(size=_SIZE, heights=(1,)):
    figure = Figure(figsize=size, dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one in axes:
        one.patch.set_visible(False)
        one.grid(color=LINE, linewidth=0.6)
        one.set_axisbelow(True)
        # Apart, so that the zeros of both axes do not touch.
        one.tick_params(colors=MUTED, labelsize=_FONT, length=0, pad=7, which="both")
        one.xaxis.label.set(color=INK, fontsize=_FONT + 0.5)
        one.yaxis.label.set(color=INK, fontsize=_FONT + 0.5)
        for side, spine in one.spines.items():
            spine.set(color=LINE, visible=side in ("left", "bottom"))
    return figure, axes
