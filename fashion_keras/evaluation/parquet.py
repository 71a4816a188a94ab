"""Predictions in, a Parquet table of them out: one row a photo."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_keras.evaluation.predictions import Predictions


def predictions_parquet(
    predictions: Predictions,
    label: str,
    classes: Sequence[str],
    embeddings: np.ndarray | None = None,
) -> bytes:
    """Return a Parquet file with a row a photo, in the records' order.

    Columns: `id`, `truth` (null without a label) and `prediction` as text, `probability` of the
    prediction, `probabilities` of every class and, where given, the `embedding` (float `[N, D]`),
    both lists of float32. The schema's metadata holds `label`, `split` and, as JSON, `classes`:
    the order of `probabilities`.
    """
    probabilities = predictions.probabilities(label)
    names = np.array(classes, object)
    truth = predictions.truth[label]
    columns = {
        "id": pa.array(predictions.ids, pa.string()),
        "truth": pa.array(names[np.maximum(truth, 0)], pa.string(), mask=truth < 0),
        "prediction": pa.array(names[predictions.prediction(label)], pa.string()),
        "probability": pa.array(probabilities.max(axis=1), pa.float32()),
        "probabilities": _rows(probabilities),
    }
    if embeddings is not None:
        columns["embedding"] = _rows(embeddings)
    table = pa.table(columns).replace_schema_metadata(
        {
            "label": label,
            "split": predictions.split,
            "classes": json.dumps(list(classes), ensure_ascii=False),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _rows(values: np.ndarray) -> pa.Array:
    values = np.ascontiguousarray(values, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
