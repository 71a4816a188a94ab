"""A `Run` in; a versioned SavedModel that takes photo bytes and answers with class names out."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf

from fashion_keras.run import LABELS_FILE, Run, save_labels
from fashion_keras.serving.layout import INFO_ASSET, ModelInfo, new_version
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

    Written beside, under a name that is no version, then renamed. Raises `UserError` where the
    version is there already.
    """
    if top < 1:
        raise ValueError(f"Invalid `top`. Expected at least 1. Received: {top}")
    output = Path(output)
    target = output / str(new_version(output, version))
    output.mkdir(parents=True, exist_ok=True)
    partial = output / f"{target.name}.partial-{os.getpid()}"
    name = output.resolve().name
    try:
        served = _write(run, partial, top)
        from_bytes = [signature for signature in served if signature != "serve_pixels"]
        write_warmup(partial, name, from_bytes, batch_sizes=(1, MAX_BATCH_SIZE))
        card = model_card(run, name, served)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        return _publish(partial, target, version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(run: Run, folder: Path, top: int) -> list[str]:
    """Write the SavedModel; return the names of its signatures."""
    info = ModelInfo.of(run, top)
    # A bare module and not keras.export.ExportArchive, which has no public way to an asset.
    # The model stays out of it: its layers would be saved as well, for no one.
    module = tf.Module()
    served = signatures(run, top)
    module.weights = [list(function.variables) for function in served.values()]
    with tempfile.TemporaryDirectory() as assets:
        info.save(assets)
        save_labels(assets, run.labels)
        module.info = tf.saved_model.Asset(str(Path(assets) / INFO_ASSET))
        module.labels = tf.saved_model.Asset(str(Path(assets) / LABELS_FILE))
        tf.saved_model.save(module, str(folder), signatures=served)
    return list(served)


def _publish(partial: Path, target: Path, version: int | None) -> Path:
    """Rename `partial` to `target`, or to a later version if another export was faster."""
    while True:
        try:
            os.rename(partial, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        # Raises where the version was asked for.
        target = target.with_name(str(new_version(target.parent, version)))
