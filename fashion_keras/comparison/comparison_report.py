"""A comparison in; its figures, a Markdown table for a README and one of classes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fashion_keras.comparison.runs import COMPARED, StoredRun
from fashion_keras.evaluation.plots import short_name
from fashion_keras.text import as_markdown

_PANELS = (
    ("val_macro_f1", "validation macro-F1"),
    ("val_accuracy", "validation accuracy"),
    ("loss", "training loss (all heads)"),
)
_BEST = "val_macro_f1"
_SHOWN_CLASSES, _DRAWN_CLASSES = 10, 20  # in the table, in the figure


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
        axes.locator_params(axis="x", integer=True)
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


def differences_figure(result: dict) -> Figure:
    """Draw the classes that changed most between the first two configs, photos won and lost."""
    row = result["differences"][0]
    changed = [one for one in row["classes"] if one["won"] or one["lost"]]
    changed.sort(key=lambda one: (-(one["won"] + one["lost"]), one["class"]))
    changed = changed[:_DRAWN_CLASSES][::-1]
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
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel(f"photos that only {row['a']} (left) or only {row['b']} (right) has right")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(f"{row['b']} against {row['a']}: the classes that changed", fontsize=11)
    figure.tight_layout()
    return figure


def markdown(result: dict) -> str:
    """Lay out every config's scores and its difference to the first one, as Markdown.

    `result` is what `compare_runs` returned. Below the table: each further pair, and the classes
    that changed most in the first difference.
    """
    percent = f"{result['interval']['confidence']:.0%}"
    result = _named_in_markdown(result)
    first = result["groups"][0]["name"]
    vs_first = {row["b"]: row for row in result["differences"] if row["a"] == first}
    rows = [
        [
            "run",
            *(f"{metric.name} [{percent}]" for metric in COMPARED),
            *(f"Δ {metric.name} [{percent}]" for metric in COMPARED),
            "McNemar p",
        ]
    ]
    for group in result["groups"]:
        change = vs_first.get(group["name"])
        rows.append(
            [
                _name(group),
                *(_score(group[metric.key]) for metric in COMPARED),
                *(_change(change[metric.key]) if change else "–" for metric in COMPARED),
                _p(change["mcnemar"]) if change else "–",
            ]
        )
    against = f"Δ against {first}, paired bootstrap" if vs_first else "bootstrap"
    head = (
        f"{result['label']}, split {result['split']}, the same {result['num_examples']:,} photos; "
        f"{against} of {result['interval']['resamples']:,} resamples:"
    )
    parts = [head, _table(rows)]
    others = [row for row in result["differences"] if row["a"] != first]
    if others:
        parts.append("\n".join(f"- {_sentence(row)}" for row in others))
    for row in vs_first.values():
        parts.append(_classes(row))
    return "\n\n".join(parts) + "\n"


def _named_in_markdown(result):
    """Return the result with every name of a run, a label or a class as Markdown shows it."""
    return result | {
        "label": as_markdown(result["label"]),
        "groups": [group | {"name": as_markdown(group["name"])} for group in result["groups"]],
        "differences": [
            row
            | {
                "a": as_markdown(row["a"]),
                "b": as_markdown(row["b"]),
                "classes": [one | {"class": as_markdown(one["class"])} for one in row["classes"]],
            }
            for row in result["differences"]
        ],
    }


def _name(group):
    count = len(group["runs"])
    return group["name"] + (f" ({count} seeds)" if count > 1 else "")


def _score(score):
    spread = "" if score["sd"] is None else f" ± {score['sd']:.4f}"
    return f"{score['value']:.4f}{spread} [{score['low']:.4f}, {score['high']:.4f}]"


def _change(score):
    return f"{score['value']:+.4f} [{score['low']:+.4f}, {score['high']:+.4f}]"


def _p(test):
    if test is None:
        return "–"
    p = "< 0.0001" if test["p"] < 1e-4 else f"{test['p']:.4f}"
    return f"{p} ({test['only_b']} won, {test['only_a']} lost)"


def _sentence(row):
    changes = ", ".join(f"{metric.name} {_change(row[metric.key])}" for metric in COMPARED)
    return f"{row['b']} against {row['a']}: {changes}, McNemar p {_p(row['mcnemar'])}"


def _classes(row):
    changed = [one for one in row["classes"] if one["won"] or one["lost"]]
    changed.sort(key=lambda one: (-abs(one["won"] - one["lost"]), one["class"]))
    if not changed:
        return f"{row['b']} and {row['a']} have the same photos right."
    rows = [["class", "photos", f"F1 {row['a']}", f"F1 {row['b']}", "won", "lost"]]
    rows += [
        [
            one["class"],
            f"{one['support']:,}",
            f"{one['f1_a']:.3f}",
            f"{one['f1_b']:.3f}",
            f"{one['won']:g}" if one["won"] == int(one["won"]) else f"{one['won']:.1f}",
            f"{one['lost']:g}" if one["lost"] == int(one["lost"]) else f"{one['lost']:.1f}",
        ]
        for one in changed[:_SHOWN_CLASSES]
    ]
    return (
        f"Classes that changed most, {row['b']} against {row['a']} (won: only the former has the "
        f"photo right):\n\n{_table(rows)}"
    )


def _table(rows):
    """Return Markdown: the first column to the left, the others to the right."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]])
