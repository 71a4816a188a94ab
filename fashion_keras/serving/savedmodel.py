"""A `Run` in; a versioned SavedModel that takes photo bytes and answers with class names out."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf

import fashion_keras
from fashion_keras.data.image import decode_and_resize
from fashion_keras.run import LABELS_FILE, Run, save_labels
from fashion_keras.serving.layout import INFO_ASSET, ModelInfo, new_version


def export_saved_model(run: Run, output: Path, *, version: int | None = None, top: int = 5) -> Path:
    """Write `run`'s model to `output/<version>/` and return that path.

    `version` defaults to the one above the highest present; `top` is k, at most as many as a
    label has classes. The SavedModel has two signatures: `serving_default` takes `image_bytes`,
    string `[N]`, JPEG or PNG of any size; `serve_pixels` takes `pixels`, uint8
    `[N, height, width, 3]`. Both return `probabilities` float32 `[N, C]`, `classes` string
    `[N, k]` and `scores` float32 `[N, k]`, best first, of the headline's label, and those of
    each further label as `<label>_probabilities` and so on. The class names are in
    `assets/labels.json` too, and what else a client must know in `assets/fashion_keras.json`.

    Written beside, under a name that is no version, then renamed. Raises `UserError` where the
    version is there already.
    """
    if top < 1:
        raise ValueError(f"Invalid `top`. Expected at least 1. Received: {top}")
    output = Path(output)
    target = output / str(new_version(output, version))
    output.mkdir(parents=True, exist_ok=True)
    partial = output / f"{target.name}.partial-{os.getpid()}"
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
    # A bare module and not keras.export.ExportArchive, which has no public way to an asset.
    # The model stays out of it: its layers would be saved as well, for no one.
    module = tf.Module()
    module.serve = _serve_function(run, top)
    module.serve_pixels = _serve_pixels_function(run, top)
    signatures = {
        "serving_default": module.serve.get_concrete_function(),
        "serve_pixels": module.serve_pixels.get_concrete_function(),
    }
    module.weights = [list(function.variables) for function in signatures.values()]
    with tempfile.TemporaryDirectory() as assets:
        info.save(assets)
        save_labels(assets, run.labels)
        module.info = tf.saved_model.Asset(str(Path(assets) / INFO_ASSET))
        module.labels = tf.saved_model.Asset(str(Path(assets) / LABELS_FILE))
        tf.saved_model.save(module, str(folder), signatures=signatures)


def _serve_function(run: Run, top: int) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(image_bytes):
        pixels = tf.map_fn(
            lambda encoded: decode_and_resize(encoded, run.image_size, run.resize),
            image_bytes,
            fn_output_signature=tf.TensorSpec([*run.image_size, 3], tf.uint8),
        )
        return _classify(run, top, pixels)

    return serve


def _serve_pixels_function(run: Run, top: int) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(input_signature=[tf.TensorSpec([None, *run.image_size, 3], tf.uint8, "pixels")])
    def serve_pixels(pixels):
        return _classify(run, top, pixels)

    return serve_pixels


def _classify(run: Run, top: int, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    count = tf.shape(pixels)[0]
    # oneDNN's convolution gives an empty batch a wrong shape: a blank photo stands in for it.
    blank = tf.cast(count == 0, tf.int32)
    pixels = tf.pad(pixels, [[0, blank], [0, 0], [0, 0], [0, 0]])
    logits = run.predictor(pixels, training=False)
    outputs = {}
    for label, classes in run.labels.items():
        prefix = "" if label == run.label else f"{label}_"
        probabilities = tf.nn.softmax(tf.cast(logits[label], tf.float32))[:count]
        scores, indices = tf.math.top_k(probabilities, k=min(top, len(classes)))
        outputs[f"{prefix}probabilities"] = probabilities
        outputs[f"{prefix}classes"] = tf.gather(tf.constant(classes), indices)
        outputs[f"{prefix}scores"] = scores
    return outputs


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
