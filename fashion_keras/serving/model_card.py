"""A `Run` and what its folder holds in; the model card of its SavedModel, Markdown, out.

Its words are in `templates/model_card.md.j2`.

The front matter is what model hubs read: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import fashion_keras
from fashion_keras.errors import UserError
from fashion_keras.metrics import METRICS
from fashion_keras.run import (
    BEST_MODEL_FILE,
    DECISION_FILE,
    EVALUATION_FILE,
    Run,
    load_records,
)
from fashion_keras.serving.served_photo import MAX_PIXELS
from fashion_keras.stored_scores import is_whole, read_evaluation
from fashion_keras.text import as_code, as_markdown, templates

CARD_FILE = "README.md"
_FEW = 20  # training photos; below that a class's scores are luck
# Where evaluations of a split lie in a run's folder, the best account of the model first.
_EVALUATIONS = ("evaluation-test", "evaluation-validation", ".")


def find_evaluation(folder: Path, label: str, model: str | None) -> dict | None:
    """Return the evaluation of a run's headline `label`: test before validation.

    `model` is the sha256 of the run's model; an evaluation of another one is none of this run's.
    """
    for place in _EVALUATIONS:
        path = folder / place / EVALUATION_FILE
        try:
            found = read_evaluation(path)
        except UserError:  # missing or damaged: a card says less then, and no export fails for it
            continue
        if is_whole(found) and found["label"] == label:
            of = found.get("made_from", {}).get(BEST_MODEL_FILE, model)
            if of == model:
                return found
    return None


def render(template: str, **values: object) -> str:
    """Return a card; the filters make harmless what comes from outside."""
    environment = templates(__package__, autoescape=False, keep_trailing_newline=True)
    environment.filters |= {
        "md": as_markdown,
        "code": as_code,
        "cell": lambda text: text.replace("|", "\\|").replace("\n", " "),
        "thousands": "{:,}".format,
        "numbers": _numbers,
        "mixes": _mixes,
        "agreements": _agreements,
        "photo_shares": _photo_shares,
    }
    return environment.get_template(template).render(version=fashion_keras.__version__, **values)


def model_card(run: Run, name: str, signatures: Sequence[str]) -> str:
    """Return the card of `run`'s model, served as `name` with the signatures named."""
    folder = run.path if run.path.is_dir() else run.path.parent
    made_from = run.fingerprints()
    scores = find_evaluation(folder, run.label, made_from.get(BEST_MODEL_FILE)) or {}
    source, split = _data(folder, scores)
    decided = {"": "photo", "with_title": "both", "title_only": "title"}
    decisions = {heading: run.decision_for(sees) for heading, sees in decided.items()}
    counted = [row for row in scores.get("per_class", ()) if row["train_support"] is not None]
    height, width = run.image_size
    return render(
        "model_card.md.j2",
        run=run,
        name=name,
        name_in_url=urllib.parse.quote(name, safe=""),
        front_matter=_front_matter(run, name, source, scores),
        height=height,
        width=width,
        signatures=signatures,
        megapixels={kind: pixels // 1_000_000 for kind, pixels in MAX_PIXELS.items()},
        kaggle=_is_kaggle(source),
        source=source,
        split=", ".join(f"{key} {value}" for key, value in split.items()),
        scores=scores,
        scored_otherwise=made_from.get(DECISION_FILE)
        != scores.get("made_from", {}).get(DECISION_FILE),
        others={k: head for k, head in scores.get("heads", {}).items() if head["num_examples"]},
        metrics=METRICS,
        decisions={k: found for k, found in decisions.items() if found and run.decision},
        few=_FEW,
        rare=[row["class"] for row in counted if row["train_support"] < _FEW],
    )


def _data(folder, scores):
    try:
        records = load_records(folder)
    except UserError:  # as in `find_evaluation`
        records = None
    source = (records and records.source) or scores.get("records_source") or {}
    split = (records and records.split) or scores.get("records_split") or {}
    return source, split


def _is_kaggle(source):
    return source.get("layout") in ("small", "large")


def _front_matter(run, name, source, evaluation):
    kaggle = _is_kaggle(source)
    data: dict[str, Any] = {
        "language": "en",
        "license": "apache-2.0" if kaggle else "other",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "fashion", "tensorflow", "tf-serving"],
        "metrics": ["accuracy", "f1"],
    }
    if evaluation:
        dataset = {
            "name": "Fashion Product Images" if kaggle else source.get("path", "own catalogue"),
            "type": "fashion-product-images" if kaggle else "own-catalogue",
            "split": evaluation["split"],
        }
        metrics = [
            {
                "type": kind,
                "name": f"{run.label} {name}",
                "value": round(evaluation[key]["value"], 4),
            }
            for key, kind, name in (
                ("accuracy", "accuracy", "accuracy"),
                ("macro_f1", "f1", "macro-F1, classes that occur"),
            )
        ]
        task = {"type": "image-classification"}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        data["model-index"] = [{"name": name, "results": [result]}]
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _numbers(by_label):
    return ", ".join(f"{as_markdown(label)} {value:.3g}" for label, value in by_label.items())


def _agreements(decision):
    return ", ".join(
        f"{' and '.join(map(as_markdown, agreement.labels))} "
        f"({len(agreement.combinations):,} combinations)"
        for agreement in decision.agree
    )


def _mixes(decision):
    return ", ".join(
        f"{as_markdown(mix.finer)} in {as_markdown(head)}" for head, mix in decision.combine.items()
    )


def _photo_shares(decision):
    return {label: w.photo / (w.photo + w.title) for label, w in decision.weights.items()}
