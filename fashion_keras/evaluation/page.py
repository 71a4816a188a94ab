"""A report's numbers, figures and photos in, one self-contained HTML page out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fashion_keras.evaluation.plots import occurring_classes
from fashion_keras.text import command

_TEMPLATES = files(__package__) / "templates"
_TILES = (
    ("accuracy", "Accuracy", "photos whose class is right"),
    ("top_3_accuracy", "Top-3 accuracy", "the right class is among three"),
    ("macro_f1", "Macro-F1", "mean over the {present} classes that occur"),
    ("macro_f1_all", "Macro-F1, all", "over all {all} classes, absent ones 0"),
    ("weighted_f1", "Weighted F1", "mean weighted by photos"),
)


def render_page(
    result: Mapping,
    *,
    title: str,
    figures: Mapping[str, str],
    matrix_frame: tuple[float, float, float, float],
    confusions: Sequence[Mapping],
    mistakes: Sequence[Mapping],
    hits: Sequence[Mapping],
) -> str:
    """Return the report's HTML; every name in it is escaped.

    Args:
        result: of `insight.insights`.
        title: what was evaluated.
        figures: SVG by name: `automation`, `reliability`, `shares`, `counts`, and `long_tail`
            where training photos were counted.
        matrix_frame: left, top, width and height of the cells, as shares of the matrix's figure.
        confusions: `result["confusions"]`, each with its `photos`.
        mistakes: photos, dicts of `id`, `truth`, `prediction`, `probability`, `photo` and `heat`
            (data URIs, `heat` may be None), `width` and `height` in pixels.
        hits: the same.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_read("report.html.j2"))
    counted = result["per_class"][0]["train_support"] is not None
    return template.render(
        result=result,
        title=title,
        css=Markup(_read("report.css")),
        script=Markup(_read("report.js")),
        figures={name: Markup(svg) for name, svg in figures.items()},
        sections=_sections(counted),
        tiles=_tiles(result),
        outside=any(
            not result[key]["low"] <= result[key]["value"] <= result[key]["high"]
            for key, _, _ in _TILES
        ),
        needed=_photos_needed(result["automation"]),
        columns=_columns(counted, result["automation"]["check"] is not None),
        classes=_classes(result),
        absent=[r["class"] for r in result["per_class"] if not (r["support"] or r["predicted"])],
        confusions=confusions,
        mistakes=mistakes,
        hits=hits,
        origin=_origin(result),
        matrix_data=_matrix_data(result["confusion_matrix"], matrix_frame),
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _sections(counted):
    return [
        ("scores", "Scores"),
        ("automation", "What needs no person"),
        ("classes", "Classes"),
        *([("tail", "The long tail")] if counted else []),
        ("confusions", "Confusions"),
        ("mistakes", "Surest mistakes"),
        ("hits", "Least sure hits"),
        ("calibration", "Calibration"),
        ("method", "Method"),
    ]


def _tiles(result):
    numbers = {"present": result["num_classes_present"], "all": result["num_classes"]}
    return [
        {"name": name, "note": note.format(**numbers), "score": result[key]}
        for key, name, note in _TILES
        if key != "top_3_accuracy" or result["num_classes"] > 3
    ]


def _photos_needed(automation):
    """Return how many photos without a mistake bound the error by the target."""
    return int(np.ceil(np.log(1 - automation["certainty"]) / np.log1p(-automation["target_error"])))


def _columns(counted, checked):
    names = ["photos", "F1", *(["trained on"] if counted else []), "precision", "recall"]
    names += ["accepted", "wrong"] if checked else []
    return [("class", False), *((name, True) for name in names)]


def _classes(result):
    checks = result["automation"]["per_class"] or [None] * len(result["per_class"])
    rows = [
        {**row, "check": check}
        for row, check in zip(result["per_class"], checks, strict=True)
        if row["support"] or row["predicted"]
    ]
    return sorted(rows, key=lambda row: (-row["support"], row["class"]))


def _origin(result):
    """Return what was evaluated on what, as pairs of text."""
    source, split = result.get("records_source") or {}, result.get("records_split") or {}
    known = [
        ("Model", result.get("model")),
        ("Architecture", result.get("arch")),
        ("Photo size", "{} × {} pixels".format(*result["image_size"][::-1])),
        ("Records", result.get("records")),
        ("Catalogue", source.get("name")),
        ("Split made by", split.get("strategy")),
        ("Command", _command(result)),
    ]
    return [(name, str(value)) for name, value in known if value]


def _command(result):
    model, records = result["model"], result["records"]
    of = ("--model", model, "--data", records, "--split", result["split"])
    return command("evaluate", *of, "--label", result["label"], "--report", "DIR")


def _matrix_data(matrix, frame):
    counts = np.array(matrix["counts"])
    shown = occurring_classes(counts)
    counts = counts[np.ix_(shown, shown)]
    left, top, width, height = (round(float(value), 6) for value in frame)
    return {
        "classes": [matrix["classes"][index] for index in shown],
        "cells": [[*map(int, cell), int(counts[tuple(cell)])] for cell in np.argwhere(counts)],
        "left": left,
        "top": top,
        "width": width,
        "height": height,
    }
