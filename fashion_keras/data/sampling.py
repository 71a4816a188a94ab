"""Class counts and a stream of products in; the same stream with rare classes drawn more often out.

Class-balanced and square-root sampling (Mahajan et al., 2018; Kang et al., 2020, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# The exponent q of Kang et al.: a class of n photos is drawn in proportion to n^q.
POWERS = {"natural": 1.0, "square-root": 0.5, "balanced": 0.0}


def drawn_counts(sampling: str, counts: Sequence[int]) -> np.ndarray:
    """Return how often each class is drawn in an epoch that has as many photos, float64 `[C]`."""
    counts = np.asarray(counts, np.float64)
    wanted = np.where(counts > 0, np.maximum(counts, 1.0) ** POWERS[sampling], 0.0)
    return wanted * (counts.sum() / max(wanted.sum(), 1.0))


def draw_rates(sampling: str, counts: Sequence[int], num_examples: int) -> np.ndarray | None:
    """Compute how often a photo of each class is drawn an epoch; None where it is once each.

    `counts` are the labelled photos of each class, `num_examples` all of them. Returns float64
    `[C + 1]`, the last for photos without a label, which keep their share. The rates sum over
    the photos to one more than `num_examples`, so that rounding leaves no epoch short.
    """
    if sampling == "natural":
        return None
    counts = np.asarray(counts, np.float64)
    rates = np.append(drawn_counts(sampling, counts) / np.maximum(counts, 1.0), 1.0)
    return rates * (1.0 + 1.0 / num_examples)


def resample(dataset: tf.data.Dataset, rates: np.ndarray, seed: tf.Tensor) -> tf.data.Dataset:
    """Repeat or drop each product by its class's rate, by systematic sampling.

    `dataset` yields dicts with `index`, int64 `[L]`, whose first is the class or -1; `seed` is
    int32 `[2]`. Rates are added up along the stream from a random start, and a product is drawn
    as often as the sum passes a whole number: each class gets its share to the next whole
    number but for its place in the stream, which the caller has shuffled.
    """
    table = tf.constant(rates, tf.float64)
    start = tf.random.stateless_uniform([], seed, dtype=tf.float64)

    def count(total, product):
        index = product["index"][0]
        rate = table[tf.where(index < 0, tf.size(table, tf.int64) - 1, index)]
        copies = tf.floor(total + rate) - tf.floor(total)
        return total + rate, (product, tf.cast(copies, tf.int64))

    counted = dataset.scan(start, count).filter(lambda product, copies: copies > 0)
    return counted.flat_map(
        lambda product, copies: tf.data.Dataset.from_tensors(product).repeat(copies)
    )
