"""A run and a format in; a checked LiteRT or ONNX model in a folder of its own out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import fashion_keras
from fashion_keras.data.title_terms import BUCKETS, COUNTS, TITLE_IDS
from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.models.title_model import title_columns
from fashion_keras.run import BEST_MODEL_FILE, LABELS_FILE, TITLE_FILE, Run
from fashion_keras.serving.format_check import Photos, agreement, measure
from fashion_keras.serving.layout import (
    ASSETS,
    INFO_ASSET,
    ModelInfo,
    new_version,
    publish,
    version_scratch,
)
from fashion_keras.serving.model_card import CARD_FILE, table
from fashion_keras.serving.small_formats import (
    INPUT,
    INT8,
    TITLE_FORMATS,
    classifier,
    litert_model,
    onnx_model,
)
from fashion_keras.text import as_markdown

CHECK_FILE = "check.json"
KERAS = "keras"


def convert(
    run: Run, format: str, representative: np.ndarray | None = None, *, sees: str = "photo"
) -> bytes:
    """Return the run's model in a format of `SMALL_FORMATS`.

    `representative` are training photos, uint8 `[N, H, W, 3]`, for INT8. `sees` is `photo`, or
    `both` for photo and title in a format of `TITLE_FORMATS`. Raises `UserError` where it cannot
    be converted, or what converts it is not installed.
    """
    with _notes_kept_off():
        if format == "onnx":
            return onnx_model(run, sees)
        return litert_model(run, representative if format == INT8 else None, sees)


def check(run: Run, models: Mapping[str, bytes], photos: Photos) -> dict[str, dict]:
    """Measure the Keras model and each converted one on the same photos, one after another.

    Where the photos have titles' numbers beside them, the models are those of both. Returns
    `format_check.measure`'s result, with `agreement` with the Keras model, by format; the Keras
    model comes first, under `keras`.
    """
    sees = "photo" if photos.title_ids is None else "both"
    model = run.predictor_for(sees)
    predictor = tf.function(
        lambda *given: model(list(given) if sees == "both" else given[0], training=False)
    )

    def keras_classifier(*given):
        return {label: logits.numpy() for label, logits in predictor(*given).items()}

    file = run.path / BEST_MODEL_FILE if run.path.is_dir() else run.path
    used = [file, file.parent / TITLE_FILE] if sees == "both" else [file]
    size = sum(path.stat().st_size for path in used if path.is_file())
    results = {KERAS: measure(keras_classifier, photos, size)}
    for format, model in models.items():
        with _notes_kept_off():
            classify = classifier(format, model)
            classify(*photos.given(0, 1))
        results[format] = measure(classify, photos, len(model))
    reference = dict(results[KERAS])
    for result in results.values():
        result["agreement"] = agreement(reference, result)
    for result in results.values():
        del result["predictions"]
    return results


def write_small_model(
    run: Run,
    folder: Path,
    files: Mapping[str, bytes],
    checked: dict | None,
    version: int | None,
    top: int = 5,
) -> Path:
    """Write `folder/<version>/`: the models by file, their card, class names, what was checked.

    Written whole or not at all; `version` defaults to one above the highest present; `top` classes
    of a photo are given. Returns the version's folder. Raises `UserError` where the version is
    there already.
    """
    new_version(folder, version)  # a wrong one is answered before the work
    with_titles = any(file in files for file in TITLE_FORMATS.values())
    takes = ("photo", "both") if with_titles else ("photo",)
    info = dataclasses.replace(ModelInfo.of(run, top), takes=takes)
    with version_scratch(folder) as scratch:
        made = scratch / "model"
        (made / ASSETS).mkdir(parents=True)
        for file, model in files.items():
            (made / file).write_bytes(model)
        (made / CARD_FILE).write_text(small_card(run, list(files)), encoding="utf-8")
        write_json(made / ASSETS / LABELS_FILE, run.labels)
        info.save(made)
        if checked is not None:
            write_json(made / CHECK_FILE, checked)
        return publish(made, folder, version)


def small_card(run: Run, files: Sequence[str]) -> str:
    """Return the card that lies beside a run's small models, Markdown; `files` are their names."""
    titled = [file for file in files if file in TITLE_FORMATS.values()]
    columns = title_columns(run.title) if titled else 0
    height, width = run.image_size
    photo = f"`{INPUT}` uint8 [N, {height}, {width}, 3]"
    title = f", `{TITLE_IDS}` int32 [N, {columns * sum(COUNTS)}]"
    rows = [(f"`{file}`", photo + title * (file in titled)) for file in files]
    parts = [
        f"# {as_markdown(run.model.name)}, a small model\n\n"
        f"Sorts product photos of a fashion shop; written by fashion_keras "
        f"{fashion_keras.__version__}.",
        table(("file", "takes"), rows),
        f"Of any N. Each gives the logits of each label by its name, float32 [N, C]: "
        f"{', '.join(map(as_markdown, run.labels))}. Their softmax is the probability, with the "
        f"decision of `fashion-keras calibrate` in it. `{ASSETS}/{LABELS_FILE}` has the class "
        f"names in index order, `{ASSETS}/{INFO_ASSET}` the thresholds.\n\n"
        f"A photo is decoded and brought to {height}×{width} ({run.resize}) by the caller, "
        "bilinear with antialiasing.",
    ]
    if titled:
        parts.append(_titles(columns, titled[0]))
    return "\n\n".join(parts) + "\n"


def _titles(columns: int, file: str) -> str:
    several = (
        f"The {columns} columns of text come as one string with U+001F between them, in the order "
        "of `--text-column`. "
        if columns > 1
        else ""
    )
    count = f", {columns}" if columns > 1 else ""
    return f"""## {TITLE_IDS}

The numbers of the terms of a product's title, made in plain Python without TensorFlow:

```python
import numpy as np
from fashion_keras.data.title_terms import title_ids

ids = np.array([title_ids(title{count}) for title in titles], np.int32)
```

{several}The text is normalised: HTML goes, letters lose case and accents, signs become spaces. Its
words, word pairs and groups of 3 and 4 characters are hashed by SipHash-2-4, words and pairs to
1 … {BUCKETS:,}, groups to the {BUCKETS:,} numbers after them; 0 is no term. A product whose
numbers are all 0 has no title: `{file}` answers by its photo."""


@contextlib.contextmanager
def _notes_kept_off():
    """Keep off the terminal what converters write to the file descriptor, unless one fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
