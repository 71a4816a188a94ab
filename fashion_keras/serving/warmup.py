"""A version folder in; the requests that TF Serving sends the model itself as it loads it, out.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_JPEG_HEIGHT = 640  # in pixels: about a shop's photo
_PNG_HEIGHT = 128  # less, for noise makes large PNGs


def write_warmup(
    version: Path, name: str, signature_names: Sequence[str], batch_sizes: Sequence[int]
) -> Path:
    """Write a `PredictionLog` for each signature and batch size into `version`; return the file.

    `name` is the model's. The signatures take `image_bytes`; the photos are coarse noise,
    a JPEG and a PNG in turns so that both decoders have run.
    """
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    photos = _photos()
    file = version / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature in signature_names:
            for size in batch_sizes:
                batch = [photos[index % len(photos)] for index in range(size)]
                request = PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                request.inputs["image_bytes"].CopyFrom(
                    tf.make_tensor_proto(batch, tf.string, shape=[size])
                )
                log = PredictionLog()
                log.predict_log.request.CopyFrom(request)
                writer.write(log.SerializeToString())
    return file


def _photos() -> tuple[bytes, bytes]:
    coarse = np.random.default_rng(0).integers(0, 256, [8, 6, 3], np.uint8)
    large, small = (
        tf.cast(tf.image.resize(coarse, [height, height * 3 // 4]), tf.uint8)
        for height in (_JPEG_HEIGHT, _PNG_HEIGHT)
    )
    return tf.io.encode_jpeg(large, quality=85).numpy(), tf.io.encode_png(small).numpy()
