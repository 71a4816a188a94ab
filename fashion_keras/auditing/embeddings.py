"""A model's features of photos in; photos that the model can hardly tell apart out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashion_keras.data.near_duplicates import Pairs, pixel_differences
from fashion_keras.data.photo_hash import PhotoHashes

# Chosen by looking at pairs of the Kaggle catalogue at every similarity (docs/audit.md): a
# classifier's features say class and pose, so that pixels have to agree as well.
MIN_SIMILARITY = 0.99
MAX_DIFFERENCE = 0.02
NEIGHBOURS = 20  # a photo: what is beyond is linked through others anyway


def similar_pairs(
    photos: PhotoHashes,
    ids: Sequence[str],
    features: np.ndarray,
    *,
    min_similarity: float = MIN_SIMILARITY,
    max_difference: float = MAX_DIFFERENCE,
    neighbours: int = NEIGHBOURS,
) -> tuple[Pairs, np.ndarray]:
    """Find pairs whose features have a cosine of at least `min_similarity`, and alike pixels.

    Looks at each photo's nearest `neighbours`; of those, pairs whose `pixel_differences` is at
    most `max_difference` are kept. `ids` and `features` (unit length, `[N, D]`) are
    in any order; positions in the pairs are those of `photos`. Returns the pairs, with their
    hashes' distance and pixel difference, and the cosine of each.
    """
    from sklearn.neighbors import NearestNeighbors

    place = {id: index for index, id in enumerate(photos.ids)}
    hashed = np.array([id in place for id in ids], bool)  # one that cannot be decoded has no hash
    features = features[hashed]
    position = np.array([place[id] for id in ids if id in place], int)
    count = min(neighbours + 1, len(position))
    index = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(features)
    distances, nearest = index.kneighbors(features)
    row, column = np.nonzero(distances <= 1 - min_similarity)
    a, b = position[row], position[nearest[row, column]]
    similarity = 1 - distances[row, column]
    first, second = np.minimum(a, b), np.maximum(a, b)
    # A pair is met from both sides, and each photo meets itself.
    _, once = np.unique(first * np.int64(len(photos.ids)) + second, return_index=True)
    once = once[first[once] < second[once]]
    difference = pixel_differences(photos.thumbnails, first[once], second[once])
    once, difference = once[difference <= max_difference], difference[difference <= max_difference]
    first, second = first[once], second[once]
    distance = np.bitwise_count(photos.hashes[first] ^ photos.hashes[second]).sum(axis=1)
    return Pairs(first, second, distance.astype(np.int64), difference), similarity[once]
