"""A split of records with text in; the numbers of each product's terms and its labels, out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.data.title_terms import tensorflow_terms

_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is written of a split's products, in the records' order.

    `product_ids` are their ids; `ids` int32 `[N, columns * sum(COUNTS)]` as `data.title_terms`
    makes them; `truth` maps each label to class indices, int64 `[N]`, -1 where there is none.
    """

    product_ids: list[str]
    ids: np.ndarray
    truth: dict[str, np.ndarray]

    @property
    def empty(self) -> np.ndarray:
        """Whether a product has no term, bool `[N]`."""
        return np.logical_not((self.ids > 0).any(axis=1))


def read_texts(records: str | os.PathLike, info: DatasetInfo, split: str) -> dict[str, list[str]]:
    """Return each product's text of every column by its id, in the records' order.

    Raises `UserError` as `read_terms` does.
    """
    products = read_records(records, info, split, [], titles=True, parallel_reads=1)
    return {
        product["id"].decode(): [text.decode("utf-8", "replace") for text in product["title"]]
        for product in products.map(
            lambda product: {key: product[key] for key in ("id", "title")}
        ).as_numpy_iterator()
    }


def read_terms(
    records: str | os.PathLike, info: DatasetInfo, split: str, labels: Sequence[str]
) -> Terms:
    """Read the terms of a split's products; no photo is decoded.

    Raises `UserError` for records that are missing, damaged or without text.
    """
    terms = tensorflow_terms(len(info.texts))
    products = read_records(records, info, split, labels, titles=True, parallel_reads=1)
    batches = products.map(
        lambda product: {key: product[key] for key in ("id", "index", "title")},
        num_parallel_calls=tf.data.AUTOTUNE,
    ).batch(_BATCH)
    ids, index, product_ids = [], [], []
    for batch in batches:
        ids.append(terms(batch["title"]).numpy())
        index.append(batch["index"].numpy())
        product_ids += [identifier.decode() for identifier in batch["id"].numpy()]
    truth = np.concatenate(index).astype(np.int64)
    return Terms(
        product_ids,
        np.concatenate(ids),
        {label: truth[:, column] for column, label in enumerate(labels)},
    )
