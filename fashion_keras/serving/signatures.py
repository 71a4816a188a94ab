"""A `Run` in; the functions that a SavedModel serves out."""

from __future__ import annotations

import tensorflow as tf

from fashion_keras.run import FEATURES, Run
from fashion_keras.serving.decoding import decode_photos


def signatures(run: Run, top: int) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Build the functions by the names of their signatures.

    - `serving_default`: `image_bytes` string `[N]`, JPEG or PNG of any size.
    - `serve_pixels`: `pixels` uint8 `[N, height, width, 3]`.
    - `embed`: `image_bytes` as above; only where the model has a layer `features`.

    The first two return, of the headline's label, `probabilities` float32 `[N, C]`, `classes`
    string `[N, k]` and `scores` float32 `[N, k]`, best first, k being `top` or the number of
    classes; of each further label `<label>_probabilities` and so on. `embed` returns `embedding`
    float32 `[N, D]` of length 1. All return `valid` int32 `[N]`: 0 for a photo that cannot be
    decoded, whose class names are empty and whose numbers are 0.
    """
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    pixels = tf.TensorSpec([None, *run.image_size, 3], tf.uint8, name="pixels")

    @tf.function(input_signature=[image_bytes])
    def serve(image_bytes):
        return _classify(run, top, *decode_photos(image_bytes, run.image_size, run.resize))

    @tf.function(input_signature=[pixels])
    def serve_pixels(pixels):
        return _classify(run, top, pixels, tf.ones(tf.shape(pixels)[:1], tf.bool))

    functions = {"serving_default": serve, "serve_pixels": serve_pixels}
    if FEATURES in (layer.name for layer in run.model.layers):
        functions["embed"] = _embed(run, image_bytes)
    return {name: function.get_concrete_function() for name, function in functions.items()}


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


def _classify(run, top, pixels, valid):
    logits = _run(run.predictor, pixels)
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


def _run(model, pixels):
    count = tf.shape(pixels)[0]
    # oneDNN's convolution gives an empty batch a wrong shape: a blank photo stands in for it.
    blank = tf.cast(count == 0, tf.int32)
    pixels = tf.pad(pixels, [[0, blank], [0, 0], [0, 0], [0, 0]])
    outputs = model(pixels, training=False)
    return tf.nest.map_structure(lambda output: output[:count], outputs)
