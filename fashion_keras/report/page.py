"""A run, its records and its evaluation in; one self-contained HTML page, and its files, out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.evaluation.files import (
    AUTOMATION_PICTURE,
    NORMALISED_PICTURE,
    PARQUET_FILE,
    RELIABILITY_PICTURE,
    REPORT_FILE,
    TAIL_PICTURE,
)
from fashion_keras.evaluation.plots import (
    confusion_matrix_figure,
    figure_to_png,
    figure_to_svg,
    occurring_classes,
)
from fashion_keras.evaluation.predictions import Predictions, predict, predictions_parquet
from fashion_keras.features import embed
from fashion_keras.metrics import METRICS
from fashion_keras.progress import Reporter, reporter
from fashion_keras.report import curves
from fashion_keras.report.examples import (
    HEIGHT,
    largest_confusions,
    load_photos,
    occlusion_maps,
    sure_mistakes,
    thumbnail,
    unsure_hits,
)
from fashion_keras.report.insight import insights
from fashion_keras.run import Run
from fashion_keras.text import command, templates

_TEMPLATES = files(__package__) / "templates"
_TOP_3 = ("top_3_accuracy", "Top-3 accuracy", "the right class is among three")


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
        figures: SVG by name: `automation`, `reliability`, `shares`, `counts`, `long_tail` where
            training photos were counted, and `automation of <label>` for each other label.
        matrix_frame: left, top, width and height of the cells, as shares of the matrix's figure.
        confusions: `result["confusions"]`, each with its `photos`.
        mistakes: photos, dicts of `id`, `truth`, `prediction`, `probability`, `photo` and `heat`
            (data URIs, `heat` may be None), `width` and `height` in pixels.
        hits: the same.
    """
    template = templates(__package__).get_template("report.html.j2")
    counted = result["per_class"][0]["train_support"] is not None
    tiles, further = _tiles(result), _further(result["heads"])
    automation = result["automation"]
    # So many photos without a mistake bound the error by the target.
    needed = np.log(1 - automation["certainty"]) / np.log1p(-automation["target_error"])
    return template.render(
        result=result,
        title=title,
        css=Markup(_read("report.css")),
        script=Markup(_read("report.js")),
        figures={name: Markup(svg) for name, svg in figures.items()},
        sections=_sections(counted, bool(further)),
        tiles=tiles,
        outside=any(
            not tile["score"]["low"] <= tile["score"]["value"] <= tile["score"]["high"]
            for tile in tiles
        ),
        metrics=METRICS,
        needed=int(np.ceil(needed)),
        classes=_classes(result),
        further=further,
        confusions=confusions,
        mistakes=mistakes,
        hits=hits,
        origin=_origin(result),
        matrix_data=_matrix_data(result["confusion_matrix"], matrix_frame),
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _sections(counted, several):
    return [
        ("scores", "Scores"),
        ("automation", "What needs no person"),
        ("classes", "Classes"),
        *([("tail", "The long tail")] if counted else []),
        *([("labels", "Other labels")] if several else []),
        ("confusions", "Confusions"),
        ("mistakes", "Surest mistakes"),
        ("hits", "Least sure hits"),
        ("calibration", "Calibration"),
        ("method", "Method"),
    ]


def _tiles(result):
    numbers = {"present": result["num_classes_present"], "all": result["num_classes"]}
    rows = [(m.key, m.name[0].upper() + m.name[1:], m.note) for m in METRICS]
    if result["num_classes"] > 3:
        rows.insert(1, _TOP_3)
    return [
        {"name": name, "note": note.format(**numbers), "score": result[key]}
        for key, name, note in rows
    ]


def _classes(scored):
    """Return a label's table of classes: its columns, its rows, and the classes without one."""
    per_class, automation = scored["per_class"], scored["automation"]
    checks = automation["per_class"] or [None] * len(per_class)
    rows = [
        {**row, "check": check}
        for row, check in zip(per_class, checks, strict=True)
        if row["support"] or row["predicted"]
    ]
    counted = ["trained on"] if per_class[0]["train_support"] is not None else []
    checked = ["accepted", "wrong"] if automation["check"] is not None else []
    numbers = ["photos", "F1", *counted, "precision", "recall", *checked]
    return {
        "columns": [("class", False), *((name, True) for name in numbers)],
        "rows": sorted(rows, key=lambda row: (-row["support"], row["class"])),
        "absent": [r["class"] for r in per_class if not (r["support"] or r["predicted"])],
    }


def _automation_of(label):
    return f"automation of {label}"


def _further(heads):
    """Return the other labels that the split has, with what the page shows of each."""
    return [
        {
            "name": name,
            "scores": head,
            "figure": _automation_of(name),
            "classes": _classes(head),
        }
        for name, head in heads.items()
        if head["num_examples"]
    ]


def _origin(result):
    """Return what was evaluated on what, as pairs of text."""
    source, split = result.get("records_source") or {}, result.get("records_split") or {}
    of = ("--model", result["model"], "--data", result["records"], "--split", result["split"])
    known = [
        ("Model", result.get("model")),
        ("Architecture", result.get("arch")),
        ("Photo size", "{} × {} pixels".format(*result["image_size"][::-1])),
        ("Records", result.get("records")),
        ("Catalogue", source.get("name")),
        ("Split made by", split.get("strategy")),
        ("Command", command("evaluate", *of, "--label", result["label"], "--report", "DIR")),
    ]
    return [(name, str(value)) for name, value in known if value]


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


GALLERY = 24


def make_report(
    run: Run,
    records: str | os.PathLike,
    result: dict,
    predictions: Predictions,
    *,
    target_error: float | None = None,
    with_embeddings: bool = False,
    batch_size: int = 256,
    progress: bool | Reporter = False,
) -> tuple[dict, dict[str, bytes]]:
    """Look behind an evaluation's scores and show what is there.

    Validation is predicted too where the run has no temperature and threshold of its own.

    Args:
        result: what `evaluate_run` returned, with `predictions`.
        target_error: of the automation; None takes the run's own, or 0.01.
        with_embeddings: add the model's features to the Parquet table.
        progress: False for no bars, or a `Reporter`.

    Returns:
        The result with `insight.insights` added, and the contents of each further file by name.
    """
    report_to = reporter(progress)

    def say(what):
        report_to.note(f"report: {what}")

    label, classes = run.label, run.labels[run.label]
    validation = None
    if needs_validation(run, records, predictions.split, target_error):
        say("predicting validation, for temperature and threshold")
        validation = predict(
            run, records, "validation", batch_size=batch_size, progress=report_to.bars
        )
    elif predictions.split == "validation":
        validation = predictions
    say("calibration, automation, confusions")
    result = insights(predictions, validation, result, run.decision, target_error)

    say("photos, and what the model goes by on them")
    photos = _gather(run, records, predictions, result["confusions"])
    say("pictures")
    figures, pictures, frame = _draw(result, classes)
    page = render_page(result, title=_title(run), figures=figures, matrix_frame=frame, **photos)
    embeddings = None
    if with_embeddings:
        say("features of every photo")
        options: dict[str, Any] = {"batch_size": batch_size, "progress": report_to.update}
        with report_to:
            embeddings = embed(run, records, [predictions.split], **options).values
    table = predictions_parquet(predictions, label, classes, embeddings)
    return result, {REPORT_FILE: page.encode(), PARQUET_FILE: table, **pictures}


def needs_validation(
    run: Run, records: str | os.PathLike, split: str, target_error: float | None
) -> bool:
    """Say whether a report on `split` has to predict validation as well."""
    part = DatasetInfo.load(records).splits.get("validation")
    if split == "validation" or part is None or not part.num_examples:
        return False
    decision = run.decision
    if decision is None or run.label not in decision.temperature:
        return True
    accept = decision.accept.get(run.label)
    return accept is None or target_error not in (None, accept.target_error)


def _gather(run, records, predictions, confusions) -> dict:
    """Return the page's photos: `confusions`, `mistakes` and `hits`."""
    label, classes = run.label, run.labels[run.label]
    pairs = largest_confusions(predictions, label)
    mistakes = sure_mistakes(predictions, label, GALLERY)
    hits = unsure_hits(predictions, label, GALLERY)
    explained = np.concatenate([mistakes, hits])
    rows = np.unique(np.concatenate([explained, *(pair.rows for pair in pairs)]).astype(int))
    pixels = load_photos(run, records, predictions.split, [predictions.ids[row] for row in rows])
    said = predictions.prediction(label)
    table = predictions.table(label, classes).to_dict("records")
    images = np.stack([pixels[predictions.ids[row]] for row in explained])
    # The model before its decision: with mirror images the predictor would take twice as long.
    maps = occlusion_maps(run.model, label, images, said[explained])
    heat = dict(zip(explained.tolist(), maps, strict=True))
    width = round(HEIGHT * run.image_size[1] / run.image_size[0])

    def item(row):
        photo, where = pixels[predictions.ids[row]], heat.get(row)
        return {
            **table[row],
            "photo": thumbnail(photo),
            "heat": None if where is None or not where.any() else thumbnail(photo, where),
            "width": width,
            "height": HEIGHT,
        }

    return {
        "confusions": [
            {**found, "photos": [item(row) for row in pair.rows.tolist()]}
            for found, pair in zip(confusions, pairs, strict=True)
        ],
        "mistakes": [item(row) for row in mistakes.tolist()],
        "hits": [item(row) for row in hits.tolist()],
    }


def _draw(result: Mapping, classes: Sequence[str]):
    """Return SVGs for the page, PNG files, and where the matrix's cells lie in its figure."""
    counts = result["confusion_matrix"]["counts"]
    label, split = result["label"], result["split"]
    shares, absolute = (
        confusion_matrix_figure(counts, classes, title="", shows=shows)
        for shows in ("shares", "counts")
    )
    curve = {
        "reliability": curves.reliability_figure(result["calibration"]),
        "automation": curves.automation_figure(result["automation"]),
    }
    if result["long_tail"] is not None:
        curve["long_tail"] = curves.long_tail_figure(result["per_class"])
    described = {
        "shares": f"Confusion matrix of {label}, in percent of each true class",
        "counts": f"Confusion matrix of {label}, in photos",
        "reliability": "How often the model is right against how sure it is",
        "automation": "Error among accepted photos against the share accepted",
        "long_tail": "F1 of each class against its training photos",
    }
    figures = {
        name: figure_to_svg(figure, name.replace("_", "-"), described[name])
        for name, figure in {"shares": shares, "counts": absolute, **curve}.items()
    }
    for number, (name, head) in enumerate(result["heads"].items()):
        if head["num_examples"]:
            figure = curves.automation_figure(head["automation"])
            what = f"{described['automation']}, {name}"
            figures[_automation_of(name)] = figure_to_svg(figure, f"automation-{number}", what)
    names = {
        "reliability": RELIABILITY_PICTURE,
        "automation": AUTOMATION_PICTURE,
        "long_tail": TAIL_PICTURE,
    }
    pictures = {names[name]: figure_to_png(figure) for name, figure in curve.items()}
    title = f"{label} of split {split}, in percent of each true class"
    pictures[NORMALISED_PICTURE] = figure_to_png(
        confusion_matrix_figure(counts, classes, title=title, shows="shares")
    )
    place = shares.axes[0].get_position()
    return figures, pictures, (place.x0, 1 - place.y1, place.width, place.height)


def _title(run: Run) -> str:
    path = Path(run.path).resolve()
    return path.name if path.is_dir() else path.parent.name + "/" + path.name
