"""An architecture of a few thousand weights, with all that training has to cope with."""

import keras


def build_backbone(image_size, *, imagenet):
    """Two convolutions with batch normalisation and dropout, as the real ones have."""
    inputs = keras.Input((*image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for i, filters in enumerate((8, 16)):
        x = keras.layers.Conv2D(filters, 3, 2, "same", use_bias=False, name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"bn{i}")(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.2, name="drop")(x)
    return keras.Model(inputs, x, name="backbone")
