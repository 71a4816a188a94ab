"""A `Run` in; a versioned SavedModel that takes photo bytes and answers with class names out.

With it go the requests that TF Serving sends a model itself as it loads it:
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.data.title_terms import BETWEEN, tensorflow_terms
from fashion_keras.io import write_json
from fashion_keras.models.title_model import title_columns
from fashion_keras.run import FEATURES, LABELS_FILE, Run
from fashion_keras.serving.decoding import decode_photos
from fashion_keras.serving.layout import (
    ASSETS,
    INFO_ASSET,
    INPUT,
    SIGNATURES,
    ModelInfo,
    new_version,
    publish,
    version_scratch,
)
from fashion_keras.serving.model_card import CARD_FILE, model_card
from fashion_keras.serving.server_files import MAX_BATCH_SIZE


def signatures(
    run: Run, top: int, terms: tf.Module | None = None
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Build the functions by the names of their signatures.

    - `serving_default`: `image_bytes` string `[N]`, JPEG or PNG of any size.
    - `serve_pixels`: `pixels` uint8 `[N, height, width, 3]`.
    - `embed`: `image_bytes` as above; only where the model has a layer `features`.
    - `with_title`: `image_bytes` and `title`, string `[N]` each, and `title_only`: `title`; only
      with `terms`, of `data.title_terms`, for a run that takes titles. Several columns of text
      have U+001F between them. Each has its own decision.

    All but `embed` return, of the headline's label, `probabilities` float32 `[N, C]`, `classes`
    string `[N, k]` and `scores` float32 `[N, k]`, best first, k being `top` or the number of
    classes; of each further label `<label>_probabilities` and so on. `embed` returns `embedding`
    float32 `[N, D]` of length 1. All return `valid` int32 `[N]`: 0 for a photo that cannot be
    decoded, whose class names are empty and whose numbers are 0. A title is always valid.
    """
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    pixels = tf.TensorSpec([None, *run.image_size, 3], tf.uint8, name="pixels")

    @tf.function(input_signature=[image_bytes])
    def serve(image_bytes):
        pixels, valid = decode_photos(image_bytes, run.image_size, run.resize)
        return _answers(run, top, _run(run.predictor, pixels), valid)

    @tf.function(input_signature=[pixels])
    def serve_pixels(pixels):
        valid = tf.ones(tf.shape(pixels)[:1], tf.bool)
        return _answers(run, top, _run(run.predictor, pixels), valid)

    functions = {"serving_default": serve, "serve_pixels": serve_pixels}
    if FEATURES in (layer.name for layer in run.model.layers):
        functions["embed"] = _embed(run, image_bytes)
    if terms is not None:
        functions |= _with_titles(run, top, image_bytes, terms)
    return {name: function.get_concrete_function() for name, function in functions.items()}


def terms_of(run: Run) -> tf.Module | None:
    """Return what makes numbers of a title's terms, None for a run that takes no titles."""
    return None if run.title is None else tensorflow_terms(title_columns(run.title))


def _embed(run, image_bytes):
    @tf.function(input_signature=[image_bytes])
    def embed(image_bytes):
        pixels, valid = decode_photos(image_bytes, run.image_size, run.resize)
        vectors = tf.cast(_run(run.features, pixels), tf.float32)
        vectors = tf.math.l2_normalize(vectors, axis=1)
        return {
            "embedding": tf.where(valid[:, None], vectors, 0.0),
            "valid": tf.cast(valid, tf.int32),
        }

    return embed


def _with_titles(run, top, image_bytes, terms):
    title = tf.TensorSpec([None], tf.string, name="title")
    both, alone = run.predictor_for("both"), run.predictor_for("title")

    @tf.function(input_signature=[image_bytes, title])
    def with_title(image_bytes, title):
        pixels, valid = decode_photos(image_bytes, run.image_size, run.resize)
        return _answers(run, top, _run(both, pixels, terms(title)), valid)

    @tf.function(input_signature=[title])
    def title_only(title):
        logits = alone(terms(title), training=False)
        return _answers(run, top, logits, tf.ones(tf.shape(title)[:1], tf.bool))

    return {"with_title": with_title, "title_only": title_only}


def _answers(run, top, logits, valid):
    outputs = {"valid": tf.cast(valid, tf.int32)}
    shown = valid[:, None]
    for label, classes in run.labels.items():
        prefix = "" if label == run.label else f"{label}_"
        probabilities = tf.nn.softmax(tf.cast(logits[label], tf.float32))
        scores, indices = tf.math.top_k(probabilities, k=min(top, len(classes)))
        names = tf.gather(tf.constant(classes), indices)
        outputs[f"{prefix}probabilities"] = tf.where(shown, probabilities, 0.0)
        outputs[f"{prefix}classes"] = tf.where(shown, names, "")
        outputs[f"{prefix}scores"] = tf.where(shown, scores, 0.0)
    return outputs


def _run(model, pixels, ids=None):
    count = tf.shape(pixels)[0]
    # oneDNN's convolution gives an empty batch a wrong shape: a blank photo stands in for it.
    blank = tf.cast(count == 0, tf.int32)
    pixels = tf.pad(pixels, [[0, blank], [0, 0], [0, 0], [0, 0]])
    given = pixels if ids is None else [pixels, tf.pad(ids, [[0, blank], [0, 0]])]
    outputs = model(given, training=False)
    return tf.nest.map_structure(lambda output: output[:count], outputs)


WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_JPEG_HEIGHT = 640  # in pixels: about a shop's photo
_PNG_HEIGHT = 128  # less, for noise makes large PNGs
_TITLE = f"Warm-up &amp; Sons Men Blue T-Shirt{BETWEEN}of cotton"
_TAKES = dict(SIGNATURES.values())


def write_warmup(version: Path, name: str, signature_names: Sequence[str]) -> None:
    """Write a `PredictionLog` for each signature and batch size into `version`.

    `name` is the model's. The signatures take `image_bytes`, `title` or both; the photos are
    coarse noise, a JPEG and a PNG in turns so that both decoders have run.
    """
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    photos = _photos()
    file = version / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature in signature_names:
            for size in (1, MAX_BATCH_SIZE):
                given = {
                    "image_bytes": [photos[index % len(photos)] for index in range(size)],
                    "title": [_TITLE] * size,
                }
                request = PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key in _TAKES.get(signature, (INPUT,)):
                    request.inputs[key].CopyFrom(
                        tf.make_tensor_proto(given[key], tf.string, shape=[size])
                    )
                log = PredictionLog()
                log.predict_log.request.CopyFrom(request)
                writer.write(log.SerializeToString())


def _photos() -> tuple[bytes, bytes]:
    coarse = np.random.default_rng(0).integers(0, 256, [8, 6, 3], np.uint8)
    large, small = (
        tf.cast(tf.image.resize(coarse, [height, height * 3 // 4]), tf.uint8)
        for height in (_JPEG_HEIGHT, _PNG_HEIGHT)
    )
    return tf.io.encode_jpeg(large, quality=85).numpy(), tf.io.encode_png(small).numpy()


def export_saved_model(run: Run, output: Path, *, version: int | None = None, top: int = 5) -> Path:
    """Write `run`'s model to `output/<version>/` and return that path.

    `output` is the model's folder, and its name the model's. `version` defaults to the one above
    the highest present; `top` is k, at most as many as a label has classes. In the folder are a
    SavedModel with the signatures of `serving.savedmodel`; the class names in
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
        write_warmup(made, name, from_bytes)
        (made / CARD_FILE).write_text(model_card(run, name, served), encoding="utf-8")
        return publish(made, output, version)


def _write(run: Run, folder: Path, scratch: Path, top: int) -> list[str]:
    """Write the SavedModel, its assets made in `scratch`; return its signatures' names."""
    info = ModelInfo.of(run, top)
    # A bare module and not keras.export.ExportArchive, which has no public way to an asset.
    # The model stays out of it: its layers would be saved as well, for no one.
    module = tf.Module()
    # Its table is a resource, which is saved with what hangs on the module.
    terms = module.terms = terms_of(run)
    served = signatures(run, top, terms)
    module.weights = [list(function.variables) for function in served.values()]
    info.save(scratch)
    write_json(scratch / ASSETS / LABELS_FILE, run.labels)
    module.info = tf.saved_model.Asset(str(scratch / ASSETS / INFO_ASSET))
    module.labels = tf.saved_model.Asset(str(scratch / ASSETS / LABELS_FILE))
    tf.saved_model.save(module, str(folder), signatures=served)
    info.save(folder)  # again, for now the model is there
    return list(served)
