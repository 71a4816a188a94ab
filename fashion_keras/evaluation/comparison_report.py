"""A comparison's dict in, a Markdown table for a README and one of classes out."""

from __future__ import annotations

from fashion_keras.text import as_markdown

SHOWN_CLASSES = 10


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
            f"accuracy [{percent}]",
            f"macro-F1 [{percent}]",
            f"Δ accuracy [{percent}]",
            f"Δ macro-F1 [{percent}]",
            "McNemar p",
        ]
    ]
    for group in result["groups"]:
        change = vs_first.get(group["name"])
        rows.append(
            [
                _name(group),
                _score(group["accuracy"]),
                _score(group["macro_f1"]),
                _change(change["accuracy"]) if change else "–",
                _change(change["macro_f1"]) if change else "–",
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
    return (
        f"{row['b']} against {row['a']}: accuracy {_change(row['accuracy'])}, macro-F1 "
        f"{_change(row['macro_f1'])}, McNemar p {_p(row['mcnemar'])}"
    )


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
        for one in changed[:SHOWN_CLASSES]
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
