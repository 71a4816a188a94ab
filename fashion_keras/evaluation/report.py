"""A run, its records and its evaluation in; the report's numbers and files out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.evaluation import curves
from fashion_keras.evaluation.examples import largest_confusions, sure_mistakes, unsure_hits
from fashion_keras.evaluation.files import (
    AUTOMATION_PICTURE,
    NORMALISED_PICTURE,
    PARQUET_FILE,
    RELIABILITY_PICTURE,
    REPORT_FILE,
    TAIL_PICTURE,
)
from fashion_keras.evaluation.insight import insights
from fashion_keras.evaluation.occlusion import occlusion_maps
from fashion_keras.evaluation.page import render_page
from fashion_keras.evaluation.parquet import predictions_parquet
from fashion_keras.evaluation.photos import load_photos
from fashion_keras.evaluation.plots import confusion_matrix_figure, figure_to_png
from fashion_keras.evaluation.predictions import Predictions, predict
from fashion_keras.evaluation.svg import figure_to_svg
from fashion_keras.evaluation.thumbnails import HEIGHT, thumbnail
from fashion_keras.features import embed
from fashion_keras.progress import Terminal
from fashion_keras.run import Run

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
    progress: bool = False,
) -> tuple[dict, dict[str, bytes]]:
    """Look behind an evaluation's scores and show what is there.

    Validation is predicted too where the run has no temperature and threshold of its own.

    Args:
        result: what `evaluate_run` returned, with `predictions`.
        target_error: of the automation; None takes the run's own, or 0.01.
        with_embeddings: add the model's features to the Parquet table.
        progress: say on stderr what is being done.

    Returns:
        The result with `insight.insights` added, and the contents of each further file by name.
    """
    say = _speaker(progress)
    label, classes = run.label, run.labels[run.label]
    validation = None
    if needs_validation(run, records, predictions.split, target_error):
        say("predicting validation, for temperature and threshold")
        validation = predict(run, records, "validation", batch_size=batch_size, progress=progress)
    elif predictions.split == "validation":
        validation = predictions
    say("calibration, automation, confusions")
    result = insights(predictions, validation, result, run.decision, target_error)

    say("photos, and what the model goes by on them")
    photos = _gather(run, records, predictions)
    say("pictures")
    figures, pictures, frame = _draw(result, classes)
    page = render_page(
        result,
        title=_title(run),
        figures=figures,
        matrix_frame=frame,
        **photos,
    )
    embeddings = None
    if with_embeddings:
        say("features of every photo")
        with Terminal() as bar:
            embeddings = embed(
                run,
                records,
                [predictions.split],
                batch_size=batch_size,
                progress=bar.update if progress else None,
            ).values
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
    if decision is None or decision.label != run.label or run.label not in decision.temperature:
        return True
    accept = decision.accept
    return accept is None or target_error not in (None, accept.target_error)


def _gather(run, records, predictions) -> dict:
    """Return the page's photos: `confusions`, `mistakes` and `hits`."""
    label, classes = run.label, run.labels[run.label]
    pairs = largest_confusions(predictions, label)
    mistakes = sure_mistakes(predictions, label, GALLERY)
    hits = unsure_hits(predictions, label, GALLERY)
    explained = np.concatenate([mistakes, hits])
    rows = np.unique(np.concatenate([explained, *(pair.rows for pair in pairs)]).astype(int))
    pixels = load_photos(run, records, predictions.split, [predictions.ids[row] for row in rows])
    said = predictions.prediction(label)
    probability = predictions.probabilities(label).max(axis=1)
    images = np.stack([pixels[predictions.ids[row]] for row in explained])
    # The model before its decision: with mirror images the predictor would take twice as long.
    maps = occlusion_maps(run.model, label, images, said[explained])
    heat = dict(zip(explained.tolist(), maps, strict=True))
    width = round(HEIGHT * run.image_size[1] / run.image_size[0])

    def item(row):
        photo, where = pixels[predictions.ids[row]], heat.get(row)
        return {
            "id": predictions.ids[row],
            "truth": classes[predictions.truth[label][row]],
            "prediction": classes[said[row]],
            "probability": float(probability[row]),
            "photo": thumbnail(photo),
            "heat": None if where is None or not where.any() else thumbnail(photo, where),
            "width": width,
            "height": HEIGHT,
        }

    return {
        "confusions": [
            {
                "truth": classes[pair.truth],
                "prediction": classes[pair.prediction],
                "count": pair.count,
                "share": pair.share,
                "photos": [item(row) for row in pair.rows.tolist()],
            }
            for pair in pairs
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


def _speaker(progress):
    def say(what):
        if progress:
            print(f"report: {what}", file=sys.stderr, flush=True)

    return say
