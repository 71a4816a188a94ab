"""A training batch with every kind of augmentation, for processes with different backends."""

import numpy as np

from fashion_keras.data.pipeline import Augmentation, make_dataset


def augmented_batch(records, policy):
    """Return the first 16 varied photos of the tiny records and their mixed labels."""
    augmentation = Augmentation(policy, mixup=0.2, cutmix=0.5, random_erasing=0.5)
    dataset = make_dataset(
        records, "train", "subCategory", (40, 32), 16, training=True, augmentation=augmentation
    )
    images, labels = next(iter(dataset))
    return np.asarray(images), np.asarray(labels["subCategory"])
