"""A `Run` in; a versioned SavedModel that takes photo bytes and answers with class names out."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

import fashion_keras
from fashion_keras.data.image import decode_and_resize
from fashion_keras.run import LABELS_FILE, Run, save_labels
from fashion_keras.serving.layout import INFO_ASSET, ModelInfo, new_version


class ServedModel(tf.Module):
    """A classifier with decoding and resizing in front, softmax and class names behind.

    Args:
        run: the model and what its outputs mean.
        top: how many classes a photo gets, at most as many as the label has.
        assets: files to go with the SavedModel, by the attribute that holds each.
    """

    # tf.saved_model.save on a module, and not keras.export.ExportArchive: the archive has no
    # public way to an asset. What it does else, keeping the variables, is one line here.

    def __init__(self, run: Run, top: int, assets: Mapping[str, Path]):
        super().__init__()
        self._model = run.model
        self._labels = {name: tuple(classes) for name, classes in run.labels.items()}
        self._label, self._image_size, self._resize = run.label, run.image_size, run.resize
        self._top = top
        self._assets = {name: tf.saved_model.Asset(str(path)) for name, path in assets.items()}
        height, width = run.image_size
        self.serve = tf.function(
            self._serve, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
        )
        self.serve_pixels = tf.function(
            self._serve_pixels,
            input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8, name="pixels")],
        )

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the signatures TF Serving offers, traced.

        `serving_default`: `image_bytes`, string `[N]`, JPEG or PNG of any size;
        `serve_pixels`: `pixels`, uint8 `[N, height, width, 3]`. Both return `probabilities`
        float32 `[N, C]`, `classes` string `[N, k]` and `scores` float32 `[N, k]`, best first;
        of each further label the same as `<label>_probabilities` and so on.
        """
        signatures = {
            "serving_default": self.serve.get_concrete_function(),
            "serve_pixels": self.serve_pixels.get_concrete_function(),
        }
        self._kept = [list(function.variables) for function in signatures.values()]
        return signatures

    def _serve(self, image_bytes):
        pixels = tf.map_fn(
            lambda encoded: decode_and_resize(encoded, self._image_size, self._resize),
            image_bytes,
            fn_output_signature=tf.TensorSpec([*self._image_size, 3], tf.uint8),
        )
        return self._classify(pixels)

    def _serve_pixels(self, pixels):
        return self._classify(pixels)

    def _classify(self, pixels):
        logits = self._model(pixels, training=False)
        outputs = {}
        for label, classes in self._labels.items():
            prefix = "" if label == self._label else f"{label}_"
            probabilities = tf.nn.softmax(tf.cast(logits[label], tf.float32))
            scores, indices = tf.math.top_k(probabilities, k=min(self._top, len(classes)))
            outputs[f"{prefix}probabilities"] = probabilities
            outputs[f"{prefix}classes"] = tf.gather(tf.constant(classes), indices)
            outputs[f"{prefix}scores"] = scores
        return outputs


def export_saved_model(run: Run, output: Path, *, version: int | None = None, top: int = 5) -> Path:
    """Write `run`'s model to `output/<version>/` and return that path.

    `version` defaults to the one above the highest present. See `ServedModel.signatures` for
    what it serves; `top` is k. The class names go into `assets/labels.json`, and what else a
    client must know into `assets/fashion_keras.json`. Written beside, under a name that is no
    version, then renamed. Raises `UserError` where the version is there already.
    """
    if top < 1:
        raise ValueError(f"Invalid `top`. Expected at least 1. Received: {top}")
    output = Path(output)
    target = output / str(new_version(output, version))
    partial = output / f"{target.name}.partial-{os.getpid()}"
    output.mkdir(parents=True, exist_ok=True)
    try:
        _write(run, partial, top)
        return _publish(partial, target, version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(run: Run, folder: Path, top: int) -> None:
    info = ModelInfo(
        fashion_keras=fashion_keras.__version__,
        label=run.label,
        labels=run.labels,
        image_size=run.image_size,
        resize=run.resize,
        top=top,
    )
    with tempfile.TemporaryDirectory() as assets:
        info.save(assets)
        save_labels(assets, run.labels)
        files = {"info": Path(assets) / INFO_ASSET, "labels": Path(assets) / LABELS_FILE}
        served = ServedModel(run, top, files)
        tf.saved_model.save(served, str(folder), signatures=served.signatures())


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
