"""Runs' histories and a comparison in, one figure of curves and one of differences out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fashion_keras.evaluation.comparison_runs import StoredRun
from fashion_keras.evaluation.plots import short_name

_PANELS = (
    ("val_macro_f1", "validation macro-F1"),
    ("val_accuracy", "validation accuracy"),
    ("loss", "training loss (all heads)"),
)
_BEST = "val_macro_f1"


def curves_figure(groups: Mapping[str, Sequence[StoredRun]]) -> Figure:
    """Draw validation macro-F1, validation accuracy and training loss over the epochs.

    A line a run, a colour a config, a dot at the epoch with the best validation macro-F1.
    `groups` maps a config's name to its runs; runs without a history are named below.
    """
    figure = Figure(figsize=(13, 4.4), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(_PANELS))
    without = []
    handles = {}
    for number, (name, runs) in enumerate(groups.items()):
        colour = colormaps["tab10"](number % 10)
        for run in runs:
            if not run.history:
                without.append(run.name)
                continue
            best = max(range(len(run.history)), key=lambda i: run.history[i].get(_BEST, 0.0))
            for axes, (key, _) in zip(panels, _PANELS, strict=True):
                points = [(row["epoch"], row[key]) for row in run.history if key in row]
                if not points:
                    continue
                (handles[name],) = axes.plot(
                    *zip(*points, strict=True), color=colour, linewidth=1.5, marker=".", alpha=0.9
                )
                if key in run.history[best]:
                    at = run.history[best]["epoch"], run.history[best][key]
                    axes.plot(*at, "o", color=colour, markersize=7, markeredgecolor="black")
    for axes, (_, title) in zip(panels, _PANELS, strict=True):
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#e5e5e5")
        axes.spines[["top", "right"]].set_visible(False)
    columns = max(1, min(4, len(handles)))
    figure.legend(
        handles.values(), handles.keys(), loc="lower center", ncols=columns, frameon=False
    )
    rows = -(-len(handles) // columns)
    note = "Circle: the epoch with the best validation macro-F1."
    if without:
        note += f" No history.csv: {', '.join(without)}."
    figure.text(0.01, 0.965, note, fontsize=8, color="#555555", parse_math=False)
    figure.tight_layout(rect=(0, 0.03 + 0.055 * max(rows, 1), 1, 0.96))
    return figure


def differences_figure(result: dict, *, most: int = 20) -> Figure:
    """Draw the classes that changed most between the first two configs, photos won and lost."""
    row = result["differences"][0]
    changed = [one for one in row["classes"] if one["won"] or one["lost"]]
    changed.sort(key=lambda one: (-(one["won"] + one["lost"]), one["class"]))
    changed = changed[:most][::-1]
    height = max(2.4, 1.5 + 0.28 * len(changed))
    figure = Figure(figsize=(9, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(changed))
    won = axes.barh(places, [one["won"] for one in changed], color="#2a6fbb", label="won")
    lost = axes.barh(places, [-one["lost"] for one in changed], color="#c0392b", label="lost")
    for bars, key in ((won, "won"), (lost, "lost")):
        axes.bar_label(bars, [f"{one[key]:g}" if one[key] else "" for one in changed], padding=3)
    axes.set_yticks(
        places, [f"{short_name(one['class'])}  ({one['support']:,})" for one in changed]
    )
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a class may be called $5 or $10
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel(f"photos that only {row['a']} (left) or only {row['b']} (right) has right")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(f"{row['b']} against {row['a']}: the classes that changed", fontsize=11)
    figure.tight_layout()
    return figure
