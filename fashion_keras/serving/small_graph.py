"""A run in; the TensorFlow function that the small models are converted from out."""

from __future__ import annotations

import tensorflow as tf

from fashion_keras.models.classifier import head_name
from fashion_keras.run import Run

INPUT = "image"


def small_graph(run: Run):
    """Return a function from `image`, uint8 `[N, height, width, 3]`, to each head's logits.

    The run's decision is in it. Decoding and resizing are not: neither LiteRT nor ONNX decodes
    photos. Logits and not probabilities, so that INT8 does not round these to 1/256.
    """
    spec = tf.TensorSpec([None, *run.image_size, 3], tf.uint8, name=INPUT)

    @tf.function(input_signature=[spec])
    def classify(image):
        logits = run.predictor(image, training=False)
        # A name of its own each, or a converter may call two heads' outputs by one tensor.
        return {
            label: tf.identity(tf.cast(logits[label], tf.float32), name=head_name(label))
            for label in run.labels
        }

    return classify
