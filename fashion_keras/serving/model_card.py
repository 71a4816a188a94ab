"""A `Run` and what its folder holds in; the model card of its SavedModel, Markdown, out.

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
from fashion_keras.text import as_code, as_markdown

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


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def scores_section(evaluation: dict | None, decision: str | None) -> str:
    """Lay out scores with intervals, by label and by class; or say that there are none.

    `decision` is the sha256 of the run's `decision.json`, if it has one.
    """
    if not evaluation:
        return (
            "## Scores\n\nNot measured when this was written. Measure and export again:\n"
            "`fashion-keras evaluate --model RUN --data RECORDS --split test`."
        )
    notes = []
    if evaluation["split"] != "test":
        notes.append(
            "This split also chose the epoch, so the figures flatter the model; the test split "
            "had not been looked at."
        )
    if decision != evaluation.get("made_from", {}).get(DECISION_FILE):
        notes.append("These scores were taken without the decision below, or with another one.")
    label, split = as_markdown(evaluation["label"]), as_markdown(evaluation["split"])
    confidence = evaluation["interval"]["confidence"]
    headline = table(
        (label, "value", f"{confidence:.0%} interval"),
        [
            (
                metric.title.format(
                    present=evaluation["num_classes_present"], all=evaluation["num_classes"]
                ),
                f"{evaluation[metric.key]['value']:.4f}",
                _interval(evaluation[metric.key]),
            )
            for metric in METRICS
        ],
    )
    parts = [
        f"## Scores, {split} split, {evaluation['num_examples']:,} photos",
        *notes,
        headline,
        f"Intervals: {as_markdown(evaluation['rules']['interval'])}.",
    ]
    others = [
        (
            as_markdown(name),
            f"{head['num_examples']:,}",
            *(_with_interval(head[metric.key]) for metric in METRICS),
        )
        for name, head in evaluation["heads"].items()
        if head["num_examples"]
    ]
    if others:
        parts.append(
            table(("other labels", "photos", *(metric.name for metric in METRICS)), others)
        )
    return "\n\n".join([*parts, _classes(label, evaluation["per_class"])])


def _classes(label, per_class):
    return table(
        (label, "photos", "training photos", "precision", "recall", "F1"),
        [
            (
                as_markdown(row["class"]),
                f"{row['support']:,}",
                "–" if row["train_support"] is None else f"{row['train_support']:,}",
                *(_class_score(row, key) for key in ("precision", "recall", "f1")),
            )
            for row in sorted(per_class, key=lambda row: -row["support"])
        ],
    )


def _interval(score):
    return f"{score['low']:.4f} – {score['high']:.4f}"


def _with_interval(score):
    return f"{score['value']:.4f} [{_interval(score)}]"


def _class_score(row, key):
    return f"{row[key]:.3f}" if row["support"] or row["predicted"] else "–"


def model_card(run: Run, name: str, signatures: Sequence[str]) -> str:
    """Return the card of `run`'s model, served as `name` with the signatures named."""
    folder = run.path if run.path.is_dir() else run.path.parent
    made_from = run.fingerprints()
    evaluation = find_evaluation(folder, run.label, made_from.get(BEST_MODEL_FILE))
    source, split = _data(folder, evaluation)
    parts = [
        _front_matter(run, name, source, evaluation),
        _introduction(run, name),
        _calling(run, name, signatures),
        _data_section(run, source, split),
        scores_section(evaluation, made_from.get(DECISION_FILE)),
        _decision(run),
        _limits(run, source, evaluation),
        _licence(source),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data(folder, evaluation):
    evaluation = evaluation or {}
    try:
        records = load_records(folder)
    except UserError:  # as in `find_evaluation`
        records = None
    source = (records and records.source) or evaluation.get("records_source") or {}
    split = (records and records.split) or evaluation.get("records_split") or {}
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
    return "---\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True) + "---"


def _introduction(run, name):
    height, width = run.image_size
    heads = table(
        ("label", "classes", "outputs"),
        [
            (
                as_markdown(label),
                f"{len(classes)}",
                f"{as_code(f'{prefix}classes')}, {as_code(f'{prefix}scores')}, …",
            )
            for label, classes in run.labels.items()
            for prefix in ("" if label == run.label else f"{label}_",)
        ],
    )
    return (
        f"# {as_markdown(name)}\n\n"
        f"Sorts product photos of a fashion shop: {as_markdown(run.model.name)}, photos brought to "
        f"{height}×{width} ({run.resize}), written by fashion_keras "
        f"{fashion_keras.__version__} as a SavedModel for TF Serving.\n\n{heads}\n\n"
        "The class names are in `assets/labels.json`."
    )


def _calling(run, name, signatures):
    jpeg, png = (MAX_PIXELS[kind] // 1_000_000 for kind in ("JPEG", "PNG"))
    height, width = run.image_size
    rows = {
        "serving_default": (
            "`image_bytes` string [N]",
            "`classes`, `scores` [N, k] best first, `probabilities` [N, C], `valid` [N]",
        ),
        "serve_pixels": (f"`pixels` uint8 [N, {height}, {width}, 3]", "the same"),
        "embed": ("`image_bytes` string [N]", "`embedding` float32 [N, D], length 1, `valid` [N]"),
        "with_title": (
            "`image_bytes`, `title` string [N]",
            "as `serving_default`, by photo and title; an empty title is none",
        ),
        "title_only": ("`title` string [N]", "the same"),
    }
    address = f"http://localhost:8501/v1/models/{urllib.parse.quote(name, safe='')}:predict"
    rows_table = table(
        ("signature", "takes", "returns"), [(f"`{key}`", *rows[key]) for key in signatures]
    )
    return f"""## How to call it

```sh
printf '{{"instances": [{{"b64": "%s"}}]}}' "$(base64 < photo.jpg | tr -d '\\n')" |
  curl -d @- {address}
```

```python
import tensorflow as tf

model = tf.saved_model.load(".")  # in this folder
answer = model.signatures["serving_default"](tf.constant([open("photo.jpg", "rb").read()]))
```

{rows_table}

Photos are JPEG (at most {jpeg} megapixels) or PNG ({png}), of any shape; JPEGs are turned
upright by their EXIF orientation. A photo that cannot be decoded spares the others of its batch:
its `valid` is 0, its class names are empty and its numbers 0. Look at `valid` first."""


def _data_section(run, source, split):
    if not source:
        return "## Data\n\nNot recorded: the model was exported without its run's folder."
    lines = [
        f"- source: {as_code(str(source.get('path')))}"
        + (" (Kaggle, Fashion Product Images by Param Aggarwal)" if _is_kaggle(source) else ""),
        f"- split: {as_markdown(', '.join(f'{key} {value}' for key, value in split.items()))}",
    ]
    if source.get("fingerprint"):
        lines.append(f"- fingerprint of the catalogue: {as_code(str(source['fingerprint'])[:16])}")
    if run.config:
        lines.append(
            f"- weights to begin with: {as_markdown(run.config.model.weights)}; "
            f"epochs: {run.config.training.epochs}; seed: {run.config.training.seed}"
        )
    return "## Data\n\n" + "\n".join(lines)


def _decision(run):
    if run.decision is None:
        return (
            "## Decision\n\nProbabilities are the softmax of the logits; no temperature and no "
            "threshold has been fitted."
        )
    parts = [f"## Decision\n\n{_decision_lines(run.decision)}"]
    for sees, signature in (("both", "with_title"), ("title", "title_only")):
        if decision := run.decision_for(sees):
            parts.append(f"### `{signature}`\n\n{_decision_lines(decision)}")
    return "\n\n".join(parts)


def _decision_lines(decision):
    fitted_on = as_markdown(decision.fitted_on)
    lines = [
        f"- fitted on: {fitted_on}, {decision.num_examples:,} photos",
        f"- photo and mirror image averaged: {'yes' if decision.flip else 'no'}",
        f"- finer labels that have a say: {_mixes(decision) or 'none'}",
        f"- labels that agree: {_agreements(decision) or 'none'}",
        f"- temperatures: {_numbers(decision.temperature) or 'none'}",
        f"- classes with a bias: {len(decision.bias)}",
    ]
    if decision.weights:
        shares = {k: w.photo / (w.photo + w.title) for k, w in decision.weights.items()}
        lines.append(f"- the photo's share of the weights of photo and title: {_numbers(shares)}")
    lines += [
        f"- accept {as_markdown(label)} from a score of {accept.threshold:.3f}: on "
        f"{fitted_on} that took {accept.coverage:.1%} of the photos, "
        f"{accept.error:.2%} of them wrongly"
        for label, accept in decision.accept.items()
    ]
    return "\n".join(lines)


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


def _limits(run, source, evaluation):
    lines = ["It always answers with classes that it knows, also for a photo of something else."]
    if _is_kaggle(source):
        lines.append(
            "It has seen packshots and catalogue models on plain backgrounds, of one shop's years; "
            "expect less of street photos, other shops and other fashions."
        )
    if evaluation:
        rare = [
            as_markdown(row["class"])
            for row in evaluation["per_class"]
            if row["train_support"] is not None and row["train_support"] < _FEW
        ]
        if rare:
            lines.append(
                f"Fewer than {_FEW} training photos, so not to be relied on: {', '.join(rare)}."
            )
    if not (run.decision and run.label in run.decision.temperature):
        lines.append("Scores are not calibrated: 0.9 does not mean nine in ten.")
    lines.append("A file whose damage its decoder does not notice is classified as it looks.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _licence(source):
    if _is_kaggle(source):
        return (
            "## Licence\n\nApache-2.0, as fashion_keras; the photos it learned from are MIT "
            "(Kaggle, Fashion Product Images)."
        )
    return (
        "## Licence\n\nThat of whoever owns the photos it learned from: write it here and in the "
        "first lines. The code that made it, fashion_keras, is Apache-2.0."
    )
