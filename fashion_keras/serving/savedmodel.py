"""A `Run` in; a versioned SavedModel that takes photo bytes and answers with class names out."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from fashion_keras.io import write_json
from fashion_keras.run import LABELS_FILE, Run
from fashion_keras.serving.layout import (
    ASSETS,
    INFO_ASSET,
    ModelInfo,
    new_version,
    publish,
    version_scratch,
)
from fashion_keras.serving.model_card import CARD_FILE, model_card
from fashion_keras.serving.server_files import MAX_BATCH_SIZE
from fashion_keras.serving.signatures import signatures
from fashion_keras.serving.warmup import write_warmup


def export_saved_model(run: Run, output: Path, *, version: int | None = None, top: int = 5) -> Path:
    """Write `run`'s model to `output/<version>/` and return that path.

    `output` is the model's folder, and its name the model's. `version` defaults to the one above
    the highest present; `top` is k, at most as many as a label has classes. In the folder are a
    SavedModel with the signatures of `serving.signatures`; the class names in
    `assets/labels.json`, and what else a client must know in `assets/fashion_keras.json`; warm-up
    requests for TF Serving; and a model card, `README.md`.

    Written whole or not at all. Raises `UserError` where the version is there already.
    """
    if top < 1:
        raise ValueError(f"Invalid `top`. Expected at least 1. Received: {top}")
    new_version(output, version)  # a wrong one is answered before the work
    name = Path(output).resolve().name
    with version_scratch(output) as scratch:
        made = scratch / "model"
        served = _write(run, made, scratch, top)
        from_bytes = [signature for signature in served if signature != "serve_pixels"]
        write_warmup(made, name, from_bytes, batch_sizes=(1, MAX_BATCH_SIZE))
        (made / CARD_FILE).write_text(model_card(run, name, served), encoding="utf-8")
        return publish(made, output, version)


def _write(run: Run, folder: Path, scratch: Path, top: int) -> list[str]:
    """Write the SavedModel, its assets made in `scratch`; return its signatures' names."""
    info = ModelInfo.of(run, top)
    # A bare module and not keras.export.ExportArchive, which has no public way to an asset.
    # The model stays out of it: its layers would be saved as well, for no one.
    module = tf.Module()
    served = signatures(run, top)
    module.weights = [list(function.variables) for function in served.values()]
    info.save(scratch)
    write_json(scratch / ASSETS / LABELS_FILE, run.labels)
    module.info = tf.saved_model.Asset(str(scratch / ASSETS / INFO_ASSET))
    module.labels = tf.saved_model.Asset(str(scratch / ASSETS / LABELS_FILE))
    tf.saved_model.save(module, str(folder), signatures=served)
    info.save(folder)  # again, for now the model is there
    return list(served)
