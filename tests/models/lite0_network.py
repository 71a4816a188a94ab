"""EfficientNet-Lite0 written out in TensorFlow's ops, by PyTorch's names of its weights."""

import numpy as np
import tensorflow as tf

# kernel, repeats, filters out, expansion, stride (Tan and Le, 2019, table 1).
BLOCKS = [
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
]


def random_state():
    """Weights as PyTorch names and lays them out."""
    rng, state = np.random.default_rng(0), {}

    def convolution(name, *shape):
        fan_in = np.prod(shape[1:])
        state[f"{name}.weight"] = rng.normal(0, np.sqrt(2 / fan_in), shape).astype("float32")

    def normalisation(name, channels):
        for kind, low, high in (
            ("weight", 0.8, 1.2),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            state[f"{name}.{kind}"] = rng.uniform(low, high, channels).astype("float32")
        state[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("_conv_stem", 32, 3, 3, 3)
    normalisation("_bn0", 32)
    channels, number = 32, 0
    for kernel, repeats, out, expansion, _ in BLOCKS:
        for _ in range(repeats):
            block, inner = f"_blocks.{number}", channels * expansion
            if expansion != 1:
                convolution(f"{block}._expand_conv", inner, channels, 1, 1)
                normalisation(f"{block}._bn0", inner)
            convolution(f"{block}._depthwise_conv", inner, 1, kernel, kernel)
            normalisation(f"{block}._bn1", inner)
            convolution(f"{block}._project_conv", out, inner, 1, 1)
            normalisation(f"{block}._bn2", out)
            channels, number = out, number + 1
    convolution("_conv_head", 1280, 320, 1, 1)
    normalisation("_bn1", 1280)
    state["_fc.weight"] = rng.normal(size=(10, 1280)).astype("float32")
    state["_fc.bias"] = np.zeros(10, "float32")
    return state


def forward(state, x):
    """Compute the features from PyTorch's names; its "same" padding is TensorFlow's."""

    def normalise(x, name):
        weight, bias, mean, variance = (
            state[f"{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * weight + bias

    def convolve(x, name, stride=1):
        kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
        return tf.nn.conv2d(x, kernel, stride, "SAME")

    x = tf.nn.relu6(normalise(convolve(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for _, repeats, _, expansion, first_stride in BLOCKS:
        for repeat in range(repeats):
            block, before = f"_blocks.{number}", x
            stride = first_stride if repeat == 0 else 1
            if expansion != 1:
                x = tf.nn.relu6(normalise(convolve(x, f"{block}._expand_conv"), f"{block}._bn0"))
            kernel = state[f"{block}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
            x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
            x = tf.nn.relu6(normalise(x, f"{block}._bn1"))
            x = normalise(convolve(x, f"{block}._project_conv"), f"{block}._bn2")
            if repeat:
                x += before
            number += 1
    return tf.nn.relu6(normalise(convolve(x, "_conv_head"), "_bn1"))
