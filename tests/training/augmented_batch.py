"""A training batch with every kind of augmentation, for processes with different backends."""

import numpy as np
import tensorflow as tf

from fashion_keras.data.augment import photo_policy
from fashion_keras.data.pipeline import Augmentation, make_dataset


def augmented_batch(records, policy):
    """Return the first 16 varied photos of the tiny records and their mixed labels."""
    augmentation = Augmentation(policy, mixup=0.2, cutmix=0.5, random_erasing=0.5)
    dataset = make_dataset(
        records, "train", "subCategory", (40, 32), 16, training=True, augmentation=augmentation
    )
    images, labels = next(iter(dataset))
    return np.asarray(images), np.asarray(labels["subCategory"])


def operations_of_rand_augment():
    """Return how many operations stand in the graph that varies a photo."""
    photo, seed = tf.TensorSpec([40, 32, 3], tf.uint8), tf.TensorSpec([2], tf.int32)
    vary = tf.function(photo_policy("rand-augment")).get_concrete_function(photo, seed)
    graph = vary.graph.as_graph_def()
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
